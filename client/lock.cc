#include "dlm/lock.h"

#include <utility>

#include "client/blocking.h"
#include "client/engine.h"
#include "client/error.h"
#include "client/hold.h"

namespace dlm {

namespace {

using std::chrono::milliseconds;

Error empty_handle() {
  return client::make_error(Status::not_held, "", "the lock handle is empty");
}

const std::string& no_text() {
  static const std::string empty;
  return empty;
}

std::shared_ptr<client::Engine> engine_of(const client::Hold& hold) {
  return hold.identity().engine.lock();
}

client::CallPtr release_call(const client::Hold& hold) {
  auto call = std::make_unique<client::Call>();
  call->request.kind = OperationKind::release;
  call->request.hold = hold.identity().id;
  return call;
}

// Gives the hold back in the background.
void drop(const std::shared_ptr<client::Hold>& hold) noexcept {
  if (!hold) return;
  try {
    hold->silence();
    if (!hold->begin_release()) return;
    if (auto engine = engine_of(*hold)) engine->call(release_call(*hold));
  } catch (...) {
    // Out of memory: the hold ends with its session or lease.
  }
}

}  // namespace

std::string_view to_string(LockState state) {
  switch (state) {
    case LockState::held:
      return "held";
    case LockState::jeopardy:
      return "in jeopardy";
    case LockState::lost:
      return "lost";
    case LockState::released:
      return "released";
  }
  return "unknown state";
}

std::string_view to_string(LostCause cause) {
  switch (cause) {
    case LostCause::none:
      return "";
    case LostCause::session_expired:
      return "session expired";
    case LostCause::lease_ended:
      return "lease ended";
    case LostCause::deadline_passed:
      return "local deadline passed";
    case LostCause::not_held:
      return "not held";
    case LostCause::client_closed:
      return "client closed";
  }
  return "unknown cause";
}

Lock::Lock() noexcept = default;
Lock::Lock(std::shared_ptr<client::Hold> hold) noexcept : hold_(std::move(hold)) {}
Lock::Lock(Lock&&) noexcept = default;
Lock& Lock::operator=(Lock&& other) noexcept {
  if (this != &other) {
    drop(hold_);
    hold_ = std::move(other.hold_);
  }
  return *this;
}
Lock::~Lock() {
  drop(hold_);
}

void Lock::start_release(std::function<void(Result<ReleaseInfo>)> done) {
  if (!hold_) return done(empty_handle());
  bool lost = hold_->state() == LockState::lost;
  hold_->silence();
  if (!hold_->begin_release()) {
    return done(client::make_error(Status::not_held, resource(), "this handle has released it already"));
  }
  auto engine = engine_of(*hold_);
  client::CallPtr call = release_call(*hold_);
  call->request.resource = resource();
  if (!engine) return done(hold_->lost_error());
  if (lost) {
    // Told from the I/O thread, as promised; what there is to give back was given back when it was lost.
    call->refused = std::make_unique<Error>(hold_->lost_error());
  }
  call->done = std::move(done);
  engine->call(std::move(call));
}

Result<ReleaseInfo> Lock::release() {
  if (!hold_) return empty_handle();
  auto engine = engine_of(*hold_);
  return client::blocking<ReleaseInfo>(engine.get(), resource(),
                                       [&](auto done) { start_release(std::move(done)); });
}

void Lock::start_renew(std::optional<milliseconds> lease, std::function<void(Result<milliseconds>)> done) {
  if (!hold_) return done(empty_handle());
  auto engine = engine_of(*hold_);
  LockState now = hold_->state();
  if (!engine) return done(hold_->lost_error());
  auto call = std::make_unique<client::Call>();
  call->request.kind = OperationKind::renew;
  call->request.hold = hold_->identity().id;
  call->request.resource = resource();
  call->done = std::move(done);
  if (now == LockState::lost) call->refused = std::make_unique<Error>(hold_->lost_error());
  if (now == LockState::released) {
    call->refused = std::make_unique<Error>(
        client::make_error(Status::not_held, resource(), "this handle has released it already"));
  }
  if (lease) {
    if (*lease <= milliseconds(0) || *lease >= milliseconds(kWaitForeverMs)) {
      call->refused = std::make_unique<Error>(
          client::make_error(Status::invalid_argument, resource(), "a lease is between 1 ms and 49 days"));
    } else {
      call->request.lease_ms = static_cast<std::uint32_t>(lease->count());
    }
  }
  engine->call(std::move(call));
}

Result<milliseconds> Lock::renew(std::optional<milliseconds> lease) {
  if (!hold_) return empty_handle();
  auto engine = engine_of(*hold_);
  return client::blocking<milliseconds>(engine.get(), resource(),
                                        [&](auto done) { start_renew(lease, std::move(done)); });
}

void Lock::detach() noexcept {
  if (!hold_) return;
  try {
    hold_->silence();
    auto engine = engine_of(*hold_);
    if (hold_->begin_release() && engine) engine->forget(hold_->identity().id);
  } catch (...) {
    // Out of memory: it stays watched, without anybody to tell.
  }
  hold_.reset();
}

bool Lock::valid() const noexcept {
  return hold_ != nullptr;
}
LockState Lock::state() const noexcept {
  return hold_ ? hold_->state() : LockState::released;
}
LostCause Lock::lost_cause() const noexcept {
  return hold_ ? hold_->lost_cause() : LostCause::none;
}
std::string Lock::lost_reason() const {
  return hold_ ? hold_->lost_reason() : std::string();
}
FencingToken Lock::token() const noexcept {
  return hold_ ? hold_->token() : FencingToken();
}
const std::string& Lock::resource() const noexcept {
  return hold_ ? hold_->identity().resource : no_text();
}
const std::string& Lock::owner_tag() const noexcept {
  return hold_ ? hold_->identity().owner_tag : no_text();
}
LockMode Lock::mode() const noexcept {
  return hold_ ? hold_->identity().mode : LockMode::exclusive;
}
LeaseKind Lock::lease_kind() const noexcept {
  return hold_ ? hold_->identity().lease : LeaseKind::session;
}
GroupId Lock::group() const noexcept {
  return hold_ ? hold_->identity().group : GroupId();
}
std::uint32_t Lock::count() const noexcept {
  return hold_ ? hold_->identity().count : 0;
}
BoottimeClock::time_point Lock::local_deadline() const noexcept {
  return hold_ ? hold_->local_deadline() : BoottimeClock::time_point{};
}

void Lock::on_lost(std::function<void(LostCause)> callback) {
  if (hold_) hold_->on_lost(std::move(callback));
}
void Lock::on_jeopardy(std::function<void()> callback) {
  if (hold_) hold_->on_jeopardy(std::move(callback));
}
std::stop_token Lock::stop_token() const noexcept {
  return hold_ ? hold_->stop_token() : std::stop_token();
}

}  // namespace dlm
