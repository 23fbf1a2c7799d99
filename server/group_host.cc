#include "server/group_host.h"

#include <glog/logging.h>
#include <kj/debug.h>
#include <time.h>

#include <chrono>
#include <utility>

#include "schema/wire/codec.h"
#include "schema/wire/turn.h"
#include "server/failpoint.h"
#include "server/replica_codec.h"

namespace dlm::server {

GroupHost::GroupHost(wire::EventLoop& loop, const GroupOptions& options,
                     coordinator::Coordinator& coordinator, MemberNetwork& network, RecoveredState&& state)
    : loop_(loop),
      self_(options.replica.self),
      coordinator_(coordinator),
      network_(network),
      core_(options, std::move(state)),
      timer_(loop.io()) {}

void GroupHost::use_disk(std::unique_ptr<Folder> folder, const GroupIdentity& identity,
                         std::unique_ptr<LogWriter> log,
                         std::function<void(const std::string& why)> on_failed) {
  GroupStorage::Events events;
  events.on_durable = [this](std::uint64_t log_records) {
    if (halted_) return;
    DLM_FAILPOINT("log.safe");
    core_.on_durable(log_records, now());
    schedule_turn();
  };
  events.on_snapshot_written = [this](LogIndex index, bool last) {
    if (halted_) return;
    core_.on_snapshot_written(index, last, now());
    schedule_turn();
  };
  events.on_failed = [this, on_failed = std::move(on_failed)](const std::string& why) {
    halt();
    on_failed(why);
  };
  storage_ = std::make_unique<GroupStorage>(loop_.executor(), std::move(folder), identity, std::move(log),
                                            std::move(events));
}

// By CLOCK_BOOTTIME: the loop's CLOCK_MONOTONIC stands still while the machine sleeps, and the coordinator's
// does not, so a primary alone would trust a contact whose session has ended long ago. The timer, which goes
// by the loop's clock, may then be late; the cores judge each input by its own time.
Instant GroupHost::now() {
  timespec since_boot{};
  clock_gettime(CLOCK_BOOTTIME, &since_boot);
  const auto ms =
      static_cast<TimeMs>(since_boot.tv_sec) * 1'000 + static_cast<TimeMs>(since_boot.tv_nsec) / 1'000'000;
  return {ms, wire::EventLoop::unix_ms()};
}

// --- calls -----------------------------------------------------------------------------------------------

void GroupHost::require_running() const {
  if (halted_) kj::throwFatalException(KJ_EXCEPTION(DISCONNECTED, "the server is stopping"));
}

// The call is answered by a turn. When its caller goes away before, its record here is answered all the same
// and the results go nowhere.
template <class Context>
kj::Promise<void> GroupHost::wait_for(Calls<Context>& calls, RequestId request, Context&& context) {
  auto paf = kj::newPromiseAndFulfiller<void>();
  calls.emplace(request, Call<Context>{kj::mv(context), kj::mv(paf.fulfiller)});
  schedule_turn();
  return kj::mv(paf.promise);
}

ChannelId GroupHost::open_channel(LaterAnswers& sink) {
  const ChannelId channel(++ids_);
  channels_.emplace(channel, &sink);
  return channel;
}

void GroupHost::close_channel(ChannelId channel) {
  channels_.erase(channel);
  core_.channel_closed(channel);
}

kj::Promise<void> GroupHost::submit(ChannelId channel, SubmitCall context) {
  require_running();
  auto list = context.getParams().getOperations();
  operations_.clear();
  operations_.reserve(list.size());
  for (auto operation : list) operations_.push_back(wire::read(operation));
  const RequestId request(++ids_);
  core_.submit(channel, request, operations_, now());
  DLM_FAILPOINT("submit.received");
  context.releaseParams();
  return wait_for(submits_, request, kj::mv(context));
}

kj::Promise<void> GroupHost::query(QueryCall context) {
  require_running();
  auto query = context.getParams().getQuery();
  GroupQuery asked;
  switch (query.which()) {
    case wire::Query::INSPECT:
      asked.kind = GroupQuery::Kind::inspect;
      asked.text = wire::as_text(query.getInspect());
      break;
    case wire::Query::LIST:
      asked.kind = GroupQuery::Kind::list;
      asked.text = wire::as_text(query.getList().getPrefix());
      asked.cursor = query.getList().getCursor();
      asked.limit = query.getList().getLimit();
      break;
    case wire::Query::STATUS:
      asked.kind = GroupQuery::Kind::status;
      break;
    case wire::Query::STEP_DOWN:
      asked.kind = GroupQuery::Kind::step_down;
      asked.text = wire::as_text(query.getStepDown().getPrimary());
      break;
    default:
      kj::throwFatalException(KJ_EXCEPTION(UNIMPLEMENTED, "a query of an unknown kind"));
  }
  const RequestId request(++ids_);
  core_.query(request, std::move(asked), now());
  return wait_for(queries_, request, kj::mv(context));
}

kj::Promise<void> GroupHost::append(const MemberName& from, AppendCall context) {
  require_running();
  const RequestId request(++ids_);
  DLM_FAILPOINT("backup.append_received");
  core_.on_append(request, from, read(context.getParams(), self_), now());
  context.releaseParams();
  return wait_for(appends_, request, kj::mv(context));
}

kj::Promise<void> GroupHost::install(const MemberName& from, InstallCall context) {
  require_running();
  const RequestId request(++ids_);
  core_.on_install(request, from, read(context.getParams(), self_), now());
  context.releaseParams();
  return wait_for(installs_, request, kj::mv(context));
}

kj::Promise<TransferReply> GroupHost::move_in(const Transfer& transfer) {
  if (halted_) return TransferReply{Status::unavailable, "the server is stopping", 0, {}, 0};
  const RequestId request(++ids_);
  auto paf = kj::newPromiseAndFulfiller<TransferReply>();
  move_ins_.emplace(request, kj::mv(paf.fulfiller));
  DLM_FAILPOINT("move.received");
  core_.move_in(request, transfer, now());
  schedule_turn();
  return kj::mv(paf.promise);
}

void GroupHost::on_transferred(GroupId to, std::uint64_t number, const TransferReply& reply) {
  if (halted_) return;
  DLM_FAILPOINT("move.answered");
  core_.on_transferred(to, number, reply, now());
  schedule_turn();
}

// --- other inputs ----------------------------------------------------------------------------------------

void GroupHost::on_reply(const AppendReply& reply) {
  core_.on_reply(reply, now());
  schedule_turn();
}

void GroupHost::on_link_down(const MemberName& member, bool gone) {
  core_.on_link_down(member, gone, now());
  schedule_turn();
}

void GroupHost::on_view(const coordinator::ClusterView& view) {
  std::vector<MemberName> alive;
  for (const auto& [id, server] : view.servers) {
    for (GroupId group : server.groups) {
      if (group == core_.group()) alive.push_back(server.name);
    }
  }
  auto record = view.groups.find(core_.group());
  core_.on_view(record == view.groups.end() ? VersionedConfig() : record->second, alive, view.ring, now());
  schedule_turn();
}

bool GroupHost::leave() {
  const bool begun = core_.step_down(now(), StepDown::leave_set);
  schedule_turn();
  return begun;
}

void GroupHost::halt() {
  halted_ = true;
  timer_.cancel();
  auto reject_all = [](auto& calls) {
    for (auto& [request, call] : calls) {
      call.done->reject(KJ_EXCEPTION(DISCONNECTED, "the server is stopping"));
    }
    calls.clear();
  };
  reject_all(submits_);
  reject_all(queries_);
  reject_all(appends_);
  reject_all(installs_);
  for (auto& [request, done] : std::exchange(move_ins_, {}))
    done->fulfill(TransferReply{Status::unavailable, "the server is stopping", 0, {}, 0});
}

// --- the turn --------------------------------------------------------------------------------------------

void GroupHost::schedule_turn() {
  if (turn_scheduled_ || halted_) return;
  turn_scheduled_ = true;
  wire::Turn::of(loop_.io()).at_end<&GroupHost::turn>(wire::Turn::Phase::decide, shared_from_this());
}

void GroupHost::turn() {
  turn_scheduled_ = false;
  if (halted_) return;
  core_.turn(now(), output_);
  carry_out(output_);
  output_.clear();
  if (!core_.has_put_off()) return arm_timer();
  turn_scheduled_ = true;
  wire::Turn::of(loop_.io()).at_end<&GroupHost::turn>(wire::Turn::Phase::afterwards, shared_from_this());
}

void GroupHost::carry_out(GroupOutput& output) {
  for (const std::string& line : output.notes) LOG(INFO) << line;
  if (!output.log_writes.empty()) DLM_FAILPOINT("log.before_write");
  if (storage_) storage_->write(output);
  if (!output.finished.empty()) DLM_FAILPOINT("answer.before_send");
  for (GroupOutput::Finished& finished : output.finished) finish(finished);
  if (!output.finished.empty()) DLM_FAILPOINT("answer.after_send");
  for (GroupOutput::Later& later : output.later) {
    auto channel = channels_.find(later.channel);
    if (channel != channels_.end()) channel->second->later(std::move(later.answers));
  }
  for (GroupOutput::Reported& reported : output.reports) report(reported);
  for (const GroupOutput::Reply& answer : output.replies) reply(answer);
  if (!output.appends.empty()) DLM_FAILPOINT("append.before_send");
  for (Append& message : output.appends) {
    network_.send(core_.group(), std::move(message));
    DLM_FAILPOINT("append.between_members");
  }
  if (!output.appends.empty()) DLM_FAILPOINT("append.after_send");
  for (Install& message : output.installs) network_.send(core_.group(), std::move(message));
  for (GroupOutput::Arrived& arrived : output.arrivals) {
    auto waiting = move_ins_.find(arrived.request);
    if (waiting == move_ins_.end()) continue;
    DLM_FAILPOINT("move.before_answer");
    waiting->second->fulfill(std::move(arrived.reply));
    move_ins_.erase(waiting);
  }
  if (!output.transfers.empty()) DLM_FAILPOINT("move.before_send");
  for (const Transfer& transfer : output.transfers) network_.send(transfer);
  consult_coordinator(output);
}

void GroupHost::finish(GroupOutput::Finished& finished) {
  auto it = submits_.find(finished.request);
  if (it == submits_.end()) return;
  auto call = kj::mv(it->second);
  submits_.erase(it);
  if (!call.done->isWaiting()) return;
  std::uint64_t words = 0;
  for (const Answer& answer : finished.answers) words += wire::words_of(answer);
  auto results = call.context.initResults(wire::size_hint(words));
  results.setEpoch(finished.epoch.value);
  auto answers = results.initAnswers(static_cast<unsigned>(finished.answers.size()));
  for (unsigned i = 0; i < answers.size(); ++i) wire::write(finished.answers[i], answers[i]);
  call.done->fulfill();
}

void GroupHost::report(GroupOutput::Reported& reported) {
  auto it = queries_.find(reported.request);
  if (it == queries_.end()) return;
  auto call = kj::mv(it->second);
  queries_.erase(it);
  if (!call.done->isWaiting()) return;
  auto to = call.context.initResults().initReport();
  to.setStatus(static_cast<std::uint8_t>(reported.status));
  to.setMessage(reported.message.c_str());
  if (auto* lock = std::get_if<LockReport>(&reported.content)) wire::write(*lock, to.initLock());
  if (auto* page = std::get_if<LockPage>(&reported.content)) wire::write(*page, to.initPage());
  if (auto* group = std::get_if<GroupReport>(&reported.content)) wire::write(*group, to.initGroup());
  call.done->fulfill();
}

void GroupHost::reply(const GroupOutput::Reply& answer) {
  auto answer_one = [&](auto& calls) {
    auto it = calls.find(answer.request);
    if (it == calls.end()) return;
    auto call = kj::mv(it->second);
    calls.erase(it);
    if (!call.done->isWaiting()) return;
    if (answer.damaged) {
      call.done->reject(KJ_EXCEPTION(FAILED, "the message is damaged"));
      return;
    }
    write_reply(answer.reply, call.context.getResults(wire::size_hint(0)));
    DLM_FAILPOINT("backup.before_acknowledge");
    call.done->fulfill();
    DLM_FAILPOINT("backup.after_acknowledge");
  };
  answer_one(appends_);
  answer_one(installs_);
}

void GroupHost::consult_coordinator(GroupOutput& output) {
  auto weak = weak_from_this();
  if (output.propose) {
    DLM_FAILPOINT("propose.before_send");
    coordinator_.propose(core_.group(), output.propose->expected_version, output.propose->config,
                         [weak](coordinator::WriteResult result) {
                           auto host = weak.lock();
                           if (!host || host->halted_) return;
                           DLM_FAILPOINT("propose.answered");
                           host->core_.on_proposed(result == coordinator::WriteResult::accepted, now());
                           host->schedule_turn();
                         });
  }
  if (output.touch_coordinator) {
    coordinator_.touch([weak, sent = now().ms](bool ok) {
      auto host = weak.lock();
      if (!host || host->halted_) return;
      host->core_.on_touched(ok, sent, now());
      host->schedule_turn();
    });
  }
}

// A timer that is armed for an earlier time stays: it then finds nothing due and is armed anew. So a busy
// group does not touch the loop's timers with every turn.
void GroupHost::arm_timer() {
  const TimeMs next = core_.next_turn();
  if (next >= armed_for_ms_) return;
  armed_for_ms_ = next;
  const TimeMs now_ms = now().ms;
  timer_.expires_after(std::chrono::milliseconds(next > now_ms ? next - now_ms : 0));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& cancelled) {
    auto host = weak.lock();
    if (cancelled || !host || host->halted_) return;
    host->armed_for_ms_ = UINT64_MAX;
    if (host->core_.next_turn() <= now().ms) {
      host->schedule_turn();
    } else {
      host->arm_timer();
    }
  });
}

}  // namespace dlm::server
