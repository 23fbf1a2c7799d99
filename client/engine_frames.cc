// Engine: between the core's data and the frames on the wire.
#include <capnp/serialize.h>

#include <algorithm>
#include <utility>

#include "client/engine.h"
#include "client/error.h"
#include "client/router_frames.h"
#include "schema/wire/codec.h"

namespace dlm::client {

namespace {

constexpr std::size_t kFrameBytesAim = 1u << 20;
// More than this unsent, and what follows waits here, in its compact form.
constexpr std::size_t kQueuedBytesMax = 8u << 20;

std::size_t size_bytes(const Operation& op) {
  return 128 + op.resource.size() + op.owner_tag.size() + op.client_id.size();
}

}  // namespace

void Engine::flush(std::uint64_t now_ms) {
  if (!link_.up()) {
    // It will all be asked for again on the next connection.
    unsent_.clear();
    unsent_queries_.clear();
    unsent_heartbeat_.reset();
    return;
  }
  if (unsent_heartbeat_) send_heartbeat(*std::exchange(unsent_heartbeat_, std::nullopt));
  if (!unsent_.empty()) send_operations(now_ms);
  for (QueryId id : unsent_queries_) send_query(id, now_ms);
  unsent_queries_.clear();
}

void Engine::send_heartbeat(const Heartbeat& heartbeat) {
  capnp::MallocMessageBuilder message(scratch_);
  auto to = message.initRoot<wire::ClientFrame>().initHeartbeat();
  to.setNumber(heartbeat.number);
  auto groups = to.initGroups(static_cast<unsigned>(heartbeat.groups.size()));
  for (unsigned i = 0; i < groups.size(); ++i) {
    groups[i].setGroup(heartbeat.groups[i].group.value);
    groups[i].setGeneration(heartbeat.groups[i].generation);
    groups[i].setRenew(heartbeat.groups[i].renew);
  }
  link_.send(message);
}

void Engine::send_operations(std::uint64_t now_ms) {
  std::size_t next = 0;
  std::vector<Operation> batch;
  while (next < unsent_.size() && link_.queued_bytes() < kQueuedBytesMax) {
    batch.clear();
    std::size_t bytes = 0;
    while (next < unsent_.size() && batch.size() < kOperationsPerFrameMax && bytes < kFrameBytesAim) {
      std::optional<Operation> op = core_.operation(unsent_[next++], now_ms);
      if (!op) continue;  // over in the meantime
      bytes += size_bytes(*op);
      batch.push_back(*op);
    }
    if (batch.empty()) break;
    capnp::MallocMessageBuilder message(scratch_);
    auto operations = message.initRoot<wire::ClientFrame>().initOperations();
    operations.setAckedBelow(core_.acked_below().value);
    auto list = operations.initList(static_cast<unsigned>(batch.size()));
    for (unsigned i = 0; i < list.size(); ++i) wire::write(batch[i], list[i]);
    link_.send(message);
  }
  unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(next));
}

void Engine::send_query(QueryId id, std::uint64_t) {
  auto at = queries_.find(id.value);
  if (at == queries_.end()) return;
  Query& query = at->second;
  query.sent = true;
  capnp::MallocMessageBuilder message(scratch_);
  auto to = message.initRoot<wire::ClientFrame>().initQuery();
  to.setId(id.value);
  to.setDeadlineMs(query.timeout_ms);
  auto what = to.initQuery();
  switch (query.kind) {
    case Query::Kind::inspect:
      what.setInspect(wire::as_bytes(query.name));
      break;
    case Query::Kind::list: {
      auto list = what.initList();
      list.setPrefix(wire::as_bytes(query.name));
      list.setGroup(query.list.group.value);
      list.setCursor(query.list.cursor);
      list.setLimit(query.list.limit);
      break;
    }
    case Query::Kind::step_down:
      what.initStepDown().setGroup(query.list.group.value);
      break;
    case Query::Kind::status:
      what.setStatus();
      break;
    case Query::Kind::ring:
      what.setRing();
      break;
    case Query::Kind::locate:
      what.setLocate(wire::as_bytes(query.name));
      break;
    case Query::Kind::change_ring:
      wire::write(query.change, what.initChangeRing());
      break;
    case Query::Kind::recover: {
      auto recover = what.initRecoverGroup();
      recover.setGroup(query.list.group.value);
      recover.setExpectedVersion(query.expected_version);
      break;
    }
  }
  link_.send(message);
}

void Engine::frames_came(const std::vector<wire::Words>& frames) {
  std::uint64_t now_ms = boottime_ms();
  // Before anything in them: a hold whose deadline has passed is not to be saved by an answer that was read
  // late.
  core_.advance(now_ms, out_);
  core_.heard(now_ms);
  for (const wire::Words& words : frames) {
    try {
      frame_came(words, now_ms);
    } catch (const kj::Exception& e) {
      link_.reconnect(std::string("sent a damaged message: ") + e.getDescription().cStr());
      break;
    }
  }
  turn();
}

