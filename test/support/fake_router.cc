#include "test/support/fake_router.h"

#include <capnp/serialize.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "schema/client.capnp.h"
#include "schema/limits.h"
#include "schema/operation.h"
#include "schema/wire/codec.h"
#include "schema/wire/frame.h"
#include "test/support/child_process.h"

namespace dlm::test {

namespace {

using boost::asio::ip::tcp;

constexpr GroupId kGroup{1};

struct Owner {
  std::string client;
  std::string tag;
  auto operator<=>(const Owner&) const = default;
};

struct HolderOf {
  Owner owner;
  SessionId session;
  LockMode mode = LockMode::exclusive;
  LeaseKind lease = LeaseKind::session;
  FencingToken token;
  std::uint32_t count = 1;
};

struct WaiterOf {
  Owner owner;
  SessionId session;
  Sequence sequence;
  LockMode mode = LockMode::exclusive;
  LeaseKind lease = LeaseKind::session;
  std::uint32_t lease_ms = 0;
  std::shared_ptr<boost::asio::steady_timer> timer;
};

struct LockOf {
  std::vector<HolderOf> holders;
  std::deque<WaiterOf> waiters;
};

}  // namespace

// One thread does everything; public calls are posted to it.
struct FakeRouters::Impl {
  struct Peer {
    std::size_t router = 0;
    std::shared_ptr<wire::FrameConnection> connection;
    std::string client_id;
    std::uint64_t base = 0;
    std::map<std::uint32_t, std::uint32_t> generations;
    std::vector<Answer> answers;
    std::vector<std::pair<wire::SessionEvent::Kind, std::uint64_t>> events;  // with causes
    bool flushing = false;
    bool greeted = false;
  };
  struct Door {
    std::optional<tcp::acceptor> acceptor;
    std::uint16_t port = 0;
    bool silent = false;
    Status refusal = Status::ok;
    std::string refusal_message;
    std::string cluster = "fake";
    std::string hello_cluster;
  };

  boost::asio::io_context io;
  std::uint32_t ttl_ms = 0;
  std::vector<Door> doors;
  std::set<std::shared_ptr<Peer>> peers;
  std::set<std::uint64_t> sessions;  // open
  std::set<std::uint64_t> dead;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Answer> answered;
  std::map<std::string, LockOf> locks;
  std::uint64_t last_token = std::uint64_t{1} << 40;
  bool drop_next = false;
  FakeRing ring;
  enum class Drop { none, undone, done } drop_change = Drop::none;
  FakeRouterCounters counters;
  std::thread thread;

  template <class F>
  auto run(F&& work) {
    using T = std::invoke_result_t<F>;
    std::promise<T> promise;
    auto future = promise.get_future();
    boost::asio::post(io, [&] {
      if constexpr (std::is_void_v<T>) {
        work();
        promise.set_value();
      } else {
        promise.set_value(work());
      }
    });
    return future.get();
  }

  // --- connections

  void listen(std::size_t router) {
    Door& door = doors[router];
    door.acceptor.emplace(io);
    tcp::endpoint endpoint(boost::asio::ip::address_v4::loopback(), door.port);
    door.acceptor->open(endpoint.protocol());
    door.acceptor->set_option(tcp::acceptor::reuse_address(true));
    door.acceptor->bind(endpoint);
    door.acceptor->listen();
    accept(router);
  }

  void accept(std::size_t router) {
    doors[router].acceptor->async_accept(
        [this, router](const boost::system::error_code& error, tcp::socket socket) {
          if (error) return;
          ++counters.connections;
          auto peer = std::make_shared<Peer>();
          peer->router = router;
          peer->connection = wire::FrameConnection::make(std::move(socket), wire::FrameLimits{});
          peers.insert(peer);
          std::weak_ptr<Peer> weak = peer;
          peer->connection->start({.on_frames =
                                       [this, weak](const std::vector<wire::Words>& frames) {
                                         if (auto alive = weak.lock()) came(alive, frames);
                                       },
                                   .on_close =
                                       [this, weak](const std::string&) {
                                         if (auto alive = weak.lock()) peers.erase(alive);
                                       }});
          accept(router);
        });
  }

