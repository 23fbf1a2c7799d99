#include "coordinator/memory_coordinator.h"

#include <algorithm>
#include <exception>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "coordinator/member_json.h"
#include "coordinator/timers.h"

namespace dlm::coordinator {
namespace {

struct Session;
using Task = std::function<void(Session&)>;

}  // namespace

// Everything here is guarded by `mutex`. User callbacks run only in tasks of an executor, without the mutex.
struct MemoryHub::State {
  struct Waiting {
    std::uint64_t number = 0;
    std::uint64_t session = 0;
    // Tries to register; false: the id is taken, or the session can't be reached now.
    std::function<bool()> attempt;
    std::function<std::string()> why_not;
    Coordinator::Registered done;
  };

  explicit State(MemoryHubOptions given) : options(std::move(given)) {
    view.cluster = options.cluster;
    view.groups = options.groups;
    view.ring = options.ring;
  }

  void deliver(Session& session, Task task);
  void post_view(Session& session);
  bool keep();  // false: it can't be, and all sessions have ended
  void changed();
  void admit_waiting();
  void give_up_waiting(std::uint64_t number);
  void drop_registrations(std::uint64_t session);
  void leave(Session& session);
  void end(Session& session);
  void begin(Session& session);
  void register_or_wait(Session& session, std::uint32_t patience_ms, Waiting waiting);

  std::mutex mutex;
  const MemoryHubOptions options;
  ClusterView view;
  std::map<std::string, std::uint64_t> server_owner;  // session of each registration
  std::map<std::string, std::uint64_t> router_owner;
  std::map<std::uint64_t, Session*> sessions;
  std::set<std::string> cut_names;
  std::list<Waiting> waiting;
  std::uint64_t last_session = 0;
  std::uint64_t last_waiting = 0;
  std::uint32_t delay_ms = 0;
  std::string broken;  // why nothing can be kept any more
  Timers timers;       // last: its thread uses the rest and is joined first
};

namespace {

struct Session : std::enable_shared_from_this<Session> {
  std::shared_ptr<MemoryHub::State> hub;
  std::uint64_t id = 0;
  std::string name;
  Executor executor;

  // Of the executor's thread.
  Coordinator::Events events;
  std::optional<ClusterView> told;
  bool closed = false;

  // Guarded by the hub's mutex.
  bool started = false;
  bool cut = false;
  bool ended = false;
  bool view_posted = false;
  std::uint32_t delayed = 0;  // deliveries on their way through the timers
  std::uint32_t delay_ms = 0;

  bool reachable() const { return !cut && !ended; }
  std::string trouble() const {
    if (!hub->broken.empty()) return hub->broken;
    return ended ? "the session with the in-memory coordinator has ended"
                 : "cut off from the in-memory coordinator";
  }
  Task session_task(SessionState state, std::string why) {
    return [state, why = std::move(why)](Session& self) {
      if (self.events.on_session) self.events.on_session(state, why);
    };
  }
};

void show_view(Session& session) {
  ClusterView view;
  {
    std::lock_guard lock(session.hub->mutex);
    session.view_posted = false;
    if (!session.reachable()) return;
    view = session.hub->view;
  }
  if (session.told == view) return;
  session.told = view;
  if (session.events.on_view) session.events.on_view(view);
}

class MemorySession final : public Coordinator {
 public:
  explicit MemorySession(std::shared_ptr<Session> session)
      : session_(std::move(session)), hub_(*session_->hub) {}

  ~MemorySession() override {
    session_->closed = true;
    std::lock_guard lock(hub_.mutex);
    hub_.leave(*session_);
  }

  void start(Events events) override {
    session_->events = std::move(events);
    std::lock_guard lock(hub_.mutex);
    hub_.begin(*session_);
  }

  void register_server(const ServerMember& member, std::uint32_t patience_ms, Registered done) override {
    auto owner = [this, member] {
      return hub_.server_owner.try_emplace(member.name.server, session_->id).first;
    };
    if (!valid_server_id(member.name.server))
      return refuse(std::move(done), "not a server id: " + member.name.server);
    auto attempt = [this, member, owner] {
      if (owner()->second != session_->id) return false;
      hub_.view.servers[member.name.server] = member;
      return true;
    };
    auto why_not = [this, member] { return taken_text(hub_.view.servers[member.name.server]); };
    enlist(patience_ms, attempt, why_not, std::move(done));
  }

  void register_router(const RouterMember& member, std::uint32_t patience_ms, Registered done) override {
    auto owner = [this, member] { return hub_.router_owner.try_emplace(member.id, session_->id).first; };
    if (!valid_server_id(member.id)) return refuse(std::move(done), "not a router id: " + member.id);
    auto attempt = [this, member, owner] {
      if (owner()->second != session_->id) return false;
      hub_.view.routers[member.id] = member;
      return true;
    };
    auto why_not = [this, member] { return taken_text(hub_.view.routers[member.id]); };
    enlist(patience_ms, attempt, why_not, std::move(done));
  }

