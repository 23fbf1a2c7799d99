#include "edge_client.h"

#include <capnp/serialize.h>
#include <sys/socket.h>

#include "schema/wire/codec.h"

namespace dlm::router {
namespace {

using boost::asio::ip::tcp;

struct Frame {
  capnp::MallocMessageBuilder builder;
  wire::ClientFrame::Builder root = builder.initRoot<wire::ClientFrame>();
};

}  // namespace

EdgeClient::EdgeClient(wire::EventLoop& loop, std::uint16_t port) {
  tcp::socket socket(loop.io());
  socket.connect(tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), port));
  socket_ = socket.native_handle();
  connection_ = wire::FrameConnection::make(std::move(socket), {});
  connection_->start(
      {.on_frames =
           [this, alive = std::weak_ptr<bool>(alive_)](const std::vector<wire::Words>& payloads) {
             if (alive.expired()) return;
             for (const wire::Words& words : payloads) receive(words);
           },
       .on_close =
           [this, alive = std::weak_ptr<bool>(alive_)](const std::string& why) {
             if (!alive.expired()) closed = why;
           }});
}

EdgeClient::~EdgeClient() {
  alive_ = nullptr;
  drop();
}

void EdgeClient::drop() {
  if (connection_ != nullptr) connection_->close("the client goes");
}

void EdgeClient::hello(std::uint64_t number, const std::string& of_cluster, std::uint16_t protocol) {
  Frame frame;
  auto hello = frame.root.initHello();
  hello.setProtocolMin(protocol);
  hello.setProtocolMax(protocol);
  hello.setCluster(of_cluster);
  hello.setClientId("client-" + std::to_string(number));
  hello.setSessionBase(number << 16);
  hello.setTtlMs(10'000);
  connection_->send(frame.builder);
}

void EdgeClient::send(const std::vector<Operation>& operations) {
  Frame frame;
  auto list = frame.root.initOperations().initList(static_cast<unsigned>(operations.size()));
  for (unsigned i = 0; i < list.size(); ++i) wire::write(operations[i], list[i]);
  connection_->send(frame.builder);
}

void EdgeClient::heartbeat(std::uint64_t number, const std::vector<std::uint32_t>& groups) {
  Frame frame;
  auto heartbeat = frame.root.initHeartbeat();
  heartbeat.setNumber(number);
  auto list = heartbeat.initGroups(static_cast<unsigned>(groups.size()));
  for (unsigned i = 0; i < list.size(); ++i) {
    list[i].setGroup(groups[i]);
    list[i].setRenew(true);
  }
  connection_->send(frame.builder);
}

void EdgeClient::inspect(std::uint64_t id, const std::string& resource) {
  Frame frame;
  auto query = frame.root.initQuery();
  query.setId(id);
  query.initQuery().setInspect(wire::as_bytes(resource));
  connection_->send(frame.builder);
}

void EdgeClient::status(std::uint64_t id) {
  Frame frame;
  auto query = frame.root.initQuery();
  query.setId(id);
  query.initQuery().setStatus();
  connection_->send(frame.builder);
}

void EdgeClient::locate(std::uint64_t id, const std::string& resource) {
  Frame frame;
  auto query = frame.root.initQuery();
  query.setId(id);
  query.initQuery().setLocate(wire::as_bytes(resource));
  connection_->send(frame.builder);
}

void EdgeClient::change_ring(std::uint64_t id, const RingChange& change) {
  Frame frame;
  auto query = frame.root.initQuery();
  query.setId(id);
  wire::write(change, query.initQuery().initChangeRing());
  connection_->send(frame.builder);
}

void EdgeClient::bye() {
  Frame frame;
  frame.root.setBye();
  connection_->send(frame.builder);
}

void EdgeClient::send_raw(const std::string& bytes) {
  ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

bool EdgeClient::has(std::uint64_t sequence, Status status) const {
  auto found = answers.find(sequence);
  return found != answers.end() && found->second.back().status == status;
}

void EdgeClient::receive(wire::Words words) {
  ++frames;
  capnp::FlatArrayMessageReader reader(words);
  auto frame = reader.getRoot<wire::RouterFrame>();
  switch (frame.which()) {
    case wire::RouterFrame::WELCOME:
      welcome = true;
      cluster = wire::as_text(frame.getWelcome().getCluster());
      break;
    case wire::RouterFrame::REFUSAL:
      refusal = wire::as_text(frame.getRefusal().getMessage());
      break;
    case wire::RouterFrame::BATCH: {
      static const char* const kKinds[] = {"opened", "renewed", "ended"};
      for (auto event : frame.getBatch().getSessions()) {
        events.push_back(std::string(kKinds[static_cast<int>(event.getKind())]) + " g" +
                         std::to_string(event.getGroup()) + " ttl " + std::to_string(event.getTtlMs()) +
                         " cause " + std::to_string(event.getCause()));
        for (std::uint32_t group : event.getMovedTo())
          events.back() += " moved to " + to_string(GroupId(group));
      }
      for (auto answer : frame.getBatch().getAnswers())
        answers[answer.getSequence()].push_back(wire::read(answer));
      break;
    }
    case wire::RouterFrame::REPORT: {
      auto report = frame.getReport().getReport();
      Report& out = reports[frame.getReport().getId()];
      out.status = static_cast<Status>(report.getStatus());
      out.message = wire::as_text(report.getMessage());
      if (report.isLock()) out.lock = wire::read(report.getLock());
      if (report.isCluster()) out.cluster = wire::read(report.getCluster());
      if (report.isRing()) out.ring = wire::read(report.getRing());
      if (report.isPlace()) out.place = wire::read(report.getPlace());
      break;
    }
  }
}

}  // namespace dlm::router
