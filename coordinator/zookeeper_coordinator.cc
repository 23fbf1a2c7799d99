#include "coordinator/zookeeper_coordinator.h"

#include <glog/logging.h>

#include <array>
#include <charconv>
#include <optional>
#include <random>
#include <utility>

#include "coordinator/member_json.h"
#include "coordinator/timers.h"
#include "coordinator/zookeeper_client.h"
#include "coordinator/zookeeper_reader.h"
#include "coordinator/zookeeper_registration.h"
#include "coordinator/zookeeper_writer.h"

namespace dlm::coordinator {
namespace {

constexpr std::uint32_t kComplaintMs = 1'000;  // out of touch for so long: say so
constexpr std::uint32_t kRetryMs = 1'000;

std::string hex(std::uint64_t number) {
  std::array<char, 16> text{};
  auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), number, 16);
  return {text.data(), end};
}

std::string random_id() {
  std::random_device device;
  std::string id;
  for (int i = 0; i < 4; ++i) {
    std::string part = hex(device());
    id += std::string(8 - part.size(), '0') + part;
  }
  return id;
}

// User callbacks never run in the middle of this code but as tasks of their own, so that they may do
// anything, destroy the coordinator included.
class ZookeeperCoordinator final : public Coordinator {
 public:
  ZookeeperCoordinator(const ZookeeperOptions& options, Executor executor)
      : options_(options),
        executor_(std::move(executor)),
        session_timeout_ms_(options.session_timeout_ms),
        client_(executor_, [this](const ZookeeperEvent& event) { on_event(event); }),
        reader_(client_, options_.address.root, reader_hooks()),
        writer_(client_, options_.address.root) {
    if (options_.cluster_id.empty()) options_.cluster_id = random_id();
  }

  ~ZookeeperCoordinator() override {
    alive_.reset();
    timers_.stop();
    client_.close();
  }

  void start(Events events) override {
    events_ = std::make_shared<const Events>(std::move(events));
    open();
  }

  void register_server(const ServerMember& member, std::uint32_t patience_ms, Registered done) override {
    if (!valid_server_id(member.name.server)) {
      return tell(
          [done = std::move(done)] { done(false, "not a server id: letters, digits, _ . - (at most 64)"); });
    }
    auto taken = [id = member.name.server](const std::string& data) {
      ServerMember holder;
      std::string error;
      return parse_json(id, data, holder, error) ? taken_text(holder) : "server id " + id + " is taken";
    };
    enlist(server_, "/members/" + member.name.server, to_json(member), patience_ms, taken, std::move(done));
  }

  void register_router(const RouterMember& member, std::uint32_t patience_ms, Registered done) override {
    if (!valid_server_id(member.id)) {
      return tell(
          [done = std::move(done)] { done(false, "not a router id: letters, digits, _ . - (at most 64)"); });
    }
    auto taken = [id = member.id](const std::string& data) {
      RouterMember holder;
      std::string error;
      return parse_json(id, data, holder, error) ? taken_text(holder) : "router id " + id + " is taken";
    };
    enlist(router_, "/routers/" + member.id, to_json(member), patience_ms, taken, std::move(done));
  }

  void propose(GroupId group, std::int64_t expected, const GroupConfig& config, Written done) override {
    if (!group) return tell([done = std::move(done)] { done(WriteResult::unavailable); });
    GroupConfig readable;
    write("groups/" + to_string(group), expected, to_json(config), readable, std::move(done));
  }

  void propose_ring(std::uint64_t expected, const RingRecord& ring, Written done) override {
    RingRecord readable;
    write("ring", static_cast<std::int64_t>(expected), to_json(ring), readable, std::move(done));
  }

  void touch(std::function<void(bool)> done) override {
    ZookeeperRegistration* registration = server_ && server_->registered()   ? server_.get()
                                          : router_ && router_->registered() ? router_.get()
                                                                             : nullptr;
    if (!in_touch_ || registration == nullptr) return tell([done = std::move(done)] { done(false); });
    client_.set(registration->path(), registration->data(), -1,
                [this, done = std::move(done)](const ZookeeperResult& result) {
                  tell([done, ok = result.code == ZookeeperCode::ok] { done(ok); });
                });
  }

  std::uint32_t session_timeout_ms() const override { return session_timeout_ms_; }

