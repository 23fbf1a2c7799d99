#include "test/chaos/workload/recorder.h"

#include <algorithm>
#include <utility>

namespace dlm::chaos {

namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

// Nothing was done under these, nor will be.
bool promised_nothing(const Error& error) {
  switch (error.status) {
    case Status::overloaded:
    case Status::over_quota:
    case Status::invalid_argument:
    case Status::permission_denied:
    case Status::client_id_in_use:
    case Status::would_deadlock:
      return !error.outcome_unknown;
    default:
      return false;
  }
}

// A local deadline in the history's clock, which is the library's; 0 when it has passed.
std::int64_t deadline_ns(const Lock& lock) {
  return lock.local_deadline().time_since_epoch().count();
}

std::uint32_t ttl_ms(std::int64_t call_ns, std::int64_t until_ns) {
  return static_cast<std::uint32_t>(std::max<std::int64_t>(0, until_ns - call_ns) / kNsPerMs);
}

}  // namespace

Outcome outcome_of_acquire(const Error& error) {
  if (error.status == Status::timed_out && !error.outcome_unknown) return Outcome::timeout;
  // Never sent.
  if (error.status == Status::unavailable && !error.outcome_unknown) return Outcome::failed;
  // The rest, a cancelled wait and an ended session among it, may have been granted for a moment.
  return promised_nothing(error) ? Outcome::failed : Outcome::unknown;
}

Outcome outcome_of_detached(const Error& error) {
  if (error.status == Status::not_held && !error.outcome_unknown) {
    return error.cause == EndCause::expired ? Outcome::expired : Outcome::not_held;
  }
  return promised_nothing(error) ? Outcome::failed : Outcome::unknown;
}

Outcome outcome_of_handle(const Error& error, LostCause cause) {
  // Only an ended session is certainly the group's word; the library may say the rest by its own clock,
  // earlier than the group would.
  if (cause == LostCause::session_expired) return Outcome::expired;
  return promised_nothing(error) ? Outcome::failed : Outcome::unknown;
}

Recorder::Recorder(Journal& journal, Graveyard& graveyard, RecorderOptions options, std::stop_token stop)
    : journal_(journal), graveyard_(graveyard), options_(std::move(options)), stop_(std::move(stop)) {
  be_born();
}

Recorder::~Recorder() {
  retire();
}

void Recorder::be_born() {
  name_ = options_.name + (lives_ == 0 ? "" : "." + std::to_string(lives_));
  ++lives_;
  ClientOptions options;
  options.routers = options_.routers;
  options.client_id = name_;
  options.session_ttl = options_.session_ttl;
  options.request_timeout = options_.request_timeout;
  client_ = std::make_unique<Client>(std::move(options));
}

void Recorder::retire() {
  std::vector<Lock> locks;
  std::int64_t until_ns = 0;
  for (Held& held : held_) {
    claim(held);
    until_ns = std::max(until_ns, held.sure_until_ns);
    if (held.lock.valid()) locks.push_back(std::move(held.lock));
  }
  held_.clear();
  graveyard_.bury(std::move(client_), std::move(locks), until_ns);
}

Record Recorder::new_record(Op op, const std::string& resource, LockMode mode) const {
  Record record;
  record.client = name_;
  record.op = op;
  record.resource = resource;
  record.mode = mode;
  return record;
}

void Recorder::ended(std::uint64_t operation, Record& record) {
  journal_.end(operation, record);
  if (record.outcome != Outcome::unknown) return;
  retire();
  be_born();
}

// What the library says of the holds now, should they not be given back in order.
void Recorder::keep_claims() {
  for (Held& held : held_) {
    if (held.lock.valid()) held.sure_until_ns = std::max(held.sure_until_ns, deadline_ns(held.lock));
  }
}

void Recorder::claim(const Held& held) {
  if (held.kind == LeaseKind::detached || held.sure_until_ns == 0) return;
  journal_.claim({name_, held.resource, held.lock.token().value, held.sure_until_ns});
}

bool Recorder::acquire(const std::string& resource, AcquireOptions options) {
  keep_claims();
  options.stop = stop_;
  const bool detached = options.lease_kind == LeaseKind::detached;
  const Record record = detached ? acquire_detached(resource, options) : acquire_lock(resource, options);
  return record.outcome == Outcome::granted;
}

Record Recorder::acquire_lock(const std::string& resource, AcquireOptions& options) {
  Record record = new_record(Op::acquire, resource, options.mode);
  Held held{resource, options.mode, options.lease_kind, options.lease, {}, {}, 0};
  const std::uint64_t operation = journal_.begin(record);
  Result<Lock> result = client_->acquire(resource, options);
  if (result) {
    held.lock = std::move(*result);
    held.sure_until_ns = deadline_ns(held.lock);
    record.outcome = Outcome::granted;
    record.token = held.lock.token().value;
    record.count = held.lock.count();
    record.ttl_ms = ttl_ms(record.call_ns, held.sure_until_ns);
    held_.push_back(std::move(held));
  } else {
    record.outcome = outcome_of_acquire(result.error());
  }
  ended(operation, record);
  return record;
}

