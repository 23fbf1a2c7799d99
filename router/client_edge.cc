#include "router/client_edge.h"

#include <capnp/serialize.h>
#include <glog/logging.h>
#include <kj/exception.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "schema/wire/codec.h"

namespace dlm::router {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kScratchWords = 8'192;
constexpr std::size_t kAnswersPerFrameMax = 8'192;
constexpr std::size_t kListingsMax = 4'096;
// Out of descriptors or memory: trying again at once would only burn the processor.
constexpr std::chrono::milliseconds kAcceptPause(100);
constexpr std::uint32_t kLooks = 5;  // for half frames, within the time that one may take

}  // namespace

// One message to be sent. Its first segment is the edge's scratch, which the builder leaves zeroed again.
struct ClientEdge::Message {
  explicit Message(std::vector<capnp::word>& scratch)
      : builder(kj::arrayPtr(scratch.data(), scratch.size())), frame(builder.initRoot<wire::RouterFrame>()) {}
  capnp::MallocMessageBuilder builder;
  wire::RouterFrame::Builder frame;
};

ClientEdge::ClientEdge(wire::EventLoop& loop, RouterCore& core, EdgeOptions options,
                       std::function<void()> wake)
    : core_(core),
      options_(std::move(options)),
      wake_(std::move(wake)),
      guard_(std::make_shared<Guard>()),
      acceptor_(loop.io()),
      pause_(loop.io()),
      watch_(loop.io()),
      scratch_(kScratchWords) {
  guard_->edge = this;
  const HostPort& address = options_.listen;
  const std::string where = address.host + ":" + std::to_string(address.port);
  auto check = [&](const error_code& error) {
    if (error) {
      throw std::system_error(std::error_code(error.value(), std::system_category()),
                              "cannot listen on " + where);
    }
  };
  error_code error;
  tcp::resolver resolver(loop.io());
  auto found = resolver.resolve(address.host, std::to_string(address.port), tcp::resolver::passive, error);
  if (error) {
    throw std::system_error(std::make_error_code(std::errc::address_not_available),
                            "cannot listen on " + where + ": " + error.message());
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_.open(endpoint.protocol(), error);
  check(error);
  acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  check(error);
  acceptor_.bind(endpoint, error);
  check(error);
  acceptor_.listen(tcp::acceptor::max_listen_connections, error);
  check(error);
  port_ = acceptor_.local_endpoint(error).port();
  check(error);
}

ClientEdge::~ClientEdge() {
  guard_->edge = nullptr;
  stop_accepting();
  for (auto& [id, client] : clients_) client.connection->close("the router is gone");
}

void ClientEdge::start() {
  accept();
  watch();
}

void ClientEdge::stop_accepting() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  watch_.cancel();
}

void ClientEdge::close_all(const std::string& why) {
  for (auto& [id, client] : clients_) client.connection->close(why);
}

void ClientEdge::accept() {
  acceptor_.async_accept([guard = guard_](const error_code& error, tcp::socket socket) {
    ClientEdge* edge = guard->edge;
    if (edge == nullptr || error == boost::asio::error::operation_aborted || !edge->acceptor_.is_open())
      return;
    if (!error) {
      edge->accepted(std::move(socket));
      return edge->accept();
    }
    LOG_EVERY_T(WARNING, 10) << "cannot accept client connections: " << error.message();
    edge->pause_.expires_after(kAcceptPause);
    edge->pause_.async_wait([guard](const error_code& cancelled) {
      if (!cancelled && guard->edge != nullptr) guard->edge->accept();
    });
  });
}

void ClientEdge::accepted(tcp::socket socket) {
  auto connection = wire::FrameConnection::make(std::move(socket), options_.frames);
  const ConnectionId id = core_.connect(wire::EventLoop::now_ms());
  clients_.emplace(id.value, Client{connection});
  connection->start({.on_frames =
                         [guard = guard_, id](const std::vector<wire::Words>& payloads) {
                           if (guard->edge != nullptr) guard->edge->frames(id, payloads);
                         },
                     .on_close =
                         [guard = guard_, id](const std::string& why) {
                           if (guard->edge != nullptr) guard->edge->closed(id, why);
                         }});
  wake_();
}