  void propose(GroupId group, std::int64_t expected, const GroupConfig& config, Written done) override {
    GroupConfig readable;
    std::string error;
    bool valid = group && parse_json(to_json(config), readable, error);
    write(valid, std::move(done), [&] {
      auto found = hub_.view.groups.find(group);
      if ((found == hub_.view.groups.end() ? 0 : found->second.version) != expected) return false;
      hub_.view.groups[group] = {expected + 1, config};
      return true;
    });
  }

  void propose_ring(std::uint64_t expected, const RingRecord& ring, Written done) override {
    RingRecord readable;
    std::string error;
    write(parse_json(to_json(ring), readable, error), std::move(done), [&] {
      if (hub_.view.ring.version != expected) return false;
      hub_.view.ring = readable;
      hub_.view.ring.version = expected + 1;
      return true;
    });
  }

  void touch(std::function<void(bool)> done) override {
    std::lock_guard lock(hub_.mutex);
    auto mine = [this](const auto& entry) { return entry.second == session_->id; };
    bool registered = std::any_of(hub_.server_owner.begin(), hub_.server_owner.end(), mine) ||
                      std::any_of(hub_.router_owner.begin(), hub_.router_owner.end(), mine);
    bool ok = session_->reachable() && registered;
    hub_.deliver(*session_, [done = std::move(done), ok](Session&) { done(ok); });
  }

  std::uint32_t session_timeout_ms() const override { return hub_.options.session_timeout_ms; }

 private:
  void refuse(Registered done, std::string why) {
    std::lock_guard lock(hub_.mutex);
    hub_.deliver(*session_, [done = std::move(done), why = std::move(why)](Session&) { done(false, why); });
  }

  // The functions are called under the hub's mutex, and not after the session left.
  template <class Attempt, class WhyNot>
  void enlist(std::uint32_t patience_ms, Attempt attempt, WhyNot why_not, Registered done) {
    MemoryHub::State::Waiting waiting;
    waiting.attempt = [this, attempt] { return session_->reachable() && attempt(); };
    waiting.why_not = [this, why_not] { return session_->reachable() ? why_not() : session_->trouble(); };
    waiting.done = std::move(done);
    std::lock_guard lock(hub_.mutex);
    hub_.register_or_wait(*session_, patience_ms, std::move(waiting));
  }

  template <class CompareAndSet>
  void write(bool valid, Written done, CompareAndSet compare_and_set) {
    std::lock_guard lock(hub_.mutex);
    WriteResult result = WriteResult::unavailable;
    if (valid && session_->reachable()) {
      result = compare_and_set() ? WriteResult::accepted : WriteResult::conflict;
      if (result == WriteResult::accepted && !hub_.keep()) result = WriteResult::unknown;
    }
    hub_.deliver(*session_, [done = std::move(done), result](Session&) { done(result); });
    if (result == WriteResult::accepted) hub_.changed();
  }

