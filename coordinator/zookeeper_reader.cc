#include "coordinator/zookeeper_reader.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "coordinator/member_json.h"
#include "schema/text.h"

namespace dlm::coordinator {
namespace {

// The last component, when `path` is a direct child of `parent`; else empty.
std::string child_name(const std::string& path, const std::string& parent) {
  bool below = path.size() > parent.size() + 1 && path.starts_with(parent) && path[parent.size()] == '/';
  std::string name = below ? path.substr(parent.size() + 1) : std::string();
  return name.find('/') == std::string::npos ? name : std::string();
}

template <class Map, class Name>
void drop_unlisted(Map& map, const std::vector<std::string>& listed, Name name) {
  std::erase_if(map, [&](const auto& entry) {
    return std::find(listed.begin(), listed.end(), name(entry.first)) == listed.end();
  });
}

}  // namespace

ZookeeperReader::ZookeeperReader(ZookeeperClient& client, std::string root, Hooks hooks)
    : client_(client), root_(std::move(root)), hooks_(std::move(hooks)) {}

void ZookeeperReader::read_all() {
  ++round_;
  reads_out_ = 0;
  reading_ = true;
  get(root_ + "/cluster", true, "", &ZookeeperReader::got_cluster);
  get(root_ + "/ring", true, "", &ZookeeperReader::got_ring);
  list(root_ + "/members", &ZookeeperReader::listed_servers);
  list(root_ + "/routers", &ZookeeperReader::listed_routers);
  list(root_ + "/groups", &ZookeeperReader::listed_groups);
}

void ZookeeperReader::stop() {
  ++round_;
  reading_ = false;
}

void ZookeeperReader::on_event(const ZookeeperEvent& event) {
  if (!reading_) return;  // read_all() will come
  const std::string& path = event.path;
  if (event.kind == ZookeeperEvent::Kind::children) {
    if (path == root_ + "/members") list(path, &ZookeeperReader::listed_servers);
    if (path == root_ + "/routers") list(path, &ZookeeperReader::listed_routers);
    if (path == root_ + "/groups") list(path, &ZookeeperReader::listed_groups);
    return;
  }
  if (path == root_ + "/cluster") get(path, true, "", &ZookeeperReader::got_cluster);
  if (path == root_ + "/ring") get(path, true, "", &ZookeeperReader::got_ring);
  std::string group = child_name(path, root_ + "/groups");
  if (!group.empty()) get(path, true, group, &ZookeeperReader::got_group);
}

void ZookeeperReader::get(const std::string& path, bool watch, const std::string& name, Handler handler) {
  ++reads_out_;
  client_.get(path, watch, [this, path, name, handler, round = round_](const ZookeeperResult& result) {
    bool usable = result.code == ZookeeperCode::ok || result.code == ZookeeperCode::no_node;
    finish(path, round, usable, result, [&] { (this->*handler)(name, result); });
  });
}

void ZookeeperReader::list(const std::string& path, Handler handler) {
  ++reads_out_;
  client_.list(path, [this, path, handler, round = round_](const ZookeeperResult& result) {
    finish(path, round, result.code == ZookeeperCode::ok, result, [&] { (this->*handler)("", result); });
  });
}

void ZookeeperReader::finish(const std::string& path, std::uint64_t round, bool usable,
                             const ZookeeperResult& result, const std::function<void()>& handle) {
  if (round != round_) return;
  --reads_out_;
  if (result.code == ZookeeperCode::lost || result.code == ZookeeperCode::ended) return stop();
  if (usable) {
    handle();
    if (reading_ && reads_out_ == 0) publish();
    return;
  }
  stop();
  hooks_.on_trouble("reading " + path + ": " + result.text);
}

void ZookeeperReader::publish() {
  if (view_.cluster.empty()) {
    stop();
    return hooks_.on_trouble(root_ + "/cluster does not tell the cluster's id");
  }
  if (told_ == view_) return;
  told_ = view_;
  hooks_.on_view(view_);
}

void ZookeeperReader::unreadable(const std::string& path, const std::string& why) {
  LOG(ERROR) << "ignoring what stands in ZooKeeper at " << printable(root_ + path) << ": " << printable(why);
}

void ZookeeperReader::got_cluster(const std::string&, const ZookeeperResult& result) {
  std::string error = "it is not there";
  bool read = result.code == ZookeeperCode::ok && parse_cluster_json(result.data, view_.cluster, error);
  if (!read) unreadable("/cluster", error);
}

void ZookeeperReader::got_ring(const std::string&, const ZookeeperResult& result) {
  if (result.code == ZookeeperCode::no_node) {
    view_.ring = RingRecord();
    return;
  }
  std::string error;
  if (parse_json(result.data, view_.ring, error)) {
    view_.ring.version = static_cast<std::uint64_t>(result.version) + 1;
  } else {
    unreadable("/ring", error);
  }
}

void ZookeeperReader::got_group(const std::string& name, const ZookeeperResult& result) {
  GroupId group = parse_group(name);
  if (result.code == ZookeeperCode::no_node) {
    view_.groups.erase(group);
    return;
  }
  VersionedConfig read{std::int64_t{result.version} + 1, {}};
  std::string error;
  if (parse_json(result.data, read.config, error)) {
    view_.groups[group] = std::move(read);
  } else {
    unreadable("/groups/" + name, error);
  }
}

void ZookeeperReader::got_server(const std::string& name, const ZookeeperResult& result) {
  ServerMember member;
  std::string error;
  if (result.code == ZookeeperCode::no_node) {
    view_.servers.erase(name);
  } else if (parse_json(name, result.data, member, error)) {
    view_.servers[name] = std::move(member);
  } else {
    unreadable("/members/" + name, error);
  }
}

void ZookeeperReader::got_router(const std::string& name, const ZookeeperResult& result) {
  RouterMember member;
  std::string error;
  if (result.code == ZookeeperCode::no_node) {
    view_.routers.erase(name);
  } else if (parse_json(name, result.data, member, error)) {
    view_.routers[name] = std::move(member);
  } else {
    unreadable("/routers/" + name, error);
  }
}

void ZookeeperReader::listed_groups(const std::string&, const ZookeeperResult& result) {
  drop_unlisted(view_.groups, result.children, [](GroupId group) { return to_string(group); });
  for (const std::string& name : result.children) {
    if (parse_group(name)) {
      get(root_ + "/groups/" + name, true, name, &ZookeeperReader::got_group);
    } else {
      unreadable("/groups/" + name, "the name is not a group's");
    }
  }
}

// A registration never changes: a process that comes back makes a new node. So a change of the list tells
// all, and touch() wakes nobody.
void ZookeeperReader::listed_servers(const std::string&, const ZookeeperResult& result) {
  drop_unlisted(view_.servers, result.children, [](const std::string& id) { return id; });
  for (const std::string& name : result.children) {
    get(root_ + "/members/" + name, false, name, &ZookeeperReader::got_server);
  }
}

void ZookeeperReader::listed_routers(const std::string&, const ZookeeperResult& result) {
  drop_unlisted(view_.routers, result.children, [](const std::string& id) { return id; });
  for (const std::string& name : result.children) {
    get(root_ + "/routers/" + name, false, name, &ZookeeperReader::got_router);
  }
}

}  // namespace dlm::coordinator
