// A process's session with the virtual coordinator, with the promises of coordinator/coordinator.h: it
// reconnects, pings, reads again what a watch told of, and finds out what became of a write whose answer was
// lost, in the way of coordinator/zookeeper_writer.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "test/sim/network.h"

namespace dlm::sim {

class CoordinatorClient final : public Endpoint {
 public:
  using Member = std::variant<std::monostate, coordinator::ServerMember, coordinator::RouterMember>;
  struct Options {
    Member self;
    std::vector<GroupId> groups;  // that there are
    std::uint32_t session_timeout_ms = 4'000;
    std::uint32_t patience_ms = 6'000;  // of the registration, with an earlier life that has not ended
  };
  struct Events {
    std::function<void(const coordinator::ClusterView&)> on_view;
    std::function<void()> on_ended;
    std::function<void(bool ok)> on_registered;
  };
  CoordinatorClient(Process& process, Network& network, Options options, Events events);
  ~CoordinatorClient();

  using Written = std::function<void(coordinator::WriteResult)>;
  void propose(GroupId group, std::int64_t expected, const coordinator::GroupConfig& config, Written done);
  // One at a time.
  void propose_ring(std::uint64_t expected, const coordinator::RingRecord& ring, Written done);
  void touch(std::function<void(bool)> done);

  void on_message(LinkId link, Message&& message) override;
  void on_closed(LinkId link) override;

 private:
  using Handler = std::function<void(const CoordinatorReply&)>;
  struct Write {
    CoordinatorRequest asked;
    Written done;
    std::uint64_t number = 0;
    bool unknown = false;  // its answer was lost
  };
  struct Target {
    std::optional<Write> write;
    std::int64_t note_version = -1;
  };

  void connect();
  void attached(const CoordinatorReply& reply);
  void disconnected();
  void end();
  void ping();
  void request(CoordinatorRequest request, Handler handler);
  void read(const Part& part);
  void take(const Part& part, const coordinator::ClusterView& content);
  void begin_write(CoordinatorRequest asked, Written done);
  void send_write(GroupId group);
  void written(GroupId group, const CoordinatorReply& reply);
  void read_back(GroupId group);
  void finish(GroupId group, coordinator::WriteResult result);
  void enlist();
  // A task of this session, dropped when it is gone.
  template <class Next>
  void later(TimeUs delay, Next next) {
    process_.post(delay, [alive = std::weak_ptr<bool>(alive_), next] {
      if (!alive.expired()) next();
    });
  }

  Process& process_;
  Network& network_;
  Options options_;
  Events events_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  LinkId link_;
  bool in_touch_ = false;
  bool ended_ = false;
  std::uint64_t attempt_ = 0;
  std::uint64_t session_ = 0;
  TimeUs heard_at_ = 0;
  std::uint64_t last_request_ = 0;
  std::map<std::uint64_t, Handler> handlers_;
  std::map<GroupId, Target> targets_;  // none: the ring's record
  std::uint64_t last_write_ = 0;
  std::size_t reads_out_ = 0;
  coordinator::ClusterView view_;
  std::optional<coordinator::ClusterView> told_;
  enum class Enlisting { idle, asking, waiting, done } enlisting_ = Enlisting::idle;
  bool patience_over_ = false;
};

}  // namespace dlm::sim
