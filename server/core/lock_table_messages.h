// Why the lock table refuses something, as a code that is cheap to remember, and as a sentence for people.
#pragma once

#include <cstdint>
#include <string>

namespace dlm::server {

struct LockTableLimits;

// Part of snapshots: values stay, new ones go to the end.
enum class Reason : std::uint8_t {
  none = 0,
  kind_unknown,
  mode_unknown,
  lease_kind_unknown,
  sequence_missing,
  session_missing,
  resource_too_long,   // number: its bytes
  owner_tag_too_long,  // number: its bytes
  client_id_too_long,  // number: its bytes
  client_id_missing,
  ttl_too_short,    // number: the TTL asked for, ms
  ttl_too_long,     // number: the TTL asked for, ms
  lease_too_short,  // number: the lease asked for, ms
  lease_too_long,   // number: the lease asked for, ms
  lease_of_session_hold,
  client_id_not_detached,
  other_lease_kind,  // number: the LeaseKind of the hold
  cancel_target,
  count_full,
  answers_full,
  waiters_full,
  client_id_in_use,  // number: TTL of the session that has it, ms
  session_id_in_use,
  upgrade_among_readers,
  never_held,
  token_not_given,
  token_of_other,
  token_released,
  token_expired,
  hold_not_detached,
  session_closed,
  session_ended,
  session_not_known,
  holds_full,
  sessions_full,
  last = sessions_full,
};

// One sentence, saying what to do; empty for `none`.
std::string text_of(Reason reason, std::uint32_t number, const LockTableLimits& limits);

}  // namespace dlm::server
