// The state of a lock table as bytes: what a snapshot carries and a fingerprint hashes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/core/lock_table_state.h"

namespace dlm::server {

// Appends numbers (LEB128) and byte strings.
class Encoder {
 public:
  explicit Encoder(std::string& out) : out_(out) {}
  void number(std::uint64_t value);
  void bytes(std::string_view value);

 private:
  std::string& out_;
};

// The reverse, for bytes that may be anything. After the first failure everything reads as zero and ok() is
// false.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}
  std::uint64_t number();
  // A number that is at most `max`.
  std::uint64_t number_up_to(std::uint64_t max);
  std::uint32_t number32() { return static_cast<std::uint32_t>(number_up_to(UINT32_MAX)); }
  std::string_view bytes(std::size_t size_max);
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  void fail() {
    ok_ = false;
    rest_ = {};
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// How owners are named: a snapshot has a list of them, which each record refers to by index; a fingerprint
// takes a hash of what they are, since indexes differ between replicas.
enum class OwnerForm { index, hash };

// Of a session, in one number. Nearly every session is both the one of its client and that of its base.
inline constexpr std::uint64_t kIsLiveOne = 1;
inline constexpr std::uint64_t kBaseIsOthers = 2;

void encode_owner(const LockState& state, std::uint32_t owner, std::string& out);
void encode_session(const LockState& state, std::uint32_t session, OwnerForm form, std::string& out);
// `renamed`: sessions that are to be named by another id than they have now.
using SessionIds = boost::unordered_flat_map<std::uint32_t, SessionId>;
void encode_lock(const LockState& state, std::uint32_t lock, OwnerForm form, const SessionIds& renamed,
                 std::string& out);
// The limits in force, the last token, the arcs, the expired tokens, arcs under way and those that came.
void encode_rest(const LockState& state, std::string& out);

// The reverse of encode_limits. False, and `limits` as they were, when the bytes are none.
bool decode_limits(std::string_view bytes, LockTableLimits& limits);

std::uint64_t hash_of_bytes(std::string_view bytes, std::uint64_t seed);
std::uint64_t fingerprint(const LockState& state);

}  // namespace dlm::server
