// The decisions of a client: which operations are under way and must be sent again, how long a hold may be
// trusted, when a caller hears what. Pure: inputs and the time go in, data comes out; the shell
// (client/engine.h) owns socket, timer and callbacks, the simulator replaces it.
//
// Time is CLOCK_BOOTTIME in milliseconds, rounded down, and never goes back. Every input first ends what the
// time has ended, so a process that was stopped finds its holds lost before anything of its own goes out.
#pragma once

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/core/answer_window.h"
#include "client/core/deadline_queue.h"
#include "client/core/sessions.h"
#include "dlm/lock.h"
#include "schema/limits.h"
#include "schema/operation.h"

namespace dlm::client {

// A hold of this client, named by the sequence of the acquire that gave it.
using HoldId = StrongInt<struct HoldIdTag, std::uint64_t>;
using QueryId = StrongInt<struct QueryIdTag, std::uint64_t>;

struct CoreOptions {
  std::uint32_t ttl_ms = kSessionTtlMsDefault;
  std::uint32_t request_timeout_ms = 10'000;
  std::size_t operations_max = 262'144;  // under way; more: overloaded
};

// What a caller asks for: acquire, release or renew.
struct Request {
  OperationKind kind = OperationKind::acquire;
  LockMode mode = LockMode::exclusive;
  LeaseKind lease = LeaseKind::session;
  std::uint32_t wait_ms = 0;             // acquire
  std::uint32_t lease_ms = 0;            // acquire, renew
  std::uint32_t request_timeout_ms = 0;  // 0: the default
  bool handle = false;  // acquire: the grant becomes a hold of this client, watched until released or lost
  bool background = false;  // release: nobody waits for the answer
  HoldId hold;              // release, renew of such a hold; the fields below are the hold's own then
  FencingToken token;       // release, renew of another hold
  std::string resource;
  std::string owner_tag;
  std::string client_id;  // of detached holds: another owner's; empty: this client's own
};

// The end of an operation, for its caller: exactly one for each submit() that was not in the background.
struct Completion {
  Sequence sequence;
  Answer answer;  // status: never queued
  bool outcome_unknown = false;
  // Of an acquire with a handle that was granted:
  HoldId hold;
  Term term;                            // the session's term it lives in; 0: in none (detached)
  std::uint64_t lease_deadline_ms = 0;  // of its own lease; 0: none
  std::uint64_t lease_jeopardy_ms = 0;
};

struct QueuedNotice {
  Sequence sequence;
  std::uint32_t position = 0;
  GroupId group;
  HolderInfo holder;
};

// Something happened to a hold.
struct HoldEvent {
  enum class Kind : std::uint8_t { lost, jeopardy, token, lease };
  Kind kind = Kind::lost;
  HoldId hold;
  LostCause cause = LostCause::none;  // lost
  std::string message;                // lost
  FencingToken token;                 // token: an upgrade raised it
  std::uint64_t deadline_ms = 0;      // lease: its new local deadline, perhaps an earlier one
  std::uint64_t jeopardy_ms = 0;
};

// The local deadline of everything in a term, extended.
struct TermDeadline {
  Term term;
  std::uint64_t deadline_ms = 0;
  std::uint64_t jeopardy_ms = 0;
};

struct Heartbeat {
  std::uint64_t number = 0;
  std::vector<SessionInUse> groups;
};

struct SessionNotice {  // mirrors SessionEvent of schema/client.capnp
  enum class Kind : std::uint8_t { opened = 0, renewed = 1, ended = 2 };
  Kind kind = Kind::opened;
  GroupId group;
  std::uint32_t generation = 0;
  std::uint32_t ttl_ms = 0;
  std::uint64_t cause = 0;
  std::vector<GroupId> moved_to;
};

// What the inputs since the last clear() brought about. Completions, then the holds' and terms' changes come
// first: they are to be told before anything is sent. (A hold may be given and lost within one Output, never
// the other way round.)
struct Output {
  std::vector<HoldEvent> holds;
  std::vector<TermDeadline> terms;
  std::vector<GroupId> ended;  // groups that ended the session
  std::vector<Completion> completions;
  std::vector<QueuedNotice> queued;
  // To be sent in this order: heartbeat, operations (operation() gives each; skip what is gone), queries.
  std::optional<Heartbeat> heartbeat;
  std::vector<Sequence> send;
  std::vector<QueryId> send_queries;
  // Not empty: drop the connection, the router behind it is silent.
  std::string reconnect;

