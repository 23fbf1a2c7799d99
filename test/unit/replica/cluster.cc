#include "test/unit/replica/cluster.h"

#include <algorithm>
#include <utility>

#include "coordinator/core/group_recovery.h"

namespace dlm::server::test {
namespace {

constexpr std::size_t kChunkBatches = 3;

bool same(const Batch& a, const Batch& b) {
  return a.index == b.index && a.epoch == b.epoch && *a.entries == *b.entries;
}

std::string encode(const std::vector<Batch>& batches) {
  std::string chunk;
  for (const Batch& batch : batches)
    chunk += std::to_string(batch.index.value) + " " + std::to_string(batch.epoch.value) + " " +
             *batch.entries + "\n";
  return chunk;
}

std::vector<Batch> decode(const std::string& chunk) {
  std::vector<Batch> batches;
  std::size_t at = 0;
  while (at < chunk.size()) {
    std::size_t end = 0;
    Batch batch;
    batch.index = LogIndex(std::stoull(chunk.substr(at), &end));
    at += end + 1;
    batch.epoch = Epoch(std::stoull(chunk.substr(at), &end));
    at += end + 1;
    end = chunk.find('\n', at);
    batch.entries = std::make_shared<const std::string>(chunk.substr(at, end - at));
    at = end + 1;
    batches.push_back(std::move(batch));
  }
  return batches;
}

}  // namespace

Cluster::Cluster(ReplicaOptions options) : options_(std::move(options)) {
  options_.group = GroupId(1);
}

void Cluster::fail(const std::string& what) {
  if (violation_.empty()) violation_ = "at " + std::to_string(now_ms_) + ": " + what + "\n" + describe();
}

// --- processes -------------------------------------------------------------------------------------------

MemberName Cluster::start(const std::string& server) {
  if (runs(server)) kill(server);
  frozen_.erase(server);
  ReplicaOptions options = options_;
  Node node;
  RecoveredLog log;
  if (options.durable && disks_.count(server) != 0) {
    node.name = disks_[server].name;
    log = recover(disks_[server], node);
  } else {
    node.name = MemberName{server, ++incarnations_[server]};
    if (options.durable) disks_[server].name = node.name;
  }
  options.self = node.name;
  node.life = ++lives_;
  node.replica = std::make_unique<Replica>(options, std::move(log));
  nodes_[server] = std::move(node);
  // A server has one living incarnation at a time.
  std::erase_if(alive_, [&](const MemberName& member) { return member.server == server; });
  alive_.push_back(options.self);
  std::sort(alive_.begin(), alive_.end());
  publish();
  return options.self;
}

void Cluster::kill(const std::string& server, std::size_t kept) {
  const auto disk = disks_.find(server);
  if (runs(server) && disk != disks_.end()) {
    Disk& left = disk->second;
    left.synced = std::min(left.synced + kept, left.written.size());
    left.written.resize(left.synced);
    left.before = left.written.size();
  }
  nodes_.erase(server);
  frozen_.erase(server);
}

void Cluster::unregister(const MemberName& member) {
  if (std::erase(alive_, member) != 0) publish();
}

void Cluster::cut_both(const std::string& a, const std::string& b) {
  cut(a, b);
  cut(b, a);
}

void Cluster::publish() {
  for (const auto& [server, node] : nodes_)
    events_.push_back({{}, node.name, View{record_, alive_}, now_ms_, node.life});
}

std::string Cluster::give_up_the_set() {
  std::vector<coordinator::Registered> registered;
  for (const MemberName& member : alive_) registered.push_back({member, true});
  coordinator::RecoveryPlan plan = coordinator::plan_recovery(options_.group, record_, registered);
  if (!plan.ok()) return plan.refusal;
  plan.next.author = coordinator::operator_author("r1", 1);
  begin_anew();
  record_ = {record_.version + 1, plan.next};
  publish();
  return {};
}

// --- delivery --------------------------------------------------------------------------------------------

void Cluster::drop(std::size_t index, bool tell_sender) {
  Event event = std::move(events_[index]);
  events_.erase(events_.begin() + static_cast<std::ptrdiff_t>(index));
  const bool call = std::holds_alternative<Append>(event.what) || std::holds_alternative<Install>(event.what);
  const bool answer = std::holds_alternative<AppendReply>(event.what);
  if (!tell_sender || !(call || answer)) return;
  // The caller learns that the call failed, whichever way was lost.
  events_.push_back(
      {{}, call ? event.from : event.to, LinkDown{call ? event.to : event.from, false}, now_ms_});
}

bool Cluster::held(const Event& event) const {
  if (frozen(event.to.server)) return true;
  if (std::holds_alternative<Synced>(event.what)) return stalled_.count(event.to.server) != 0;
  const bool local = std::holds_alternative<LinkDown>(event.what);
  const bool coordinator = !local && (!event.from || !event.to);
  return coordinator && !connected(server_of(event.from), server_of(event.to));
}

void Cluster::deliver(std::size_t index) {
  Event event = std::move(events_[index]);
  events_.erase(events_.begin() + static_cast<std::ptrdiff_t>(index));
  const bool local =
      std::holds_alternative<LinkDown>(event.what) || std::holds_alternative<Synced>(event.what);
  if (!local && !connected(server_of(event.from), server_of(event.to))) return;
  if (!event.to) {
    to_coordinator(event);
    return;
  }
  const auto found = nodes_.find(event.to.server);
  const bool call = std::holds_alternative<Append>(event.what) || std::holds_alternative<Install>(event.what);
  if (found == nodes_.end()) {
    if (call) events_.push_back({{}, event.from, LinkDown{event.to, true}, now_ms_});
    return;
  }
  // Calls reach whoever has the address now; everything else belongs to one process.
  if (!call && found->second.name != event.to) return;
  if (event.life != 0 && found->second.life != event.life) return;
  receive(found->second, event);
}

void Cluster::receive(Node& node, Event& event) {
  Replica& replica = *node.replica;
  ReplicaOutput out;
  if (const auto* append = std::get_if<Append>(&event.what)) {
    replica.on_append(event.from, *append, now_ms_, out);
  } else if (const auto* install = std::get_if<Install>(&event.what)) {
    if (replica.expects_install(event.from, *install)) {
      if (install->first) node.incoming.clear();
      for (Batch& batch : decode(install->chunk)) node.incoming.push_back(std::move(batch));
    }
    replica.on_install(event.from, *install, false, now_ms_, out);
  } else if (const auto* reply = std::get_if<AppendReply>(&event.what)) {
    replica.on_reply(*reply, now_ms_, out);
  } else if (const auto* result = std::get_if<ProposalResult>(&event.what)) {
    replica.on_proposed(result->accepted, now_ms_, out);
  } else if (const auto* touched = std::get_if<TouchResult>(&event.what)) {
    replica.on_touched(touched->ok, touched->sent_ms, now_ms_, out);
  } else if (const auto* view = std::get_if<View>(&event.what)) {
    replica.on_view(view->record, view->alive, now_ms_, out);
  } else if (const auto* down = std::get_if<LinkDown>(&event.what)) {
    replica.on_link_down(down->member, down->gone, now_ms_, out);
  } else if (const auto* done = std::get_if<Synced>(&event.what)) {
    synced(node, done->records);
    replica.on_durable(done->records, now_ms_, out);
  }
  for (AppendReply& reply : out.replies)
    node.held_replies.push_back({node.name, event.from, std::move(reply), now_ms_});
  out.replies.clear();
  carry_out(node.name.server, out);
  release_replies(node);
}

void Cluster::to_coordinator(const Event& event) {
  if (const auto* proposal = std::get_if<Proposal>(&event.what)) {
    // A session that ended can't write; but a process that lives may have begun another, without being
    // registered in it.
    const auto sender = nodes_.find(event.from.server);
    const bool lives = std::binary_search(alive_.begin(), alive_.end(), event.from) ||
                       (sender != nodes_.end() && sender->second.name == event.from);
    const bool accepted = lives && proposal->expected_version == record_.version;
    if (accepted && proposal->config.era != record_.config.era && record_.version != 0) begin_anew();
    if (accepted) {
      record_ = {record_.version + 1, proposal->config};
      publish();
    }
    events_.push_back({{}, event.from, ProposalResult{accepted}, now_ms_, event.life});
  } else if (const auto* touch = std::get_if<Touch>(&event.what)) {
    const bool lives = std::binary_search(alive_.begin(), alive_.end(), event.from);
    if (lives) last_touch_ms_[event.from] = std::max(last_touch_ms_[event.from], touch->sent_ms);
    events_.push_back({{}, event.from, TouchResult{lives, touch->sent_ms}, now_ms_, event.life});
  }
}

void Cluster::settle() {
  for (std::size_t steps = 0; steps < 100'000; ++steps) {
    std::size_t next = 0;
    while (next < events_.size() && held(events_[next])) ++next;
    if (next == events_.size()) return;
    deliver(next);
  }
  fail("never settles");
}

void Cluster::run_for(TimeMs ms) {
  const TimeMs end = now_ms_ + ms;
  settle();
  while (now_ms_ < end) {
    TimeMs next = end;
    for (const auto& [server, node] : nodes_)
      if (!frozen(server)) next = std::min(next, std::max(now_ms_ + 1, node.replica->next_tick()));
    pass(next - now_ms_);
    settle();
  }
}

void Cluster::pass(TimeMs ms) {
  now_ms_ += ms;
  for (auto& [server, node] : nodes_) {
    if (frozen(server) || node.replica->next_tick() > now_ms_) continue;
    ReplicaOutput out;
    node.replica->tick(now_ms_, out);
    carry_out(server, out);
  }
}

// --- the shell -------------------------------------------------------------------------------------------

void Cluster::carry_out(const std::string& server, ReplicaOutput& out) {
  act(server, out);
  Node& node = nodes_.at(server);
  send_chunks(node);
  check(node);
}

void Cluster::act(const std::string& server, ReplicaOutput& out) {
  Node& node = nodes_.at(server);
  if (out.start_empty) {
    node.table.clear();
    node.incoming.clear();
    node.base = node.replica->last_index().value;
  }
  if (out.snapshot_installed) {
    ++snapshots_installed_;
    node.table.clear();
    if (!node.incoming.empty()) node.base = node.incoming.front().index.value - 1;
    for (const Batch& batch : node.incoming) apply(node, batch);
    node.incoming.clear();
  }
  write(node, out);
  for (const Batch& batch : out.apply) apply(node, batch);
  if (LogIndex(node.base + node.table.size()) != node.replica->applied_index())
    fail(server + " says it applied something else");
  ReplicaOutput again;
  if (out.role_changed) on_role(node, again);
  if (out.barrier_passed > node.barrier_passed) {
    node.barrier_passed = out.barrier_passed;
    for (const auto& [number, committing] : node.barriers)
      if (number <= out.barrier_passed && committing > node.replica->epoch())
        fail(server + " passed a barrier, deposed");
    std::erase_if(node.barriers, [&](const auto& asked) { return asked.first <= out.barrier_passed; });
  }
  for (Append& message : out.appends) {
    const MemberName to = message.to;
    events_.push_back({node.name, to, std::move(message), now_ms_});
  }
  for (const MemberName& member : out.cancel_snapshots)
    std::erase_if(node.snapshots, [&](const Snapshot& snapshot) { return snapshot.to == member; });
  for (const MemberName& member : out.begin_snapshots) {
    std::erase_if(node.snapshots,
                  [](const Snapshot& snapshot) { return snapshot.at >= snapshot.table.size(); });
    if (!node.snapshots.empty()) fail(server + " begins a second snapshot at a time");
    node.snapshots.push_back({member, node.base, node.table, 0});
  }
  if (out.propose) events_.push_back({node.name, {}, *out.propose, now_ms_, node.life});
  if (out.touch_coordinator) events_.push_back({node.name, {}, Touch{now_ms_}, now_ms_, node.life});
  if (out.role_changed) act(server, again);
}

void Cluster::apply(Node& node, const Batch& batch) {
  if (batch.index.value != node.base + node.table.size() + 1)
    fail(node.name.server + " applies out of order");
  node.table.push_back(batch);
  if (!same(committed_.try_emplace(batch.index, batch).first->second, batch))
    fail(node.name.server + " applies another batch " + std::to_string(batch.index.value));
  const Replica& replica = *node.replica;
  const bool leads = replica.role() == Role::primary || replica.role() == Role::preparing;
  if (!leads) return;
  committing_epoch_ = std::max(committing_epoch_, replica.epoch());
  if (record_.config.in_sync == std::vector<MemberName>{node.name}) {
    const TimeMs limit = last_touch_ms_[node.name] + options_.coordinator_timeout_ms;
    if (now_ms_ >= limit) fail(node.name.server + " commits alone without the coordinator");
  }
  const auto own = node.own.find(batch.index);
  if (own == node.own.end()) return;
  acknowledged_.insert(own->second);
  acknowledged_index_ = std::max(acknowledged_index_, batch.index);
  LogIndex& in_epoch = acknowledged_in_[replica.epoch()];
  in_epoch = std::max(in_epoch, batch.index);
}

void Cluster::on_role(Node& node, ReplicaOutput& again) {
  Replica& replica = *node.replica;
  if (replica.role() != Role::primary) {
    node.own.clear();
    node.barriers.clear();
  }
  if (replica.role() == Role::preparing || replica.role() == Role::primary) {
    const auto [owner, added] = epoch_owners_.try_emplace(replica.epoch(), node.name);
    if (owner->second != node.name) fail("two primaries in one epoch");
  }
  // One that is deposed and does not know may begin to "serve" late: nothing it does will be confirmed.
  for (const auto& [epoch, index] : acknowledged_in_)
    if (replica.role() == Role::primary && epoch < replica.epoch() && replica.committed_index() < index)
      fail(node.name.server + " serves without what was acknowledged");
  if (replica.role() == Role::preparing)
    replica.set_epoch_entries(
        "epoch " + std::to_string(replica.epoch().value) + " in life " + std::to_string(node.life), now_ms_,
        again);
}

void Cluster::send_chunks(Node& node) {
  for (const MemberName& to : node.replica->want_install()) {
    const auto found = std::find_if(node.snapshots.begin(), node.snapshots.end(),
                                    [&](const Snapshot& snapshot) { return snapshot.to == to; });
    if (found == node.snapshots.end()) {
      fail(node.name.server + " wants a chunk of no snapshot");
      return;
    }
    const std::size_t end = std::min(found->at + kChunkBatches, found->table.size());
    const std::vector<Batch> part(found->table.begin() + static_cast<std::ptrdiff_t>(found->at),
                                  found->table.begin() + static_cast<std::ptrdiff_t>(end));
    found->at = end;
    Install message;
    node.replica->next_install(to, encode(part), end == found->table.size(), now_ms_, message);
    if (message.index.value != found->base + found->table.size())
      fail(node.name.server + " names another index for a snapshot");
    events_.push_back({node.name, to, std::move(message), now_ms_});
  }
}

void Cluster::check(Node& node) {
  const Replica& replica = *node.replica;
  if (replica.committed_index() > replica.last_index()) fail(node.name.server + " committed beyond its log");
  // What was acknowledged lies in the log of every living member of the set.
  for (const auto& [server, other] : nodes_)
    if (record_.config.has(other.name) && other.replica->last_index() < acknowledged_index_)
      fail(server + " is in the set and lacks what was acknowledged");
}

// What was acknowledged before counts no more.
void Cluster::begin_anew() {
  for (const MemberName& member : record_.config.in_sync) {
    const auto node = nodes_.find(member.server);
    if (node != nodes_.end() && node->second.name == member)
      fail("the group begins anew, although " + coordinator::to_string(member) + " of its set lives");
  }
  acknowledged_.clear();
  acknowledged_index_ = LogIndex();
  acknowledged_in_.clear();
}

// --- clients ---------------------------------------------------------------------------------------------

bool Cluster::append(const std::string& server, const std::string& text) {
  Node& node = nodes_.at(server);
  ReplicaOutput out;
  LogIndex index;
  // Noted before: alone, it commits within the call.
  if (node.replica->can_append()) node.own[node.replica->last_index().next()] = text;
  const bool appended = node.replica->append(text, now_ms_, index, out);
  if (appended && node.own.count(index) == 0) fail(server + " appends elsewhere");
  carry_out(server, out);
  return appended;
}

std::uint64_t Cluster::barrier(const std::string& server) {
  Node& node = nodes_.at(server);
  ReplicaOutput out;
  const std::uint64_t number = node.replica->barrier(now_ms_, out);
  if (number != 0) node.barriers[number] = committing_epoch_;
  carry_out(server, out);
  return number;
}

bool Cluster::step_down(const std::string& server, StepDown how) {
  ReplicaOutput out;
  const bool begun = nodes_.at(server).replica->step_down(how, now_ms_, out);
  carry_out(server, out);
  return begun;
}

void Cluster::want_lease(const std::string& server, std::uint32_t lease_ms) {
  ReplicaOutput out;
  nodes_.at(server).replica->want_lease(lease_ms, now_ms_, out);
  carry_out(server, out);
}

void Cluster::end_recovery(const std::string& server) {
  ReplicaOutput out;
  nodes_.at(server).replica->end_recovery(now_ms_, out);
  carry_out(server, out);
}

bool Cluster::passed(const std::string& server, std::uint64_t barrier) const {
  return nodes_.at(server).barrier_passed >= barrier;
}

std::string Cluster::serving() const {
  std::string found;
  for (const auto& [server, node] : nodes_) {
    const bool newest = node.replica->epoch() == record_.config.epoch;
    if (!frozen(server) && newest && node.replica->serving()) found = server;
  }
  return found;
}

std::vector<std::string> Cluster::applied(const std::string& server) const {
  std::vector<std::string> texts;
  for (const Batch& batch : nodes_.at(server).table)
    if (!batch.entries->starts_with("epoch ")) texts.push_back(*batch.entries);
  return texts;
}

std::string Cluster::describe() const {
  std::string text = "record v" + std::to_string(record_.version) + " e" +
                     std::to_string(record_.config.epoch.value) + " " +
                     coordinator::to_string(record_.config.primary) + "\n";
  for (const auto& [server, node] : nodes_)
    text += "  " + node.replica->describe() + (frozen(server) ? " (frozen)" : "") + "\n";
  return text;
}

Cluster started(std::size_t servers, ReplicaOptions options) {
  Cluster cluster(std::move(options));
  cluster.start("s1");
  cluster.run_for(200);
  for (std::size_t server = 2; server <= servers; ++server) cluster.start("s" + std::to_string(server));
  cluster.run_for(500);
  return cluster;
}

}  // namespace dlm::server::test