void ClientEdge::closed(ConnectionId id, const std::string& why) {
  const wire::FrameConnection* connection = find(id);
  if (connection != nullptr && connection->at_fault()) cut_offs_.add(connection->peer(), why);
  clients_.erase(id.value);
  core_.disconnect(id);
  wake_();
}

wire::FrameConnection* ClientEdge::find(ConnectionId id) {
  auto found = clients_.find(id.value);
  return found == clients_.end() ? nullptr : found->second.connection.get();
}

// --- half a frame for ever ---------------------------------------------------

// Looked for from time to time: a timer for each frame that comes in pieces would cost more than the frames.
void ClientEdge::watch() {
  const std::uint32_t pause_ms = std::max(1U, options_.half_frame_ms / kLooks);
  watch_.expires_after(std::chrono::milliseconds(pause_ms));
  watch_.async_wait([guard = guard_, pause_ms](const error_code& cancelled) {
    if (cancelled || guard->edge == nullptr) return;
    guard->edge->look_for_half_frames(pause_ms);
    guard->edge->cut_offs_.tell_rest();
    guard->edge->watch();
  });
}

void ClientEdge::look_for_half_frames(std::uint32_t passed_ms) {
  bool found = false;
  for (auto& [id, client] : clients_) {
    const std::uint64_t frames = client.connection->frames_received();
    const bool stuck = client.connection->is_mid_frame() && frames == client.frames;
    client.frames = frames;
    client.stuck_ms = stuck ? client.stuck_ms + passed_ms : 0;
    if (client.stuck_ms < options_.half_frame_ms) continue;
    core_.refuse(ConnectionId(id), Status::invalid_argument,
                 "half a frame came, and the rest not within " + format_duration_ms(options_.half_frame_ms));
    found = true;
  }
  if (found) wake_();
}

// --- reading -----------------------------------------------------------------

void ClientEdge::frames(ConnectionId id, const std::vector<wire::Words>& payloads) {
  for (const wire::Words& words : payloads) {
    auto failure = kj::runCatchingExceptions([&] { frame(id, words); });
    KJ_IF_MAYBE (e, failure) {
      core_.refuse(id, Status::invalid_argument,
                   std::string("malformed frame: ") + e->getDescription().cStr());
      break;
    }
  }
  wake_();
}

void ClientEdge::frame(ConnectionId id, wire::Words words) {
  capnp::ReaderOptions options;
  // Each part of a frame is read once; more than that is a message whose pointers overlap to look larger than
  // it is.
  options.traversalLimitInWords = words.size() * 2 + 1'024;
  options.nestingLimit = 16;
  capnp::FlatArrayMessageReader reader(words, options);
  auto frame = reader.getRoot<wire::ClientFrame>();
  switch (frame.which()) {
    case wire::ClientFrame::HELLO:
      return take_hello(id, frame.getHello());
    case wire::ClientFrame::OPERATIONS:
      take_operations(id, frame.getOperations());
      return;
    case wire::ClientFrame::HEARTBEAT: {
      auto heartbeat = frame.getHeartbeat();
      if (take_listings(id, heartbeat.getGroups())) {
        core_.heartbeat(id, heartbeat.getNumber(), listings_, wire::EventLoop::now_ms());
      }
      return;
    }
    case wire::ClientFrame::QUERY:
      return take_query(id, frame.getQuery());
    case wire::ClientFrame::BYE:
      return core_.bye(id, wire::EventLoop::now_ms());
  }
  core_.refuse(id, Status::invalid_argument, "this router does not know this kind of frame");
}

