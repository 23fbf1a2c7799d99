#include "client/cli/dev.h"

#include <algorithm>
#include <utility>

#include "coordinator/hub_text.h"
#include "server/storage/damage.h"
#include "server/storage/posix_files.h"

namespace dlm::cli {
namespace {

constexpr std::chrono::milliseconds kLookInterval(5);
// Replicas join within milliseconds; one that does not is no reason to keep the user waiting, `dlm status`
// tells of it.
constexpr std::chrono::milliseconds kInSyncPatience(1'200);

std::vector<GroupId> groups_up_to(std::uint32_t count) {
  std::vector<GroupId> groups;
  for (std::uint32_t i = 1; i <= count; ++i) groups.emplace_back(i);
  return groups;
}

constexpr const char* kRecords = "coordinator";  // in the data folder

// What ZooKeeper would keep lies beside the folders of the servers.
coordinator::MemoryHubOptions hub_options(const DevOptions& options) {
  coordinator::MemoryHubOptions hub;
  hub.cluster = "dev";
  if (options.data_dir.empty()) return hub;
  const std::shared_ptr<server::Folder> folder = server::posix_folder(options.data_dir);
  hub.keep = [folder](const coordinator::ClusterView& view) {
    server::replace_file(*folder, kRecords, to_text(view));
  };
  const std::optional<std::string> text = server::read_file(*folder, kRecords);
  if (!text) return hub;
  coordinator::ClusterView view;
  std::string error;
  if (!parse_text(*text, view, error))
    throw server::DamagedFolder(folder->describe(kRecords) + ": " + error + "; " + server::kMoveDataAway);
  hub.cluster = view.cluster;
  hub.groups = std::move(view.groups);
  hub.ring = std::move(view.ring);
  return hub;
}

}  // namespace

DevCluster::DevCluster(wire::EventLoop& loop, const DevOptions& options)
    : loop_(loop), options_(options), hub_(hub_options(options)), look_timer_(loop.io()) {
  auto session = [this](const std::string& name) { return make_session(hub_, loop_.executor(), name); };
  router::RouterProcessOptions router_options;
  router_options.id = "r1";
  router_options.listen = options.listen;
  router_options.lease_ms_min = options.lease_ms_min;
  router_options.lease_ms_max = options.lease_ms_max;
  router_ = std::make_unique<router::RouterProcess>(loop_, session("r1"), std::move(router_options));
  observer_ = session("observer");
}

DevCluster::~DevCluster() {
  router_.reset();
  nodes_.clear();
  observer_.reset();
}

void DevCluster::start(Events events) {
  events_ = std::move(events);
  started_ = std::chrono::steady_clock::now();
  observer_->start({[this](const coordinator::ClusterView& view) { view_ = view; },
                    [](coordinator::SessionState, const std::string&) {}});
  for (std::uint32_t i = 1; i <= options_.replicas; ++i) {
    server::ShardNodeOptions node;
    node.id = "s" + std::to_string(i);
    node.groups = groups_up_to(options_.groups + options_.spare_groups);
    node.init_ring = groups_up_to(options_.groups);
    node.table = options_.quotas;
    if (!options_.data_dir.empty()) node.data_dir = options_.data_dir + "/" + node.id;
    node.table.lease_ms_min = options_.lease_ms_min;
    node.table.lease_ms_max = options_.lease_ms_max;
    auto failed = [this, id = node.id](const std::string& why) { events_.on_failed(id + ": " + why); };
    auto coordinator = make_session(hub_, loop_.executor(), node.id);
    nodes_.push_back(std::make_unique<server::ShardNode>(
        loop_, std::move(coordinator), std::move(node), server::ShardNode::Events{[] {}, std::move(failed)}));
    nodes_.back()->start();
  }
  router_->start(
      {[this] { router_ready_ = true; }, [this](const std::string& why) { events_.on_failed(why); }});
  look_ready();
}

void DevCluster::look_ready() {
  bool patient = std::chrono::steady_clock::now() - started_ < kInSyncPatience;
  if (router_ready_ && serving() && (all_in_sync() || !patient)) return events_.on_ready();
  look_timer_.expires_after(kLookInterval);
  look_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look_ready();
  });
}

bool DevCluster::serving() const {
  auto groups = groups_up_to(options_.groups + options_.spare_groups);
  return std::all_of(groups.begin(), groups.end(), [&](GroupId group) {
    return std::any_of(nodes_.begin(), nodes_.end(), [&](const auto& node) { return node->serves(group); });
  });
}

bool DevCluster::all_in_sync() const {
  return view_.groups.size() == options_.groups + options_.spare_groups &&
         std::all_of(view_.groups.begin(), view_.groups.end(), [&](const auto& group) {
           return group.second.config.in_sync.size() == options_.replicas;
         });
}

void DevCluster::stop(std::function<void()> done) {
  look_timer_.cancel();
  router_->stop(std::move(done));
}

}  // namespace dlm::cli
