#include "test/sim/server_process.h"

#include <algorithm>
#include <set>
#include <utility>

#include "test/sim/server_life.h"

namespace dlm::sim {

using server::GroupCore;
using server::GroupOutput;
using server::Instant;
using server::MemberName;

namespace {

constexpr TimeUs kLaterTimeout = 5 * kSecond;  // for a router to take its later answers
constexpr std::uint32_t kRegisterGraceMs = 2'000;
constexpr TimeUs kNewSessionPause = 200 * kMs;

}  // namespace

ServerProcess::Life::Life(ServerProcess& process) : self(process), name(process.member()) {
  member_events.on_reply = [this](GroupId group, const server::AppendReply& reply) {
    Host& host = hosts.at(group);
    host.core.on_reply(reply, now());
    schedule_turn(group, host);
  };
  member_events.on_message_lost = [this](GroupId group, const MemberName& member) {
    Host& host = hosts.at(group);
    host.core.on_link_down(member, false, now());
    schedule_turn(group, host);
  };
  member_events.on_link_down = [this](const MemberName& member, bool gone) {
    for (auto& [group, host] : hosts) {
      host.core.on_link_down(member, gone, now());
      schedule_turn(group, host);
    }
  };
  member_events.on_transferred = [this](const TransferCalls::Name& arc, const server::TransferReply& reply) {
    transferred(arc, reply);
  };
  begin_session();
}

// --- the coordinator -------------------------------------------------------------------------------------

// As coordinator/lasting_coordinator.cc: a server outlives its sessions.
void ServerProcess::Life::begin_session() {
  CoordinatorClient::Options options;
  options.self = coordinator::ServerMember{name, self.name(), self.options_.groups, self.is_durable()};
  options.groups = self.options_.groups;
  options.session_timeout_ms = self.options_.session_timeout_ms;
  options.patience_ms = self.options_.session_timeout_ms + kRegisterGraceMs;
  coordinator = std::make_unique<CoordinatorClient>(
      self, self.network_, std::move(options),
      CoordinatorClient::Events{.on_view = [this](const coordinator::ClusterView& next) { on_view(next); },
                                .on_ended = [this] { session_ended(); },
                                .on_registered =
                                    [this](bool ok) {
                                      registered = registered || ok;
                                      if (!ok) fail("it can't be registered");
                                    }});
}

void ServerProcess::Life::session_ended() {
  if (!registered) return fail("its coordinator session ended");
  self.world().note(self.name(), "its coordinator session ended: begins another");
  self.post(kNewSessionPause, [this] {
    if (!failed) begin_session();
  });
}

void ServerProcess::Life::proposed(GroupId group, bool accepted) {
  Host& host = hosts.at(group);
  host.core.on_proposed(accepted, now());
  schedule_turn(group, host);
}

// As a real one: it serves nothing any more and its process ends; whoever watches over it starts another.
void ServerProcess::Life::fail(const std::string& why) {
  if (std::exchange(failed, true)) return;
  self.world().note(self.name(), "gives up: " + why);
  self.world().after(1, [process = &self, life = self.life()] {
    if (process->alive() && process->life() == life) {
      process->network_.process_died(*process, false);
      process->crash();
    }
  });
}

void ServerProcess::Life::on_view(const coordinator::ClusterView& next) {
  if (failed) return;
  view = next;
  if (hosts.empty()) make_hosts();
  if (failed) return;
  follow_members();
  for (auto& [group, host] : hosts) {
    std::vector<MemberName> alive;
    for (const auto& [id, server] : view.servers) {
      if (std::find(server.groups.begin(), server.groups.end(), group) != server.groups.end())
        alive.push_back(server.name);
    }
    auto record = view.groups.find(group);
    host.core.on_view(record == view.groups.end() ? coordinator::VersionedConfig() : record->second, alive,
                      view.ring, now());
    schedule_turn(group, host);
  }
  for (GroupId group : std::exchange(unknown, {})) proposed(group, false);
  settle_ring_if_due();
}

void ServerProcess::Life::follow_members() {
  std::set<MemberName> wanted;
  for (const auto& [id, member] : view.servers) {
    if (member.name.server == name.server) continue;
    wanted.insert(member.name);
    if (links.contains(member.name)) continue;
    links.emplace(member.name, std::make_unique<MemberLink>(self, self.network_, to_string(name), member,
                                                            self.options_.group.replica.silence_timeout_ms,
                                                            member_events));
  }
  std::erase_if(links, [&](const auto& link) { return !wanted.contains(link.first); });
}

// --- connections -----------------------------------------------------------------------------------------

void ServerProcess::Life::on_message(LinkId link, Message&& message) {
  if (failed) return;
  if (const auto* greet = std::get_if<Greet>(&message)) {
    greeted[link] = greet->from;
    return self.network_.send(link, self, Greeted{to_string(name), !hosts.empty()});
  }
  if (!greeted.contains(link)) return;
  if (auto* submit = std::get_if<Submit>(&message)) return take(link, *submit);
  if (auto* query = std::get_if<Query>(&message)) return take(link, *query);
  if (auto* replicate = std::get_if<Replicate>(&message)) return take(link, std::move(*replicate));
  if (auto* taken = std::get_if<LateTaken>(&message)) return take(link, *taken);
  if (auto* move = std::get_if<MoveIn>(&message)) return take(link, *move);
}

void ServerProcess::Life::on_closed(LinkId link) {
  greeted.erase(link);
  for (auto& [group, host] : hosts) {
    auto found = host.channel_of.find(link);
    if (found == host.channel_of.end()) continue;
    host.core.channel_closed(found->second);
    host.channels.erase(found->second);
    host.channel_of.erase(found);
    schedule_turn(group, host);
  }
}

server::ChannelId ServerProcess::Life::channel_of(Host& host, LinkId link) {
  auto [found, is_new] = host.channel_of.try_emplace(link);
  if (is_new) {
    found->second = server::ChannelId(++ids);
    host.channels[found->second].link = link;
  }
  return found->second;
}

void ServerProcess::Life::take(LinkId link, const Submit& submit) {
  auto found = hosts.find(submit.group);
  if (found == hosts.end())
    return self.network_.send(link, self, CallFailed{submit.call, submit.group, true});
  Host& host = found->second;
  const server::ChannelId channel = channel_of(host, link);
  if (host.channels.at(channel).cut_off)
    return self.network_.send(link, self, CallFailed{submit.call, submit.group, false});
  std::vector<Operation> operations;
  operations.reserve(submit.operations.size());
  for (const OwnedOperation& operation : submit.operations) operations.push_back(operation.view());
  const server::RequestId request(++ids);
  host.asked[request] = {link, submit.call, channel};
  self.observer_.on_submit(name, host.core, operations);
  host.core.submit(channel, request, operations, now());
  schedule_turn(submit.group, host);
}

void ServerProcess::Life::take(LinkId link, const Query& query) {
  auto found = hosts.find(query.group);
  if (found == hosts.end()) return self.network_.send(link, self, CallFailed{query.call, query.group, true});
  const server::RequestId request(++ids);
  found->second.asked[request] = {link, query.call, {}};
  found->second.core.query(request, query.query, now());
  schedule_turn(query.group, found->second);
}

void ServerProcess::Life::take(LinkId link, Replicate&& message) {
  auto found = hosts.find(message.group);
  if (found == hosts.end())
    return self.network_.send(link, self, CallFailed{message.call, message.group, true});
  Host& host = found->second;
  const server::RequestId request(++ids);
  host.asked[request] = {link, message.call, {}};
  MemberName from;
  coordinator::parse_member(greeted.at(link), from);
  if (auto* append = std::get_if<server::Append>(&message.message)) {
    host.core.on_append(request, from, *append, now());
  } else {
    host.core.on_install(request, from, std::get<server::Install>(message.message), now());
  }
  schedule_turn(message.group, host);
}

// --- the turn --------------------------------------------------------------------------------------------

void ServerProcess::Life::schedule_turn(GroupId group, Host& host) {
  if (std::exchange(host.turn_scheduled, true)) return;
  const TimeUs delay = self.world().random.below(self.options_.turn_delay + 1) + self.extra_turn_delay_;
  self.post(delay, [this, group] { turn(group); });
}

void ServerProcess::Life::turn(GroupId group) {
  if (failed) return;
  Host& host = hosts.at(group);
  host.turn_scheduled = false;
  GroupOutput output;
  host.core.turn(now(), output);
  self.observer_.on_turn(name, host.core, output);
  if (host.disk) host.disk->write(output);
  if (failed) return;
  carry_out(group, host, output);
  host.core.has_put_off() ? schedule_turn(group, host) : host.alarm.set(host.core.next_turn());
  if (self.freeze_wanted_) self.freeze_between_turns(*self.freeze_wanted_);
}

void ServerProcess::Life::carry_out(GroupId group, Host& host, GroupOutput& output) {
  for (const std::string& line : output.notes) self.world().note(to_string(name), line);
  answer(host, output);
  for (GroupOutput::Later& answers : output.later) later(group, host, std::move(answers));
  for (GroupOutput::Reply& reply : output.replies) {
    auto asked = host.asked.extract(reply.request);
    if (asked.empty()) continue;
    self.network_.send(asked.mapped().link, self,
                       Replicated{asked.mapped().call, group, !reply.damaged, std::move(reply.reply)});
  }
  for (server::Append& message : output.appends) send(group, std::move(message));
  for (server::Install& message : output.installs) send(group, std::move(message));
  for (const GroupOutput::Arrived& arrival : output.arrivals) arrived(host, arrival);
  for (const server::Transfer& transfer : output.transfers) send(transfer);
  consult_coordinator(group, host, output);
}

void ServerProcess::Life::answer(Host& host, GroupOutput& output) {
  for (GroupOutput::Finished& finished : output.finished) {
    auto asked = host.asked.extract(finished.request);
    if (asked.empty() || !host.channels.contains(asked.mapped().channel)) continue;
    self.network_.send(asked.mapped().link, self,
                       Submitted{asked.mapped().call, std::move(finished.answers)});
  }
  for (GroupOutput::Reported& reported : output.reports) {
    auto asked = host.asked.extract(reported.request);
    if (asked.empty()) continue;
    self.network_.send(asked.mapped().link, self, Queried{asked.mapped().call, std::move(reported)});
  }
}

void ServerProcess::Life::later(GroupId group, Host& host, GroupOutput::Later&& later) {
  auto found = host.channels.find(later.channel);
  if (found == host.channels.end() || found->second.cut_off) return;
  Channel& channel = found->second;
  std::move(later.answers.begin(), later.answers.end(), std::back_inserter(channel.queue));
  if (!channel.sending) send_later(group, host, later.channel);
}

// One call is out at a time; a router that takes no answers for long is cut off.
void ServerProcess::Life::send_later(GroupId group, Host& host, server::ChannelId id) {
  Channel& channel = host.channels.at(id);
  LateAnswers message{group, {channel.queue.begin(), channel.queue.end()}};
  channel.queue.clear();
  channel.sending = true;
  const std::uint64_t sent = ++channel.sent;
  self.network_.send(channel.link, self, std::move(message));
  self.post(kLaterTimeout, [this, &host, id, sent] {
    auto found = host.channels.find(id);
    if (found == host.channels.end() || found->second.sent != sent || !found->second.sending) return;
    found->second.cut_off = true;
    found->second.queue.clear();
  });
}

void ServerProcess::Life::take(LinkId link, const LateTaken& taken) {
  auto found = hosts.find(taken.group);
  if (found == hosts.end()) return;
  Host& host = found->second;
  auto id = host.channel_of.find(link);
  if (id == host.channel_of.end()) return;
  Channel& channel = host.channels.at(id->second);
  channel.sending = false;
  if (!channel.queue.empty() && !channel.cut_off) send_later(taken.group, host, id->second);
}

void ServerProcess::Life::send(GroupId group, MemberLink::Content message) {
  const MemberName to = std::visit([](const auto& content) { return content.to; }, message);
  auto link = links.find(to);
  if (link != links.end()) return link->second->send(group, std::move(message));
  member_events.on_message_lost(group, to);  // not registered, so nobody knows its address
}

// --- the coordinator, from a turn ------------------------------------------------------------------------

void ServerProcess::Life::consult_coordinator(GroupId group, Host& host, GroupOutput& output) {
  if (output.propose) {
    coordinator->propose(group, output.propose->expected_version, output.propose->config,
                         [this, group](coordinator::WriteResult result) {
                           if (failed) return;
                           // What became of it the first view of the next session tells, and before that
                           // nobody.
                           if (result == coordinator::WriteResult::unknown) return unknown.push_back(group);
                           proposed(group, result == coordinator::WriteResult::accepted);
                         });
  }
  if (output.touch_coordinator) {
    coordinator->touch([this, group, &host, sent = now().ms](bool ok) {
      if (failed) return;
      host.core.on_touched(ok, sent, now());
      schedule_turn(group, host);
    });
  }
}

void ServerProcess::Life::rang(GroupId group, Host& host) {
  if (failed) return;
  if (host.core.next_turn() <= self.clock_ms()) return schedule_turn(group, host);
  host.alarm.set(host.core.next_turn());
}

// --- the process -----------------------------------------------------------------------------------------

ServerProcess::ServerProcess(World& world, Network& network, const std::string& name, const Clock& clock,
                             const Options& options, ServerObserver& observer)
    : Process(world, name, clock), network_(network), options_(options), observer_(observer) {}
ServerProcess::~ServerProcess() = default;

void ServerProcess::begin_life() {
  if (!is_durable()) {
    incarnation_ = ++*options_.incarnation;
  } else {
    begin_with_disk();
  }
  state_ = std::make_unique<Life>(*this);
}

void ServerProcess::end_life() {
  freeze_wanted_.reset();
  state_.reset();
  if (!is_durable()) return;
  if (std::exchange(power_lost_, false)) {
    disk_.lose_power(world_.random);
  } else {
    disk_.lose_process();
  }
}

void ServerProcess::woken() {
  for (auto& [group, host] : state_->hosts) state_->schedule_turn(group, host);
}

Endpoint* ServerProcess::acceptor() {
  return state_.get();
}

const GroupCore* ServerProcess::core(GroupId group) const {
  if (!state_) return nullptr;
  auto found = state_->hosts.find(group);
  return found == state_->hosts.end() ? nullptr : &found->second.core;
}

bool ServerProcess::serves(GroupId group) const {
  const GroupCore* serving = core(group);
  return running() && serving != nullptr && serving->serving();
}

void ServerProcess::freeze_between_turns(bool asleep) {
  if (!running()) return;
  const bool in_turn = std::any_of(state_->hosts.begin(), state_->hosts.end(),
                                   [](const auto& entry) { return entry.second.turn_scheduled; });
  if (in_turn) {
    freeze_wanted_ = asleep;
    return;
  }
  freeze_wanted_.reset();
  freeze(asleep);
}

void ServerProcess::go_on() {
  freeze_wanted_.reset();
  thaw();
}

void ServerProcess::step_down(GroupId group) {
  if (!running()) return;
  auto found = state_->hosts.find(group);
  if (found == state_->hosts.end() || !found->second.core.step_down(state_->now())) return;
  world_.note(name(), to_string(group) + " is asked to step down");
  state_->schedule_turn(group, found->second);
}

}  // namespace dlm::sim