Record Recorder::acquire_detached(const std::string& resource, AcquireOptions& options) {
  Record record = new_record(Op::acquire, resource, options.mode);
  Held held{resource, options.mode, options.lease_kind, options.lease, {}, {}, 0};
  const std::uint64_t operation = journal_.begin(record);
  Result<DetachedHold> result = client_->acquire_detached(resource, options);
  if (result) {
    held.detached = std::move(*result);
    record.outcome = Outcome::granted;
    record.token = held.detached.token.value;
    record.count = held.detached.count;
    record.ttl_ms = static_cast<std::uint32_t>(held.detached.lease.count());
    held.sure_until_ns = record.call_ns + record.ttl_ms * kNsPerMs;
    held_.push_back(std::move(held));
  } else {
    record.outcome = outcome_of_acquire(result.error());
  }
  ended(operation, record);
  return record;
}

void Recorder::release(std::size_t index) {
  keep_claims();
  Held held = std::move(held_[index]);
  held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
  Record record = new_record(Op::release, held.resource, held.mode);
  const bool detached = held.kind == LeaseKind::detached;
  record.token = detached ? held.detached.token.value : held.lock.token().value;
  const std::uint64_t operation = journal_.begin(record);
  Result<ReleaseInfo> result = detached ? client_->release_detached(held.detached) : held.lock.release();
  if (result) {
    record.outcome = Outcome::released;
    record.count = result->count;
  } else {
    record.outcome = detached ? outcome_of_detached(result.error())
                              : outcome_of_handle(result.error(), held.lock.lost_cause());
    claim(held);
  }
  ended(operation, record);
}

void Recorder::renew(std::size_t index) {
  keep_claims();
  Held& held = held_[index];
  if (held.kind == LeaseKind::session) return;  // renewed by the library
  Record record = new_record(Op::renew, held.resource, held.mode);
  const bool detached = held.kind == LeaseKind::detached;
  record.token = detached ? held.detached.token.value : held.lock.token().value;
  const std::uint64_t operation = journal_.begin(record);
  if (detached) {
    Result<DetachedHold> result = client_->renew_detached(held.detached, held.lease);
    record.outcome = result ? Outcome::renewed : outcome_of_detached(result.error());
    if (result) {
      record.count = result->count;
      record.ttl_ms = static_cast<std::uint32_t>(result->lease.count());
      held.sure_until_ns = record.call_ns + record.ttl_ms * kNsPerMs;
    }
  } else {
    Result<std::chrono::milliseconds> result = held.lock.renew(held.lease);
    record.outcome = result ? Outcome::renewed : outcome_of_handle(result.error(), held.lock.lost_cause());
    if (result) {
      record.count = held.lock.count();
      held.sure_until_ns = std::max(held.sure_until_ns, deadline_ns(held.lock));
      record.ttl_ms = ttl_ms(record.call_ns, held.sure_until_ns);
    }
  }
  const bool gone = record.outcome == Outcome::expired || record.outcome == Outcome::not_held;
  if (gone) held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
  ended(operation, record);
}

void Recorder::query(const std::string& resource) {
  keep_claims();
  Record record = new_record(Op::query, resource, LockMode::exclusive);
  const std::uint64_t operation = journal_.begin(record);
  Result<LockReport> result = client_->inspect(resource);
  if (!result) {
    record.outcome = Outcome::failed;  // a read does nothing, answered or not
  } else if (result->holders.empty()) {
    record.outcome = Outcome::free;
  } else {
    const HoldReport& holder = result->holders.front();
    record.outcome = Outcome::held;
    record.token = holder.token.value;
    record.count = holder.count;
    record.ttl_ms = holder.left_ms;
    record.holder = holder.client_id;
  }
  ended(operation, record);
}

void Recorder::forget(std::size_t index) {
  held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
}

void Recorder::look() {
  keep_claims();
  bool doubtful = false;
  std::erase_if(held_, [&](Held& held) {
    if (!held.lock.valid() || held.lock.state() != LockState::lost) return false;
    claim(held);
    // By its own clock alone, or the group's word on this hold alone: what the library gave back in the
    // background may still be on its way.
    if (held.lock.lost_cause() != LostCause::session_expired) doubtful = true;
    return true;
  });
  if (!doubtful) return;
  retire();
  be_born();
}

std::optional<std::string> Recorder::group_of(const std::string& resource) {
  Result<LockReport> result = client_->inspect(resource);
  if (!result) return std::nullopt;
  std::string group = to_string(result->group);
  journal_.group(resource, group);
  return group;
}

}  // namespace dlm::chaos
