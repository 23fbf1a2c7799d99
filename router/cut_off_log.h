// The log lines of connections that are cut off: one each, as long as these are few. A crowd of strangers
// must not fill the log, so what is beyond that is counted. Used on one thread.
#pragma once

#include <cstdint>
#include <string>

namespace dlm::router {

class CutOffLog {
 public:
  void add(const std::string& peer, const std::string& why);
  // How many more there were, if any; to be called from time to time.
  void tell_rest();

 private:
  std::uint64_t second_ = 0;
  unsigned lines_ = 0;  // in that second
  std::uint64_t untold_ = 0;
};

}  // namespace dlm::router