  void clear();
};

// Hello's part that is the core's to know.
struct HelloData {
  std::uint64_t session_base = 0;
  std::uint32_t ttl_ms = 0;
  std::vector<SessionInUse> groups;
};

class SessionCore {
 public:
  SessionCore(const CoreOptions& options, std::uint64_t session_base);

  // Callers. The result names the operation; its Completion may be in `out` already.
  Sequence submit(const Request& request, std::uint64_t now_ms, Output& out);
  // The caller no longer wants this acquire. It completes as cancelled when that is certain, at the latest
  // after a second; a grant that crosses is given back. Without effect on what has completed.
  void cancel(Sequence acquire, std::uint64_t now_ms, Output& out);
  // The hold is left to its session or lease: neither watched nor given back.
  void forget(HoldId hold) { remove_hold(hold); }
  // A read. Sent again after a reconnect; with `once`, a question that is more than a read, never: it is late
  // as soon as the connection that it was sent on is lost.
  QueryId query(std::uint32_t timeout_ms, std::uint64_t now_ms, Output& out, bool once = false);
  // Its report came, or nobody wants it any longer. False: it was not awaited.
  bool end_query(QueryId id);
  // Queries that have had no report in time, since the last call. Their timeouts are part of next_wake_ms().
  std::vector<QueryId> take_late_queries();

  // Time alone.
  void advance(std::uint64_t now_ms, Output& out);
  // A reader of a term's deadline has found it passed and told so: it can no longer be extended.
  void end_term(Term term, std::uint64_t now_ms, Output& out);
  // The same for a hold's own lease.
  void end_lease(HoldId hold, std::uint64_t now_ms, Output& out);

  // The connection. `fresh_base` replaces the session base after a time without contact in which the groups
  // may have forgotten its sessions.
  HelloData hello(std::uint64_t fresh_base, std::uint64_t now_ms, Output& out);
  void connected(std::uint64_t now_ms, Output& out);
  void disconnected(const std::string& why, std::uint64_t now_ms, Output& out);
  // Every router refuses this client, for a reason that waiting does not mend: callers of what was never sent
  // are told.
  void refused(Status status, const std::string& message, std::uint64_t now_ms, Output& out);
  // Anything came from the router.
  void heard(std::uint64_t now_ms);
  void session_notice(const SessionNotice& notice, std::uint64_t now_ms, Output& out);
  void answer(const Answer& answer, std::uint64_t now_ms, Output& out);

  // The client closes: everything held is given back in the background, all callers are told, nothing is
  // retried for them. Operations in the background go on until the shell stops.
  void close(std::uint64_t now_ms, Output& out);

  // advance() has nothing to do before; kNever: not by itself.
  std::uint64_t next_wake_ms() const { return idle_until_ms_ != 0 ? idle_until_ms_ : next_due_ms(); }
  // An operation of Output::send, with what is left of its deadline; the strings are valid until the next
  // input.
  std::optional<Operation> operation(Sequence sequence, std::uint64_t now_ms) const;
  Sequence acked_below() const { return window_.acked_below(); }
  // Operations without a final answer, those in the background included, waits that are queued too.
  std::size_t operations_under_way() const { return operations_.size(); }
  std::size_t holds() const { return holds_.size(); }
  const Sessions& sessions() const { return sessions_; }
  bool is_connected() const { return connected_; }

