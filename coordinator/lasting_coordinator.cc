#include "coordinator/lasting_coordinator.h"

#include <map>
#include <utility>
#include <vector>

#include "coordinator/timers.h"

namespace dlm::coordinator {
namespace {

constexpr std::uint32_t kPauseMs = 200;  // before another session, or another try to register
// Each is patient for as long as an earlier holder of the id may last. The first may have met our own session
// of before.
constexpr int kRefusalsMax = 2;

class LastingCoordinator final : public Coordinator {
 public:
  LastingCoordinator(MakeSession make_session, Executor executor)
      : make_session_(std::move(make_session)), executor_(std::move(executor)) {}

  ~LastingCoordinator() override {
    alive_.reset();
    timers_.stop();
    session_.reset();
  }

  void start(Events events) override {
    events_ = std::make_shared<const Events>(std::move(events));
    begin();
  }

  void register_server(const ServerMember& member, std::uint32_t patience_ms, Registered done) override {
    enlist([member, patience_ms](Coordinator& session,
                                 Registered told) { session.register_server(member, patience_ms, told); },
           std::move(done));
  }
  void register_router(const RouterMember& member, std::uint32_t patience_ms, Registered done) override {
    enlist([member, patience_ms](Coordinator& session,
                                 Registered told) { session.register_router(member, patience_ms, told); },
           std::move(done));
  }

  void propose(GroupId group, std::int64_t expected, const GroupConfig& config, Written done) override {
    write(std::move(done), [&](Coordinator& session, Written told) {
      session.propose(group, expected, config, std::move(told));
    });
  }
  void propose_ring(std::uint64_t expected, const RingRecord& ring, Written done) override {
    write(std::move(done),
          [&](Coordinator& session, Written told) { session.propose_ring(expected, ring, std::move(told)); });
  }

  void touch(std::function<void(bool)> done) override {
    if (!session_) return tell([done = std::move(done)] { done(false); });
    const std::uint64_t id = ++ids_;
    touches_.emplace(id, std::move(done));
    session_->touch([this, id](bool ok) {
      auto waiting = touches_.extract(id);
      if (!waiting.empty()) waiting.mapped()(ok);
    });
  }

  std::uint32_t session_timeout_ms() const override {
    return session_ ? session_->session_timeout_ms() : session_timeout_ms_;
  }

 private:
  using Enlist = std::function<void(Coordinator&, Registered)>;

  // Later, unless this is gone by then. From any thread.
  void tell(std::function<void()> task) {
    executor_([alive = std::weak_ptr<int>(alive_), task = std::move(task)] {
      if (!alive.expired()) task();
    });
  }
  // On the executor, after a pause; unless the session is another by then.
  void later(std::function<void()> task) {
    timers_.after(kPauseMs,
                  [this, alive = std::weak_ptr<int>(alive_), number = number_, task = std::move(task)] {
                    executor_([this, alive, number, task] {
                      if (!alive.expired() && number == number_) task();
                    });
                  });
  }

  void begin();
  void on_view(const ClusterView& view);
  void on_session(SessionState state, const std::string& why);
  void end(const std::string& why);
  void enlist(Enlist enlist, Registered done);
  void enlist_again();
  template <class Send>
  void write(Written done, Send send);
  void written(std::uint64_t id, WriteResult result);

  const MakeSession make_session_;
  const Executor executor_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
  std::shared_ptr<const Events> events_ = std::make_shared<const Events>();
  std::uint64_t number_ = 0;  // sessions that have ended
  std::uint32_t session_timeout_ms_ = 0;
  Enlist enlist_;
  bool registered_ = false;  // at least once
  int refusals_ = 0;         // of the registration, in this session
  std::uint64_t ids_ = 0;
  std::map<std::uint64_t, Written> writes_;
  std::map<std::uint64_t, std::function<void(bool)>> touches_;
  std::vector<Written> unknown_;  // writes that a view must come before
  std::unique_ptr<Coordinator> session_;
  Timers timers_;
};

void LastingCoordinator::begin() {
  refusals_ = 0;
  session_ = make_session_();
  session_->start(
      {.on_view = [this](const ClusterView& view) { on_view(view); },
       .on_session = [this](SessionState state, const std::string& why) { on_session(state, why); }});
  if (registered_) enlist_again();
}

void LastingCoordinator::on_view(const ClusterView& view) {
  const std::weak_ptr<int> alive = alive_;
  const std::shared_ptr<const Events> events = events_;
  if (events->on_view) events->on_view(view);
  if (alive.expired()) return;
  for (Written& done : std::exchange(unknown_, {})) {
    done(WriteResult::unavailable);
    if (alive.expired()) return;
  }
}

void LastingCoordinator::on_session(SessionState state, const std::string& why) {
  if (state == SessionState::ended && registered_) return end(why);
  const std::shared_ptr<const Events> events = events_;
  if (events->on_session) events->on_session(state, why);
}

void LastingCoordinator::end(const std::string& why) {
  ++number_;  // what was to be done later in this session is void
  session_timeout_ms_ = session_->session_timeout_ms();
  session_.reset();  // no callback of it comes any more
  for (auto& [id, done] : std::exchange(writes_, {})) unknown_.push_back(std::move(done));
  for (auto& [id, done] : std::exchange(touches_, {})) tell([done = std::move(done)] { done(false); });
  later([this] { begin(); });
  const std::shared_ptr<const Events> events = events_;
  if (events->on_session) events->on_session(SessionState::connecting, why + "; beginning another session");
}

void LastingCoordinator::enlist(Enlist enlist, Registered done) {
  enlist_ = std::move(enlist);
  enlist_(*session_, [this, done = std::move(done)](bool ok, const std::string& why) {
    registered_ = ok;
    done(ok, why);
  });
}

void LastingCoordinator::enlist_again() {
  enlist_(*session_, [this](bool ok, const std::string& why) {
    if (ok) return;
    // Perhaps only because this session is ending too: then end() follows, and this try is void.
    if (++refusals_ < kRefusalsMax) return later([this] { enlist_again(); });
    const std::shared_ptr<const Events> events = events_;
    if (events->on_session) events->on_session(SessionState::ended, "it can't be registered again: " + why);
  });
}

template <class Send>
void LastingCoordinator::write(Written done, Send send) {
  if (!session_) return tell([done = std::move(done)] { done(WriteResult::unavailable); });
  const std::uint64_t id = ++ids_;
  writes_.emplace(id, std::move(done));
  send(*session_, [this, id](WriteResult result) { written(id, result); });
}

void LastingCoordinator::written(std::uint64_t id, WriteResult result) {
  auto waiting = writes_.extract(id);
  if (waiting.empty()) return;
  if (result != WriteResult::unknown) return waiting.mapped()(result);
  unknown_.push_back(std::move(waiting.mapped()));
}

}  // namespace

std::unique_ptr<Coordinator> make_lasting_coordinator(MakeSession make_session, Executor executor) {
  return std::make_unique<LastingCoordinator>(std::move(make_session), std::move(executor));
}

}  // namespace dlm::coordinator