bool ClientEdge::take_listings(ConnectionId id, capnp::List<wire::GroupSession>::Reader list) {
  listings_.clear();
  if (list.size() > kListingsMax) {
    core_.refuse(id, Status::invalid_argument,
                 "at most " + std::to_string(kListingsMax) + " groups are listed in a frame");
    return false;
  }
  for (auto entry : list)
    listings_.push_back({GroupId(entry.getGroup()), entry.getGeneration(), entry.getRenew()});
  return true;
}

void ClientEdge::take_hello(ConnectionId id, wire::Hello::Reader from) {
  if (!take_listings(id, from.getGroups())) return;
  Hello hello;
  hello.protocol_min = from.getProtocolMin();
  hello.protocol_max = from.getProtocolMax();
  hello.cluster = wire::as_text(from.getCluster());
  hello.client_id = wire::as_text(from.getClientId());
  hello.session_base = from.getSessionBase();
  hello.ttl_ms = from.getTtlMs();
  hello.groups = listings_;
  core_.hello(id, hello, wire::EventLoop::now_ms());
}

bool ClientEdge::take_operations(ConnectionId id, wire::Operations::Reader from) {
  auto list = from.getList();
  if (list.size() > kOperationsPerFrameMax) {
    core_.refuse(id, Status::invalid_argument,
                 "a frame has at most " + std::to_string(kOperationsPerFrameMax) + " operations, not " +
                     std::to_string(list.size()));
    return false;
  }
  operations_.clear();
  operations_.reserve(list.size());
  for (auto op : list) operations_.push_back(wire::read(op));
  core_.operations(id, Sequence(from.getAckedBelow()), operations_, wire::EventLoop::now_ms());
  return true;
}

void ClientEdge::take_query(ConnectionId id, wire::GroupQuery::Reader from) {
  Query query;
  auto asked = from.getQuery();
  switch (asked.which()) {
    case wire::Query::INSPECT:
      query.kind = Query::Kind::inspect;
      query.resource = wire::as_text(asked.getInspect());
      break;
    case wire::Query::LIST: {
      auto list = asked.getList();
      query.kind = Query::Kind::list;
      query.resource = wire::as_text(list.getPrefix());
      query.group = GroupId(list.getGroup());
      query.cursor = list.getCursor();
      query.limit = list.getLimit();
      break;
    }
    case wire::Query::STATUS:
      query.kind = Query::Kind::status;
      break;
    case wire::Query::STEP_DOWN:
      query.kind = Query::Kind::step_down;
      query.group = GroupId(asked.getStepDown().getGroup());
      break;
    case wire::Query::RING:
      query.kind = Query::Kind::ring;
      break;
    case wire::Query::LOCATE:
      query.kind = Query::Kind::locate;
      query.resource = wire::as_text(asked.getLocate());
      break;
    case wire::Query::CHANGE_RING:
      query.kind = Query::Kind::change_ring;
      query.change = wire::read(asked.getChangeRing());
      break;
    case wire::Query::RECOVER_GROUP:
      query.kind = Query::Kind::recover;
      query.group = GroupId(asked.getRecoverGroup().getGroup());
      query.expected_version = asked.getRecoverGroup().getExpectedVersion();
      break;
    default:
      return core_.refuse(id, Status::invalid_argument, "this router does not know this kind of query");
  }
  core_.query(id, from.getId(), from.getDeadlineMs(), std::move(query), wire::EventLoop::now_ms());
}

// --- writing -----------------------------------------------------------------