  std::shared_ptr<Session> session_;
  MemoryHub::State& hub_;
};

}  // namespace

bool MemoryHub::State::keep() {
  try {
    if (options.keep) options.keep(view);
    return true;
  } catch (const std::exception& error) {
    broken = std::string("the in-memory coordinator can't keep what it is told: ") + error.what();
    for (auto& [id, session] : sessions) end(*session);
    return false;
  }
}

// Deliveries to one session keep their order, also when the delay is lowered while some are on their way.
void MemoryHub::State::deliver(Session& session, Task task) {
  auto run = [weak = session.weak_from_this(), task = std::move(task)] {
    std::shared_ptr<Session> self = weak.lock();  // also keeps it when the callback ends the session
    if (self && !self->closed) task(*self);
  };
  if (session.delayed == 0) session.delay_ms = 0;
  session.delay_ms = std::max(session.delay_ms, delay_ms);
  if (session.delay_ms == 0) return session.executor(std::move(run));
  ++session.delayed;
  timers.after(session.delay_ms, [this, id = session.id, run = std::move(run)]() mutable {
    std::lock_guard lock(mutex);
    auto found = sessions.find(id);
    if (found == sessions.end()) return;
    --found->second->delayed;
    found->second->executor(std::move(run));
  });
}

void MemoryHub::State::post_view(Session& session) {
  if (!session.started || session.view_posted || !session.reachable()) return;
  session.view_posted = true;
  deliver(session, show_view);
}

void MemoryHub::State::changed() {
  for (auto& [id, session] : sessions) post_view(*session);
}

void MemoryHub::State::begin(Session& session) {
  session.started = true;
  if (!broken.empty()) return end(session);
  session.cut = cut_names.contains(session.name);
  deliver(session, session.cut ? session.session_task(SessionState::connecting, session.trouble())
                               : session.session_task(SessionState::connected, ""));
  post_view(session);
}

void MemoryHub::State::register_or_wait(Session& session, std::uint32_t patience_ms, Waiting entry) {
  entry.number = ++last_waiting;
  entry.session = session.id;
  std::uint64_t number = entry.number;
  waiting.push_back(std::move(entry));
  admit_waiting();
  bool waits = !waiting.empty() && std::any_of(waiting.begin(), waiting.end(),
                                               [&](const Waiting& other) { return other.number == number; });
  if (!waits) return;
  if (patience_ms == 0 || session.ended) return give_up_waiting(number);
  timers.after(patience_ms, [this, number] {
    std::lock_guard lock(mutex);
    give_up_waiting(number);
  });
}

void MemoryHub::State::admit_waiting() {
  bool admitted = false;
  for (auto entry = waiting.begin(); entry != waiting.end();) {
    if (!entry->attempt()) {
      ++entry;
      continue;
    }
    admitted = true;
    deliver(*sessions.at(entry->session), [done = std::move(entry->done)](Session&) { done(true, ""); });
    entry = waiting.erase(entry);
  }
  if (admitted) changed();
}

void MemoryHub::State::give_up_waiting(std::uint64_t number) {
  auto entry =
      std::find_if(waiting.begin(), waiting.end(), [&](const Waiting& w) { return w.number == number; });
  if (entry == waiting.end()) return;
  deliver(*sessions.at(entry->session),
          [done = std::move(entry->done), why = entry->why_not()](Session&) { done(false, why); });
  waiting.erase(entry);
}

void MemoryHub::State::drop_registrations(std::uint64_t session) {
  auto drop = [session](auto& owners, auto& members) {
    for (auto owner = owners.begin(); owner != owners.end();) {
      if (owner->second != session) {
        ++owner;
        continue;
      }
      members.erase(owner->first);
      owner = owners.erase(owner);
    }
  };
  drop(server_owner, view.servers);
  drop(router_owner, view.routers);
  changed();
  admit_waiting();
}

void MemoryHub::State::leave(Session& session) {
  sessions.erase(session.id);
  waiting.remove_if([&](const Waiting& entry) { return entry.session == session.id; });
  drop_registrations(session.id);
}

void MemoryHub::State::end(Session& session) {
  if (session.ended) return;
  session.ended = true;
  drop_registrations(session.id);
  for (auto entry = waiting.begin(); entry != waiting.end();) {
    std::uint64_t number = entry->number;
    bool mine = entry->session == session.id;
    ++entry;
    if (mine) give_up_waiting(number);
  }
  if (!session.cut) deliver(session, session.session_task(SessionState::ended, session.trouble()));
}

MemoryHub::MemoryHub(MemoryHubOptions options) : state_(std::make_shared<State>(std::move(options))) {}

void MemoryHub::expire(const std::string& name) {
  std::lock_guard lock(state_->mutex);
  for (auto& [id, session] : state_->sessions) {
    if (session->name == name) state_->end(*session);
  }
}

void MemoryHub::cut(const std::string& name) {
  std::lock_guard lock(state_->mutex);
  state_->cut_names.insert(name);
  for (auto& [id, session] : state_->sessions) {
    if (session->name != name || session->cut) continue;
    session->cut = true;
    if (!session->ended) {
      state_->deliver(*session, session->session_task(SessionState::connecting, session->trouble()));
    }
  }
}

void MemoryHub::mend(const std::string& name) {
  std::lock_guard lock(state_->mutex);
  state_->cut_names.erase(name);
  for (auto& [id, session] : state_->sessions) {
    if (session->name != name || !session->cut) continue;
    session->cut = false;
    state_->deliver(*session, session->ended ? session->session_task(SessionState::ended, session->trouble())
                                             : session->session_task(SessionState::connected, ""));
    state_->post_view(*session);
  }
  state_->admit_waiting();
}

void MemoryHub::set_delay_ms(std::uint32_t delay_ms) {
  std::lock_guard lock(state_->mutex);
  state_->delay_ms = delay_ms;
}

std::unique_ptr<Coordinator> make_session(MemoryHub& hub, Executor executor, std::string name) {
  auto session = std::make_shared<Session>();
  session->hub = hub.state_;
  session->name = std::move(name);
  session->executor = std::move(executor);
  {
    std::lock_guard lock(hub.state_->mutex);
    session->id = ++hub.state_->last_session;
    hub.state_->sessions[session->id] = session.get();
  }
  return std::make_unique<MemorySession>(std::move(session));
}

}  // namespace dlm::coordinator
