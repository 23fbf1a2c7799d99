// The bytes of a log batch: a stamp and a run of operations, compact, versioned, checked when read. The same
// bytes lie in the log, go to every backup, and later into the write-ahead log.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "schema/operation.h"

namespace dlm::server {

// Appends operations to a batch. The batch is `bytes()`; clear() begins the next.
class BatchWriter {
 public:
  BatchWriter();
  // REQUIRES: name, tag and client id are within schema/limits.h.
  void add(const Operation& op);
  // Sets the wall-clock stamp, for people; by default 0.
  void stamp(std::uint64_t unix_ms);
  std::size_t count() const { return count_; }
  std::size_t size_bytes() const { return bytes_.size(); }
  // The finished batch; the writer is empty afterwards.
  std::string take();

 private:
  void reset();

  std::string bytes_;
  std::size_t count_ = 0;
};

// Reads a batch; operations borrow their strings from `bytes`.
class BatchReader {
 public:
  explicit BatchReader(std::string_view bytes);
  // False when the bytes are not a batch of a known version, or an entry read so far was damaged. So a batch
  // is known to be whole only when next() has returned false and this is still true.
  bool ok() const { return ok_; }
  std::uint64_t stamp_unix_ms() const { return stamp_unix_ms_; }
  std::size_t count() const { return count_; }
  // The next operation; false at the end or (then !ok()) at damage.
  bool next(Operation& op);

 private:
  std::string_view rest_;
  std::size_t count_ = 0;
  std::size_t read_ = 0;
  std::uint64_t stamp_unix_ms_ = 0;
  bool ok_ = false;
};

// Whether every entry can be read.
bool is_sound_batch(std::string_view bytes);

}  // namespace dlm::server
