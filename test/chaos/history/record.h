// One operation of a client as the history tells it: a line of JSON with the fields that outside checkers
// read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "schema/types.h"

namespace dlm::chaos {

enum class Op : std::uint8_t { acquire, release, renew, query };

enum class Outcome : std::uint8_t {
  granted,
  released,
  renewed,
  held,      // query: somebody holds it
  free,      // query: nobody does
  timeout,   // acquire: not granted, nor will it be
  not_held,  // release, renew: no such hold
  expired,   // release, renew: its lease or session had ended
  failed,    // nothing happened, nor will it
  unknown,   // no answer that says what happened
};

std::string_view to_string(Op);
std::string_view to_string(Outcome);
std::optional<Op> parse_op(std::string_view);
std::optional<Outcome> parse_outcome(std::string_view);

// Whether an operation of this kind can end so.
bool possible(Op op, Outcome outcome);

// A retried request is one record, from its first sending to its last answer. A client has one operation
// under way at a time, and none after one whose outcome is unknown: it goes on under a new name.
struct Record {
  std::string client;  // the owner
  Op op = Op::acquire;
  std::string resource;
  std::int64_t call_ns = 0;  // taken before sending, on one clock for the whole machine
  std::int64_t return_ns = 0;
  Outcome outcome = Outcome::unknown;
  std::uint64_t token = 0;  // granted, released, renewed, held
  std::uint32_t count = 0;  // acquisitions of the owner: after this operation, or as the query found them
  std::uint32_t ttl_ms =
      0;               // granted, renewed: the hold is sure to live until call + ttl; held: what was left
  std::string holder;  // query: held by this client
  // Not part of the line: shared holds have a history of their own, whose lines carry `mode` beside the rest.
  LockMode mode = LockMode::exclusive;

  friend bool operator==(const Record&, const Record&) = default;
};

// Without the newline.
std::string to_line(const Record& record);
// Nothing when the line is not such a record; `error` then says why.
std::optional<Record> parse_line(std::string_view line, std::string& error);

}  // namespace dlm::chaos