 private:
  enum class Stage : std::uint8_t {
    pending,    // no answer yet
    queued,     // acquire: in line at its group
    granted,    // acquire: granted, but no deadline is known yet that covers it
    withdrawn,  // acquire: nobody wants it any longer; a cancel is under way
  };

  struct Pending {  // an operation that may have to be sent again
    OwnedOperation owned;
    OperationKind kind = OperationKind::acquire;
    LeaseKind lease = LeaseKind::session;
    Sequence sequence;
    Sequence name;  // by which its caller knows it: its first sequence
    Stage stage = Stage::pending;
    bool caller = false;  // somebody waits for the Completion
    bool handle = false;
    bool cancelling = false;  // the caller has asked for the end
    bool doubtful = false;    // sent in a session that has ended since: never send again
    bool unanswered = false;  // sent on this connection, nothing came for it yet
    bool again = false;       // in the background: asked anew, as the session that it was sent in has ended
    bool search = false;      // renewal: asks where `hold` is, and gives it no lease
    bool doubted = false;   // a connection was lost on which it was unanswered: a refusal does not tell that
                            // nothing was done
    bool renumber = false;  // its sequence was refused and is through: it is sent again under another
    std::uint32_t refusals = 0;       // as overloaded, in a row
    std::optional<Answer> overload;   // the last of them
    std::uint64_t wait_until_ms = 0;  // acquire that waits: until when; kNever: for ever
    std::uint32_t timeout_ms = 0;
    std::uint32_t wait_ms = 0;
    std::uint64_t submitted_ms = 0;
    std::uint64_t first_sent_ms = 0;   // 0: never sent
    std::uint64_t queued_ms = 0;       // when "queued" was heard first
    std::uint64_t in_line_ms = 0;      // when it was heard last
    std::uint64_t give_up_at_ms = 0;   // cancelling, doubtful: the latest moment; 0: none
    std::uint64_t retry_at_ms = 0;     // in the background, after "unavailable"
    std::uint64_t armed_ms = 0;        // its entry in the queue of deadlines; 0: none
    GroupId group;                     // 0: not known yet
    Sequence helper;                   // acquire: the cancel or renewal made on its behalf
    Sequence subject;                  // cancel, renewal: the acquire it is for
    HoldId hold;                       // renew: whose lease
    std::optional<HolderInfo> holder;  // queued: who holds it
    std::optional<Answer> grant;       // granted
    // granted, and found at its group by a renewal sent then; a lease of its own runs since then, at least.
    // 0: not known
    std::uint64_t lease_sent_ms = 0;
  };

  struct HoldRecord {
    std::string resource;
    std::string owner_tag;
    FencingToken token;
    GroupId group;  // where it was at `seen_ms`, or later
    std::uint64_t seen_ms = 0;
    Sequence search;  // asks where it is
    LeaseKind lease = LeaseKind::session;
    std::uint32_t lease_ms = 0;
    Term term;
    std::uint64_t deadline_ms = 0;  // of its own lease; 0: none
    std::uint64_t jeopardy_ms = 0;
    std::uint64_t confirmed_deadline_ms = 0;  // what the last answer gave
    std::uint64_t confirmed_jeopardy_ms = 0;
    Sequence lease_request;  // the latest operation that asked for a lease: earlier ones no longer extend it
    bool in_jeopardy = false;
    HoldId sibling;  // another hold of the same owner, older; see siblings_
  };

  struct PendingQuery {
    std::uint64_t give_up_at_ms = 0;
    bool once = false;
    bool sent = false;
  };

