// The client's session in each group: generations, the conservative local deadline of each, who has to be
// renewed; and the terms that holds live in, which hang on one session, or on several when holds moved. Pure.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "schema/types.h"

namespace dlm::client {

inline constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// When a lease that a group began no earlier than `sent_ms` may have ended, by a clock up to 2% faster than
// the group's: the last moment at which the holder may still trust it.
constexpr std::uint64_t local_deadline_ms(std::uint64_t sent_ms, std::uint32_t ttl_ms) {
  return sent_ms + ttl_ms - (std::uint64_t{ttl_ms} + 49) / 50;
}
// From then on a renewal is overdue.
constexpr std::uint64_t jeopardy_ms(std::uint64_t sent_ms, std::uint32_t ttl_ms) {
  return sent_ms + std::uint64_t{ttl_ms} * 2 / 3;
}

// What a hold's life hangs on: the stretch of a session from its opening to its end or its missed local
// deadline. A session that is confirmed after its deadline goes on as a new term: what was lost stays lost.
using Term = StrongInt<struct TermTag, std::uint64_t>;

// A name of a group and a generation, as in Hello and Heartbeat.
struct SessionInUse {
  GroupId group;
  std::uint32_t generation = 0;
  bool renew = false;
  bool operator==(const SessionInUse&) const = default;
};

struct GroupSession {
  GroupId group;
  std::uint32_t generation = 0;
  bool open = false;              // known to be open at the group
  std::uint32_t ttl_ms = 0;       // in force, as last told
  std::uint64_t sent_ms = 0;      // when the last confirmed request was sent
  std::uint64_t heard_ms = 0;     // when its confirmation came
  std::uint64_t deadline_ms = 0;  // of the session itself; 0: never confirmed
  std::uint64_t jeopardy_ms = 0;
  bool awaited = false;  // it is said that holds went there; the group itself has not confirmed anything yet
  Term term;             // of what is granted now; 0: not confirmed
  std::vector<GroupId> moved_to;  // to which holds of this session went, perhaps more of them each moment
};

// What holds of one term hang on. Which of its holds are at which of the groups is not known, so it lives
// while all of them confirm the client's sessions.
struct LiveTerm {
  // Stands in for a group that does not confirm: no hold of the term was there at `since_ms`. What went there
  // later had a full TTL from then on.
  struct Proof {
    GroupId group;
    std::uint64_t since_ms = 0;
    std::uint32_t ttl_ms = 0;
  };
  Term term;
  std::vector<GroupId> groups;   // where holds are known to have been
  std::vector<GroupId> reached;  // by moves from these, themselves included; sorted
  std::vector<Proof> proofs;
  bool in_jeopardy = false;
  std::uint64_t searched_ms = 0;  // when it was last asked where the holds are
};

class Sessions {
 public:
  // Sorted by group.
  const std::vector<GroupSession>& all() const { return groups_; }
  GroupSession& of(GroupId group);  // made when unknown
  const GroupSession* find(GroupId group) const;
  // In the order in which they began.
  const std::vector<LiveTerm>& terms() const { return terms_; }
  LiveTerm* find(Term term);
  const LiveTerm* find(Term term) const;
  // Those that hang on the group, proofs or no proofs.
  std::vector<Term> terms_on(GroupId group) const;

  // The deadline of the holds of a term; 0: it is over.
  std::uint64_t deadline_ms(Term term) const;
  std::uint64_t deadline_ms(const LiveTerm& term) const;
  std::uint64_t jeopardy_ms(const LiveTerm& term) const;
  // What one of its groups contributes to the deadline: what it confirmed, or the proof in its place.
  std::uint64_t deadline_ms(const LiveTerm& term, GroupId group) const;
  bool confirmed(GroupId group, std::uint64_t now_ms) const;

  // A request sent at `sent_ms` opened or renewed the session. One that was sent before the last confirmed
  // one changes nothing.
  void confirm(GroupSession& session, std::uint64_t sent_ms, std::uint32_t ttl_ms, std::uint64_t now_ms);
  // Holds of `from` live in these groups from now on (or still); true: some of them are to be asked for the
  // first time. Until such a group confirms the session itself, they live as long as they were sure to when
  // `from` had not named it: `deadline_before_ms`. Invalidates references to sessions.
  bool moved(GroupId from, const std::vector<GroupId>& to, std::uint64_t deadline_before_ms,
             std::uint64_t now_ms);
  // A hold that is known to have been at `group` at `since_ms` begins to live in the term.
  void entered(LiveTerm& term, GroupId group, std::uint64_t since_ms);
  // No hold of the term was at `group` at `since_ms`.
  void prove(LiveTerm& term, GroupId group, std::uint64_t since_ms);
  // Its holds were found in these groups, and nowhere else.
  void found_in(LiveTerm& term, std::vector<GroupId> groups);
  // The term is over; what comes next in its session is another one.
  void end_term(Term term);
  // The group ended the session: its next one has a new generation. (Terms that hang on it go on.)
  void end(GroupSession& session);
  // All sessions are given up, as under a new base.
  void clear();

  // For Hello and Heartbeat: all groups that are open or beyond their first generation.
  std::vector<SessionInUse> in_use() const;
  bool any_open() const;
  // The shortest TTL in force of open sessions, `otherwise` without one.
  std::uint32_t ttl_ms_min(std::uint32_t otherwise) const;

 private:
  std::uint64_t jeopardy_ms(const LiveTerm& term, GroupId group) const;
  const LiveTerm::Proof* proof_of(const LiveTerm& term, GroupId group) const;
  void begin_term(GroupSession& session, std::uint64_t now_ms);
  void reach(LiveTerm& term) const;

  std::vector<GroupSession> groups_;
  std::vector<LiveTerm> terms_;
  std::uint64_t last_term_ = 0;
};

}  // namespace dlm::client
