// What a worker writes down while it works, each line at once, so that it survives the worker's own death:
// every operation before it is sent and again when it returned.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "test/chaos/history/history_file.h"

namespace dlm::chaos {

// The clock of all histories: CLOCK_BOOTTIME, one for the whole machine, network namespaces included.
std::int64_t now_ns();

// Any thread.
class Journal {
 public:
  // Throws std::system_error.
  explicit Journal(const std::string& path);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Sets call_ns. The result names the operation for end().
  std::uint64_t begin(Record& record);
  // Sets return_ns.
  void end(std::uint64_t operation, Record& record);
  void claim(const Claim& claim);
  void group(const std::string& resource, const std::string& group);

 private:
  void write_line(const std::string& line);

  int fd_ = -1;
  std::atomic<std::uint64_t> last_{0};
};

// Adds what the journal of a process that is over tells. What it had begun and not ended is unknown, as of
// `over_ns`.
void read_journal(const std::string& path, std::int64_t over_ns, History& history);

}  // namespace dlm::chaos
