// What a call of the library gives: a value, or an Error that says what happened, why, and what to do.
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "schema/types.h"

namespace dlm {

// Who holds a lock that was asked for.
struct Holder {
  std::string client_id;  // empty: not known
  std::string owner_tag;
  // When it was granted, by the clock of the server that granted it; for people only. The epoch: not known.
  std::chrono::system_clock::time_point since{};

  friend bool operator==(const Holder&, const Holder&) = default;
};

struct Error {
  Status status = Status::unavailable;      // never ok, never queued
  EndCause cause = EndCause::none;          // not_held: never, released or expired
  GroupId group;                            // who answered or can't be reached; 0: not known
  Holder holder;                            // timed_out, would_deadlock, client_id_in_use: who is in the way
  std::string resource;                     // what was asked for; empty for calls without one
  std::string message;                      // details for people; may be empty
  std::chrono::milliseconds retry_after{};  // overloaded: when it is worth asking again; 0: not known
  // True: the operation may or may not have been done (or be done yet). What a late grant would hold is given
  // back by itself.
  bool outcome_unknown = false;

  // One line for people: what failed, why, who is in the way.
  std::string describe() const;
};

// Thrown by Result::value(), Mutex and SharedMutex.
class LockError : public std::runtime_error {
 public:
  explicit LockError(Error error) : std::runtime_error(error.describe()), error_(std::move(error)) {}
  const Error& error() const noexcept { return error_; }
  Status status() const noexcept { return error_.status; }

 private:
  Error error_;
};

// A T or an Error. Like std::expected of C++23; not thread-safe.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  // Throw LockError when there is none.
  T& value() & { return check(), std::get<0>(state_); }
  const T& value() const& { return check(), std::get<0>(state_); }
  T&& value() && { return check(), std::get<0>(std::move(state_)); }

  // REQUIRES: has_value().
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }

  // REQUIRES: !has_value().
  Error& error() & { return *std::get_if<1>(&state_); }
  const Error& error() const& { return *std::get_if<1>(&state_); }
  Error&& error() && { return std::move(*std::get_if<1>(&state_)); }

  // Status::ok, or the error's.
  Status status() const noexcept { return has_value() ? Status::ok : std::get_if<1>(&state_)->status; }

 private:
  void check() const {
    if (!has_value()) throw LockError(*std::get_if<1>(&state_));
  }
  std::variant<T, Error> state_;
};

// Nothing, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool has_value() const noexcept { return !error_; }
  explicit operator bool() const noexcept { return has_value(); }
  // Throws LockError when there is one.
  void value() const {
    if (error_) throw LockError(*error_);
  }
  // REQUIRES: !has_value().
  Error& error() { return *error_; }
  const Error& error() const { return *error_; }
  Status status() const noexcept { return has_value() ? Status::ok : error_->status; }

 private:
  std::optional<Error> error_;
};

}  // namespace dlm
