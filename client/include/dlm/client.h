// The entrance to the lock service: a client, its options, and its calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "dlm/lock.h"
#include "dlm/result.h"
#include "schema/limits.h"
#include "schema/report.h"
#include "schema/types.h"

namespace dlm {

struct ClientEvent {
  enum class Kind : std::uint8_t {
    connected,      // to `router`, for the first time or again (also another router)
    disconnected,   // from `router`, or an attempt failed; `message` says why. The client goes on trying
    session_ended,  // `group` ended the session: what was held and waited for there is lost
  };
  Kind kind = Kind::connected;
  std::string router;  // host:port
  GroupId group;       // session_ended
  std::string message;
};

namespace client {
class Engine;
class IoLoop;
}  // namespace client

// A thread that does the work of clients: connections, timers, callbacks. Copies stand for the same thread;
// it ends when the last of them and the last client on it are gone.
class IoThread {
 public:
  // With `busy_poll` it waits awake for so long before it sleeps, unless others want its processor or waits
  // have turned out to be longer: answers come sooner, and cost processor time.
  // Throws std::system_error when no thread can be started.
  explicit IoThread(std::chrono::microseconds busy_poll = {});

 private:
  friend class client::Engine;
  std::shared_ptr<client::IoLoop> loop_;
};

struct ClientOptions {
  // "host:port" each. Empty: environment variable DLM_ROUTERS ("a:7700,b:7700"), else 127.0.0.1:7700 to
  // :7703.
  std::vector<std::string> routers;
  // At most kClientIdBytesMax bytes. One live client per id. Empty: 128 random bits in hex.
  std::string client_id;
  // How long holds and waits outlive the last sign of life. The servers' limits apply (kLeaseMsMinDefault…).
  std::chrono::milliseconds session_ttl{kSessionTtlMsDefault};
  // How long routers or a group may be unreachable before an operation says unavailable.
  std::chrono::milliseconds request_timeout{10'000};
  // Where the client lives; none: on a thread of its own. Many clients in a process are better off on a few
  // threads that they share: what comes for all of them is handled in one go. The callbacks of all of them
  // come on it, so that none may block.
  std::optional<IoThread> io_thread;
  // Called on the client's I/O thread; must not block and must not throw.
  std::function<void(const ClientEvent&)> on_event;
};

// The answer to a request that has to wait.
struct QueuedInfo {
  std::uint32_t position = 0;  // requests before this one
  Holder holder;               // who holds it (or the first of them)
  GroupId group;
};

struct AcquireOptions {
  // Not an aggregate: g++ 12 copies the bits of braced temporaries of aggregates within a co_await
  // expression, and so would destroy them twice in `co_await async_acquire(client, name, {}, use_awaitable)`.
  AcquireOptions() {}  // NOLINT(modernize-use-equals-default)

  LockMode mode = LockMode::exclusive;
  // How long to wait when it is held by others: 0 not at all, nullopt for ever. Counted by the group, from
  // when it got the request. Whole milliseconds, below 2^32 - 1.
  std::optional<std::chrono::milliseconds> wait;
  // What keeps the hold alive; `lease` is for capped and detached holds and required there. Those are not
  // renewed by themselves.
  LeaseKind lease_kind = LeaseKind::session;
  std::chrono::milliseconds lease{0};
  // Part of the owner: acquisitions with the same client and tag are reentrant, also across threads. At most
  // kOwnerTagBytesMax bytes.
  std::string owner_tag;
  // acquire_detached only: the client id of the hold's owner; empty: this client's own. With another one the
  // hold is no business of this client's session, so any number of processes may act for one owner.
  std::string owner_client_id;
  // Instead of the client's.
  std::optional<std::chrono::milliseconds> request_timeout;
  // Ends the wait: `cancelled`, once the group has confirmed it (or after a second without a word; a late
  // grant is then given back by itself).
  std::stop_token stop;
  // Called on the client's I/O thread when the request is queued, perhaps again after a failover. Must not
  // block nor throw.
  std::function<void(const QueuedInfo&)> on_queued;
};

// A hold that belongs to no session: whoever knows this may renew and release it, from any process.
struct DetachedHold {
  std::string resource;
  std::string client_id;
  std::string owner_tag;
  FencingToken token;
  std::uint32_t count = 0;             // acquire, renew: acquisitions
  std::chrono::milliseconds lease{0};  // in force
  GroupId group;
};

struct ListOptions {
  std::string prefix;
  GroupId group;             // whose locks
  std::uint64_t cursor = 0;  // 0 to begin, else LockPage::next_cursor
  std::uint32_t limit = 1000;
};

// A client: one id, one session in each group it uses, one connection to one router at a time, on one
// I/O thread. All members are thread-safe; operations of all threads leave together. Any number of operations
// may be under way.
//
// Errors common to all operations: unavailable (no router, or not the group, in request_timeout; `message`
// says which and why), overloaded (an acquire that waits asks again by itself until its wait is over; for one
// that does not, `retry_after` tells when that is worth while), over_quota (the message names the limit),
// invalid_argument (limits; a blocking call from a callback of the library), client_id_in_use,
// permission_denied, session_expired (the outcome of an operation is unknown then when outcome_unknown says
// so).
class Client {
 public:
  // Connects in the background; see wait_connected(). Throws LockError (invalid_argument) when the options
  // are outside their limits, std::system_error when no thread can be started.
  explicit Client(ClientOptions options = {});
  // Gives back what is still held (those Locks become LOST), says good-bye; at most a second. Operations
  // under way end as unavailable. Not from a callback of the library.
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  // Begins with what the destructor does and does not wait for it. Who ends many clients begins with all of
  // them, so that they take a second together.
  void start_close();

