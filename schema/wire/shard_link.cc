// Each step of a link runs as a task of its own on the loop, begun by the end of the step before. So no
// promise is ever destroyed from within its own continuation, and whoever is called back may destroy the
// link.
#include "schema/wire/shard_link.h"

#include <kj/debug.h>

#include <string_view>
#include <utility>

#include "schema/types.h"
#include "schema/wire/backoff.h"
#include "schema/wire/codec.h"

namespace dlm::wire {
namespace {

std::string text_of(const kj::Exception& exception) {
  return std::string(exception.getDescription().cStr(), exception.getDescription().size());
}

kj::StringPtr as_kj(const std::string& text) {
  return {text.c_str(), text.size()};
}

class Link final : public ShardLink {
 public:
  Link(EventLoop& loop, ShardLinkOptions options, Events events)
      : loop_(loop),
        options_(std::move(options)),
        events_(std::make_shared<Events>(std::move(events))),
        backoff_(options_.backoff_first_ms, options_.backoff_max_ms,
                 std::hash<std::string>{}(options_.self + "/" + options_.server)),
        life_(std::make_shared<bool>(true)) {
    next(&Link::connect);
  }

  ~Link() noexcept override {
    task_ = nullptr;  // before what it works on
    connection_ = nullptr;
  }

  bool up() const override { return up_; }

  void reconnect() override {
    why_ = "dropped to connect anew";
    gone_ = false;
    next(&Link::lost);
  }

 private:
  using Step = void (Link::*)();

  // Runs the step later on the loop; it replaces any other step that is waiting.
  void next(Step step) {
    const std::uint64_t number = ++step_;
    loop_.post([this, step, number, life = std::weak_ptr<bool>(life_)] {
      if (!life.expired() && number == step_) (this->*step)();
    });
  }

  void fail(bool gone, std::string why) {
    gone_ = gone;
    why_ = std::move(why);
    next(&Link::lost);
  }

  // The step begun by a promise that failed.
  auto on_fault() {
    return [this](kj::Exception&& exception) { fail(false, text_of(exception)); };
  }

  void connect() {
    auto attempt =
        RpcConnection::connect(loop_, options_.address, options_.limits, options_.connect_timeout_ms);
    task_ = attempt
                .then([this](RpcConnection::Result&& result) {
                  if (!result.connection)
                    return fail(result.error == ConnectError::refused, std::move(result.why));
                  connection_ = kj::mv(result.connection);
                  next(&Link::greet);
                })
                .eagerlyEvaluate(on_fault());
  }

  void greet() {
    auto request = connection_->bootstrap().castAs<ShardServer>().greetRequest();
    auto peer = request.initPeer();
    peer.setProtocol(kShardProtocolVersion);
    peer.setCluster(as_kj(options_.cluster));
    peer.setName(as_kj(options_.self));
    kj::Promise<capnp::Response<ShardServer::GreetResults>> answer = request.send();
    task_ = with_deadline(loop_, kj::mv(answer), options_.connect_timeout_ms, "greeting")
                .then([this](capnp::Response<ShardServer::GreetResults>&& greeting) { judge(greeting); })
                .eagerlyEvaluate(on_fault());
  }

  void judge(ShardServer::GreetResults::Reader greeting) {
    if (greeting.getStatus() != static_cast<std::uint8_t>(Status::ok)) {
      return fail(false, "refused: " + std::string(as_text(greeting.getMessage())));
    }
    const std::string_view name = as_text(greeting.getPeer().getName());
    if (name != options_.server) {
      return fail(true, "another process is there now: " + std::string(name));
    }
    server_ = greeting.getHost();
    next(&Link::greeted);
  }

  void greeted() {
    task_ = connection_->on_disconnect()
                .then([this] { fail(false, "connection lost"); })
                .eagerlyEvaluate(on_fault());
    backoff_.reset();
    up_ = true;
    std::shared_ptr<Events> events = events_;
    auto server = kj::mv(KJ_ASSERT_NONNULL(server_));
    server_ = nullptr;
    events->on_up(kj::mv(server));
  }

  void lost() {
    task_ = nullptr;
    server_ = nullptr;
    // Lives on until its user, told below, has dropped what came from it.
    kj::Own<RpcConnection> retired = kj::mv(connection_);
    // A link that was up is tried again at once: that it can't be is how a death is noticed.
    const std::uint32_t delay_ms = up_ ? 0 : backoff_.next_ms();
    up_ = false;
    task_ = loop_.timer()
                .afterDelay(delay_ms * kj::MILLISECONDS)
                .then([this] { next(&Link::connect); })
                .eagerlyEvaluate(nullptr);
    std::shared_ptr<Events> events = events_;
    events->on_down(gone_, std::string(why_));
  }

  EventLoop& loop_;
  ShardLinkOptions options_;
  std::shared_ptr<Events> events_;
  Backoff backoff_;
  bool up_ = false;
  bool gone_ = false;
  std::string why_;
  std::uint64_t step_ = 0;
  std::shared_ptr<bool> life_;
  kj::Own<RpcConnection> connection_;
  kj::Maybe<ShardServer::Host::Client> server_;
  kj::Promise<void> task_ = nullptr;
};

}  // namespace

std::unique_ptr<ShardLink> ShardLink::make(EventLoop& loop, ShardLinkOptions options, Events events) {
  return std::make_unique<Link>(loop, std::move(options), std::move(events));
}

}  // namespace dlm::wire