 private:
  std::string where() const { return "ZooKeeper at " + options_.address.hosts; }
  std::string unreachable() const;

  // Runs a task on the executor's thread, unless this is gone by then. From any thread.
  void post(const std::weak_ptr<int>& alive, std::function<void()> task) {
    executor_([alive, task = std::move(task)] {
      if (!alive.expired()) task();
    });
  }
  void tell(std::function<void()> callback) { post(alive_, std::move(callback)); }
  void tell_session(SessionState state, std::string why) {
    tell([events = events_, state, why = std::move(why)] {
      if (events->on_session) events->on_session(state, why);
    });
  }
  void later(std::uint32_t delay_ms, std::function<void()> task) {
    timers_.after(delay_ms,
                  [this, alive = std::weak_ptr<int>(alive_), task = std::move(task)] { post(alive, task); });
  }

  void open();
  void complain_later();
  void on_event(const ZookeeperEvent& event);
  void prepare();
  void prepared();
  void retry_later(const std::string& why);
  void disconnected();
  void end(const std::string& why);
  ZookeeperReader::Hooks reader_hooks();
  template <class TakenText>
  void enlist(std::shared_ptr<ZookeeperRegistration>& slot, const std::string& path, std::string data,
              std::uint32_t patience_ms, TakenText taken, Registered done);
  template <class Record>
  void write(const std::string& target, std::int64_t expected, std::string json, Record& readable,
             Written done);

  ZookeeperOptions options_;
  Executor executor_;
  std::shared_ptr<const Events> events_ = std::make_shared<const Events>();
  std::shared_ptr<int> alive_ = std::make_shared<int>();
  std::uint32_t session_timeout_ms_;

  std::int64_t session_ = 0;
  std::uint64_t connection_ = 0;  // counts connections made and lost: what belongs to an earlier one is void
  std::size_t preparing_ = 0;     // answers to come
  bool linked_ = false;           // ZooKeeper's session is connected
  bool in_touch_ = false;         // and the nodes we need are there
  bool ended_ = false;

  ZookeeperClient client_;
  ZookeeperReader reader_;
  ZookeeperWriter writer_;
  std::shared_ptr<ZookeeperRegistration> server_;
  std::shared_ptr<ZookeeperRegistration> router_;
  Timers timers_;
};

std::string ZookeeperCoordinator::unreachable() const {
  std::string failure = client_.last_failure();
  return where() + " can't be reached: " + (failure.empty() ? "no answer" : failure);
}

void ZookeeperCoordinator::open() {
  std::string error;
  if (client_.open(options_.address.hosts, options_.session_timeout_ms, error)) return complain_later();
  tell_session(SessionState::connecting, where() + " can't be reached: " + error);
  later(kRetryMs, [this] { open(); });
}

void ZookeeperCoordinator::complain_later() {
  later(kComplaintMs, [this, connection = connection_] {
    if (connection == connection_) tell_session(SessionState::connecting, unreachable());
  });
}

void ZookeeperCoordinator::on_event(const ZookeeperEvent& event) {
  if (ended_) return;
  switch (event.kind) {
    case ZookeeperEvent::Kind::connected:
      ++connection_;
      linked_ = true;
      session_ = event.session;
      session_timeout_ms_ = event.session_timeout_ms;
      return prepare();
    case ZookeeperEvent::Kind::connecting:
      return disconnected();
    case ZookeeperEvent::Kind::ended:
      return end("the session with " + where() + " has expired: it was out of touch for more than " +
                 std::to_string(session_timeout_ms_) + " ms");
    case ZookeeperEvent::Kind::data:
    case ZookeeperEvent::Kind::children:
      if (server_) server_->on_event(event);
      if (router_) router_->on_event(event);
      return reader_.on_event(event);
  }
}

