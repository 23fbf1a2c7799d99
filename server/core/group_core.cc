// GroupCore's public face: inputs, and the turn that carries out what they led to.
#include "server/core/group_core.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "coordinator/core/group_recovery.h"
#include "server/core/entry_codec.h"
#include "server/core/group_core_impl.h"

namespace dlm::server {
namespace {

const char* name_of(Role role) {
  switch (role) {
    case Role::outsider:
      return "outsider";
    case Role::backup:
      return "backup";
    case Role::preparing:
      return "preparing to be primary";
    case Role::primary:
      return "primary";
  }
  return "?";
}

std::string names_of(const std::vector<MemberName>& members) {
  std::string names;
  for (const MemberName& member : members) {
    if (!names.empty()) names += ' ';
    names += coordinator::to_string(member);
  }
  return names.empty() ? "nobody" : names;
}

// A batch is checked where it arrives, so that it can be relied on when it is applied.
bool is_sound(const Batch& batch) {
  return batch.entries && is_sound_batch(*batch.entries);
}

}  // namespace

void broken_invariant(const char* what, const std::string& state) {
  std::fprintf(stderr, "broken invariant: %s; %s\n", what, state.c_str());
  std::abort();
}

void GroupOutput::clear() {
  applied.clear();
  finished.clear();
  later.clear();
  reports.clear();
  log_writes.clear();
  log_records = 0;
  snapshot_chunk.reset();
  replies.clear();
  appends.clear();
  installs.clear();
  arrivals.clear();
  transfers.clear();
  propose.reset();
  touch_coordinator = false;
  notes.clear();
}

GroupCore::Impl::Impl(const GroupOptions& options, RecoveredState&& state)
    : options_(options),
      group_(options.replica.group),
      replica_(options.replica, std::move(state.log)),
      table_(state.table ? std::move(state.table) : std::make_unique<LockTable>()),
      submits_(group_),
      collector_(options.batch_operations_max, options.batch_bytes_max),
      logged_bytes_(state.log_bytes) {}

void GroupCore::Impl::note(std::string line) {
  out_.notes.push_back(to_string(group_) + ": " + std::move(line));
}

// --- the turn --------------------------------------------------------------------------------------------

void GroupCore::Impl::turn(const Instant& now) {
  expiries_left_ = options_.expiries_per_turn_max;
  if (now.ms >= replica_.next_tick()) replica_.tick(now.ms, wanted_);
  end_recovery_if_due(now.ms);
  puts_off_ = !puts_off_ && may_put_off();
  do {
    carry_out(now);
  } while (advance(now));
  answer_step_downs(now.ms);
  send_chunks(now.ms);
  hand_over_messages(now.ms);
  write_own_snapshot();
}

// A backup acknowledges first and applies in its next turn, which its host has as soon as the acknowledgement
// is on its way: the primary waits for that alone, and is busy meanwhile. Never twice in a row.
bool GroupCore::Impl::may_put_off() const {
  return replica_.role() == Role::backup && !wanted_.replies.empty() && !wanted_.apply.empty();
}

// Puts something more into the replica, as long as there is something that may go in now.
bool GroupCore::Impl::advance(const Instant& now) {
  if (epoch_entries_due_) return begin_epoch(now);
  if (!serving_) return false;
  drive_moves(now);
  bool advanced = false;
  const bool expire_first =
      expiry_is_due(now) && expiries_left_ > 0 && !(clients_turn_ && !collector_.empty());
  if (replica_.can_append()) advanced = expire_first ? append_expiries(now) : append_batch(now);
  return take_barriers(now) || advanced;
}

// The first entry of an epoch: the floor of its era's tokens, this primary's limits, and for a group that is
// brand new, or begins anew (nobody has ever logged anything that could have survived), the arcs that the
// ring gives it.
bool GroupCore::Impl::begin_epoch(const Instant& now) {
  epoch_entries_due_ = false;
  if (replica_.role() != Role::preparing) return false;
  BatchWriter writer;
  writer.stamp(now.unix_ms);
  const std::string limits = encode_limits(options_.table);
  Operation start;
  start.kind = OperationKind::start_epoch;
  start.token = FencingToken(replica_.config().config.era << coordinator::kEraShift);
  start.owner_tag = limits;
  if (replica_.blank()) {
    add_first_entries(start, writer);
  } else {
    writer.add(start);
  }
  replica_.set_epoch_entries(writer.take(), now.ms, wanted_);
  return true;
}

// In the order of ReplicaOutput's fields; a snapshot was installed when its last chunk came. Messages stay in
// wanted_ until the end of the turn, where more may join them. Only a pause (alone, without the coordinator)
// ends first: what it held up is committed as it ends, and who waits is to be told of it.
void GroupCore::Impl::carry_out(const Instant& now) {
  if (!serving_ && replica_.serving() && !wanted_.role_changed) follow_role(now);
  std::vector<Batch> batches;
  if (!puts_off_) batches = std::exchange(wanted_.apply, {});
  for (Batch& batch : batches) {
    apply(batch, now);
    out_.applied.push_back(std::move(batch));
  }
  follow_role(now);
  answer_reads(wanted_.barrier_passed, now);
  begin_or_cancel_snapshots();
}

void GroupCore::Impl::hand_over_messages(TimeMs now) {
  const bool asked = router_heard_ms_ != 0 && now < router_heard_ms_ + kAskedMs;
  for (std::size_t i = 0; i < wanted_.replies.size(); ++i) {
    wanted_.replies[i].asked = asked;
    const std::uint64_t after = wanted_.replies[i].after_records;
    held_replies_.emplace_back(after,
                               GroupOutput::Reply{reply_requests_[i], false, std::move(wanted_.replies[i])});
  }
  reply_requests_.clear();
  hand_over_replies();
  hand_over_log();
  for (Append& append : wanted_.appends) out_.appends.push_back(std::move(append));
  if (wanted_.propose) out_.propose = std::move(wanted_.propose);
  out_.touch_coordinator = out_.touch_coordinator || wanted_.touch_coordinator;
  std::vector<Batch> put_off = std::exchange(wanted_.apply, {});
  wanted_.clear();
  wanted_.apply = std::move(put_off);
}

void GroupCore::Impl::follow_role(const Instant& now) {
  if (std::exchange(wanted_.role_changed, false)) {
    note(std::string(name_of(replica_.role())) + " in epoch " + std::to_string(replica_.epoch().value) +
         ", " + who_is_primary() + ", in sync: " + names_of(replica_.config().config.in_sync));
    epoch_entries_due_ = replica_.role() == Role::preparing;
    if (epoch_entries_due_ && serving_) stop_serving();
  }
  const bool serves = replica_.serving();
  if (serves == serving_) return;
  if (serves) {
    start_serving(now);
  } else {
    stop_serving();
    if (replica_.role() == Role::primary) note("alone and without the coordinator: does not serve");
  }
}

TimeMs GroupCore::Impl::next_turn() const {
  if (puts_off_) return 0;
  TimeMs next = replica_.next_tick();
  // With a batch out, its commit brings the next turn.
  const bool may_expire =
      serving_ && replica_.can_append() && replica_.applied_index() == replica_.last_index();
  if (may_expire) next = std::min(next, clock_.next_deadline());
  if (serving_ && recovery_until_ms_ != 0) next = std::min(next, recovery_until_ms_);
  if (serving_) next = std::min(next, next_move_ms());
  return next;
}

// --- the coordinator and other members -------------------------------------------------------------------

void GroupCore::Impl::note_config(const VersionedConfig& config) {
  if (config.version <= noted_config_.version) return;
  if (config.config.in_sync != noted_config_.config.in_sync && noted_config_.version > 0) {
    note("in sync: " + names_of(config.config.in_sync) +
         " (before: " + names_of(noted_config_.config.in_sync) + ")");
  }
  std::string given_up = coordinator::describe_giving_up(noted_config_.config, config.config);
  if (!given_up.empty()) note(std::move(given_up));
  noted_config_ = config;
}

void GroupCore::Impl::reply_added(std::size_t replies_before, RequestId request) {
  if (wanted_.replies.size() != replies_before + 1)
    broken_invariant("one reply to a message", replica_.describe());
  reply_requests_.push_back(request);
}

void GroupCore::Impl::on_append(RequestId request, const MemberName& from, const Append& message,
                                TimeMs now) {
  for (const Batch& batch : message.batches) {
    if (is_sound(batch)) continue;
    note("a batch from " + coordinator::to_string(from) + " is damaged: refused");
    out_.replies.push_back({request, true, {}});
    return;
  }
  const std::size_t replies_before = wanted_.replies.size();
  replica_.on_append(from, message, now, wanted_);
  reply_added(replies_before, request);
}

// --- the public face -------------------------------------------------------------------------------------

GroupCore::GroupCore(const GroupOptions& options) : GroupCore(options, RecoveredState{}) {}
GroupCore::GroupCore(const GroupOptions& options, RecoveredState&& state)
    : impl_(std::make_unique<Impl>(options, std::move(state))) {}
GroupCore::~GroupCore() = default;

void GroupCore::submit(ChannelId channel, RequestId request, std::span<const Operation> operations,
                       const Instant& now) {
  impl_->router_heard_ms_ = now.ms;
  impl_->submit(channel, request, operations, now);
}

void GroupCore::query(RequestId request, GroupQuery query, const Instant& now) {
  impl_->router_heard_ms_ = now.ms;
  if (query.kind == GroupQuery::Kind::step_down) return impl_->step_down(request, query.text, now.ms);
  impl_->query(request, std::move(query));
}

void GroupCore::channel_closed(ChannelId channel) {
  impl_->submits_.abandon(channel);
  boost::unordered::erase_if(impl_->later_channels_, [&](auto& entry) {
    auto& channels = entry.second;
    channels.erase(std::remove(channels.begin(), channels.end(), channel), channels.end());
    return channels.empty();
  });
}

void GroupCore::on_view(const VersionedConfig& config, const std::vector<MemberName>& alive,
                        const coordinator::RingRecord& ring, const Instant& now) {
  impl_->on_ring(ring);
  impl_->alive_ = alive;
  // A group must not come into being before it is known which arcs it owns.
  if (config.version == 0 && impl_->ring_.version == 0) return;
  impl_->note_config(config);
  impl_->replica_.on_view(config, alive, now.ms, impl_->wanted_);
  if (std::exchange(impl_->wanted_.start_empty, false)) impl_->start_empty();
}

void GroupCore::on_proposed(bool accepted, const Instant& now) {
  impl_->replica_.on_proposed(accepted, now.ms, impl_->wanted_);
}

void GroupCore::on_touched(bool ok, TimeMs sent, const Instant& now) {
  impl_->replica_.on_touched(ok, sent, now.ms, impl_->wanted_);
}

void GroupCore::on_append(RequestId request, const MemberName& from, const Append& message,
                          const Instant& now) {
  impl_->on_append(request, from, message, now.ms);
}

void GroupCore::on_install(RequestId request, const MemberName& from, const Install& message,
                           const Instant& now) {
  impl_->on_install(request, from, message, now.ms);
}

void GroupCore::on_reply(const AppendReply& reply, const Instant& now) {
  impl_->replica_.on_reply(reply, now.ms, impl_->wanted_);
  if (reply.asked) impl_->give_way_to_asked(reply, now.ms);
}

void GroupCore::on_link_down(const MemberName& member, bool gone, const Instant& now) {
  impl_->replica_.on_link_down(member, gone, now.ms, impl_->wanted_);
}

void GroupCore::on_durable(std::uint64_t log_records, const Instant& now) {
  impl_->on_durable(log_records, now.ms);
}

void GroupCore::on_snapshot_written(LogIndex index, bool last, const Instant&) {
  impl_->on_snapshot_written(index, last);
}

void GroupCore::move_in(RequestId request, const Transfer& transfer, const Instant& now) {
  impl_->move_in(request, transfer, now);
}

void GroupCore::on_transferred(GroupId to, std::uint64_t number, const TransferReply& reply,
                               const Instant& now) {
  if (!impl_->may_serve()) return;  // asked again when it serves, or by another
  if (number == 0) return impl_->on_asked(to, reply, now.ms);
  if (number == kClaim) return impl_->on_claimed(to, reply, now.ms);
  impl_->on_transferred(number, reply, now.ms);
}

bool GroupCore::step_down(const Instant& now, StepDown how) {
  return impl_->replica_.step_down(how, now.ms, impl_->wanted_);
}

void GroupCore::turn(const Instant& now, GroupOutput& output) {
  impl_->turn(now);
  output.clear();
  std::swap(output, impl_->out_);
}

TimeMs GroupCore::next_turn() const {
  return impl_->next_turn();
}
GroupId GroupCore::group() const {
  return impl_->group_;
}
bool GroupCore::serving() const {
  return impl_->may_serve();
}
const Replica& GroupCore::replica() const {
  return impl_->replica_;
}
const LockTable& GroupCore::table() const {
  return *impl_->table_;
}
LogIndex GroupCore::applied_index() const {
  const std::vector<Batch>& left = impl_->wanted_.apply;
  return left.empty() ? impl_->replica_.applied_index() : LogIndex(left.front().index.value - 1);
}
bool GroupCore::has_put_off() const {
  return impl_->puts_off_;
}
std::size_t GroupCore::pending_operations() const {
  return impl_->submits_.operations();
}

std::string GroupCore::describe() const {
  return to_string(impl_->group_) + (serving() ? " serving, " : " not serving, ") +
         std::to_string(pending_operations()) + " operations pending, " + impl_->replica_.describe();
}

}  // namespace dlm::server