  void drop(const std::shared_ptr<Peer>& peer, const std::string& why) {
    peer->connection->close(why);
    peers.erase(peer);
  }

  void came(const std::shared_ptr<Peer>& peer, const std::vector<wire::Words>& frames) {
    for (const wire::Words& words : frames) {
      if (!peers.contains(peer)) return;
      capnp::FlatArrayMessageReader reader(words);
      auto frame = reader.getRoot<wire::ClientFrame>();
      switch (frame.which()) {
        case wire::ClientFrame::HELLO:
          hello(peer, frame.getHello());
          break;
        case wire::ClientFrame::OPERATIONS:
          operations(peer, frame.getOperations());
          break;
        case wire::ClientFrame::HEARTBEAT:
          heartbeat(peer, frame.getHeartbeat());
          break;
        case wire::ClientFrame::QUERY:
          query(peer, frame.getQuery());
          break;
        case wire::ClientFrame::BYE:
          ++counters.byes;
          end_session(session(*peer));
          drop(peer, "bye");
          break;
      }
    }
  }

  void hello(const std::shared_ptr<Peer>& peer, wire::Hello::Reader hello) {
    Door& door = doors[peer->router];
    door.hello_cluster = hello.getCluster();
    if (door.silent) return;
    capnp::MallocMessageBuilder message;
    auto frame = message.initRoot<wire::RouterFrame>();
    if (door.refusal != Status::ok) {
      frame.initRefusal().setStatus(static_cast<std::uint8_t>(door.refusal));
      frame.getRefusal().setMessage(door.refusal_message);
      peer->connection->send(message);
      return drop(peer, "refused");
    }
    peer->client_id = hello.getClientId();
    peer->base = hello.getSessionBase();
    for (auto group : hello.getGroups()) peer->generations[group.getGroup()] = group.getGeneration();
    auto welcome = frame.initWelcome();
    welcome.setProtocol(kClientProtocolVersion);
    welcome.setCluster(door.cluster);
    welcome.setRouter("r" + std::to_string(peer->router));
    peer->greeted = true;
    peer->connection->send(message);
  }

  static SessionId session(Peer& peer) { return session_of(peer.base, peer.generations[kGroup.value]); }

  void operations(const std::shared_ptr<Peer>& peer, wire::Operations::Reader frame) {
    ++counters.operation_frames;
    for (auto item : frame.getList()) {
      ++counters.operations;
      Operation op = wire::read(item);
      op.session = session(*peer);
      execute(peer, op);
    }
    if (drop_next) {
      drop_next = false;
      peer->answers.clear();
      peer->events.clear();
      drop(peer, "dropped by the test");
    }
  }

  void heartbeat(const std::shared_ptr<Peer>& peer, wire::Heartbeat::Reader heartbeat) {
    ++counters.heartbeats;
    for (auto group : heartbeat.getGroups()) {
      peer->generations[group.getGroup()] = group.getGeneration();
      if (!group.getRenew()) continue;
      bool open = sessions.contains(session_of(peer->base, group.getGeneration()).value);
      peer->events.emplace_back(open ? wire::SessionEvent::Kind::RENEWED : wire::SessionEvent::Kind::ENDED,
                                heartbeat.getNumber());
    }
    flush_soon(peer);
  }

