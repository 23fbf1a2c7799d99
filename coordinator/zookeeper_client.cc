#include "coordinator/zookeeper_client.h"

#include <glog/logging.h>
#include <zookeeper/zookeeper.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

#include "coordinator/zookeeper_log.h"

// Faults of the C client (3.8) that the sanitizers see, and that we can do nothing about: it does not free
// the requests and events that are queued while it is closed (some hundred bytes once in a session's life),
// and its handles share a buffer for a text that they log.
#ifdef __SANITIZE_ADDRESS__
extern "C" __attribute__((weak)) const char* __lsan_default_suppressions() {
  return "leak:libzookeeper_mt";
}
#endif
#ifdef __SANITIZE_THREAD__
extern "C" __attribute__((weak)) const char* __tsan_default_suppressions() {
  return "race_top:vsprintf";
}
#endif

namespace dlm::coordinator {
namespace {

// The C client's log callback has no context, so this is one for all clients of the process.
struct SharedLog {
  std::mutex mutex;
  ZookeeperLogFilter filter;
};
SharedLog& shared_log() {
  static SharedLog log;
  return log;
}

// Comes on the C client's I/O thread.
void on_log(const char* message) {
  std::optional<std::string> line;
  {
    std::lock_guard lock(shared_log().mutex);
    line = shared_log().filter.pass(message, ZookeeperLogFilter::Clock::now());
  }
  if (line) LOG(WARNING) << "ZooKeeper client: " << *line;
  // With two servers or more, all of them refusing, the client tries as fast as it can (14,000 times a
  // second). This is the only place where it can be made to pause.
  if (std::string_view(message).find("refused to accept the client") != std::string_view::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

ZookeeperCode code_of(int rc) {
  switch (rc) {
    case ZOK:
      return ZookeeperCode::ok;
    case ZNONODE:
      return ZookeeperCode::no_node;
    case ZNODEEXISTS:
      return ZookeeperCode::node_exists;
    case ZBADVERSION:
      return ZookeeperCode::bad_version;
    case ZCONNECTIONLOSS:
    case ZOPERATIONTIMEOUT:
    case ZSESSIONMOVED:
      return ZookeeperCode::lost;
    case ZSESSIONEXPIRED:
    case ZINVALIDSTATE:
    case ZAUTHFAILED:
    case ZCLOSING:
      return ZookeeperCode::ended;
    default:
      return ZookeeperCode::other;
  }
}

ZookeeperResult result_of(int rc) {
  ZookeeperResult result;
  result.code = code_of(rc);
  result.text = zerror(rc);
  return result;
}

}  // namespace

// Results and events arrive on the C client's completion thread, which does no more than to post them;
// everything else happens on the executor's thread. zookeeper_close() joins the client's threads, so raw
// pointers in its hands stay valid.
struct ZookeeperClient::Impl : std::enable_shared_from_this<Impl> {
  // One request in the C client's hands. Owned here and not by it, as it forgets requests when it is closed.
  struct Call {
    Impl* impl = nullptr;
    std::uint64_t id = 0;
    Done done;
    // A multi's buffers, which the client fills in and reads until it calls back.
    std::vector<ZookeeperWrite> writes;
    std::vector<zoo_op_t> ops;
    std::vector<zoo_op_result_t> results;
    std::array<char, 8> ignored_path{};
  };

  Executor executor;
  std::function<void(const ZookeeperEvent&)> on_event;
  std::string hosts;
  zhandle_t* handle = nullptr;
  std::uint64_t last_id = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Call>> calls;

  Call* begin(Done done) {
    auto call = std::make_unique<Call>();
    call->impl = this;
    call->id = ++last_id;
    call->done = std::move(done);
    return (calls[call->id] = std::move(call)).get();
  }

  // The C client refuses some requests at once; their result comes like any other.
  void begun(Call* call, int rc) {
    if (rc != ZOK) post(*call, result_of(rc));
  }

  // From any thread.
  static void post(const Call& call, ZookeeperResult result) {
    call.impl->executor([weak = call.impl->weak_from_this(), id = call.id, result = std::move(result)] {
      std::shared_ptr<Impl> impl = weak.lock();
      if (impl) impl->finish(id, result);
    });
  }

  void finish(std::uint64_t id, const ZookeeperResult& result) {
    auto call = calls.extract(id);
    if (!call.empty()) call.mapped()->done(result);
  }

  // What the C client calls, on its completion thread; `data` is the Call, `context` the Impl.
  static const Call& call_of(const void* data) { return *static_cast<const Call*>(data); }
  static void on_string(int rc, const char*, const void* data) { post(call_of(data), result_of(rc)); }
  static void on_stat(int rc, const Stat*, const void* data) { post(call_of(data), result_of(rc)); }
  static void on_data(int rc, const char* value, int length, const Stat* stat, const void* data);
  static void on_children(int rc, const String_vector* names, const void* data);
  static void on_multi(int rc, const void* data);
  static void on_watch(zhandle_t* handle, int type, int state, const char* path, void* context);

  // Sets a watch on a node that is not there; reads again when it has just come.
  void watch_absent(const std::string& path, Done done);
  void get(const std::string& path, bool watch, Done done);
};

void ZookeeperClient::Impl::on_data(int rc, const char* value, int length, const Stat* stat,
                                    const void* data) {
  ZookeeperResult result = result_of(rc);
  if (rc == ZOK) {
    if (value != nullptr && length > 0) result.data.assign(value, static_cast<std::size_t>(length));
    result.version = stat->version;
    result.ephemeral_owner = stat->ephemeralOwner;
  }
  post(call_of(data), std::move(result));
}

void ZookeeperClient::Impl::on_children(int rc, const String_vector* names, const void* data) {
  ZookeeperResult result = result_of(rc);
  if (rc == ZOK) result.children.assign(names->data, names->data + names->count);
  post(call_of(data), std::move(result));
}

void ZookeeperClient::Impl::on_multi(int rc, const void* data) {
  ZookeeperResult result = result_of(rc);
  for (const zoo_op_result_t& member : call_of(data).results)
    result.member_codes.push_back(code_of(member.err));
  post(call_of(data), std::move(result));
}

void ZookeeperClient::Impl::on_watch(zhandle_t* handle, int type, int state, const char* path,
                                     void* context) {
  ZookeeperEvent event;
  if (type == ZOO_SESSION_EVENT) {
    if (state == ZOO_CONNECTED_STATE) {
      event.kind = ZookeeperEvent::Kind::connected;
      event.session = zoo_client_id(handle)->client_id;
      event.session_timeout_ms = static_cast<std::uint32_t>(zoo_recv_timeout(handle));
    } else if (state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE) {
      event.kind = ZookeeperEvent::Kind::ended;
    } else if (state != ZOO_CONNECTING_STATE && state != ZOO_ASSOCIATING_STATE) {
      return;
    }
  } else if (type == ZOO_CREATED_EVENT || type == ZOO_CHANGED_EVENT || type == ZOO_DELETED_EVENT) {
    event.kind = ZookeeperEvent::Kind::data;
  } else if (type == ZOO_CHILD_EVENT) {
    event.kind = ZookeeperEvent::Kind::children;
  } else {
    return;
  }
  if (path != nullptr) event.path = path;
  auto* self = static_cast<Impl*>(context);
  self->executor([weak = self->weak_from_this(), event = std::move(event)] {
    std::shared_ptr<Impl> impl = weak.lock();
    if (impl && impl->handle != nullptr) impl->on_event(event);
  });
}

void ZookeeperClient::Impl::watch_absent(const std::string& path, Done done) {
  Call* call = begin([this, path, done = std::move(done)](const ZookeeperResult& result) {
    if (result.code == ZookeeperCode::ok) {
      get(path, true, done);
    } else {
      done(result);
    }
  });
  begun(call, zoo_awexists(handle, path.c_str(), on_watch, this, on_stat, call));
}

void ZookeeperClient::Impl::get(const std::string& path, bool watch, Done done) {
  if (!watch) {
    Call* call = begin(std::move(done));
    return begun(call, zoo_awget(handle, path.c_str(), nullptr, nullptr, on_data, call));
  }
  Call* call = begin([this, path, done = std::move(done)](const ZookeeperResult& result) {
    if (result.code == ZookeeperCode::no_node) {
      watch_absent(path, done);
    } else {
      done(result);
    }
  });
  begun(call, zoo_awget(handle, path.c_str(), on_watch, this, on_data, call));
}

ZookeeperClient::ZookeeperClient(Executor executor, std::function<void(const ZookeeperEvent&)> on_event)
    : impl_(std::make_shared<Impl>()) {
  impl_->executor = std::move(executor);
  impl_->on_event = std::move(on_event);
}

ZookeeperClient::~ZookeeperClient() {
  close();
}

bool ZookeeperClient::open(const std::string& hosts, std::uint32_t session_timeout_ms, std::string& error) {
  CHECK(impl_->handle == nullptr);
  impl_->hosts = hosts;
  zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
  errno = 0;
  impl_->handle = zookeeper_init2(hosts.c_str(), &Impl::on_watch, static_cast<int>(session_timeout_ms),
                                  nullptr, impl_.get(), ZOO_NO_LOG_CLIENTENV, on_log);
  if (impl_->handle != nullptr) return true;
  // The C client makes ENOENT or EINVAL of what the resolver said.
  error = errno == ENOENT || errno == EINVAL ? "no such host" : std::generic_category().message(errno);
  return false;
}

bool ZookeeperClient::is_open() const {
  return impl_->handle != nullptr;
}

std::string ZookeeperClient::last_failure() const {
  std::lock_guard lock(shared_log().mutex);
  return shared_log().filter.last_failure(impl_->hosts);
}

void ZookeeperClient::close() {
  if (impl_->handle == nullptr) return;
  zookeeper_close(std::exchange(impl_->handle, nullptr));
  impl_->calls.clear();
}

void ZookeeperClient::create(const std::string& path, const std::string& data, bool ephemeral, Done done) {
  Impl::Call* call = impl_->begin(std::move(done));
  impl_->begun(call, zoo_acreate(impl_->handle, path.c_str(), data.data(), static_cast<int>(data.size()),
                                 &ZOO_OPEN_ACL_UNSAFE, ephemeral ? ZOO_EPHEMERAL : ZOO_PERSISTENT,
                                 &Impl::on_string, call));
}

void ZookeeperClient::get(const std::string& path, bool watch, Done done) {
  impl_->get(path, watch, std::move(done));
}

void ZookeeperClient::list(const std::string& path, Done done) {
  Impl::Call* call = impl_->begin(std::move(done));
  impl_->begun(call, zoo_awget_children(impl_->handle, path.c_str(), &Impl::on_watch, impl_.get(),
                                        &Impl::on_children, call));
}

void ZookeeperClient::set(const std::string& path, const std::string& data, std::int32_t version, Done done) {
  Impl::Call* call = impl_->begin(std::move(done));
  impl_->begun(call, zoo_aset(impl_->handle, path.c_str(), data.data(), static_cast<int>(data.size()),
                              version, &Impl::on_stat, call));
}

void ZookeeperClient::sync(const std::string& path, Done done) {
  Impl::Call* call = impl_->begin(std::move(done));
  impl_->begun(call, zoo_async(impl_->handle, path.c_str(), &Impl::on_string, call));
}

void ZookeeperClient::multi(std::vector<ZookeeperWrite> writes, Done done) {
  Impl::Call* call = impl_->begin(std::move(done));
  call->writes = std::move(writes);
  call->ops.resize(call->writes.size());
  call->results.resize(call->writes.size());
  for (std::size_t i = 0; i < call->writes.size(); ++i) {
    const ZookeeperWrite& write = call->writes[i];
    if (write.create) {
      zoo_create_op_init(&call->ops[i], write.path.c_str(), write.data.data(),
                         static_cast<int>(write.data.size()), &ZOO_OPEN_ACL_UNSAFE,
                         write.ephemeral ? ZOO_EPHEMERAL : ZOO_PERSISTENT, call->ignored_path.data(),
                         static_cast<int>(call->ignored_path.size()));
    } else {
      zoo_set_op_init(&call->ops[i], write.path.c_str(), write.data.data(),
                      static_cast<int>(write.data.size()), write.version, nullptr);
    }
  }
  impl_->begun(call, zoo_amulti(impl_->handle, static_cast<int>(call->ops.size()), call->ops.data(),
                                call->results.data(), &Impl::on_multi, call));
}

}  // namespace dlm::coordinator
