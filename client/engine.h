// The shell of a client: on its I/O thread the connection, the timer and the core; the queue by which all
// other threads reach them.
#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "client/boottime_timer.h"
#include "client/core/session_core.h"
#include "client/hold.h"
#include "client/io_loop.h"
#include "client/router_link.h"
#include "dlm/client.h"

namespace dlm::client {

// A read, or what an operator asks for; and who wants its report.
struct Query {
  enum class Kind : std::uint8_t { inspect, list, status, step_down, ring, locate, change_ring, recover };
  Kind kind = Kind::status;
  std::string name;  // resource, prefix
  ListOptions list;
  RingChange change;                   // with the version that it expects
  std::uint64_t expected_version = 0;  // recover; 0: only looks
  std::uint32_t timeout_ms = 0;
  bool sent = false;
  // The router writes it down, so it must not be asked of a second one.
  bool writes() const {
    return (kind == Kind::change_ring && !change.dry_run) || (kind == Kind::recover && expected_version != 0);
  }
  std::variant<Client::Done<LockReport>, Client::Done<LockPage>, Client::Done<ClusterReport>,
               Client::Done<GroupReport>, Client::Done<RingReport>, Client::Done<PlaceReport>,
               Client::Done<RecoveryReport>>
      done;
};

// Who waits for an operation, and for what. Monostate: nobody.
using Done = std::variant<std::monostate, Client::Done<Lock>, Client::Done<ReleaseInfo>,
                          Client::Done<std::chrono::milliseconds>, Client::Done<DetachedHold>>;

struct Call {
  Request request;
  Done done;
  std::function<void(const QueuedInfo&)> on_queued;
  std::stop_token stop;
  std::unique_ptr<Error> refused;  // by the caller's side of the library: told without asking the core
};
// It stays where it was made until its caller has been told.
using CallPtr = std::unique_ptr<Call>;

// Any thread, but for what is marked. Made by make(); close() must be called before the last reference goes.
class Engine : public std::enable_shared_from_this<Engine> {
 public:
  struct Settings {
    std::vector<HostPort> routers;
    std::string client_id;
    std::uint32_t ttl_ms = 0;
    std::uint32_t request_timeout_ms = 0;
    std::optional<IoThread> io_thread;  // none: one of its own
    std::function<void(const ClientEvent&)> on_event;
  };
  static std::shared_ptr<Engine> make(Settings settings);
  ~Engine();

  // Gives everything back, tells every caller, says good-bye: about a second at most. On return nothing of it
  // is left on the I/O thread, unless it is called there.
  void close();
  // Begins with that.
  void start_close();

  void call(CallPtr call);
  void query(Query query);
  // The hold of a handle is no longer watched.
  void forget(HoldId hold);
  // A reader of a deadline found it passed.
  void term_passed(Term term);
  void lease_passed(HoldId hold);

  bool on_io_thread() const { return loop_->on_thread(); }
  const std::string& client_id() const { return settings_.client_id; }
  std::uint32_t request_timeout_ms() const { return settings_.request_timeout_ms; }
  std::string router() const;
  // True: connected within the time; else `why`.
  bool wait_connected(std::chrono::milliseconds timeout, std::string& why) const;

 private:
  struct Cancel {
    Sequence sequence;
  };
  struct Forget {
    HoldId hold;
  };
  struct TermPassed {
    Term term;
  };
  struct LeasePassed {
    HoldId hold;
  };
  using Command = std::variant<CallPtr, std::unique_ptr<Query>, Cancel, Forget, TermPassed, LeasePassed>;

  struct StopRequested {
    Engine* engine;
    Sequence sequence;
    void operator()() const { engine->enqueue(Cancel{sequence}); }
  };
  struct Waiting {  // an operation's caller
    CallPtr call;
    std::unique_ptr<std::stop_callback<StopRequested>> stop;
  };

  explicit Engine(Settings settings);
  void enqueue(Command command);

  // I/O thread:
  void start();
  void turn();  // takes what has come from everywhere until nothing is left, then sends
  bool take_commands();
  void execute(CallPtr call, std::uint64_t now_ms);
  void execute(Query& query, std::uint64_t now_ms);
  void deliver();  // tells what is in out_
  bool told_everything() const;
  void completed(const Completion& completion);
  void tell(Call& call, const Completion& completion);
  std::shared_ptr<TermCell> cell_of(Term term);
  void hold_event(const HoldEvent& event);
  void term_deadline(const TermDeadline& deadline);
  void event(ClientEvent::Kind kind, const std::string& router, GroupId group, const std::string& message);
  void tell_refused(const Done& done, Error error);
  void fail_query(Query& query, Status status, const std::string& message);
  void flush(std::uint64_t now_ms);
  void send_heartbeat(const Heartbeat& heartbeat);
  void send_operations(std::uint64_t now_ms);
  void send_query(QueryId id, std::uint64_t now_ms);
  void frames_came(const std::vector<wire::Words>& frames);
  void frame_came(wire::Words words, std::uint64_t now_ms);
  void report_came(wire::ReportFor::Reader report);
  void link_up(const std::string& router);
  void link_down(const std::string& router, const std::string& why);
  void begin_close();
  void close_when_done();
  void finish_close();
  void refuse_rest();
  void refuse_closed(Command& command);

  Settings settings_;
  const std::shared_ptr<IoLoop> loop_;
  std::promise<void> closed_;
  const std::future<void> is_closed_ = closed_.get_future();
  std::atomic<bool> close_begun_ = false;

  std::mutex commands_mutex_;
  std::vector<Command> commands_;
  bool wake_posted_ = false;
  bool stopped_ = false;  // no more is taken

  mutable std::mutex link_mutex_;
  mutable std::condition_variable link_changed_;
  std::string router_;  // empty: none
  std::string why_not_connected_;

  // I/O thread only, from here on.
  std::shared_ptr<Engine> self_;  // from start() to finish_close(): the handlers' reference
  SessionCore core_;
  BoottimeTimer timer_;
  RouterLink link_;
  Output out_;
  Output delivering_;
  std::vector<Command> taken_;
  std::vector<Sequence> unsent_;
  std::optional<Heartbeat> unsent_heartbeat_;
  std::vector<QueryId> unsent_queries_;
  boost::unordered_flat_map<std::uint64_t, Waiting> waiting_;                // by sequence
  boost::unordered_flat_map<std::uint64_t, std::shared_ptr<Hold>> holds_;    // by hold
  boost::unordered_flat_map<std::uint64_t, std::weak_ptr<TermCell>> terms_;  // by term
  boost::unordered_flat_map<std::uint64_t, Query> queries_;
  bool in_turn_ = false;
  bool closing_ = false;
  bool bye_sent_ = false;
  std::uint64_t close_at_ms_ = 0;
  kj::Array<capnp::word> scratch_;  // first segment of outgoing messages, kept zeroed between uses
};

}  // namespace dlm::client
