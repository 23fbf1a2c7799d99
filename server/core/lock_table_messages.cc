#include "server/core/lock_table_messages.h"

#include <string_view>

#include "schema/limits.h"
#include "schema/text.h"
#include "schema/types.h"
#include "server/core/lock_table.h"

namespace dlm::server {
namespace {

std::string too_long(std::string_view what, std::uint32_t bytes, std::size_t bytes_max) {
  return std::string(what) + " of " + std::to_string(bytes) + " bytes is above the maximum of " +
         std::to_string(bytes_max) + " bytes";
}

std::string duration_below(std::string_view what, std::uint32_t ms, std::uint32_t ms_min) {
  return std::string(what) + " " + format_duration_ms(ms) + " is below the minimum " +
         format_duration_ms(ms_min);
}

std::string duration_above(std::string_view what, std::uint32_t ms, std::uint32_t ms_max) {
  return std::string(what) + " " + format_duration_ms(ms) + " is above the maximum " +
         format_duration_ms(ms_max);
}

// The sentences without a number in them.
std::string_view fixed_text_of(Reason reason) {
  switch (reason) {
    case Reason::kind_unknown:
      return "this kind of operation is not known here";
    case Reason::mode_unknown:
      return "this lock mode is not known; use exclusive or shared";
    case Reason::lease_kind_unknown:
      return "this kind of lease is not known; use session, detached or capped";
    case Reason::sequence_missing:
      return "operations are numbered from 1; this one has no number";
    case Reason::session_missing:
      return "a session's id is not 0";
    case Reason::client_id_missing:
      return "a client id has at least 1 byte";
    case Reason::lease_of_session_hold:
      return "a hold that lives by its session has no lease of its own; use a detached or a capped one";
    case Reason::client_id_not_detached:
      return "only a detached hold can be taken for another client id";
    case Reason::cancel_target:
      return "a cancel names an acquire that was sent before it";
    case Reason::count_full:
      return "this hold can't be acquired more often; release it first";
    case Reason::session_id_in_use:
      return "another client has a session with this id; open one with a new id";
    case Reason::upgrade_among_readers:
      return "other owners hold it shared too, so waiting for exclusive could be for ever; release it and "
             "acquire "
             "it exclusive";
    case Reason::never_held:
      return "this owner does not hold it";
    case Reason::token_not_given:
      return "this token was never given";
    case Reason::token_of_other:
      return "this token is that of another owner's hold";
    case Reason::token_released:
      return "the hold of this token was released";
    case Reason::token_expired:
      return "the hold of this token expired: its lease or its session ended";
    case Reason::hold_not_detached:
      return "this hold lives by the session of its client, which alone can reach it; only a detached hold "
             "can be "
             "reached by client id";
    case Reason::session_closed:
      return "the client closed this session; open a new one";
    case Reason::session_ended:
      return "this session ended, and its holds and waits with it; open a new one";
    case Reason::session_not_known:
      return "this session is not known here; open it first";
    default:
      return {};
  }
}

}  // namespace

std::string text_of(Reason reason, std::uint32_t number, const LockTableLimits& limits) {
  switch (reason) {
    case Reason::resource_too_long:
      return too_long("resource name", number, kResourceBytesMax);
    case Reason::owner_tag_too_long:
      return too_long("owner tag", number, kOwnerTagBytesMax);
    case Reason::client_id_too_long:
      return too_long("client id", number, kClientIdBytesMax);
    case Reason::ttl_too_short:
      return duration_below("session TTL", number, limits.lease_ms_min);
    case Reason::ttl_too_long:
      return duration_above("session TTL", number, limits.lease_ms_max);
    case Reason::lease_too_short:
      return duration_below("lease", number, limits.lease_ms_min);
    case Reason::lease_too_long:
      return duration_above("lease", number, limits.lease_ms_max);
    case Reason::other_lease_kind:
      return "this owner holds it with lease kind " + std::string(to_string(static_cast<LeaseKind>(number))) +
             "; acquire it again with the same, or release it first";
    case Reason::answers_full:
      return "more than " + std::to_string(limits.answers_per_session_max) +
             " answers of this session are unacknowledged; wait for answers before sending more";
    case Reason::waiters_full:
      return "this client has its limit of " + std::to_string(limits.waits_per_client_max) +
             " requests that wait in this group (--waits-per-client-max of the servers)";
    case Reason::holds_full:
      return "this client has its limit of " + std::to_string(limits.holds_per_client_max) +
             " locks in this group, held or waited for (--holds-per-client-max of the servers)";
    case Reason::sessions_full:
      return "this group has its limit of " + std::to_string(limits.sessions_max) +
             " sessions (--sessions-max of the servers)";
    case Reason::client_id_in_use:
      return "another live session has this client id; use another id, close that session, or wait until it "
             "ends (its "
             "TTL is " +
             format_duration_ms(number) + ")";
    default:
      return std::string(fixed_text_of(reason));
  }
}

}  // namespace dlm::server
