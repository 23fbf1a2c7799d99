#include "client/router_link.h"

#include <capnp/serialize.h>
#include <kj/exception.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "client/boottime_timer.h"
#include "schema/wire/codec.h"

namespace dlm::client {

namespace {

constexpr std::chrono::milliseconds kConnectTimeout{1'000};  // to connect, and again to be welcomed
constexpr std::uint32_t kPauseMsFirst = 20;
constexpr std::uint32_t kPauseMsMax = 1'000;
constexpr std::uint64_t kStableMs = 2'000;  // a connection that lived for this long was a good one

std::string name_of(const HostPort& address) {
  bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

std::string describe(const boost::system::error_code& error) {
  if (error == boost::asio::error::connection_refused) return "refused the connection";
  return error.message();
}

// A refusal that every attempt will meet again.
bool lasting(Status status) {
  return status == Status::invalid_argument || status == Status::permission_denied;
}

}  // namespace

RouterLink::RouterLink(boost::asio::io_context& io, RouterLinkOptions options, Events events)
    : io_(io),
      options_(std::move(options)),
      events_(std::move(events)),
      backoff_(kPauseMsFirst, kPauseMsMax, options_.seed),
      current_(options_.seed % options_.routers.size()),
      resolver_(io),
      socket_(io),
      timer_(io) {
  for (const HostPort& address : options_.routers)
    known_.push_back({name_of(address), "not tried yet", Status::ok});
}

RouterLink::~RouterLink() {
  *alive_ = false;
}

void RouterLink::start() {
  attempt();
}

void RouterLink::attempt() {
  ++attempt_;
  boost::system::error_code ignored;
  socket_.close(ignored);
  socket_ = boost::asio::ip::tcp::socket(io_);
  arm_timeout();
  const HostPort& address = options_.routers[current_];
  resolver_.async_resolve(address.host, std::to_string(address.port),
                          [this, alive = alive_, mine = attempt_](const auto& error, auto endpoints) {
                            if (*alive && mine == attempt_ && !stopped_)
                              resolved(error, std::move(endpoints));
                          });
}

void RouterLink::arm_timeout() {
  timer_.expires_after(kConnectTimeout);
  timer_.async_wait([this, alive = alive_, mine = attempt_](const boost::system::error_code& error) {
    if (!error && *alive && mine == attempt_ && !stopped_ && !up_) failed("did not answer within a second");
  });
}

void RouterLink::resolved(const boost::system::error_code& error,
                          boost::asio::ip::tcp::resolver::results_type endpoints) {
  if (error) return failed("its name could not be resolved: " + error.message());
  boost::asio::async_connect(socket_, endpoints,
                             [this, alive = alive_, mine = attempt_](const auto& failure, const auto&) {
                               if (*alive && mine == attempt_ && !stopped_) connected(failure);
                             });
}

void RouterLink::connected(const boost::system::error_code& error) {
  if (error) return failed(describe(error));
  connection_ = wire::FrameConnection::make(std::move(socket_), wire::FrameLimits{});
  wire::FrameConnection::Events events;
  events.on_frames = [this, alive = alive_, mine = attempt_](const std::vector<wire::Words>& frames) {
    if (!*alive || mine != attempt_ || stopped_) return;
    if (up_) {
      events_.on_frames(frames);
    } else {
      first_frames(frames);
    }
  };
  events.on_close = [this, alive = alive_, mine = attempt_](const std::string& why) {
    if (!*alive || mine != attempt_) return;
    connection_closed(why);
  };
  connection_->start(std::move(events));
  arm_timeout();
  greet();
}

void RouterLink::greet() {
  HelloData data = events_.hello();
  capnp::MallocMessageBuilder message;
  auto hello = message.initRoot<wire::ClientFrame>().initHello();
  hello.setProtocolMin(kClientProtocolVersion);
  hello.setProtocolMax(kClientProtocolVersion);
  hello.setCluster(cluster_);
  hello.setClientId(options_.client_id);
  hello.setSessionBase(data.session_base);
  hello.setTtlMs(data.ttl_ms);
  auto groups = hello.initGroups(static_cast<unsigned>(data.groups.size()));
  for (unsigned i = 0; i < groups.size(); ++i) {
    groups[i].setGroup(data.groups[i].group.value);
    groups[i].setGeneration(data.groups[i].generation);
    groups[i].setRenew(data.groups[i].renew);
  }
  connection_->send(message);
}

void RouterLink::first_frames(const std::vector<wire::Words>& frames) {
  capnp::FlatArrayMessageReader reader(frames.front());
  auto frame = reader.getRoot<wire::RouterFrame>();
  if (frame.isRefusal()) {
    auto refusal = frame.getRefusal();
    auto status = static_cast<Status>(refusal.getStatus());
    std::string message(wire::as_text(refusal.getMessage()));
    return failed("refused this client: " + (message.empty() ? std::string(to_string(status)) : message),
                  status);
  }
  if (!frame.isWelcome()) return failed("did not greet");
  if (!welcomed(frame.getWelcome())) return;
  if (frames.size() > 1) events_.on_frames({frames.begin() + 1, frames.end()});
}

bool RouterLink::welcomed(const wire::Welcome::Reader& welcome) {
  std::string cluster(wire::as_text(welcome.getCluster()));
  if (!cluster_.empty() && cluster != cluster_) {
    failed("is of another cluster (\"" + cluster + "\", not \"" + cluster_ + "\")", Status::invalid_argument);
    return false;
  }
  if (welcome.getProtocol() != kClientProtocolVersion) {
    failed("speaks another version of the protocol", Status::invalid_argument);
    return false;
  }
  cluster_ = std::move(cluster);
  timer_.cancel();
  up_ = true;
  up_since_ms_ = boottime_ms();
  failed_in_a_row_ = 0;
  known_[current_].refusal = Status::ok;
  name_ = known_[current_].name;
  events_.on_up(name_);
  return true;
}

void RouterLink::connection_closed(const std::string& why) {
  if (stopped_) {
    if (on_stopped_) std::exchange(on_stopped_, nullptr)();
    return;
  }
  failed(why);
}

void RouterLink::reconnect(const std::string& why) {
  if (up_ && !stopped_) failed(why);
}

// The way to the current router is over: on to the next one, after a pause when all have failed in a row.
void RouterLink::failed(const std::string& why, Status refusal) {
  ++attempt_;
  bool was_up = std::exchange(up_, false);
  Known& router = known_[current_];
  router.reason = why;
  router.refusal = refusal;
  if (connection_) std::exchange(connection_, nullptr)->close(why);
  boost::system::error_code ignored;
  socket_.close(ignored);
  resolver_.cancel();
  if (was_up && boottime_ms() - up_since_ms_ >= kStableMs) backoff_.reset();
  if (!was_up) ++failed_in_a_row_;
  // One that welcomes and closes at once must not be asked in a tight loop.
  bool pause = failed_in_a_row_ >= known_.size() || (was_up && boottime_ms() - up_since_ms_ < kPauseMsMax);
  bool all_refuse = true;
  for (const Known& each : known_) all_refuse = all_refuse && lasting(each.refusal);
  if (failed_in_a_row_ >= known_.size()) failed_in_a_row_ = 0;
  current_ = (current_ + 1) % known_.size();
  name_.clear();
  auto delay = std::chrono::milliseconds(pause ? backoff_.next_ms() : 0);
  timer_.expires_after(delay);
  timer_.async_wait([this, alive = alive_, mine = attempt_](const boost::system::error_code& error) {
    if (!error && *alive && mine == attempt_ && !stopped_) attempt();
  });
  boost::asio::post(io_, [this, alive = alive_, name = router.name, why, refusal, all_refuse] {
    if (!*alive || stopped_) return;
    events_.on_down(name, why);
    if (all_refuse) events_.on_refused(refusal, all_reasons());
  });
}

void RouterLink::stop(std::chrono::milliseconds patience, std::function<void()> on_done) {
  stopped_ = true;
  timer_.cancel();
  resolver_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (!connection_) {
    boost::asio::post(io_, std::move(on_done));
    return;
  }
  on_stopped_ = std::move(on_done);
  if (!up_) return connection_->close("the client is closed");
  timer_.expires_after(patience);
  timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
    if (!error && *alive) connection_->close("the client is closed");
  });
}

std::string RouterLink::all_reasons() const {
  std::string text = "no router reachable";
  const char* separator = ": ";
  for (const Known& router : known_) {
    text += separator + router.name + " " + router.reason;
    separator = "; ";
  }
  return text;
}

}  // namespace dlm::client
