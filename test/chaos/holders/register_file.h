// A small store beside the lock service: one number in a file, written by processes that may be frozen
// between reading it and writing it. With fencing it refuses whoever comes with a smaller token than one it
// has seen.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace dlm::chaos {

// Any number of processes. Throws std::system_error.
class RegisterFile {
 public:
  RegisterFile(std::string path, bool fenced) : path_(std::move(path)), fenced_(fenced) {}

  // Nothing: refused.
  std::optional<std::uint64_t> read(std::uint64_t token);
  // False: refused. A write that is accepted is counted as well.
  bool write(std::uint64_t token, std::uint64_t value);

  struct Content {
    std::uint64_t value = 0;
    std::uint64_t writes = 0;  // accepted
    std::uint64_t token = 0;   // the greatest seen
  };
  Content content() const;

  // Runs `action` while no process is in the middle of a read or write. A process that is frozen there would
  // keep the file from all others: whoever freezes processes does it in here.
  void between_accesses(const std::function<void()>& action) const;

 private:
  template <class Change>
  bool update(std::uint64_t token, Change change);

  const std::string path_;
  const bool fenced_;
};

}  // namespace dlm::chaos