  const std::string& client_id() const noexcept;
  // host:port of the router in use; empty: none at the moment.
  std::string router() const;
  // Waits for a connection. unavailable: none in time, with each router's reason.
  Result<void> wait_connected(std::chrono::milliseconds timeout);

  // Acquires the lock, waiting in line. Errors besides the common ones: timed_out (who holds it), cancelled,
  // would_deadlock (an upgrade while others hold it shared too), not_held/expired (its lease ended before the
  // grant came).
  Result<Lock> acquire(std::string_view resource, AcquireOptions options = {});
  // acquire with wait 0: timed_out at once when others hold it or wait for it.
  Result<Lock> try_acquire(std::string_view resource, AcquireOptions options = {});

  // Acquires a hold that outlives this client. options.lease is required, lease_kind ignored.
  Result<DetachedHold> acquire_detached(std::string_view resource, AcquireOptions options);
  // Uses resource, client_id (empty: own), owner_tag and token; ditto below. Errors: not_held with its cause.
  Result<ReleaseInfo> release_detached(const DetachedHold& hold);
  // Restarts the lease, with a new length; 0: with the one it has.
  Result<DetachedHold> renew_detached(const DetachedHold& hold, std::chrono::milliseconds lease);

  // Reads; answered by the group after a barrier, never stale.
  Result<LockReport> inspect(std::string_view resource);
  Result<LockPage> list_page(const ListOptions& options);
  // Walks all groups page by page; `each` gets every held lock once (locks that come, go or move to another
  // group meanwhile: perhaps, those that move also twice). It returns false to end the walk.
  Result<void> list(std::string_view prefix, const std::function<bool(const LockReport&)>& each);
  Result<ClusterReport> status();
  // For operators. Has the group's primary give its place to an in-sync backup, without a noticeable pause;
  // gives its state then, with the new primary. unavailable: it was not done, or it is not known whether.
  Result<GroupReport> step_down(GroupId group);
  // The ring: who owns how much of it, and what moves now. A group that can't be asked has its `problem` set.
  Result<RingReport> ring();
  // Where a name is. Nothing need be held under it.
  Result<PlaceReport> locate(std::string_view resource);
  // For operators. Changes the ring, or how a change of it goes on; gives the ring as it is from then on,
  // while the locks move in their own time: see ring(). With dry_run, as it would be. The change is made at
  // most once and never tried again behind the caller's back, against the version of the ring that it expects
  // (0: read first, by this call). Errors: invalid_argument and what else the router refuses, `message`
  // saying what to do, nothing was done; unavailable: when outcome_unknown says so it may have been done all
  // the same: ring() tells.
  Result<RingReport> change_ring(const RingChange& change);
  // For operators, where the in-sync members of a group are gone for ever. With `expected_version` 0 it only
  // tells what is known of the group. With the version that this told, it has the group begin anew: every
  // lock of it is FORGOTTEN, held or waited for, and nothing is granted for the time that the report tells.
  // REQUIRES: no process of the lost members runs any more, cut off or not. At most once, like change_ring;
  // errors likewise: invalid_argument, nothing was done (a member in sync lives; the record has another
  // version by now); unavailable with outcome_unknown: look again, another version says that it was done.
  Result<RecoveryReport> recover_group(GroupId group, std::uint64_t expected_version = 0);

  // The same without blocking, for async.h and event loops: `done` is called once, on the client's I/O
  // thread, never within the call. It must not block and must not throw.
  template <class T>
  using Done = std::function<void(Result<T>)>;
  void start_acquire(std::string_view resource, AcquireOptions options, Done<Lock> done);
  void start_acquire_detached(std::string_view resource, AcquireOptions options, Done<DetachedHold> done);
  void start_release_detached(const DetachedHold& hold, Done<ReleaseInfo> done);
  void start_renew_detached(const DetachedHold& hold, std::chrono::milliseconds lease,
                            Done<DetachedHold> done);
  void start_inspect(std::string_view resource, Done<LockReport> done);
  void start_list_page(const ListOptions& options, Done<LockPage> done);
  void start_status(Done<ClusterReport> done);
  void start_step_down(GroupId group, Done<GroupReport> done);
  void start_ring(Done<RingReport> done);
  void start_locate(std::string_view resource, Done<PlaceReport> done);
  void start_change_ring(const RingChange& change, Done<RingReport> done);
  void start_recover_group(GroupId group, std::uint64_t expected_version, Done<RecoveryReport> done);

 private:
  std::shared_ptr<client::Engine> engine_;
};

}  // namespace dlm
