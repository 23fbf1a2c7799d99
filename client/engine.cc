#include "client/engine.h"

#include <boost/asio/post.hpp>
#include <random>
#include <utility>

#include "client/error.h"

namespace dlm::client {

namespace {

// Closing takes a second at most: for the last releases to be answered, and for the router to close the
// sessions.
constexpr std::uint64_t kCloseMs = 600;
constexpr std::chrono::milliseconds kGoodByeTime(400);
constexpr std::size_t kTermsMax = 1'024;

std::uint64_t random_bits() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

std::uint64_t random_base() {
  std::uint64_t base = random_bits() & ~std::uint64_t{0xffff};
  return base != 0 ? base : 0x10000;
}

RouterLinkOptions link_options(const Engine::Settings& settings) {
  return {settings.routers, settings.client_id, random_bits()};
}

CoreOptions core_options(const Engine::Settings& settings) {
  CoreOptions options;
  options.ttl_ms = settings.ttl_ms;
  options.request_timeout_ms = settings.request_timeout_ms;
  return options;
}

}  // namespace

std::shared_ptr<Engine> Engine::make(Settings settings) {
  std::shared_ptr<Engine> engine(new Engine(std::move(settings)));
  boost::asio::post(engine->loop_->io(), [engine] { engine->start(); });
  return engine;
}

Engine::Engine(Settings settings)
    : settings_(std::move(settings)),
      loop_(settings_.io_thread ? settings_.io_thread->loop_ : std::make_shared<IoLoop>()),
      why_not_connected_("not connected yet"),
      core_(core_options(settings_), random_base()),
      timer_(loop_->io(), [this] { turn(); }),
      link_(loop_->io(), link_options(settings_),
            {.hello = [this] { return core_.hello(random_base(), boottime_ms(), out_); },
             .on_up = [this](const std::string& router) { link_up(router); },
             .on_frames = [this](const std::vector<wire::Words>& frames) { frames_came(frames); },
             .on_down = [this](const std::string& router, const std::string& why) { link_down(router, why); },
             .on_refused =
                 [this](Status status, const std::string& why) {
                   core_.refused(status, why, boottime_ms(), out_);
                   turn();
                 }}),
      scratch_(kj::heapArray<capnp::word>(8'192)) {
  std::fill(scratch_.begin(), scratch_.end(), capnp::word());
}

Engine::~Engine() = default;

// The engine holds itself from here on, so that a client destroyed in one of its callbacks does not pull the
// floor away.
void Engine::start() {
  self_ = shared_from_this();
  link_.start();
  turn();
}

void Engine::start_close() {
  if (close_begun_.exchange(true)) return;
  boost::asio::post(loop_->io(), [self = shared_from_this()]() mutable {
    // The reference goes first: on return of close() the last one is the caller's.
    Engine& engine = *self;
    self.reset();
    engine.begin_close();
  });
}

void Engine::close() {
  start_close();
  if (!on_io_thread()) is_closed_.wait();
}

// --- from other threads

void Engine::enqueue(Command command) {
  {
    std::lock_guard guard(commands_mutex_);
    if (!stopped_) {
      commands_.push_back(std::move(command));
      if (wake_posted_) return;
      wake_posted_ = true;
      boost::asio::post(loop_->io(), [this] { turn(); });
      return;
    }
  }
  refuse_closed(command);
}

void Engine::call(CallPtr call) {
  enqueue(std::move(call));
}
void Engine::query(Query query) {
  enqueue(std::make_unique<Query>(std::move(query)));
}
void Engine::forget(HoldId hold) {
  enqueue(Forget{hold});
}
void Engine::term_passed(Term term) {
  enqueue(TermPassed{term});
}
void Engine::lease_passed(HoldId hold) {
  enqueue(LeasePassed{hold});
}

std::string Engine::router() const {
  std::lock_guard guard(link_mutex_);
  return router_;
}

bool Engine::wait_connected(std::chrono::milliseconds timeout, std::string& why) const {
  std::unique_lock guard(link_mutex_);
  bool connected = link_changed_.wait_for(guard, timeout, [this] { return !router_.empty(); });
  if (!connected) why = why_not_connected_;
  return connected;
}

// --- the I/O thread

void Engine::turn() {
  if (in_turn_) return;  // a callback's; the loop below goes round once more
  if (!self_) return;    // closed
  in_turn_ = true;
  {
    std::lock_guard guard(commands_mutex_);
    wake_posted_ = true;  // what callbacks add is taken in this turn
  }
  std::uint64_t now_ms = 0;
  do {
    // First of all the deadlines: a process that was stopped must find its holds lost before anything of its
    // own goes out.
    now_ms = boottime_ms();
    core_.advance(now_ms, out_);
    deliver();
  } while (take_commands());
  flush(now_ms);
  in_turn_ = false;
  if (closing_) close_when_done();
  std::uint64_t wake_ms = core_.next_wake_ms();
  if (closing_ && !bye_sent_) wake_ms = std::min(wake_ms, close_at_ms_);
  if (!unsent_.empty() && link_.up()) wake_ms = std::min(wake_ms, now_ms + 2);
  if (wake_ms != kNever) timer_.set(wake_ms);
}

bool Engine::take_commands() {
  {
    std::lock_guard guard(commands_mutex_);
    taken_.swap(commands_);
    if (taken_.empty()) {
      wake_posted_ = false;
      return false;
    }
  }
  const std::uint64_t now_ms = boottime_ms();  // callbacks may have taken long
  for (Command& command : taken_) {
    if (CallPtr* call = std::get_if<CallPtr>(&command)) {
      execute(std::move(*call), now_ms);
    } else if (auto* query = std::get_if<std::unique_ptr<Query>>(&command)) {
      execute(**query, now_ms);
    } else if (Cancel* cancel = std::get_if<Cancel>(&command)) {
      core_.cancel(cancel->sequence, now_ms, out_);
    } else if (Forget* forgotten = std::get_if<Forget>(&command)) {
      core_.forget(forgotten->hold);
      holds_.erase(forgotten->hold.value);
    } else if (TermPassed* term = std::get_if<TermPassed>(&command)) {
      core_.end_term(term->term, now_ms, out_);
    } else if (LeasePassed* lease = std::get_if<LeasePassed>(&command)) {
      core_.end_lease(lease->hold, now_ms, out_);
    }
  }
  taken_.clear();
  return true;
}

void Engine::execute(CallPtr call, std::uint64_t now_ms) {
  if (call->refused) return tell_refused(call->done, std::move(*call->refused));
  Request& request = call->request;
  if (request.client_id == settings_.client_id) request.client_id.clear();
  request.background = std::holds_alternative<std::monostate>(call->done);
  if (request.kind == OperationKind::release && request.hold) holds_.erase(request.hold.value);
  Sequence sequence = core_.submit(request, now_ms, out_);
  if (request.background) return;
  Waiting waiting;
  if (call->stop.stop_possible()) {
    waiting.stop = std::make_unique<std::stop_callback<StopRequested>>(std::move(call->stop),
                                                                       StopRequested{this, sequence});
  }
  waiting.call = std::move(call);
  waiting_.emplace(sequence.value, std::move(waiting));
}

void Engine::execute(Query& query, std::uint64_t now_ms) {
  if (closing_) return fail_query(query, Status::unavailable, "the client is closed");
  QueryId id = core_.query(query.timeout_ms, now_ms, out_, query.writes());
  queries_.emplace(id.value, std::move(query));
}

bool Engine::told_everything() const {
  return out_.completions.empty() && out_.holds.empty() && out_.terms.empty() && out_.queued.empty() &&
         out_.ended.empty();
}

void Engine::deliver() {
  for (;;) {
    // What is to be sent collects until the end of the turn.
    unsent_.insert(unsent_.end(), out_.send.begin(), out_.send.end());
    if (out_.heartbeat) unsent_heartbeat_ = std::move(out_.heartbeat);
    unsent_queries_.insert(unsent_queries_.end(), out_.send_queries.begin(), out_.send_queries.end());
    if (!out_.reconnect.empty()) {
      link_.reconnect(out_.reconnect);
      out_.reconnect.clear();
    }
    for (QueryId id : core_.take_late_queries()) {
      auto at = queries_.find(id.value);
      if (at == queries_.end()) continue;
      Query late = std::move(at->second);
      queries_.erase(at);
      fail_query(late, Status::unavailable, link_.up() ? "no answer in time" : link_.all_reasons());
    }
    if (told_everything()) {
      out_.clear();
      return;
    }
    std::swap(out_, delivering_);
    out_.clear();
    for (const TermDeadline& deadline : delivering_.terms) term_deadline(deadline);
    for (const QueuedNotice& notice : delivering_.queued) {
      auto at = waiting_.find(notice.sequence.value);
      if (at == waiting_.end() || !at->second.call->on_queued) continue;
      auto callback = at->second.call->on_queued;
      callback({notice.position, to_holder(notice.holder), notice.group});
    }
    // What happened to a hold is seen by who hears of an operation on it; a hold that begins in a completion
    // comes after that.
    std::vector<const HoldEvent*> of_new_holds;
    for (const HoldEvent& event : delivering_.holds) {
      if (holds_.contains(event.hold.value)) {
        hold_event(event);
      } else {
        of_new_holds.push_back(&event);
      }
    }
    for (const Completion& completion : delivering_.completions) completed(completion);
    for (const HoldEvent* event : of_new_holds) hold_event(*event);
    for (GroupId group : delivering_.ended) {
      event(ClientEvent::Kind::session_ended, link_.router(), group, to_string(group) + " ended the session");
    }
  }
}

void Engine::term_deadline(const TermDeadline& deadline) {
  if (terms_.size() > kTermsMax) {
    erase_if(terms_, [](const auto& entry) { return entry.second.expired(); });
  }
  auto at = terms_.find(deadline.term.value);
  std::shared_ptr<TermCell> cell = at == terms_.end() ? nullptr : at->second.lock();
  // No hold lives in it yet: the cell is made with the first one.
  if (!cell) return;
  cell->deadline.set(deadline.deadline_ms, deadline.jeopardy_ms);
}

void Engine::completed(const Completion& completion) {
  auto at = waiting_.find(completion.sequence.value);
  if (at == waiting_.end()) return;
  Waiting waiting = std::move(at->second);
  waiting_.erase(at);
  waiting.stop.reset();
  tell(*waiting.call, completion);
}

void Engine::hold_event(const HoldEvent& event) {
  auto at = holds_.find(event.hold.value);
  if (at == holds_.end()) return;
  std::shared_ptr<Hold> hold = at->second;
  switch (event.kind) {
    case HoldEvent::Kind::lost:
      holds_.erase(at);
      hold->lose(event.cause, event.message);
      break;
    case HoldEvent::Kind::jeopardy:
      hold->jeopardy();
      break;
    case HoldEvent::Kind::token:
      hold->set_token(event.token);
      break;
    case HoldEvent::Kind::lease:
      hold->set_lease(event.deadline_ms, event.jeopardy_ms);
      break;
  }
}

void Engine::event(ClientEvent::Kind kind, const std::string& router, GroupId group,
                   const std::string& message) {
  if (settings_.on_event) settings_.on_event({kind, router, group, message});
}

void Engine::link_up(const std::string& router) {
  {
    std::lock_guard guard(link_mutex_);
    router_ = router;
    why_not_connected_.clear();
  }
  link_changed_.notify_all();
  unsent_.clear();
  unsent_queries_.clear();
  unsent_heartbeat_.reset();
  core_.connected(boottime_ms(), out_);
  event(ClientEvent::Kind::connected, router, GroupId(), "");
  turn();
}

void Engine::link_down(const std::string& router, const std::string& why) {
  {
    std::lock_guard guard(link_mutex_);
    router_.clear();
    why_not_connected_ = link_.all_reasons();
  }
  link_changed_.notify_all();
  unsent_.clear();
  unsent_queries_.clear();
  unsent_heartbeat_.reset();
  core_.disconnected(link_.all_reasons(), boottime_ms(), out_);
  event(ClientEvent::Kind::disconnected, router, GroupId(), why);
  turn();
}

// --- the end

void Engine::begin_close() {
  if (closing_) return;
  closing_ = true;
  std::uint64_t now_ms = boottime_ms();
  close_at_ms_ = now_ms + kCloseMs;
  while (take_commands()) deliver();
  core_.close(now_ms, out_);
  auto queries = std::exchange(queries_, {});
  for (auto& [id, query] : queries) {
    core_.end_query(QueryId(id));
    fail_query(query, Status::unavailable, "the client is closed");
  }
  turn();
}

// When the last releases are answered, or time is up.
void Engine::close_when_done() {
  if (bye_sent_) return;
  bool answered = core_.operations_under_way() == 0;
  if (!answered && boottime_ms() < close_at_ms_) return;
  bye_sent_ = true;
  if (link_.up()) {
    capnp::MallocMessageBuilder message;
    message.initRoot<wire::ClientFrame>().setBye();
    link_.send(message);
  }
  link_.stop(kGoodByeTime, [this] { finish_close(); });
}

void Engine::finish_close() {
  timer_.cancel();
  refuse_rest();
  waiting_.clear();
  holds_.clear();
  // Behind every handler of this engine that is ready already.
  boost::asio::post(loop_->io(), [self = std::move(self_)]() mutable {
    std::promise<void> closed = std::move(self->closed_);
    self.reset();
    closed.set_value();
  });
}

// Whoever asks from now on is told at once that it is over; what was asked before has been told.
void Engine::refuse_rest() {
  std::vector<Command> rest;
  {
    std::lock_guard guard(commands_mutex_);
    stopped_ = true;
    rest.swap(commands_);
  }
  for (Command& command : rest) refuse_closed(command);
}

void Engine::refuse_closed(Command& command) {
  if (CallPtr* found = std::get_if<CallPtr>(&command)) {
    Call& call = **found;
    tell_refused(call.done, make_error(Status::unavailable, call.request.resource, "the client is closed"));
  } else if (auto* query = std::get_if<std::unique_ptr<Query>>(&command)) {
    fail_query(**query, Status::unavailable, "the client is closed");
  }
}

}  // namespace dlm::client
