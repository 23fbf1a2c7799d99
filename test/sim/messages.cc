#include "test/sim/messages.h"

#include <cinttypes>
#include <cstdio>

#include "schema/text.h"
#include "server/core/lock_table_arcs.h"

namespace dlm::sim {
namespace {

std::string name_of(OperationKind kind) {
  switch (kind) {
    case OperationKind::open_session:
      return "open_session";
    case OperationKind::close_session:
      return "close_session";
    case OperationKind::acquire:
      return "acquire";
    case OperationKind::release:
      return "release";
    case OperationKind::renew:
      return "renew";
    case OperationKind::cancel:
      return "cancel";
    case OperationKind::heartbeat:
      return "heartbeat";
    case OperationKind::expire_session:
      return "expire_session";
    case OperationKind::expire_hold:
      return "expire_hold";
    case OperationKind::expire_wait:
      return "expire_wait";
    case OperationKind::forget_session:
      return "forget_session";
    case OperationKind::start_epoch:
      return "start_epoch";
    case OperationKind::move_out:
      return "move_out";
    case OperationKind::move_in:
      return "move_in";
    case OperationKind::move_done:
      return "move_done";
    case OperationKind::miss_arcs:
      return "miss_arcs";
    case OperationKind::take_arcs:
      return "take_arcs";
    case OperationKind::let_arcs:
      return "let_arcs";
  }
  return "?";
}

std::string text_of(const router::SessionNotice& notice) {
  static const char* const kKinds[] = {"opened", "renewed", "ended"};
  return to_string(notice.group) + "/" + std::to_string(notice.generation) + " " +
         kKinds[static_cast<int>(notice.kind)];
}

std::string text_of(const Answer& answer) {
  return describe(answer);
}

template <class List>
std::string all_of(const List& list) {
  std::string text;
  for (const auto& each : list) {
    if (!text.empty()) text += "; ";
    if constexpr (requires { each.view(); }) {
      text += describe(each.view());
    } else {
      text += text_of(each);
    }
  }
  return text;
}

std::string text_of(const server::Append& append) {
  std::string text = "append epoch " + std::to_string(append.epoch.value) + " round " +
                     std::to_string(append.round) + " after " + std::to_string(append.prev_index.value) +
                     " committed " + std::to_string(append.committed.value);
  if (append.batches.empty()) return text + " (ping)";
  return text + ", batches to " + std::to_string(append.batches.back().index.value);
}

std::string text_of(const server::OwnedArc& arc) {
  char text[40];
  std::snprintf(text, sizeof text, "%016" PRIx64 "-%016" PRIx64, arc.begin, arc.end);
  return text;
}

std::string text_of(const server::Transfer& transfer) {
  std::string text = to_string(transfer.from) + " to " + to_string(transfer.to);
  if (transfer.number == 0) return text + " asks whether arcs would be taken";
  if (transfer.number == server::kClaim) return text + " asks which arcs it has";
  return text + " arc " + std::to_string(transfer.number);
}

// Whether the resource of an operation is a name, and not bytes of arcs.
bool names_a_lock(const Operation& op) {
  return !op.resource.empty() && op.kind < OperationKind::start_epoch;
}

std::string text_of(const server::Install& install) {
  return "install epoch " + std::to_string(install.epoch.value) + " round " + std::to_string(install.round) +
         " index " + std::to_string(install.index.value) + (install.first ? " first" : "") +
         (install.last ? " last" : "");
}

}  // namespace

std::string describe(const Operation& op) {
  std::string text = name_of(op.kind);
  if (op.session) text += " " + to_hex({reinterpret_cast<const char*>(&op.session.value), 6});
  if (op.sequence) text += "#" + std::to_string(op.sequence.value);
  if (op.target) text += " of #" + std::to_string(op.target.value);
  if (names_a_lock(op)) text += " " + printable(op.resource);
  if (op.kind == OperationKind::acquire && op.mode == LockMode::shared) text += " shared";
  if (op.token) text += " token " + std::to_string(op.token.value);
  std::vector<server::OwnedArc> arcs;
  const bool has_arcs = op.kind != OperationKind::move_in && !op.resource.empty() && !names_a_lock(op);
  if (has_arcs && server::decode_arcs(op.resource, arcs))
    for (const server::OwnedArc& arc : arcs) text += " " + text_of(arc);
  return text;
}

std::string describe(const Answer& answer) {
  std::string text =
      "#" + std::to_string(answer.sequence.value) + " " + std::string(to_string(answer.status));
  if (answer.token) text += " token " + std::to_string(answer.token.value);
  if (answer.count != 0) text += " count " + std::to_string(answer.count);
  return text;
}

std::string describe(const Message& message) {
  return std::visit(
      Overloaded{
          [](const Hello& m) { return "hello of " + m.client_id; },
          [](const Welcome&) { return std::string("welcome"); },
          [](const Refusal& m) { return "refusal: " + m.message; },
          [](const Operations& m) { return all_of(m.list); },
          [](const Beat& m) { return "heartbeat " + std::to_string(m.number); },
          [](const ClientQuery& m) { return "query " + printable(m.query.resource); },
          [](const Bye&) { return std::string("bye"); },
          [](const ToClient& m) { return "answers: " + all_of(m.sessions) + " | " + all_of(m.answers); },
          [](const ReportToClient& m) { return "report: " + std::string(to_string(m.report.status)); },
          [](const Greet& m) { return "greet from " + m.from; },
          [](const Greeted& m) { return "greeted by " + m.name; },
          [](const Submit& m) { return to_string(m.group) + " submit: " + all_of(m.operations); },
          [](const Query& m) { return to_string(m.group) + " query " + printable(m.query.text); },
          [](const Submitted& m) { return "submitted: " + all_of(m.answers); },
          [](const Queried& m) { return "queried: " + std::string(to_string(m.report.status)); },
          [](const LateAnswers& m) { return to_string(m.group) + " later: " + all_of(m.answers); },
          [](const LateTaken& m) { return to_string(m.group) + " later ones taken"; },
          [](const Replicate& m) {
            return to_string(m.group) + " " +
                   std::visit([](const auto& one) { return text_of(one); }, m.message);
          },
          [](const Replicated& m) {
            return to_string(m.group) + (m.reply.accepted ? " has " : " refuses, has ") +
                   std::to_string(m.reply.last_index.value) + ", epoch " +
                   std::to_string(m.reply.epoch.value) + " round " + std::to_string(m.reply.round);
          },
          [](const MoveIn& m) { return "move in: " + text_of(m.transfer); },
          [](const MovedIn& m) {
            return "moved in: " + std::string(to_string(m.reply.status)) +
                   (m.reply.message.empty() ? "" : " (" + m.reply.message + ")");
          },
          [](const CallFailed& m) { return to_string(m.group) + " call failed"; },
          [](const CoordinatorRequest& m) {
            static const char* const kKinds[] = {"attach",    "ping",  "read",   "write",
                                                 "read_note", "fence", "enlist", "touch"};
            std::string text = std::string("coordinator: ") + kKinds[static_cast<int>(m.kind)];
            if (m.kind != CoordinatorRequest::Kind::write) return text;
            return text + " " + (m.group ? coordinator::to_json(m.config) : coordinator::to_json(m.ring));
          },
          [](const CoordinatorReply& m) {
            static const char* const kCodes[] = {"ok", "expired", "bad version", "bad note", "taken", "lost"};
            return std::string("coordinator answers ") + kCodes[static_cast<int>(m.code)];
          },
          [](const Changed&) { return std::string("coordinator: a watch fires"); }},
      message);
}

}  // namespace dlm::sim