  // session_core.cc: callers, operations; session_core_contact.cc: time, connection
  Pending& make(OperationKind kind, const Operation& view, std::uint64_t now_ms);
  void send(Pending& op, std::uint64_t now_ms, Output& out);
  void beat(std::uint64_t now_ms, Output& out);
  std::uint64_t heartbeat_interval_ms() const;
  std::uint64_t next_heartbeat_ms() const;
  std::uint64_t silence_ms_max() const;
  void expect_answer(std::uint64_t now_ms);
  bool awaits_anything() const { return unanswered_ > 0 || heartbeat_unanswered_; }
  void arm(Pending& op);
  std::uint64_t due_ms(const Pending& op) const;
  std::uint64_t next_due_ms() const;
  // Something is due at `at_ms`, perhaps sooner than anything else.
  void wake_by(std::uint64_t at_ms) { idle_until_ms_ = std::min(idle_until_ms_, at_ms); }
  // A session, a term or the connection changed: what is due next is to be found out anew.
  void look_again() { idle_until_ms_ = 0; }
  void due(Pending& op, std::uint64_t now_ms, Output& out);
  void give_up(Pending& op, Output& out, std::uint64_t now_ms);
  void expire_leases(std::uint64_t now_ms, Output& out);
  void abandon_base(std::uint64_t fresh_base, std::uint64_t now_ms, Output& out);
  Sequence submit_release(const Request& request, std::uint64_t now_ms, Output& out);
  Sequence submit_renew(const Request& request, std::uint64_t now_ms, Output& out);
  Sequence refuse(Status status, EndCause cause, const char* message, Output& out);
  std::vector<Sequence> sequences_sorted() const;

