// The client's session in each group: generations, the conservative local deadline of each, and who has to be
// renewed. Pure.
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
  std::uint64_t deadline_ms = 0;  // 0: never confirmed, or passed
  std::uint64_t jeopardy_ms = 0;
  bool in_jeopardy = false;
  Term term;                      // of what is granted now; 0: not confirmed
  std::vector<GroupId> moved_to;  // holds of this group went there: they live while all of these do
};

class Sessions {
 public:
  // Sorted by group.
  const std::vector<GroupSession>& all() const { return groups_; }
  GroupSession& of(GroupId group);  // made when unknown
  const GroupSession* find(GroupId group) const;

  // The deadline of holds in this session, the groups that they moved to included. 0: not confirmed.
  std::uint64_t effective_deadline_ms(const GroupSession& session) const;
  std::uint64_t effective_jeopardy_ms(const GroupSession& session) const;
  bool confirmed(GroupId group, std::uint64_t now_ms) const;

  // A request sent at `sent_ms` opened or renewed the session. One that was sent before the last confirmed
  // one changes nothing.
  void confirm(GroupSession& session, std::uint64_t sent_ms, std::uint32_t ttl_ms, std::uint64_t now_ms);
  // Holds of `from` live in these groups from now on (or still). Until such a group confirms the session
  // itself, they live as long as they were sure to before: `deadline_before_ms`. Invalidates references to
  // sessions.
  void moved(GroupSession& from, const std::vector<GroupId>& to, std::uint64_t deadline_before_ms);
  // The term is over; what comes next is another one.
  void end_term(GroupSession& session);
  // The group ended the session: its next one has a new generation.
  void end(GroupSession& session);
  // All sessions are given up, as under a new base.
  void clear() { groups_.clear(); }

  // For Hello and Heartbeat: all groups that are open or beyond their first generation.
  std::vector<SessionInUse> in_use() const;
  bool any_open() const;
  // The shortest TTL in force of open sessions, `otherwise` without one.
  std::uint32_t ttl_ms_min(std::uint32_t otherwise) const;

 private:
  std::vector<GroupSession> groups_;
  std::uint64_t last_term_ = 0;
};

}  // namespace dlm::client
