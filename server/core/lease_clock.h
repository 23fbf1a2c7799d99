// The deadlines of sessions, holds, waits and tombstones, on the primary only. Pure: the time is passed in.
// What ends becomes an "expire" operation for the log like any other; nothing ends here by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "schema/operation.h"
#include "server/core/lock_table.h"

namespace dlm::server {

using TimeMs = std::uint64_t;  // monotonic, of the process that passes it in

class LeaseClock {
 public:
  LeaseClock();
  ~LeaseClock();

  // Follows the table: starts, restarts and drops deadlines.
  void on(const TimerEvent& event, TimeMs now);
  // Restarts a deadline at its full length. False when there is none such.
  bool renew_session(SessionId session, TimeMs now);
  bool renew_hold(FencingToken token, std::string_view resource, TimeMs now);

  // What has ended by `now`, at most `max` of it, as operations to be logged. Each is told once; if the
  // operation then finds its subject renewed or gone it changes nothing, so a renewal must come before this
  // call. Strings are owned by the results.
  void expired(TimeMs now, std::size_t max, std::vector<OwnedOperation>& out);
  // When to call expired() next; UINT64_MAX: nothing runs.
  TimeMs next_deadline() const;

  // Time left, for reports; 0 when unknown or past.
  std::uint32_t session_left_ms(SessionId session, TimeMs now) const;
  std::uint32_t hold_left_ms(FencingToken token, std::string_view resource, TimeMs now) const;
  std::uint32_t wait_left_ms(SessionId session, Sequence sequence, TimeMs now) const;

  void clear();
  std::size_t size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dlm::server
