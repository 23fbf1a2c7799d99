#include "schema/types.h"

#include <charconv>

namespace dlm {

std::string_view to_string(Status status) {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::queued:
      return "queued";
    case Status::timed_out:
      return "timed out";
    case Status::cancelled:
      return "cancelled";
    case Status::not_held:
      return "not held";
    case Status::session_expired:
      return "session expired";
    case Status::session_unknown:
      return "session unknown";
    case Status::client_id_in_use:
      return "client id in use";
    case Status::would_deadlock:
      return "would deadlock";
    case Status::unavailable:
      return "unavailable";
    case Status::overloaded:
      return "overloaded";
    case Status::invalid_argument:
      return "invalid argument";
    case Status::permission_denied:
      return "permission denied";
    case Status::moved:
      return "moved";
    case Status::not_primary:
      return "not primary";
    case Status::stale:
      return "stale";
    case Status::over_quota:
      return "over quota";
  }
  return "unknown status";
}

std::string_view to_string(EndCause cause) {
  switch (cause) {
    case EndCause::none:
      return "";
    case EndCause::never:
      return "never held";
    case EndCause::released:
      return "released";
    case EndCause::expired:
      return "expired";
  }
  return "unknown cause";
}

std::string_view to_string(LockMode mode) {
  return mode == LockMode::exclusive ? "exclusive" : "shared";
}

std::string_view to_string(LeaseKind lease) {
  switch (lease) {
    case LeaseKind::session:
      return "session";
    case LeaseKind::detached:
      return "detached";
    case LeaseKind::capped:
      return "capped";
  }
  return "unknown lease";
}

std::string to_string(GroupId group) {
  return "g" + std::to_string(group.value);
}

GroupId parse_group(std::string_view text) {
  if (text.size() < 2 || text.front() != 'g' || text[1] == '0') return GroupId();
  std::uint32_t number = 0;
  const char* end = text.data() + text.size();
  auto [stopped, error] = std::from_chars(text.data() + 1, end, number);
  return error == std::errc() && stopped == end ? GroupId(number) : GroupId();
}

}  // namespace dlm