  void query(const std::shared_ptr<Peer>& peer, wire::GroupQuery::Reader query) {
    if (doors[peer->router].silent) return;
    capnp::MallocMessageBuilder message;
    auto to = message.initRoot<wire::RouterFrame>().initReport();
    to.setId(query.getId());
    auto report = to.initReport();
    auto what = query.getQuery();
    if (what.isInspect()) {
      std::string name(wire::as_text(what.getInspect()));
      wire::write(lock_report(name), report.initLock());
    } else if (what.isList()) {
      std::string prefix(wire::as_text(what.getList().getPrefix()));
      LockPage page;
      std::uint64_t position = 0;
      for (const auto& [name, lock] : locks) {
        if (GroupId(what.getList().getGroup()) != kGroup) break;
        if (!name.starts_with(prefix) || lock.holders.empty()) continue;
        if (++position <= what.getList().getCursor()) continue;
        if (page.locks.size() == what.getList().getLimit()) {
          page.next_cursor = position - 1;
          break;
        }
        page.locks.push_back(lock_report(name));
      }
      wire::write(page, report.initPage());
    } else if (what.isRing()) {
      wire::write(ring.report(), report.initRing());
    } else if (what.isLocate()) {
      wire::write(ring.locate(std::string(wire::as_text(what.getLocate()))), report.initPlace());
    } else if (what.isChangeRing()) {
      if (!change_ring(peer, wire::read(what.getChangeRing()), report)) return;
    } else {
      ClusterReport cluster;
      cluster.cluster = doors[peer->router].cluster;
      for (GroupId group : ring.groups()) cluster.groups.push_back(ring.state_of(group));
      wire::write(cluster, report.initCluster());
    }
    peer->connection->send(message);
  }

  // False: the connection was dropped instead.
  bool change_ring(const std::shared_ptr<Peer>& peer, const RingChange& change,
                   wire::Report::Builder report) {
    Drop how = change.dry_run ? Drop::none : std::exchange(drop_change, Drop::none);
    RingReport told;
    std::string refused = how == Drop::undone ? "" : ring.change(change, told);
    if (how != Drop::none) {
      drop(peer, "dropped by the test");
      return false;
    }
    if (refused.empty()) {
      wire::write(told, report.initRing());
    } else {
      report.setStatus(static_cast<std::uint8_t>(Status::invalid_argument));
      report.setMessage(refused);
    }
    return true;
  }

  LockReport lock_report(const std::string& name) {
    LockReport report;
    report.resource = name;
    report.group = kGroup;
    auto at = locks.find(name);
    if (at == locks.end()) return report;
    for (const HolderOf& holder : at->second.holders) {
      HoldReport hold;
      hold.client_id = holder.owner.client;
      hold.owner_tag = holder.owner.tag;
      hold.mode = holder.mode;
      hold.token = holder.token;
      hold.count = holder.count;
      report.holders.push_back(hold);
    }
    report.waiter_count = static_cast<std::uint32_t>(at->second.waiters.size());
    return report;
  }

  // --- the group

  void execute(const std::shared_ptr<Peer>& peer, const Operation& op) {
    if (dead.contains(op.session.value)) {
      peer->events.emplace_back(wire::SessionEvent::Kind::ENDED, op.sequence.value);
      Answer answer = answer_to(op.session, op.sequence, Status::session_expired);
      peer->answers.push_back(answer);
      return flush_soon(peer);
    }
    if (sessions.insert(op.session.value).second || !peer->generations.contains(kGroup.value)) {
      peer->events.emplace_back(wire::SessionEvent::Kind::OPENED, op.sequence.value);
    }
    peer->generations[kGroup.value];
    auto key = std::make_pair(op.session.value, op.sequence.value);
    if (auto before = answered.find(key); before != answered.end()) {
      ++counters.repeats;
      peer->answers.push_back(before->second);
      return flush_soon(peer);
    }
    switch (op.kind) {
      case OperationKind::acquire:
        acquire(peer, op);
        break;
      case OperationKind::release:
        give(op.session, release(op, Owner{op.client_id.empty() ? peer->client_id : std::string(op.client_id),
                                           std::string(op.owner_tag)}));
        break;
      case OperationKind::renew:
        give(op.session, renew(op));
        break;
      case OperationKind::cancel:
        give(op.session, cancel(op));
        break;
      default:
        break;
    }
  }

