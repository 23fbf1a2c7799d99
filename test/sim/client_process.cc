#include "test/sim/client_process.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "schema/wire/backoff.h"
#include "test/sim/alarm.h"

namespace dlm::sim {

using client::Output;
using client::QueryId;
using client::SessionCore;

namespace {

constexpr TimeUs kConnectTimeout = kSecond;
constexpr std::uint32_t kPauseMsFirst = 20;
constexpr std::uint32_t kPauseMsMax = 1'000;
constexpr LocalMs kStableMs = 2'000;
constexpr TimeUs kCloseTime = 600 * kMs;
constexpr TimeUs kGoodByeTime = 400 * kMs;

}  // namespace

struct ClientProcess::Life final : Endpoint {
  explicit Life(ClientProcess& process);

  LocalMs now() const { return self.clock_ms(); }
  // The connection.
  void attempt();
  void failed(const std::string& why);
  void on_message(LinkId from, Message&& message) override;
  void on_closed(LinkId closed) override;
  void first_message(const Message& message);
  void take(ToClient& batch);
  // The turn.
  void turn();
  void deliver();
  bool told_everything() const;
  void tell(const Output& told);
  void flush();
  void send(Message message) { self.network_.send(link, self, std::move(message)); }
  void close_when_done();
  void end();
  std::uint64_t fresh_base() { return (random.next() | 0x10000U) & ~std::uint64_t{0xffff}; }

  ClientProcess& self;
  Random random;
  std::uint64_t base;  // of its sessions
  SessionCore core;
  Output out;
  std::vector<Sequence> unsent;
  std::optional<client::Heartbeat> unsent_heartbeat;
  std::vector<QueryId> unsent_queries;
  std::set<client::HoldId> holds;  // that the program has been given
  std::map<QueryId, std::pair<std::string, std::uint32_t>> queries;
  bool in_turn = false;
  bool closing = false;
  bool bye_sent = false;
  TimeUs close_at = 0;
  Alarm alarm{self, [this] { turn(); }};
  Heartbeats heartbeats;
  std::map<Sequence, GroupId> queued_at;