  // session_core_answers.cc: what answers and the ends of sessions do
  void acquire_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out);
  bool of_ended_session(const Answer& answer) const;
  void granted(Pending& op, std::uint64_t now_ms, Output& out);
  void cancel_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out);
  void release_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out);
  void renew_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out);
  void renewed_for_grant(Pending& renewal, const Answer& answer, std::uint64_t now_ms, Output& out);
  bool retry_later(Pending& op, const Answer& answer, std::uint64_t now_ms);
  void withdraw(Pending& acquire, std::uint64_t now_ms, Output& out);
  Pending& send_cancel(Pending& acquire, std::uint64_t now_ms, Output& out);
  void cancel_unless_under_way(Pending& acquire, std::uint64_t now_ms, Output& out);
  Pending& give_back(const Operation& acquired, FencingToken token, GroupId group, std::uint64_t now_ms,
                     Output& out);
  void complete(Pending& op, Answer answer, bool outcome_unknown, Output& out);
  void complete_error(Pending& op, Status status, const std::string& message, bool outcome_unknown,
                      Output& out);
  void mark_answered(Pending& op);
  void finish(Sequence sequence);
  void session_refused(const Answer& answer, std::uint64_t now_ms, Output& out);
  void settle_grants(std::uint64_t now_ms, Output& out);

  // session_core_overload.cc: what was refused as overloaded
  std::uint64_t pause_ms(std::uint32_t refusals, std::uint32_t retry_after_ms);
  bool ask_again_later(Pending& op, const Answer& answer, std::uint64_t now_ms);
  std::uint64_t overload_end_ms(const Pending& op) const;
  static bool is_put_off(const Pending& op) {
    return op.overload && op.retry_at_ms != 0 && op.stage == Stage::pending && op.caller;
  }
  void begin_again(Pending& op, std::uint64_t now_ms);
  void is_through(Pending& op);
  void renumber(Pending& op);
  void give_up_refused(Pending& op, std::uint64_t now_ms, Output& out);

  // session_core_terms.cc: what holds live by, and what becomes of it when they move
  void expire_terms(std::uint64_t now_ms, Output& out);
  void renewed(GroupSession& session, const SessionNotice& notice, std::uint64_t now_ms, Output& out);
  void confirmed(GroupId group, Output& out);
  void tell(const LiveTerm& live, Output& out);
  // `elsewhere`: what was in the session may be in another group by now, to be given back there.
  void end_session(GroupSession& session, const std::string& message, bool may_have_moved,
                   std::uint64_t now_ms, Output& out);
  std::vector<Term> terms_lost_with(const GroupSession& session, std::uint64_t now_ms);
  void end_operation(Pending& op, const std::string& message, bool elsewhere, std::uint64_t now_ms,
                     Output& out);
  void renew_there(GroupId group, std::uint64_t now_ms, Output& out);
  bool place_unsure(const Pending& op, Term term, std::uint64_t now_ms) const;
  // Where the holds of a term are, once a group on which it hangs falls silent.
  void search_where_due(std::uint64_t now_ms, Output& out);
  std::uint64_t search_due_ms(const LiveTerm& live) const;
  void search(Term term, std::uint64_t now_ms, Output& out);
  void search_answered(Pending& op, const Answer& answer, std::uint64_t now_ms, Output& out);
  bool confirms(GroupId group, std::uint64_t now_ms) const;
  void settle_search(Term term, std::uint64_t now_ms, Output& out);

  // session_core_holds.cc: the holds
  void add_hold(const Pending& op, const Answer& answer, Term term, Completion& completion, Output& out);
  void remove_hold(HoldId id);
  void lose(HoldId id, LostCause cause, const std::string& message, bool give_it_back, std::uint64_t now_ms,
            Output& out);
  void lose_term(Term term, LostCause cause, const std::string& message, bool give_them_back,
                 std::uint64_t now_ms, Output& out);
  // Operation `request`, sent first at `sent_ms`, gave the owner's holds this lease.
  void confirm_leases(const HoldRecord& of, Sequence request, std::uint64_t sent_ms, std::uint32_t ttl_ms,
                      Output& out);
  // It was refused and changed nothing.
  void restore_leases(HoldId of, Sequence request, Output& out);
  void set_lease(HoldId id, HoldRecord& hold, std::uint64_t deadline_ms, std::uint64_t jeopardy_at_ms,
                 Output& out);
  // Before a lease that may be shorter than what is left is asked for: nobody relies on more from now on.
  void shorten_leases(const Operation& asked, std::uint64_t now_ms, Output& out);
  std::vector<HoldId> siblings(std::string_view resource, std::string_view owner_tag) const;
  std::vector<HoldId> holds_of(Term term) const;

  CoreOptions options_;
  std::uint64_t base_;
  std::uint64_t random_;  // xorshift64; seeded by the base, which is random
  Sessions sessions_;
  AnswerWindow window_;
  boost::unordered_flat_map<std::uint64_t, std::unique_ptr<Pending>> operations_;  // by sequence
  boost::unordered_flat_map<std::uint64_t, Sequence> renumbered_;                  // by name
  std::vector<std::unique_ptr<Pending>> spare_;  // recycled, strings and all
  DeadlineQueue deadlines_;                      // of operations, by sequence
  boost::unordered_flat_map<std::uint64_t, HoldRecord> holds_;
  boost::unordered_flat_map<std::uint64_t, HoldId>
      siblings_;                                           // hash of the owner and resource: its newest hold
  DeadlineQueue leases_;                                   // of holds with a lease of their own
  std::vector<std::pair<QueryId, PendingQuery>> queries_;  // in order
  std::vector<QueryId> late_queries_;
  std::uint64_t last_query_ = 0;

  // Nothing is due before; 0: not known. Found out by advance(), so that most inputs need not look at
  // everything that time may end.
  std::uint64_t idle_until_ms_ = 0;
  bool connected_ = false;
  bool closed_ = false;
  std::string unreachable_why_ = "not connected yet";
  std::uint64_t disconnected_ms_ = 0;
  std::uint64_t contact_ms_ = 0;    // when anything was heard last
  std::uint64_t expecting_ms_ = 0;  // since when something was due while nothing was heard
  std::size_t unanswered_ = 0;      // operations sent on this connection for which nothing came
  std::size_t ungranted_ = 0;       // operations in stage granted
  bool heartbeat_unanswered_ = false;
  std::uint64_t heartbeat_number_ = 0;
  std::uint64_t heartbeat_ms_ = 0;                                   // when the last was sent
  std::vector<std::pair<std::uint64_t, std::uint64_t>> heartbeats_;  // number, sent at; the last few
};

}  // namespace dlm::client