  static Answer answer_to(SessionId session, Sequence sequence, Status status) {
    Answer answer;
    answer.session = session;
    answer.sequence = sequence;
    answer.status = status;
    answer.group = kGroup;
    return answer;
  }

  // Remembers a final answer and sends it to wherever the session's client is now.
  void give(SessionId session, const Answer& answer) {
    if (answer.status != Status::queued) answered[{session.value, answer.sequence.value}] = answer;
    for (const auto& peer : peers) {
      if (!peer->greeted || FakeRouters::Impl::session(*peer) != session) continue;
      peer->answers.push_back(answer);
      flush_soon(peer);
    }
  }

  static bool compatible(const LockOf& lock, LockMode mode) {
    return lock.holders.empty() ||
           (mode == LockMode::shared && lock.holders.front().mode == LockMode::shared);
  }

  void acquire(const std::shared_ptr<Peer>& peer, const Operation& op) {
    LockOf& lock = locks[std::string(op.resource)];
    Owner owner{peer->client_id, std::string(op.owner_tag)};
    for (const WaiterOf& waiter : lock.waiters) {
      if (waiter.session == op.session && waiter.sequence == op.sequence) {
        ++counters.repeats;
        return give(op.session, answer_to(op.session, op.sequence, Status::queued));
      }
    }
    for (HolderOf& holder : lock.holders) {
      if (holder.owner != owner) continue;
      ++holder.count;
      Answer answer = answer_to(op.session, op.sequence, Status::ok);
      answer.token = holder.token;
      answer.count = holder.count;
      answer.ttl_ms = op.lease_ms;
      return give(op.session, answer);
    }
    if (lock.waiters.empty() && compatible(lock, op.mode)) {
      return grant(lock, {owner, op.session, op.sequence, op.mode, op.lease, op.lease_ms, nullptr});
    }
    Answer blocked = answer_to(op.session, op.sequence, op.wait_ms == 0 ? Status::timed_out : Status::queued);
    blocked.position = static_cast<std::uint32_t>(lock.waiters.size());
    if (!lock.holders.empty()) {
      blocked.holder.client_id = lock.holders.front().owner.client;
      blocked.holder.owner_tag = lock.holders.front().owner.tag;
      blocked.holder.since_unix_ms = 1'700'000'000'000;
    }
    if (op.wait_ms == 0) return give(op.session, blocked);
    WaiterOf waiter{owner, op.session, op.sequence, op.mode, op.lease, op.lease_ms, nullptr};
    if (op.wait_ms != kWaitForeverMs) {
      waiter.timer = std::make_shared<boost::asio::steady_timer>(io, std::chrono::milliseconds(op.wait_ms));
      waiter.timer->async_wait([this, name = std::string(op.resource), blocked](const auto& error) {
        if (error) return;
        if (!take_waiter(name, blocked.session, blocked.sequence)) return;
        Answer late = blocked;
        late.status = Status::timed_out;
        give(late.session, late);
      });
    }
    lock.waiters.push_back(std::move(waiter));
    give(op.session, blocked);
  }

  void grant(LockOf& lock, const WaiterOf& to) {
    HolderOf holder{to.owner, to.session, to.mode, to.lease, FencingToken(++last_token), 1};
    lock.holders.push_back(holder);
    Answer answer = answer_to(to.session, to.sequence, Status::ok);
    answer.token = holder.token;
    answer.count = 1;
    answer.ttl_ms = to.lease_ms;
    give(to.session, answer);
  }

  void advance(LockOf& lock) {
    while (!lock.waiters.empty() && compatible(lock, lock.waiters.front().mode)) {
      WaiterOf next = std::move(lock.waiters.front());
      lock.waiters.pop_front();
      if (next.timer) next.timer->cancel();
      grant(lock, next);
    }
  }

