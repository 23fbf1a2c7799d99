// ZooKeeper's C client as a C++ class whose results come through an executor. Knows nothing of clusters and
// groups. Its .cc is the only file that sees ZooKeeper's header.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/coordinator.h"

namespace dlm::coordinator {

enum class ZookeeperCode {
  ok,
  no_node,
  node_exists,
  bad_version,
  lost,   // the connection broke: a write's outcome is unknown
  ended,  // the session is over, and so is the client
  other,  // refused; the text says why
};

struct ZookeeperResult {
  ZookeeperCode code = ZookeeperCode::other;
  std::string text;  // ZooKeeper's own words for the code
  std::string data;  // get
  std::int32_t version = 0;
  std::int64_t ephemeral_owner = 0;
  std::vector<std::string> children;        // list
  std::vector<ZookeeperCode> member_codes;  // multi: of each operation
};

struct ZookeeperEvent {
  enum class Kind {
    connected,   // first or again; the session is the same
    connecting,  // the connection was lost; the client reconnects by itself
    ended,       // expired, or refused for good
    data,        // the watched node was created, changed or deleted
    children,    // children came or went
  };
  Kind kind = Kind::connecting;
  std::string path;
  std::int64_t session = 0;              // connected
  std::uint32_t session_timeout_ms = 0;  // connected: as agreed with the server
};

// One write of a multi: a create, or else a set by compare-and-set on `version` (-1: any).
struct ZookeeperWrite {
  std::string path;
  std::string data;
  bool create = false;
  bool ephemeral = false;  // create
  std::int32_t version = -1;
};

// All calls from the executor's thread, requests only while is_open(); all callbacks come there, never before
// the call that caused them has returned. Each Done is called once, unless the client is closed first. One
// session per client: after `ended` it is of no more use.
class ZookeeperClient {
 public:
  using Done = std::function<void(const ZookeeperResult&)>;

  ZookeeperClient(Executor executor, std::function<void(const ZookeeperEvent&)> on_event);
  ~ZookeeperClient();

  // Begins to connect. False when that can't even begin (a host name that does not resolve): may be tried
  // again. May block while names are resolved.
  bool open(const std::string& hosts, std::uint32_t session_timeout_ms, std::string& error);
  bool is_open() const;
  // The system's words for why no server can be reached; empty when it has none.
  std::string last_failure() const;
  // Ends the session, joins the client's threads; no callback afterwards.
  void close();

  void create(const std::string& path, const std::string& data, bool ephemeral, Done done);
  // A watch with `get` also tells when a node that is not there comes.
  void get(const std::string& path, bool watch, Done done);
  // Children, with a watch.
  void list(const std::string& path, Done done);
  void set(const std::string& path, const std::string& data, std::int32_t version, Done done);
  // Everything that was committed before is seen by reads after it, on whatever server.
  void sync(const std::string& path, Done done);
  // All or nothing.
  void multi(std::vector<ZookeeperWrite> writes, Done done);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace dlm::coordinator