void ClientEdge::deliver(const RouterOutput& output, const std::string& router_id) {
  for (ConnectionId id : output.welcomes) {
    wire::FrameConnection* to = find(id);
    if (to == nullptr) continue;
    Message message(scratch_);
    auto welcome = message.frame.initWelcome();
    welcome.setProtocol(kClientProtocolVersion);
    welcome.setCluster(core_.cluster());
    welcome.setRouter(router_id);
    welcome.setLeaseMsMin(options_.lease_ms_min);
    welcome.setLeaseMsMax(options_.lease_ms_max);
    to->send(message.builder);
  }
  for (const ClientBatch& batch : output.batches) {
    if (wire::FrameConnection* to = find(batch.connection)) send_batch(*to, batch);
  }
  for (const ClientReport& report : output.reports) {
    if (wire::FrameConnection* to = find(report.connection)) send_report(*to, report);
  }
  for (const ClientClose& close : output.closes) {
    wire::FrameConnection* to = find(close.connection);
    if (to == nullptr) continue;
    if (close.refused) {
      if (close.status != Status::unavailable) cut_offs_.add(to->peer(), close.message);
      Message message(scratch_);
      auto refusal = message.frame.initRefusal();
      refusal.setStatus(static_cast<std::uint8_t>(close.status));
      refusal.setMessage(close.message);
      to->send(message.builder);
    }
    to->close(close.message);  // closed() forgets it
  }
}

void ClientEdge::send_batch(wire::FrameConnection& to, const ClientBatch& batch) {
  std::size_t done = 0;
  do {
    const auto answers =
        batch.answers.subspan(done, std::min(batch.answers.size() - done, kAnswersPerFrameMax));
    Message message(scratch_);
    auto content = message.frame.initBatch();
    if (done == 0 && !batch.sessions.empty()) {
      auto sessions = content.initSessions(static_cast<unsigned>(batch.sessions.size()));
      for (unsigned i = 0; i < sessions.size(); ++i) {
        const SessionNotice& notice = batch.sessions[i];
        auto event = sessions[i];
        event.setKind(static_cast<wire::SessionEvent::Kind>(notice.kind));
        event.setGroup(notice.group.value);
        event.setGeneration(notice.generation);
        event.setTtlMs(notice.ttl_ms);
        event.setCause(notice.cause);
        if (notice.moved_to.empty()) continue;
        auto moved_to = event.initMovedTo(static_cast<unsigned>(notice.moved_to.size()));
        for (unsigned j = 0; j < moved_to.size(); ++j) moved_to.set(j, notice.moved_to[j].value);
      }
    }
    auto list = content.initAnswers(static_cast<unsigned>(answers.size()));
    for (unsigned i = 0; i < list.size(); ++i) wire::write(answers[i], list[i]);
    to.send(message.builder);
    done += answers.size();
  } while (done < batch.answers.size());
}

void ClientEdge::send_report(wire::FrameConnection& to, const ClientReport& report) {
  Message message(scratch_);
  auto content = message.frame.initReport();
  content.setId(report.id);
  auto out = content.initReport();
  out.setStatus(static_cast<std::uint8_t>(report.report.status));
  out.setMessage(report.report.message);
  struct Write {
    wire::Report::Builder& to;
    void operator()(std::monostate) const { to.setNone(); }
    void operator()(const LockReport& lock) const { wire::write(lock, to.initLock()); }
    void operator()(const LockPage& page) const { wire::write(page, to.initPage()); }
    void operator()(const GroupReport& group) const { wire::write(group, to.initGroup()); }
    void operator()(const ClusterReport& cluster) const { wire::write(cluster, to.initCluster()); }
    void operator()(const RingReport& ring) const { wire::write(ring, to.initRing()); }
    void operator()(const PlaceReport& place) const { wire::write(place, to.initPlace()); }
    void operator()(const RecoveryReport& recovery) const { wire::write(recovery, to.initRecovery()); }
  };
  std::visit(Write{out}, report.report.content);
  if (message.builder.sizeInWords() * sizeof(capnp::word) + 1'024 <= options_.frames.frame_bytes_max) {
    return to.send(message.builder);
  }
  ClientReport smaller;
  smaller.connection = report.connection;
  smaller.id = report.id;
  smaller.report.status = Status::invalid_argument;
  smaller.report.message = "the answer is larger than a frame may be: ask with a smaller limit";
  send_report(to, smaller);
}

}  // namespace dlm::router