  bool take_waiter(const std::string& name, SessionId session, Sequence sequence) {
    LockOf& lock = locks[name];
    auto at = std::find_if(lock.waiters.begin(), lock.waiters.end(), [&](const WaiterOf& waiter) {
      return waiter.session == session && waiter.sequence == sequence;
    });
    if (at == lock.waiters.end()) return false;
    if (at->timer) at->timer->cancel();
    lock.waiters.erase(at);
    advance(lock);
    return true;
  }

  Answer release(const Operation& op, const Owner& owner) {
    LockOf& lock = locks[std::string(op.resource)];
    auto at = std::find_if(lock.holders.begin(), lock.holders.end(), [&](const HolderOf& holder) {
      return holder.owner == owner && (!op.token || holder.token == op.token);
    });
    Answer answer = answer_to(op.session, op.sequence, Status::ok);
    if (at == lock.holders.end()) {
      answer.status = Status::not_held;
      answer.cause = EndCause::released;
      return answer;
    }
    answer.token = at->token;
    answer.count = --at->count;
    if (answer.count == 0) {
      lock.holders.erase(at);
      advance(lock);
    }
    return answer;
  }

  Answer renew(const Operation& op) {
    LockOf& lock = locks[std::string(op.resource)];
    Answer answer = answer_to(op.session, op.sequence, Status::not_held);
    answer.cause = EndCause::expired;
    for (const HolderOf& holder : lock.holders) {
      if (holder.token != op.token) continue;
      answer.status = Status::ok;
      answer.cause = EndCause::none;
      answer.token = holder.token;
      answer.count = holder.count;
      answer.ttl_ms = op.lease_ms;
    }
    return answer;
  }

  Answer cancel(const Operation& op) {
    Answer answer = answer_to(op.session, op.sequence, Status::ok);
    if (take_waiter(std::string(op.resource), op.session, op.target)) {
      give(op.session, answer_to(op.session, op.target, Status::cancelled));
      return answer;
    }
    auto done = answered.find({op.session.value, op.target.value});
    if (done == answered.end()) {
      answered[{op.session.value, op.target.value}] = answer_to(op.session, op.target, Status::cancelled);
    } else if (done->second.status == Status::ok) {
      answer.token = done->second.token;
    }
    return answer;
  }

  void end_session(SessionId session) {
    if (sessions.erase(session.value) == 0) return;
    dead.insert(session.value);
    for (auto& [name, lock] : locks) {
      std::erase_if(lock.waiters, [&](const WaiterOf& waiter) { return waiter.session == session; });
      std::erase_if(lock.holders, [&](const HolderOf& holder) {
        return holder.session == session && holder.lease != LeaseKind::detached;
      });
      advance(lock);
    }
  }

  void end_all(bool tell) {
    auto open = sessions;
    for (const auto& peer : peers) {
      if (tell && peer->greeted && open.contains(session(*peer).value)) {
        peer->events.emplace_back(wire::SessionEvent::Kind::ENDED, 0);
        flush_soon(peer);
      }
    }
    for (std::uint64_t id : open) end_session(SessionId(id));
  }

  // --- answers

  // One frame for all that is answered in this turn.
  void flush_soon(const std::shared_ptr<Peer>& peer) {
    if (std::exchange(peer->flushing, true)) return;
    boost::asio::post(io, [this, peer] { flush(peer); });
  }

  void flush(const std::shared_ptr<Peer>& peer) {
    peer->flushing = false;
    auto answers = std::exchange(peer->answers, {});
    auto events = std::exchange(peer->events, {});
    if (!peers.contains(peer) || doors[peer->router].silent) return;
    capnp::MallocMessageBuilder message;
    auto batch = message.initRoot<wire::RouterFrame>().initBatch();
    auto sessions_to = batch.initSessions(static_cast<unsigned>(events.size()));
    for (unsigned i = 0; i < sessions_to.size(); ++i) {
      sessions_to[i].setKind(events[i].first);
      sessions_to[i].setGroup(kGroup.value);
      sessions_to[i].setGeneration(peer->generations[kGroup.value]);
      sessions_to[i].setTtlMs(ttl_ms);
      sessions_to[i].setCause(events[i].second);
    }
    auto answers_to = batch.initAnswers(static_cast<unsigned>(answers.size()));
    for (unsigned i = 0; i < answers_to.size(); ++i) wire::write(answers[i], answers_to[i]);
    peer->connection->send(message);
  }