void Engine::frame_came(wire::Words words, std::uint64_t now_ms) {
  capnp::FlatArrayMessageReader reader(words, limits_of(words));
  auto frame = reader.getRoot<wire::RouterFrame>();
  switch (frame.which()) {
    case wire::RouterFrame::BATCH: {
      auto batch = frame.getBatch();
      for (auto event : batch.getSessions())
        if (auto notice = read(event)) core_.session_notice(*notice, now_ms, out_);
      for (auto answer : batch.getAnswers()) core_.answer(wire::read(answer), now_ms, out_);
      break;
    }
    case wire::RouterFrame::REPORT:
      report_came(frame.getReport());
      break;
    case wire::RouterFrame::REFUSAL: {
      auto refusal = frame.getRefusal();
      link_.reconnect("refused this client: " + std::string(wire::as_text(refusal.getMessage())));
      break;
    }
    case wire::RouterFrame::WELCOME:
      break;  // once is enough
  }
}

void Engine::report_came(wire::ReportFor::Reader from) {
  QueryId id(from.getId());
  auto at = queries_.find(id.value);
  if (at == queries_.end()) return;
  auto report = from.getReport();
  auto status = static_cast<Status>(report.getStatus());
  std::string message(wire::as_text(report.getMessage()));
  // Read before it is taken out, for the reader may throw.
  ReportContent content = read(report);
  Query query = std::move(at->second);
  queries_.erase(at);
  core_.end_query(id);
  if (status != Status::ok) return fail_query(query, status, message);
  auto give = [&]<class T>(const Client::Done<T>& done) {
    if (T* found = std::get_if<T>(&content)) {
      done(std::move(*found));
    } else {
      fail_query(query, Status::unavailable, "the router gave another kind of report");
    }
  };
  std::visit(give, query.done);
}

void Engine::fail_query(Query& query, Status status, const std::string& message) {
  Answer answer;
  answer.status = status == Status::ok ? Status::unavailable : status;
  answer.message = message;
  bool of_a_name = query.kind == Query::Kind::inspect || query.kind == Query::Kind::locate;
  std::string name = of_a_name ? query.name : std::string();
  // The router that was to carry it out may have, whoever it was that could not be reached.
  bool unknown = query.writes() && query.sent && answer.status == Status::unavailable;
  std::visit([&](const auto& done) { done(to_error(answer, name, unknown)); }, query.done);
}

// --- the callers

void Engine::tell_refused(const Done& done, Error error) {
  std::visit(
      [&](const auto& call) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(call)>, std::monostate>) call(std::move(error));
      },
      done);
}

void Engine::tell(Call& call, const Completion& completion) {
  const Answer& answer = completion.answer;
  Request& request = call.request;
  if (answer.status != Status::ok) {
    return tell_refused(call.done, to_error(answer, request.resource, completion.outcome_unknown));
  }
  if (auto* done = std::get_if<Client::Done<Lock>>(&call.done)) {
    Hold::Identity identity;
    identity.id = completion.hold;
    identity.resource = std::move(request.resource);
    identity.owner_tag = std::move(request.owner_tag);
    identity.mode = request.mode;
    identity.lease = request.lease;
    identity.group = answer.group;
    identity.count = answer.count;
    identity.engine = weak_from_this();
    identity.term = cell_of(completion.term);
    auto hold = std::make_shared<Hold>(std::move(identity), answer.token, completion.lease_deadline_ms,
                                       completion.lease_jeopardy_ms);
    holds_.emplace(completion.hold.value, hold);
    (*done)(Lock(std::move(hold)));
  } else if (auto* released = std::get_if<Client::Done<ReleaseInfo>>(&call.done)) {
    (*released)(ReleaseInfo{answer.count});
  } else if (auto* renewed = std::get_if<Client::Done<std::chrono::milliseconds>>(&call.done)) {
    (*renewed)(std::chrono::milliseconds(answer.ttl_ms != 0 ? answer.ttl_ms : request.lease_ms));
  } else if (auto* detached = std::get_if<Client::Done<DetachedHold>>(&call.done)) {
    DetachedHold hold;
    hold.resource = std::move(request.resource);
    hold.client_id = request.client_id.empty() ? settings_.client_id : std::move(request.client_id);
    hold.owner_tag = std::move(request.owner_tag);
    hold.token = answer.token;
    hold.count = answer.count;
    hold.lease = std::chrono::milliseconds(answer.ttl_ms != 0 ? answer.ttl_ms : request.lease_ms);
    hold.group = answer.group;
    (*detached)(std::move(hold));
  }
}

std::shared_ptr<TermCell> Engine::cell_of(Term term) {
  if (!term) return nullptr;
  std::weak_ptr<TermCell>& known = terms_[term.value];
  std::shared_ptr<TermCell> cell = known.lock();
  if (cell) return cell;
  const LiveTerm* live = core_.sessions().find(term);
  std::uint64_t deadline_ms = live ? core_.sessions().deadline_ms(*live) : 0;
  std::uint64_t jeopardy_at_ms = live ? core_.sessions().jeopardy_ms(*live) : 0;
  cell = std::make_shared<TermCell>(term, deadline_ms, jeopardy_at_ms);
  known = cell;
  return cell;
}

}  // namespace dlm::client
