// How fast something serves, measured by what it has served; and from that how long what waits will take, and
// when those that are turned away should come back. Pure; used by routers for groups and by primaries for
// their logs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dlm {

class ServiceRate {
 public:
  // So many operations, sent together, were done `took_ms` later. Few at a time tell nothing of what could be
  // done, and are ignored.
  void served(std::size_t operations, std::uint64_t took_ms);
  // How long so many operations take; 0 before anything has been measured.
  std::uint64_t time_of_ms(std::size_t operations) const;

  // One more is turned away while `waiting` operations are before it: after how long it should come back. Who
  // is turned away stands, as it were, in a line behind what waits, that moves as fast as it is served; so
  // they do not come back all at once, nor sooner than they can be served. In [kRetryMsMin, kRetryMsMax].
  std::uint32_t turn_away(std::size_t waiting, std::uint64_t now_ms);

  static constexpr std::uint32_t kRetryMsMin = 20;
  static constexpr std::uint32_t kRetryMsMax = 10'000;

 private:
  double per_ms_ = 0;       // operations; 0: not measured yet
  double turned_away_ = 0;  // those in the line, at `at_ms_`
  std::uint64_t at_ms_ = 0;
};

}  // namespace dlm
