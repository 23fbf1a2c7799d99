// GroupCore as the serving primary: operations into the log, their answers out of it, deadlines into the log.
#include <algorithm>
#include <utility>

#include "schema/limits.h"
#include "server/core/group_core_impl.h"

namespace dlm::server {
namespace {

// What a write to the coordinator takes, about.
constexpr std::uint32_t kRecordedMs = 10;

Answer answer_to(const Operation& op, Status status, std::string message) {
  Answer answer;
  answer.session = op.session;
  answer.sequence = op.sequence;
  answer.status = status;
  answer.message = std::move(message);
  return answer;
}

std::string limit_text(const char* what, std::size_t size, std::size_t limit) {
  return std::string(what) + " has " + std::to_string(size) + " bytes, the limit is " + std::to_string(limit);
}

bool is_from_clients(OperationKind kind) {
  return kind <= OperationKind::heartbeat;
}

bool needs_sequence(OperationKind kind) {
  return kind == OperationKind::acquire || kind == OperationKind::release || kind == OperationKind::renew ||
         kind == OperationKind::cancel;
}

}  // namespace

// --- from and to serving ---------------------------------------------------------------------------------

// Every deadline anew at its full length: how much of each had gone by is known to nobody here, and longer is
// always safe.
void GroupCore::Impl::start_serving(const Instant& now) {
  serving_ = true;
  clock_.clear();
  // A primary that only paused (alone, without the coordinator) still has the waits, and the routers do not
  // ask again.
  boost::unordered::erase_if(
      later_channels_, [&](const auto& entry) { return table_->session_status(entry.first) != Status::ok; });
  begin_recovery(now.ms);
  table_->for_each_timer([&](const TimerEvent& event) { clock_.on(event, now.ms); });
  begin_moves();
  note("serves, " + std::to_string(table_->stats().locks_held) + " locks held, " +
       std::to_string(clock_.size()) + " deadlines restarted");
}

// What the old replicas granted or renewed before they died is over when the longest lease has passed since.
// A primary that takes over within the wait does not know how much of it has gone by, and waits anew.
void GroupCore::Impl::begin_recovery(TimeMs now) {
  const Epoch epoch = replica_.epoch();
  const coordinator::GroupConfig& config = replica_.config().config;
  if (!config.recovering) recovery_until_ms_ = 0;  // another primary has waited since
  if (!config.recovering || recovery_epoch_ == epoch) return;
  recovery_epoch_ = epoch;
  recovery_until_ms_ = now + std::max<std::uint32_t>(1, config.lease_ms_max);
  note(describe_recovery(now));
}

void GroupCore::Impl::end_recovery_if_due(TimeMs now) {
  if (!serving_ || recovery_until_ms_ == 0 || now < recovery_until_ms_) return;
  if (!moves_.claims.empty()) {  // the wait begins anew when it is known which arcs are its own
    recovery_until_ms_ = now + std::max<std::uint32_t>(1, replica_.config().config.lease_ms_max);
    return;
  }
  recovery_until_ms_ = 0;
  note("recovered: locks are granted again");
  replica_.end_recovery(now, wanted_);
}

std::uint32_t GroupCore::Impl::recovery_left_ms(TimeMs now) const {
  return recovery_until_ms_ > now ? static_cast<std::uint32_t>(recovery_until_ms_ - now) : 0;
}

std::string GroupCore::Impl::describe_recovery(TimeMs now) const {
  const std::uint32_t left_s = (recovery_left_ms(now) + 999) / 1'000;
  return "recovering: no grants for another " + std::to_string(left_s) + " s, all replicas were lost";
}

// What was logged may still take effect; whoever asked asks the next primary, which finds the first try's
// answer.
void GroupCore::Impl::stop_serving() {
  serving_ = false;
  for (InFlight& batch : std::exchange(in_flight_, {})) {
    for (const Waiter& waiter : batch.waiters) answer_not_primary(waiter);
  }
  in_flight_bytes_ = 0;
  while (!collector_.empty()) {
    for (const Waiter& waiter : collector_.take(0).waiters) answer_not_primary(waiter);
  }
  for (const Reads& reads : std::exchange(reads_, {})) fail(reads);
  end_moves();
  clock_.clear();
}

std::string GroupCore::Impl::who_is_primary() const {
  const MemberName& primary = replica_.config().config.primary;
  return primary ? "primary is " + coordinator::to_string(primary) : std::string("no primary");
}

// --- operations in ---------------------------------------------------------------------------------------

void GroupCore::Impl::submit(ChannelId channel, RequestId request, std::span<const Operation> operations,
                             const Instant& now) {
  if (operations.empty()) {
    out_.finished.push_back({request, replica_.epoch(), {}});
    return;
  }
  const std::uint32_t slot = submits_.open(channel, request, operations.size());
  for (const Operation& op : operations) {
    submits_.taken();
    take(slot, op, now);
  }
}

void GroupCore::Impl::take(std::uint32_t slot, const Operation& op, const Instant& now) {
  const Waiter waiter{slot, op.session, op.sequence};
  if (!may_serve()) return answer_not_primary(waiter);
  if (std::optional<Answer> refusal = refuse_at_door(op)) {
    if (refusal->status == Status::overloaded) {
      refusal->retry_after_ms = rate_.turn_away(submits_.operations(), now.ms);
      ++refused_;
    }
    return answer(waiter, std::move(*refusal));
  }
  if (std::optional<Answer> refusal = put_off(op, now.ms)) return answer(waiter, std::move(*refusal));
  if (op.kind == OperationKind::heartbeat) {
    renew_deadline(op, now);
    (table_->live_session(op.session) ? reads_before_backlog() : reads_at_end()).heartbeats.push_back(waiter);
  } else if (op.kind == OperationKind::renew && !table_->renewal_needs_log(op)) {
    renew_deadline(op, now);
    reads_at_end().renewals.push_back({slot, OwnedOperation(op)});
  } else {
    collect(op, waiter);
  }
}

// What belongs to a session that is not in the table stays behind its opening, which may be collected, too.
void GroupCore::Impl::collect(const Operation& op, const Waiter& waiter) {
  const bool may_overtake =
      collector_.is_behind() && !begins_something(op.kind) && table_->live_session(op.session);
  collector_.add(op, waiter, may_overtake);
}

// What must not get into the log, whoever sent it. The rest of the rules are the table's.
std::optional<Answer> GroupCore::Impl::refuse_at_door(const Operation& op) const {
  auto invalid = [&](std::string why) { return answer_to(op, Status::invalid_argument, std::move(why)); };
  if (!is_from_clients(op.kind))
    return invalid("unknown operation " + std::to_string(static_cast<int>(op.kind)));
  if (op.mode > LockMode::shared) return invalid("unknown lock mode");
  if (op.lease > LeaseKind::capped) return invalid("unknown lease kind");
  if (!op.session) return invalid("an operation needs a session");
  if (needs_sequence(op.kind) && !op.sequence) return invalid("an operation needs a sequence, from 1");
  if (op.resource.size() > kResourceBytesMax) {
    return invalid(limit_text("the resource's name", op.resource.size(), kResourceBytesMax));
  }
  if (op.client_id.size() > kClientIdBytesMax) {
    return invalid(limit_text("the client id", op.client_id.size(), kClientIdBytesMax));
  }
  if (op.owner_tag.size() > kOwnerTagBytesMax) {
    return invalid(limit_text("the owner tag", op.owner_tag.size(), kOwnerTagBytesMax));
  }
  // Who gives back or renews is let in for longer than who wants more. Heartbeats are cheap, and refusing
  // them would end sessions because others ask too much.
  const bool is_heartbeat = op.kind == OperationKind::heartbeat;
  const bool is_new = begins_something(op.kind);
  const auto beyond = [&](std::size_t count, std::size_t max) {
    return count > (is_new ? max : max + max / 2);
  };
  const bool full = is_heartbeat
                        ? submits_.operations() > options_.pending_operations_max * 2
                        : beyond(submits_.operations(), options_.pending_operations_max) ||
                              beyond(collector_.size_bytes() + in_flight_bytes_, options_.pending_bytes_max);
  if (full) return answer_to(op, Status::overloaded, to_string(group_) + " has too many operations pending");
  if (is_new && op.deadline_ms != 0 && rate_.time_of_ms(submits_.operations()) > op.deadline_ms)
    return answer_to(op, Status::overloaded, to_string(group_) + " would not come to it in time");
  return std::nullopt;
}

// What may not be done yet. The answer tells when it is worth asking again.
std::optional<Answer> GroupCore::Impl::put_off(const Operation& op, TimeMs now) {
  const auto later = [&](std::uint32_t retry_ms, std::string why) {
    Answer answer = answer_to(op, Status::unavailable, to_string(group_) + " " + std::move(why));
    answer.ttl_ms = retry_ms;
    return answer;
  };
  const std::uint32_t left_ms = recovery_left_ms(now);
  if (op.kind == OperationKind::acquire && left_ms != 0)
    return later(left_ms, "is " + describe_recovery(now));
  // A group that loses everything goes on in the era after the recorded one, so no token may be of a later
  // one.
  const std::uint64_t era = table_->stats().last_token.value >> coordinator::kEraShift;
  if (op.kind == OperationKind::acquire && era > replica_.config().config.era) {
    replica_.want_era(era, now, wanted_);
    return later(kRecordedMs, "has not recorded the era of its tokens yet");
  }

  // Leases beyond the limit are refused by the table.
  const bool gives_lease = op.kind == OperationKind::open_session || op.kind == OperationKind::acquire ||
                           op.kind == OperationKind::renew;
  const std::uint32_t lease_ms_max = table_->limits().lease_ms_max;
  if (!gives_lease || op.lease_ms > lease_ms_max) return std::nullopt;
  if (op.lease_ms <= replica_.config().config.lease_ms_max) return std::nullopt;
  replica_.want_lease(coordinator::lease_step_ms(op.lease_ms, lease_ms_max), now, wanted_);
  return later(kRecordedMs, "has not recorded yet that so long a lease may be given");
}

// At arrival, so that the deadline can't pass while the barrier is waited for: longer than told is always
// safe.
void GroupCore::Impl::renew_deadline(const Operation& op, const Instant& now) {
  if (op.kind == OperationKind::heartbeat) {
    clock_.renew_session(table_->live_session(op.session), now.ms);
    return;
  }
  const Answer checked = table_->check_renewal(op);
  if (checked.status == Status::ok) clock_.renew_hold(checked.token, op.resource, now.ms);
}

void GroupCore::Impl::query(RequestId request, GroupQuery query) {
  if (!may_serve()) {
    out_.reports.push_back({request, Status::not_primary, who_is_primary(), {}});
  } else if (queries_ >= options_.pending_queries_max) {
    out_.reports.push_back(
        {request, Status::overloaded, to_string(group_) + " has too many queries pending", {}});
  } else {
    ++queries_;
    reads_at_end().queries.push_back({request, std::move(query)});
  }
}

void GroupCore::Impl::step_down(RequestId request, const std::string& member, TimeMs now) {
  const bool is_meant = may_serve() && member == coordinator::to_string(options_.replica.self);
  if (!is_meant) {
    out_.reports.push_back({request, Status::not_primary, who_is_primary(), {}});
  } else if (!replica_.step_down(StepDown::stay_in_set, now, wanted_)) {
    const std::string why = to_string(group_) + " has no backup in sync that could take over";
    out_.reports.push_back({request, Status::unavailable, why, {}});
  } else {
    step_downs_.push_back(request);
  }
}

void GroupCore::Impl::answer_step_downs(TimeMs now) {
  if (step_downs_.empty() || replica_.stepping_down()) return;
  GroupOutput::Reported reported;
  if (replica_.role() == Role::primary) {
    reported.status = Status::unavailable;
    reported.message = "the backup of " + to_string(group_) + " did not take over in time";
  } else if (replica_.config().config.primary == options_.replica.self) {
    reported.status = Status::not_primary;  // deposed, and the record of it is still to come
  } else {
    reported.content = report(now);
  }
  for (RequestId request : std::exchange(step_downs_, {})) {
    reported.request = request;
    out_.reports.push_back(reported);
  }
}

// A primary that hears from no router, while they ask a backup, is out of their reach: the backup leads
// better. With answers still to be given it proves nothing that routers are silent, and ask others: they
// wait.
void GroupCore::Impl::give_way_to_asked(const AppendReply& reply, TimeMs now) {
  const bool begins = now >= others_asked_ms_ + kAskedMs || router_heard_ms_ >= others_asked_since_ms_;
  others_asked_ms_ = now;
  if (begins) others_asked_since_ms_ = now;
  if (!may_serve() || replica_.stepping_down() || submits_.operations() != 0) return;
  if (now < others_asked_since_ms_ + kUnreachedMs) return;
  if (replica_.step_down(StepDown::stay_in_set, now, wanted_, reply.from))
    note("no router reaches this primary: gives its place to " + coordinator::to_string(reply.from));
}

Reads& GroupCore::Impl::reads_at_end() {
  const std::uint64_t after_batch = collector_.last_added();
  if (reads_.empty() || reads_.back().barrier != 0 || reads_.back().after_batch != after_batch) {
    reads_.emplace_back().after_batch = after_batch;
  }
  return reads_.back();
}

// For heartbeats of sessions that are in the table: they need not wait for what only is to be logged. (A
// renewal of a hold must: another one may be there that makes its lease shorter.)
Reads& GroupCore::Impl::reads_before_backlog() {
  if (!collector_.is_behind()) return reads_at_end();
  auto at = std::find_if(reads_.begin(), reads_.end(), [](const Reads& reads) { return reads.barrier == 0; });
  if (at != reads_.end() && at->after_batch <= collector_.last_taken()) return *at;
  at = reads_.emplace(at);
  at->after_batch = collector_.last_taken();
  return *at;
}

// --- the log ---------------------------------------------------------------------------------------------

bool GroupCore::Impl::append_batch(const Instant& now) {
  if (collector_.empty()) return false;
  Collector::Collected batch = collector_.take(now.unix_ms);
  InFlight in_flight{LogIndex(), replica_.epoch(), batch.entries.size(), now.ms, std::move(batch.waiters)};
  if (!replica_.append(std::move(batch.entries), now.ms, in_flight.index, wanted_)) {
    for (const Waiter& waiter : in_flight.waiters) answer_not_primary(waiter);
    return true;
  }
  in_flight_bytes_ += in_flight.size_bytes;
  in_flight_.push_back(std::move(in_flight));
  clients_turn_ = false;
  return true;
}

bool GroupCore::Impl::expiry_is_due(const Instant& now) const {
  return clock_.next_deadline() <= now.ms;
}

// Deadlines end only when nothing is in the log that is not applied: an entry there may restart one of them
// (an acquire by the holder, a renewal with another lease), and would be answered ok right before the end
// that was logged behind it.
bool GroupCore::Impl::append_expiries(const Instant& now) {
  if (replica_.applied_index() != replica_.last_index()) return false;
  expired_.clear();
  clock_.expired(now.ms, expiries_left_, expired_);
  if (expired_.empty()) return true;  // all that seemed due had been renewed; the clock knows better now
  expiries_left_ -= expired_.size();
  BatchWriter writer;
  writer.stamp(now.unix_ms);
  for (const OwnedOperation& operation : expired_) writer.add(operation.view());
  InFlight in_flight{LogIndex(), replica_.epoch(), writer.size_bytes(), now.ms, {}};
  if (!replica_.append(writer.take(), now.ms, in_flight.index, wanted_)) {
    // Not serving any more, though it was not told yet: the clock begins anew with the next time of serving.
    return true;
  }
  in_flight_bytes_ += in_flight.size_bytes;
  in_flight_.push_back(std::move(in_flight));
  clients_turn_ = true;
  return true;
}

void GroupCore::Impl::apply(const Batch& batch, const Instant& now) {
  InFlight own;
  const bool is_own = !in_flight_.empty() && in_flight_.front().index == batch.index &&
                      in_flight_.front().epoch == batch.epoch;
  if (is_own) {
    own = std::move(in_flight_.front());
    in_flight_.pop_front();
    in_flight_bytes_ -= own.size_bytes;
    rate_.served(own.waiters.size(), now.ms - own.logged_ms);
  }
  BatchReader reader(*batch.entries);
  Operation op;
  for (std::size_t i = 0; reader.next(op); ++i) {
    effects_.clear();
    table_->apply(op, reader.stamp_unix_ms(), effects_);
    if (!serving_) continue;
    const bool awaited = i < own.waiters.size() && own.waiters[i].slot != Waiter::kNobody;
    deliver(awaited ? &own.waiters[i] : nullptr, now);
    follow_move(op, now.ms);
  }
  if (!reader.ok()) broken_invariant("a batch in the log can be read", replica_.describe());
}

void GroupCore::Impl::follow_move(const Operation& op, TimeMs now) {
  if (op.kind == OperationKind::move_out) arc_frozen(now);
  if (op.kind == OperationKind::move_done) arc_arrived(op.target.value);
  if (op.kind == OperationKind::take_arcs) arcs_taken(now);
  if (op.kind == OperationKind::let_arcs) arcs_let(GroupId(static_cast<std::uint32_t>(op.target.value)));
  if (op.kind == OperationKind::move_in)
    arc_taken(GroupId(static_cast<std::uint32_t>(op.session.value)), op.target.value);
}

// The effects of one entry: its own answer to who waits for it, the others' to where their sessions speak.
void GroupCore::Impl::deliver(const Waiter* waiter, const Instant& now) {
  bool answered = waiter == nullptr;
  for (Answer& effect : effects_.answers) {
    if (!answered && effect.session == waiter->session && effect.sequence == waiter->sequence) {
      answered = true;
      remember_channel(waiter->slot, effect);
      answer(*waiter, std::move(effect));
    } else {
      answer_later(std::move(effect));
    }
  }
  if (!answered) {
    // A defect of the table. It must not keep the submit waiting for ever, nor take every primary down in
    // turn.
    note("an operation was left without an answer");
    Answer unknown;
    unknown.session = waiter->session;
    unknown.sequence = waiter->sequence;
    unknown.status = Status::unavailable;
    unknown.message = "the operation had no answer";
    answer(*waiter, std::move(unknown));
  }
  for (const TimerEvent& event : effects_.timers) {
    clock_.on(event, now.ms);
    if (event.kind == TimerEvent::Kind::session && !event.start) later_channels_.erase(event.session);
  }
}

// --- answers out -----------------------------------------------------------------------------------------

void GroupCore::Impl::answer(const Waiter& waiter, Answer&& answer) {
  if (waiter.slot == Waiter::kNobody) return;
  submits_.answer(waiter.slot, std::move(answer), replica_.epoch(), out_.finished);
}

void GroupCore::Impl::answer_not_primary(const Waiter& waiter) {
  Answer refusal;
  refusal.session = waiter.session;
  refusal.sequence = waiter.sequence;
  refusal.status = Status::not_primary;
  refusal.message = who_is_primary();
  answer(waiter, std::move(refusal));
}

// Who was told "queued" is told what becomes of it. A client may have moved to another router meanwhile,
// which then asks again and is told "queued" too; which of the two it uses now can't be known here, as what
// the first one sent may arrive after what the second one sent. So both are told: a router ignores what it
// does not wait for.
void GroupCore::Impl::remember_channel(std::uint32_t slot, const Answer& answer) {
  if (answer.status != Status::queued) return;
  const ChannelId channel = submits_.channel(slot);
  if (!channel) return;
  Channels& channels = later_channels_[answer.session];
  if (std::find(channels.begin(), channels.end(), channel) == channels.end()) channels.push_back(channel);
}

void GroupCore::Impl::answer_later(Answer&& answer) {
  auto it = later_channels_.find(answer.session);
  if (it == later_channels_.end()) return;  // its router is gone; the client's next try asks again
  answer.group = group_;
  const Channels& channels = it->second;
  for (std::size_t i = 0; i + 1 < channels.size(); ++i) answers_for(channels[i]).push_back(answer);
  answers_for(channels.back()).push_back(std::move(answer));
}

std::vector<Answer>& GroupCore::Impl::answers_for(ChannelId channel) {
  auto same = [&](const GroupOutput::Later& later) { return later.channel == channel; };
  auto entry = std::find_if(out_.later.begin(), out_.later.end(), same);
  if (entry == out_.later.end()) entry = out_.later.insert(entry, {channel, {}});
  return entry->answers;
}

}  // namespace dlm::server