  LinkId link;
  bool up = false;
  std::size_t router;  // in use, or tried
  std::size_t failed_in_a_row = 0;
  std::uint64_t attempts = 0;
  LocalMs up_since = 0;
  wire::Backoff backoff;
};

ClientProcess::Life::Life(ClientProcess& process)
    : self(process),
      random(process.world().random.next()),
      base(fresh_base()),
      core(process.options_.core, base),
      router(random.below(process.options_.routers.size())),
      backoff(kPauseMsFirst, kPauseMsMax, random.next()) {
  heartbeats.since_ms = now();
}

// --- the connection --------------------------------------------------------------------------------------

void ClientProcess::Life::attempt() {
  const std::uint64_t mine = ++attempts;
  const std::string& address = self.options_.routers[router];
  self.network_.connect(self, *this, address, [this, mine](Network::Outcome outcome, LinkId made) {
    if (mine != attempts) {
      if (made) self.network_.close(made, self);
      return;
    }
    if (outcome == Network::Outcome::refused) return failed("refused the connection");
    link = made;
    Hello hello{self.client_id(), core.hello(fresh_base(), now(), out)};
    base = hello.data.session_base;
    send(std::move(hello));
    turn();
  });
  self.post(kConnectTimeout, [this, mine] {
    if (mine == attempts && !up) failed("did not answer within a second");
  });
}

// On to the next router, after a pause when all have failed in a row.
void ClientProcess::Life::failed(const std::string& why) {
  const std::uint64_t mine = ++attempts;
  const bool was_up = std::exchange(up, false);
  if (link) self.network_.close(std::exchange(link, LinkId()), self);
  const bool was_stable = was_up && now() - up_since >= kStableMs;
  if (was_stable) backoff.reset();
  if (!was_up) ++failed_in_a_row;
  const bool pause =
      failed_in_a_row >= self.options_.routers.size() || (was_up && now() - up_since < kPauseMsMax);
  if (failed_in_a_row >= self.options_.routers.size()) failed_in_a_row = 0;
  router = (router + 1) % self.options_.routers.size();
  self.post(pause ? backoff.next_ms() * kMs : 0, [this, mine] {
    if (mine == attempts && !bye_sent) attempt();
  });
  self.post(0, [this, why] {
    unsent.clear();
    unsent_queries.clear();
    unsent_heartbeat.reset();
    core.disconnected(why, now(), out);
    turn();
  });
}

void ClientProcess::Life::on_closed(LinkId closed) {
  if (closed != link) return;
  link = LinkId();
  if (bye_sent) {
    up = false;
    return end();
  }
  failed("the connection is lost");
}

void ClientProcess::Life::first_message(const Message& message) {
  if (const auto* refusal = std::get_if<Refusal>(&message)) return failed("refused: " + refusal->message);
  if (!std::holds_alternative<Welcome>(message)) return failed("did not greet");
  up = true;
  ++heartbeats.connections;
  up_since = now();
  failed_in_a_row = 0;
  unsent.clear();
  unsent_queries.clear();
  unsent_heartbeat.reset();
  core.connected(now(), out);
  turn();
}

void ClientProcess::Life::on_message(LinkId from, Message&& message) {
  if (from != link) return;
  if (!up) return first_message(message);
  // Before anything in it: a hold whose deadline has passed is not saved by an answer that is read late.
  core.advance(now(), out);
  core.heard(now());
  if (auto* batch = std::get_if<ToClient>(&message)) {
    take(*batch);
  } else if (auto* report = std::get_if<ReportToClient>(&message)) {
    const QueryId id(report->id);
    if (queries.erase(id) != 0) {
      core.end_query(id);
      self.program_.on_report(self, id, &report->report);
    }
  } else if (auto* refusal = std::get_if<Refusal>(&message)) {
    return failed("refused: " + refusal->message);
  }
  turn();
}

void ClientProcess::Life::take(ToClient& batch) {
  const auto is_end = [](const router::SessionNotice& notice) {
    return notice.kind == router::SessionNotice::Kind::ended;
  };
  const auto& sessions = core.sessions().all();
  const auto tells_of_moves = [&](const router::SessionNotice& notice) {
    const client::GroupSession* session = core.sessions().find(notice.group);
    return session != nullptr && session->moved_to != notice.moved_to;
  };
  const bool unconfirmed =
      sessions.empty() || std::any_of(batch.sessions.begin(), batch.sessions.end(), tells_of_moves) ||
      std::any_of(batch.sessions.begin(), batch.sessions.end(), is_end) ||
      std::any_of(sessions.begin(), sessions.end(), [&](const client::GroupSession& session) {
        return !core.sessions().confirmed(session.group, now());
      });
  if (unconfirmed) ++heartbeats.unconfirmed;
  for (const router::SessionNotice& from : batch.sessions) {
    client::SessionNotice notice;
    notice.kind = static_cast<client::SessionNotice::Kind>(from.kind);
    notice.group = from.group;
    notice.generation = from.generation;
    notice.ttl_ms = from.ttl_ms;
    notice.cause = from.cause;
    notice.moved_to = from.moved_to;
    core.session_notice(notice, now(), out);
  }
  for (const Answer& answer : batch.answers) {
    // A wait that has moved is renewed where it is at once.
    if (answer.status == Status::queued &&
        std::exchange(queued_at[answer.sequence], answer.group) != answer.group)
      ++heartbeats.unconfirmed;
    self.program_.on_answer(self, answer);
    core.answer(answer, now(), out);
  }
}

// --- the turn --------------------------------------------------------------------------------------------

void ClientProcess::Life::turn() {
  if (std::exchange(in_turn, true)) return;
  core.advance(now(), out);
  deliver();
  flush();
  in_turn = false;
  if (closing) close_when_done();
  if (self.alive()) alarm.set(core.next_wake_ms());
}

bool ClientProcess::Life::told_everything() const {
  return out.completions.empty() && out.holds.empty() && out.terms.empty() && out.queued.empty() &&
         out.ended.empty();
}

void ClientProcess::Life::deliver() {
  for (;;) {
    unsent.insert(unsent.end(), out.send.begin(), out.send.end());
    if (out.heartbeat) unsent_heartbeat = std::move(out.heartbeat);
    unsent_queries.insert(unsent_queries.end(), out.send_queries.begin(), out.send_queries.end());
    if (!out.reconnect.empty() && up) failed(out.reconnect);
    for (QueryId id : core.take_late_queries()) {
      if (queries.erase(id) != 0) self.program_.on_report(self, id, nullptr);
    }
    const bool done = told_everything();
    Output told = std::exchange(out, Output());
    if (done) return;
    tell(told);
  }
}

// What happened to a hold is known before an operation on it completes; a hold that begins in a completion
// comes after that.
void ClientProcess::Life::tell(const Output& told) {
  for (const client::TermDeadline& deadline : told.terms) self.program_.on_term(self, deadline);
  for (const client::QueuedNotice& notice : told.queued) self.program_.on_queued(self, notice);
  std::vector<const client::HoldEvent*> of_new;
  for (const client::HoldEvent& event : told.holds) {
    if (holds.contains(event.hold)) {
      self.program_.on_hold(self, event);
    } else {
      of_new.push_back(&event);
    }
  }
  for (const client::Completion& completion : told.completions) {
    if (completion.hold) holds.insert(completion.hold);
    self.program_.on_completion(self, completion);
  }
  for (const client::HoldEvent* event : of_new) self.program_.on_hold(self, *event);
  for (const client::HoldEvent& event : told.holds) {
    if (event.kind == client::HoldEvent::Kind::lost) holds.erase(event.hold);
  }
}

void ClientProcess::Life::flush() {
  if (up) {
    if (unsent_heartbeat) {
      ++heartbeats.sent;
      send(Beat{unsent_heartbeat->number, unsent_heartbeat->groups});
    }
    Operations frame;
    frame.acked_below = core.acked_below();
    for (Sequence sequence : unsent) {
      if (std::optional<Operation> operation = core.operation(sequence, now()))
        frame.list.emplace_back(*operation);
    }
    if (!frame.list.empty()) {
      if (random.percent(self.options_.doubled_percent)) send(frame);
      send(std::move(frame));
    }
    for (QueryId id : unsent_queries) {
      auto found = queries.find(id);
      if (found == queries.end()) continue;
      ClientQuery query{id.value, found->second.second, {}};
      query.query.kind = router::Query::Kind::inspect;
      query.query.resource = found->second.first;
      send(std::move(query));
    }
  }
  unsent_heartbeat.reset();
  unsent.clear();
  unsent_queries.clear();
}

// When the last releases are answered, or time is up.
void ClientProcess::Life::close_when_done() {
  if (bye_sent) return;
  if (core.operations_under_way() != 0 && self.world().now() < close_at) return;
  bye_sent = true;
  if (!up) return end();
  send(Bye{});
  self.post(kGoodByeTime, [this] { end(); });
}

void ClientProcess::Life::end() {
  self.world().after(0, [process = &self, life = self.life()] {
    if (!process->alive() || process->life() != life) return;
    process->network_.process_died(*process, false);
    process->crash();
  });
}

// --- the process -----------------------------------------------------------------------------------------

ClientProcess::ClientProcess(World& world, Network& network, const std::string& name, const Clock& clock,
                             const Options& options, ClientProgram& program)
    : Process(world, name, clock),
      network_(network),
      options_(options),
      program_(program),
      client_id_(name) {}
ClientProcess::~ClientProcess() = default;

void ClientProcess::begin_life() {
  state_ = std::make_unique<Life>(*this);
  state_->attempt();
  program_.on_start(*this);
}

void ClientProcess::end_life() {
  program_.on_crash(*this);
  state_.reset();
}

void ClientProcess::woken() {
  state_->turn();
}

Sequence ClientProcess::submit(const client::Request& request) {
  const Sequence sequence = state_->core.submit(request, clock_ms(), state_->out);
  post(0, [this] { state_->turn(); });
  return sequence;
}

void ClientProcess::cancel(Sequence acquire) {
  state_->core.cancel(acquire, clock_ms(), state_->out);
  post(0, [this] { state_->turn(); });
}

QueryId ClientProcess::inspect(const std::string& resource, std::uint32_t timeout_ms) {
  const QueryId id = state_->core.query(timeout_ms, clock_ms(), state_->out);
  state_->queries[id] = {resource, timeout_ms};
  post(0, [this] { state_->turn(); });
  return id;
}

void ClientProcess::close() {
  Life& life = *state_;
  if (std::exchange(life.closing, true)) return;
  life.close_at = world_.now() + kCloseTime;
  life.core.close(clock_ms(), life.out);
  post(0, [this] { state_->turn(); });
  post(kCloseTime, [this] { state_->turn(); });
}

const SessionCore& ClientProcess::core() const {
  return state_->core;
}
bool ClientProcess::closing() const {
  return state_ && state_->closing;
}
std::uint64_t ClientProcess::session_base() const {
  return state_->base;
}
const ClientProcess::Heartbeats& ClientProcess::heartbeats() const {
  return state_->heartbeats;
}

}  // namespace dlm::sim