  void shut(std::size_t router) {
    doors[router].acceptor.reset();
    auto all = peers;
    for (const auto& peer : all) {
      if (peer->router == router) drop(peer, "the router stopped");
    }
  }
};

FakeRouters::FakeRouters(std::size_t count, std::uint32_t session_ttl_ms) : impl_(std::make_unique<Impl>()) {
  impl_->ttl_ms = session_ttl_ms;
  impl_->doors.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    impl_->doors[i].port = static_cast<std::uint16_t>(free_port());
    impl_->listen(i);
  }
  impl_->thread = std::thread([this] {
    auto work = boost::asio::make_work_guard(impl_->io);
    impl_->io.run();
  });
}

FakeRouters::~FakeRouters() {
  impl_->run([&] {
    for (std::size_t i = 0; i < impl_->doors.size(); ++i) impl_->shut(i);
  });
  boost::asio::post(impl_->io, [this] { impl_->io.stop(); });
  impl_->thread.join();
  impl_->locks.clear();  // timers before the loop
}

std::string FakeRouters::address(std::size_t router) const {
  return "127.0.0.1:" + std::to_string(impl_->run([&] { return impl_->doors[router].port; }));
}

std::vector<std::string> FakeRouters::addresses() const {
  std::vector<std::string> list;
  for (std::size_t i = 0; i < impl_->doors.size(); ++i) list.push_back(address(i));
  return list;
}

void FakeRouters::stop(std::size_t router) {
  impl_->run([&] { impl_->shut(router); });
}
void FakeRouters::start(std::size_t router) {
  impl_->run([&] { impl_->listen(router); });
}
void FakeRouters::set_silent(std::size_t router, bool silent) {
  impl_->run([&] { impl_->doors[router].silent = silent; });
}
void FakeRouters::set_refusal(std::size_t router, Status status, const std::string& message) {
  impl_->run([&] {
    impl_->doors[router].refusal = status;
    impl_->doors[router].refusal_message = message;
  });
}
void FakeRouters::set_cluster(std::size_t router, const std::string& cluster) {
  impl_->run([&] { impl_->doors[router].cluster = cluster; });
}
std::string FakeRouters::hello_cluster(std::size_t router) const {
  return impl_->run([&] { return impl_->doors[router].hello_cluster; });
}
std::size_t FakeRouters::clients(std::size_t router) const {
  return impl_->run([&] {
    return static_cast<std::size_t>(
        std::count_if(impl_->peers.begin(), impl_->peers.end(),
                      [&](const auto& peer) { return peer->router == router && peer->greeted; }));
  });
}
void FakeRouters::end_sessions() {
  impl_->run([&] { impl_->end_all(true); });
}
void FakeRouters::end_sessions_silently() {
  impl_->run([&] { impl_->end_all(false); });
}
void FakeRouters::drop_next_answers() {
  impl_->run([&] { impl_->drop_next = true; });
}
void FakeRouters::with_ring(const std::function<void(FakeRing&)>& what) {
  impl_->run([&] { what(impl_->ring); });
}
void FakeRouters::drop_next_change(bool done) {
  impl_->run([&] { impl_->drop_change = done ? Impl::Drop::done : Impl::Drop::undone; });
}
FakeRouterCounters FakeRouters::counters() const {
  return impl_->run([&] { return impl_->counters; });
}
std::size_t FakeRouters::holders(const std::string& resource) const {
  return impl_->run([&] { return impl_->locks[resource].holders.size(); });
}
std::size_t FakeRouters::waiters(const std::string& resource) const {
  return impl_->run([&] { return impl_->locks[resource].waiters.size(); });
}

}  // namespace dlm::test
