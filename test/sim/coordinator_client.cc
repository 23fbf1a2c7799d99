#include "test/sim/coordinator_client.h"

#include <utility>

namespace dlm::sim {

using coordinator::WriteResult;
using Code = CoordinatorReply::Code;
using Kind = CoordinatorRequest::Kind;

namespace {

constexpr TimeUs kConnectTimeout = 500 * kMs;
constexpr TimeUs kReconnectPause = 50 * kMs;

}  // namespace

CoordinatorClient::CoordinatorClient(Process& process, Network& network, Options options, Events events)
    : process_(process), network_(network), options_(std::move(options)), events_(std::move(events)) {
  connect();
  ping();
  later(options_.patience_ms * kMs, [this] {
    patience_over_ = true;
    if (enlisting_ == Enlisting::waiting && in_touch_) enlist();
  });
}

CoordinatorClient::~CoordinatorClient() {
  if (link_ && process_.alive()) network_.close(link_, process_);
}

// --- the session -----------------------------------------------------------------------------------------

void CoordinatorClient::connect() {
  if (ended_) return;
  const std::uint64_t attempt = ++attempt_;
  std::weak_ptr<bool> alive = alive_;
  network_.connect(process_, *this, "zk",
                   [this, alive, attempt, &network = network_, &process = process_](Network::Outcome outcome,
                                                                                    LinkId link) {
                     if (alive.expired() || attempt != attempt_) {
                       if (link) network.close(link, process);
                       return;
                     }
                     if (outcome == Network::Outcome::refused) return;  // the time-out below tries again
                     link_ = link;
                     CoordinatorRequest hello;
                     hello.kind = Kind::attach;
                     hello.session = session_;
                     hello.number = options_.session_timeout_ms;
                     hello.member = options_.self;
                     request(std::move(hello), [this](const CoordinatorReply& reply) { attached(reply); });
                   });
  later(kConnectTimeout, [this, attempt] {
    if (attempt == attempt_ && !in_touch_) disconnected();
  });
}

void CoordinatorClient::attached(const CoordinatorReply& reply) {
  if (reply.code == Code::lost) return;
  if (reply.code == Code::expired) return end();
  session_ = reply.session;
  in_touch_ = true;
  reads_out_ = 0;
  for (Part::Kind kind : {Part::Kind::ring, Part::Kind::servers, Part::Kind::routers}) read({kind, {}});
  for (GroupId group : options_.groups) read({Part::Kind::group, group});
  for (auto& [group, target] : targets_) {
    if (target.write && target.write->unknown) read_back(group);
  }
  if (enlisting_ != Enlisting::done) enlist();
}

void CoordinatorClient::disconnected() {
  ++attempt_;
  in_touch_ = false;
  if (link_) network_.close(std::exchange(link_, LinkId()), process_);
  // What was asked for and not answered: writes are unknown, the rest is asked for again or given up.
  for (auto& [number, handler] : std::exchange(handlers_, {})) {
    CoordinatorReply lost;
    lost.code = Code::lost;
    handler(lost);
  }
  for (auto& [group, target] : targets_) {
    if (target.write) target.write->unknown = true;
  }
  if (ended_) return;
  later(kReconnectPause + process_.world().random.below(kReconnectPause), [this] {
    if (!link_ && !in_touch_) connect();
  });
}

void CoordinatorClient::end() {
  if (std::exchange(ended_, true)) return;
  disconnected();
  for (auto& [group, target] : std::exchange(targets_, {})) {
    if (target.write) target.write->done(WriteResult::unknown);
  }
  if (events_.on_ended) events_.on_ended();
}

// Three pings in a time-out; two without an answer, and another connection is tried.
void CoordinatorClient::ping() {
  const TimeUs timeout = options_.session_timeout_ms * kMs;
  later(timeout / 3, [this, timeout] {
    if (ended_) return;
    ping();
    if (!in_touch_) return;
    if (process_.world().now() - heard_at_ > timeout * 2 / 3) return disconnected();
    request({}, [](const CoordinatorReply&) {});
  });
}

void CoordinatorClient::request(CoordinatorRequest request, Handler handler) {
  request.request = ++last_request_;
  handlers_.emplace(last_request_, std::move(handler));
  network_.send(link_, process_, std::move(request));
}

void CoordinatorClient::on_message(LinkId link, Message&& message) {
  if (link != link_) return;
  heard_at_ = process_.world().now();
  if (const auto* changed = std::get_if<Changed>(&message)) {
    if (!in_touch_) return;
    read(changed->part);
    if (changed->part.kind != Part::Kind::group && enlisting_ == Enlisting::waiting) enlist();
    return;
  }
  const auto* reply = std::get_if<CoordinatorReply>(&message);
  auto found = reply == nullptr ? handlers_.end() : handlers_.find(reply->request);
  if (found == handlers_.end()) return;
  Handler handler = std::move(found->second);
  handlers_.erase(found);
  handler(*reply);
}

void CoordinatorClient::on_closed(LinkId link) {
  if (link != link_) return;
  link_ = LinkId();
  disconnected();
}

// --- the view --------------------------------------------------------------------------------------------

void CoordinatorClient::read(const Part& part) {
  ++reads_out_;
  CoordinatorRequest asked;
  asked.kind = Kind::read;
  asked.part = part;
  request(std::move(asked), [this, part, attempt = attempt_](const CoordinatorReply& reply) {
    if (attempt != attempt_ || reply.code != Code::ok) return;
    --reads_out_;
    take(part, reply.view);
    if (reads_out_ != 0 || told_ == view_) return;
    told_ = view_;
    if (events_.on_view) events_.on_view(view_);
  });
}

void CoordinatorClient::take(const Part& part, const coordinator::ClusterView& content) {
  view_.cluster = content.cluster;
  switch (part.kind) {
    case Part::Kind::ring:
      view_.ring = content.ring;
      break;
    case Part::Kind::servers:
      view_.servers = content.servers;
      break;
    case Part::Kind::routers:
      view_.routers = content.routers;
      break;
    case Part::Kind::group:
      for (const auto& entry : content.groups) view_.groups[entry.first] = entry.second;
      break;
  }
}

// --- writes ----------------------------------------------------------------------------------------------

void CoordinatorClient::propose(GroupId group, std::int64_t expected, const coordinator::GroupConfig& config,
                                Written done) {
  CoordinatorRequest asked;
  asked.group = group;
  asked.expected = expected;
  asked.config = config;
  begin_write(std::move(asked), std::move(done));
}

void CoordinatorClient::propose_ring(std::uint64_t expected, const coordinator::RingRecord& ring,
                                     Written done) {
  CoordinatorRequest asked;
  asked.expected = static_cast<std::int64_t>(expected);
  asked.ring = ring;
  begin_write(std::move(asked), std::move(done));
}

void CoordinatorClient::begin_write(CoordinatorRequest asked, Written done) {
  if (!in_touch_) return later(0, [done = std::move(done)] { done(WriteResult::unavailable); });
  const GroupId group = asked.group;
  asked.kind = Kind::write;
  targets_[group].write = Write{std::move(asked), std::move(done), 0, false};
  send_write(group);
}

void CoordinatorClient::send_write(GroupId group) {
  Target& target = targets_.at(group);
  target.write->number = ++last_write_;
  CoordinatorRequest asked = target.write->asked;
  asked.number = target.write->number;
  asked.note_version = target.note_version;
  request(std::move(asked), [this, group](const CoordinatorReply& reply) { written(group, reply); });
}

void CoordinatorClient::written(GroupId group, const CoordinatorReply& reply) {
  switch (reply.code) {
    case Code::ok:
      ++targets_.at(group).note_version;
      return finish(group, WriteResult::accepted);
    case Code::bad_version:
      return finish(group, WriteResult::conflict);
    case Code::bad_note:
      targets_.at(group).write->unknown = true;
      return read_back(group);
    default:
      return;  // lost: disconnected() marks it, the next attach reads back
  }
}

void CoordinatorClient::read_back(GroupId group) {
  CoordinatorRequest asked;
  asked.kind = Kind::read_note;
  asked.group = group;
  request(std::move(asked), [this, group](const CoordinatorReply& note) {
    if (note.code != Code::ok) return;
    Target& target = targets_.at(group);
    target.note_version = note.note_version;
    if (note.number == target.write->number) return finish(group, WriteResult::accepted);
    CoordinatorRequest fence;
    fence.kind = Kind::fence;
    fence.group = group;
    fence.note_version = note.note_version;
    request(std::move(fence), [this, group](const CoordinatorReply& fenced) {
      if (fenced.code == Code::bad_note) return read_back(group);  // the write came in just now
      if (fenced.code != Code::ok) return;
      ++targets_.at(group).note_version;
      finish(group, WriteResult::unavailable);
    });
  });
}

void CoordinatorClient::finish(GroupId group, WriteResult result) {
  Target& target = targets_.at(group);
  Written done = std::move(target.write->done);
  target.write.reset();
  done(result);
}

void CoordinatorClient::touch(std::function<void(bool)> done) {
  if (!in_touch_ || enlisting_ != Enlisting::done) return later(0, [done = std::move(done)] { done(false); });
  CoordinatorRequest asked;
  asked.kind = Kind::touch;
  request(std::move(asked),
          [done = std::move(done)](const CoordinatorReply& reply) { done(reply.code == Code::ok); });
}

// --- registration ----------------------------------------------------------------------------------------

void CoordinatorClient::enlist() {
  enlisting_ = Enlisting::asking;
  CoordinatorRequest asked;
  asked.kind = Kind::enlist;
  asked.member = options_.self;
  request(std::move(asked), [this](const CoordinatorReply& reply) {
    if (reply.code == Code::lost) return;  // again with the next attach
    if (reply.code == Code::taken && !patience_over_) {
      enlisting_ = Enlisting::waiting;
      return;
    }
    enlisting_ = Enlisting::done;
    if (events_.on_registered) events_.on_registered(reply.code == Code::ok);
  });
}

}  // namespace dlm::sim
