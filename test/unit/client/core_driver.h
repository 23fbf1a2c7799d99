// Plays router and groups for a SessionCore, by hand and in virtual time.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/core/session_core.h"

namespace dlm::client {

inline constexpr std::uint64_t kBase = 0xabcd0000;
inline constexpr GroupId kGroup{1};
inline constexpr FencingToken kToken{(std::uint64_t{1} << 40) + 7};

struct CoreDriver {
  explicit CoreDriver(CoreOptions options = {}) : core(options, kBase) {}

  SessionCore core;
  Output out;
  std::uint64_t now = 100'000;

  // What has come out since the last take().
  Output take() {
    Output taken = std::move(out);
    out = Output();
    return taken;
  }
  void connect() {
    core.hello(kBase + 0x10000, now, out);
    core.connected(now, out);
  }
  void lose_connection(const std::string& why = "the router died") { core.disconnected(why, now, out); }
  void pass(std::uint64_t ms) {
    now += ms;
    core.advance(now, out);
  }

  static Request acquire_request(const std::string& resource, std::uint32_t wait_ms = kWaitForeverMs) {
    Request request;
    request.resource = resource;
    request.wait_ms = wait_ms;
    request.handle = true;
    return request;
  }
  Sequence submit(Request request) { return core.submit(std::move(request), now, out); }
  Sequence acquire(const std::string& resource, std::uint32_t wait_ms = kWaitForeverMs) {
    return submit(acquire_request(resource, wait_ms));
  }
  Sequence acquire_leased(const std::string& resource, LeaseKind kind, std::uint32_t lease_ms) {
    Request request = acquire_request(resource);
    request.lease = kind;
    request.lease_ms = lease_ms;
    return submit(std::move(request));
  }
  Sequence release(HoldId hold) {
    Request request;
    request.kind = OperationKind::release;
    request.hold = hold;
    return submit(std::move(request));
  }
  Sequence renew(HoldId hold, std::uint32_t lease_ms = 0) {
    Request request;
    request.kind = OperationKind::renew;
    request.hold = hold;
    request.lease_ms = lease_ms;
    return submit(std::move(request));
  }

  void notice(SessionNotice::Kind kind, GroupId group, std::uint32_t generation, std::uint64_t cause,
              std::uint32_t ttl_ms = 10'000, std::vector<GroupId> moved_to = {}) {
    core.heard(now);
    core.session_notice({kind, group, generation, ttl_ms, cause, std::move(moved_to)}, now, out);
  }
  void opened(Sequence cause, GroupId group = kGroup, std::uint32_t generation = 0) {
    notice(SessionNotice::Kind::opened, group, generation, cause.value);
  }
  void renewed(std::uint64_t heartbeat, GroupId group = kGroup, std::uint32_t generation = 0) {
    notice(SessionNotice::Kind::renewed, group, generation, heartbeat);
  }
  void ended(GroupId group = kGroup, std::uint32_t generation = 0) {
    notice(SessionNotice::Kind::ended, group, generation, 0);
  }
  void answer(Sequence sequence, Status status, FencingToken token = {}, GroupId group = kGroup,
              std::uint32_t ttl_ms = 0, std::uint32_t count = 1) {
    const GroupSession* session = core.sessions().find(group);
    answer_of(session ? session->generation : 0, sequence, status, token, group, ttl_ms, count);
  }
  // The same, given under this generation of the session.
  void answer_of(std::uint32_t generation, Sequence sequence, Status status, FencingToken token = {},
                 GroupId group = kGroup, std::uint32_t ttl_ms = 0, std::uint32_t count = 1) {
    Answer answer;
    answer.session = session_of(kBase, generation);
    answer.sequence = sequence;
    answer.status = status;
    answer.token = token;
    answer.group = group;
    answer.ttl_ms = ttl_ms;
    answer.count = count;
    core.heard(now);
    core.answer(answer, now, out);
  }

  void overloaded(Sequence sequence, std::uint32_t retry_after_ms) {
    Answer answer;
    answer.session = session_of(kBase, 0);
    answer.sequence = sequence;
    answer.status = Status::overloaded;
    answer.group = kGroup;
    answer.message = "g1 is asked for more than it can do";
    answer.retry_after_ms = retry_after_ms;
    core.heard(now);
    core.answer(answer, now, out);
  }

  // A lock acquired at once in an open session.
  HoldId held(const std::string& resource, FencingToken token = kToken, GroupId group = kGroup) {
    Sequence sequence = acquire(resource);
    opened(sequence, group);
    answer(sequence, Status::ok, token, group);
    return HoldId(sequence.value);
  }

  // What would be sent of `output`, as words.
  std::vector<std::string> sent(const Output& output) const {
    std::vector<std::string> list;
    for (Sequence sequence : output.send) {
      std::optional<Operation> op = core.operation(sequence, now);
      if (!op) continue;
      std::string text;
      switch (op->kind) {
        case OperationKind::acquire:
          text = "acquire ";
          break;
        case OperationKind::release:
          text = "release ";
          break;
        case OperationKind::renew:
          text = "renew ";
          break;
        case OperationKind::cancel:
          text = "cancel ";
          break;
        default:
          text = "? ";
      }
      list.push_back(text + std::string(op->resource) + " #" + std::to_string(sequence.value));
    }
    return list;
  }
  Sequence last_sent(const Output& output, OperationKind kind) const {
    for (auto at = output.send.rbegin(); at != output.send.rend(); ++at) {
      std::optional<Operation> op = core.operation(*at, now);
      if (op && op->kind == kind) return *at;
    }
    return {};
  }
};

inline std::vector<LostCause> losses(const Output& output) {
  std::vector<LostCause> list;
  for (const HoldEvent& event : output.holds) {
    if (event.kind == HoldEvent::Kind::lost) list.push_back(event.cause);
  }
  return list;
}

inline std::size_t jeopardies(const Output& output) {
  return static_cast<std::size_t>(
      std::count_if(output.holds.begin(), output.holds.end(),
                    [](const HoldEvent& event) { return event.kind == HoldEvent::Kind::jeopardy; }));
}

inline std::vector<Status> statuses(const Output& output) {
  std::vector<Status> list;
  for (const Completion& completion : output.completions) list.push_back(completion.answer.status);
  return list;
}

}  // namespace dlm::client