// Makes the nodes that everything else hangs from. Requests are done in order, so no answer is waited for.
void ZookeeperCoordinator::prepare() {
  const std::string& root = options_.address.root;
  std::vector<std::pair<std::string, std::string>> nodes;
  for (std::size_t slash = root.find('/', 1); slash != std::string::npos; slash = root.find('/', slash + 1)) {
    nodes.emplace_back(root.substr(0, slash), "");
  }
  nodes.emplace_back(root, "");
  for (const char* name : {"/members", "/routers", "/groups", "/outcomes"})
    nodes.emplace_back(root + name, "");
  nodes.emplace_back(root + "/cluster", cluster_json(options_.cluster_id));

  preparing_ = nodes.size();
  auto refusal = std::make_shared<std::string>();
  for (const auto& [path, data] : nodes) {
    client_.create(
        path, data, false, [this, path = path, refusal, connection = connection_](const ZookeeperResult& r) {
          if (connection != connection_ || r.code == ZookeeperCode::lost || r.code == ZookeeperCode::ended)
            return;
          bool there = r.code == ZookeeperCode::ok || r.code == ZookeeperCode::node_exists;
          if (!there && refusal->empty()) *refusal = "making " + path + ": " + r.text;
          if (--preparing_ > 0) return;
          if (refusal->empty()) return prepared();
          retry_later(*refusal);
        });
  }
}

void ZookeeperCoordinator::prepared() {
  in_touch_ = true;
  tell_session(SessionState::connected, "");
  reader_.read_all();
  writer_.resume(hex(static_cast<std::uint64_t>(session_)));
  if (server_) server_->resume(session_);
  if (router_) router_->resume(session_);
}

// ZooKeeper answers, but not with what we need.
void ZookeeperCoordinator::retry_later(const std::string& why) {
  tell_session(SessionState::connecting, where() + " is of no use: " + why);
  later(kRetryMs, [this, connection = connection_] {
    if (connection == connection_) prepare();
  });
}

void ZookeeperCoordinator::disconnected() {
  if (!linked_) return;
  ++connection_;
  linked_ = false;
  in_touch_ = false;
  reader_.stop();
  writer_.pause();
  if (server_) server_->pause();
  if (router_) router_->pause();
  tell_session(SessionState::connecting, "lost the connection to " + where());
  complain_later();
}

void ZookeeperCoordinator::end(const std::string& why) {
  ++connection_;
  ended_ = true;
  linked_ = false;
  in_touch_ = false;
  reader_.stop();
  writer_.end();
  if (server_) server_->fail(why);
  if (router_) router_->fail(why);
  tell_session(SessionState::ended, why);
}

ZookeeperReader::Hooks ZookeeperCoordinator::reader_hooks() {
  ZookeeperReader::Hooks hooks;
  hooks.on_view = [this](const ClusterView& view) {
    tell([events = events_, view] {
      if (events->on_view) events->on_view(view);
    });
  };
  hooks.on_trouble = [this](const std::string& why) { retry_later(why); };
  return hooks;
}

template <class TakenText>
void ZookeeperCoordinator::enlist(std::shared_ptr<ZookeeperRegistration>& slot, const std::string& path,
                                  std::string data, std::uint32_t patience_ms, TakenText taken,
                                  Registered done) {
  if (ended_) return tell([done = std::move(done)] { done(false, "the session has ended"); });
  ZookeeperRegistration::Request request;
  request.path = options_.address.root + path;
  request.data = std::move(data);
  request.taken_text = taken;
  request.done = [this, done = std::move(done)](bool ok, const std::string& why) {
    tell([done, ok, why] { done(ok, why); });
  };
  if (slot) slot->fail("another registration was begun");
  slot = std::make_shared<ZookeeperRegistration>(client_, std::move(request));
  if (in_touch_) slot->resume(session_);
  later(patience_ms, [this, weak = std::weak_ptr(slot)] {
    if (std::shared_ptr<ZookeeperRegistration> registration = weak.lock())
      registration->give_up(unreachable());
  });
}

template <class Record>
void ZookeeperCoordinator::write(const std::string& target, std::int64_t expected, std::string json,
                                 Record& readable, Written done) {
  Written report = [this, done = std::move(done)](WriteResult result) {
    tell([done, result] { done(result); });
  };
  std::string error;
  if (!parse_json(json, readable, error)) {
    LOG(ERROR) << "not writing " << target << ", nobody could read it: " << error;
    return report(WriteResult::unavailable);
  }
  writer_.write(target, expected, std::move(json), std::move(report));
}

}  // namespace

std::unique_ptr<Coordinator> make_zookeeper_coordinator(const ZookeeperOptions& options, Executor executor) {
  return std::make_unique<ZookeeperCoordinator>(options, std::move(executor));
}

}  // namespace dlm::coordinator
