#include "dlm/client.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <utility>

#include "client/blocking.h"
#include "client/engine.h"
#include "client/error.h"
#include "schema/text.h"

namespace dlm {

namespace {

using client::make_error;
using std::chrono::milliseconds;

constexpr int kDefaultRouters = 4;  // ports from kRouterPortDefault on

[[noreturn]] void refuse(const std::string& message) {
  throw LockError(make_error(Status::invalid_argument, "", message));
}

HostPort parse_router(const std::string& text) {
  std::optional<HostPort> address = parse_host_port(text);
  if (!address || address->host.empty() || address->port == 0) {
    refuse("router \"" + printable(text) + "\" is not of the form host:port");
  }
  return *address;
}

std::vector<HostPort> routers_of(const ClientOptions& options) {
  std::vector<HostPort> routers;
  for (const std::string& text : options.routers) routers.push_back(parse_router(text));
  if (!routers.empty()) return routers;
  if (const char* list = std::getenv("DLM_ROUTERS")) {
    std::string_view rest(list);
    while (!rest.empty()) {
      std::size_t comma = std::min(rest.find(','), rest.size());
      std::string_view one = rest.substr(0, comma);
      while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
      while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
      if (!one.empty()) routers.push_back(parse_router(std::string(one)));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    if (!routers.empty()) return routers;
  }
  for (int i = 0; i < kDefaultRouters; ++i) {
    routers.push_back({"127.0.0.1", static_cast<std::uint16_t>(kRouterPortDefault + i)});
  }
  return routers;
}

std::string random_client_id() {
  std::random_device device;
  std::string bytes;
  for (int i = 0; i < 4; ++i) {
    std::uint32_t bits = device();
    bytes.append(reinterpret_cast<const char*>(&bits), sizeof bits);
  }
  return to_hex(bytes);
}

std::uint32_t option_ms(milliseconds value, const char* name) {
  if (value < milliseconds(1) || value >= milliseconds(kWaitForeverMs)) {
    refuse(std::string(name) + " must be between 1 ms and 49 days");
  }
  return static_cast<std::uint32_t>(value.count());
}

client::Engine::Settings settings_of(ClientOptions options) {
  client::Engine::Settings settings;
  settings.routers = routers_of(options);
  if (options.client_id.size() > kClientIdBytesMax) {
    refuse("a client id has at most " + std::to_string(kClientIdBytesMax) + " bytes");
  }
  settings.client_id = options.client_id.empty() ? random_client_id() : std::move(options.client_id);
  settings.ttl_ms = option_ms(options.session_ttl, "session_ttl");
  settings.request_timeout_ms = option_ms(options.request_timeout, "request_timeout");
  settings.on_event = std::move(options.on_event);
  settings.io_thread = std::move(options.io_thread);
  return settings;
}

// The limits that no configuration changes; empty: within them.
std::string names_outside_limits(std::string_view resource, std::string_view owner_tag,
                                 std::string_view client_id) {
  auto too_long = [](const char* what, std::size_t size, std::size_t max) {
    return std::string(what) + " of " + std::to_string(size) + " bytes is too long: at most " +
           std::to_string(max);
  };
  if (resource.size() > kResourceBytesMax)
    return too_long("a resource name", resource.size(), kResourceBytesMax);
  if (owner_tag.size() > kOwnerTagBytesMax)
    return too_long("an owner tag", owner_tag.size(), kOwnerTagBytesMax);
  if (client_id.size() > kClientIdBytesMax)
    return too_long("a client id", client_id.size(), kClientIdBytesMax);
  return "";
}

// False: `out` would not hold it.
bool to_ms(milliseconds value, std::uint32_t& out) {
  if (value < milliseconds(0) || value >= milliseconds(kWaitForeverMs)) return false;
  out = static_cast<std::uint32_t>(value.count());
  return true;
}

client::CallPtr acquire_call(std::string_view resource, AcquireOptions options, bool detached) {
  auto call = std::make_unique<client::Call>();
  auto& request = call->request;
  request.kind = OperationKind::acquire;
  request.mode = options.mode;
  request.lease = detached ? LeaseKind::detached : options.lease_kind;
  request.handle = !detached;
  request.resource = resource;
  request.owner_tag = std::move(options.owner_tag);
  request.client_id = std::move(options.owner_client_id);
  std::string problem = names_outside_limits(request.resource, request.owner_tag, request.client_id);
  if (!detached && !request.client_id.empty())
    problem = "only a detached hold may have another client as its owner";
  request.wait_ms = kWaitForeverMs;
  if (options.wait && !to_ms(*options.wait, request.wait_ms)) problem = "a wait is between 0 and 49 days";
  if (request.lease == LeaseKind::session) {
    if (options.lease != milliseconds(0)) problem = "a session-bound hold has no lease of its own";
  } else if (!to_ms(options.lease, request.lease_ms) || request.lease_ms == 0) {
    problem = "a detached or capped hold needs a lease between 1 ms and 49 days";
  }
  if (options.request_timeout &&
      (!to_ms(*options.request_timeout, request.request_timeout_ms) || request.request_timeout_ms == 0)) {
    problem = "a request timeout is between 1 ms and 49 days";
  }
  if (!problem.empty())
    call->refused = std::make_unique<Error>(make_error(Status::invalid_argument, request.resource, problem));
  call->on_queued = std::move(options.on_queued);
  call->stop = std::move(options.stop);
  return call;
}

client::CallPtr detached_call(OperationKind kind, const DetachedHold& hold) {
  auto call = std::make_unique<client::Call>();
  auto& request = call->request;
  request.kind = kind;
  request.lease = LeaseKind::detached;
  request.token = hold.token;
  request.resource = hold.resource;
  request.owner_tag = hold.owner_tag;
  request.client_id = hold.client_id;
  std::string problem = names_outside_limits(hold.resource, hold.owner_tag, hold.client_id);
  if (!problem.empty())
    call->refused = std::make_unique<Error>(make_error(Status::invalid_argument, hold.resource, problem));
  return call;
}

}  // namespace

Client::Client(ClientOptions options) : engine_(client::Engine::make(settings_of(std::move(options)))) {}

Client::~Client() {
  if (engine_) engine_->close();
}

Client::Client(Client&&) noexcept = default;

Client& Client::operator=(Client&& other) noexcept {
  if (this != &other) {
    if (engine_) engine_->close();
    engine_ = std::move(other.engine_);
  }
  return *this;
}

void Client::start_close() {
  engine_->start_close();
}

const std::string& Client::client_id() const noexcept {
  return engine_->client_id();
}
std::string Client::router() const {
  return engine_->router();
}

Result<void> Client::wait_connected(milliseconds timeout) {
  if (engine_->on_io_thread()) {
    return make_error(Status::invalid_argument, "", "a blocking call within a callback of the library");
  }
  std::string why;
  if (engine_->wait_connected(timeout, why)) return {};
  return make_error(Status::unavailable, "", why);
}

// --- without blocking

void Client::start_acquire(std::string_view resource, AcquireOptions options, Done<Lock> done) {
  client::CallPtr call = acquire_call(resource, std::move(options), false);
  call->done = std::move(done);
  engine_->call(std::move(call));
}

void Client::start_acquire_detached(std::string_view resource, AcquireOptions options,
                                    Done<DetachedHold> done) {
  client::CallPtr call = acquire_call(resource, std::move(options), true);
  call->done = std::move(done);
  engine_->call(std::move(call));
}

void Client::start_release_detached(const DetachedHold& hold, Done<ReleaseInfo> done) {
  client::CallPtr call = detached_call(OperationKind::release, hold);
  call->done = std::move(done);
  engine_->call(std::move(call));
}

void Client::start_renew_detached(const DetachedHold& hold, milliseconds lease, Done<DetachedHold> done) {
  client::CallPtr call = detached_call(OperationKind::renew, hold);
  if (!to_ms(lease, call->request.lease_ms)) {
    call->refused = std::make_unique<Error>(
        make_error(Status::invalid_argument, hold.resource, "a lease is at most 49 days"));
  }
  call->done = std::move(done);
  engine_->call(std::move(call));
}

void Client::start_inspect(std::string_view resource, Done<LockReport> done) {
  client::Query query;
  query.kind = client::Query::Kind::inspect;
  query.name = resource;
  query.timeout_ms = engine_->request_timeout_ms();
  query.done = std::move(done);
  engine_->query(std::move(query));
}

void Client::start_list_page(const ListOptions& options, Done<LockPage> done) {
  client::Query query;
  query.kind = client::Query::Kind::list;
  query.name = options.prefix;
  query.list = options;
  query.timeout_ms = engine_->request_timeout_ms();
  query.done = std::move(done);
  engine_->query(std::move(query));
}

void Client::start_status(Done<ClusterReport> done) {
  client::Query query;
  query.timeout_ms = engine_->request_timeout_ms();
  query.done = std::move(done);
  engine_->query(std::move(query));
}

void Client::start_step_down(GroupId group, Done<GroupReport> done) {
  client::Query query;
  query.kind = client::Query::Kind::step_down;
  query.list.group = group;
  query.timeout_ms = engine_->request_timeout_ms();
  query.done = std::move(done);
  engine_->query(std::move(query));
}

void Client::start_ring(Done<RingReport> done) {
  client::Query query;
  query.kind = client::Query::Kind::ring;
  query.timeout_ms = engine_->request_timeout_ms();
  query.done = std::move(done);
  engine_->query(std::move(query));
}

void Client::start_locate(std::string_view resource, Done<PlaceReport> done) {
  client::Query query;
  query.kind = client::Query::Kind::locate;
  query.name = resource;
  query.timeout_ms = engine_->request_timeout_ms();
  query.done = std::move(done);
  engine_->query(std::move(query));
}

void Client::start_change_ring(const RingChange& change, Done<RingReport> done) {
  client::Query query;
  query.kind = client::Query::Kind::change_ring;
  query.change = change;
  query.timeout_ms = engine_->request_timeout_ms();
  query.done = std::move(done);
  if (change.expected_version != 0) return engine_->query(std::move(query));
  // Never without one: should two copies of it reach the routers, the second must be refused.
  auto shared = std::make_shared<client::Query>(std::move(query));
  start_ring([shared, engine = std::weak_ptr(engine_)](Result<RingReport> ring) {
    auto& told = std::get<Done<RingReport>>(shared->done);
    if (!ring) return told(std::move(ring));
    auto alive = engine.lock();
    if (ring->version == 0 || !alive) {
      const char* why = alive ? "there is no ring yet: no server has begun one" : "the client is closed";
      return told(make_error(Status::unavailable, "", why));
    }
    shared->change.expected_version = ring->version;
    alive->query(std::move(*shared));
  });
}

void Client::start_recover_group(GroupId group, std::uint64_t expected_version, Done<RecoveryReport> done) {
  client::Query query;
  query.kind = client::Query::Kind::recover;
  query.list.group = group;
  query.expected_version = expected_version;
  query.timeout_ms = engine_->request_timeout_ms();
  query.done = std::move(done);
  engine_->query(std::move(query));
}

// --- blocking

Result<Lock> Client::acquire(std::string_view resource, AcquireOptions options) {
  return client::blocking<Lock>(engine_.get(), std::string(resource), [&](auto done) {
    start_acquire(resource, std::move(options), std::move(done));
  });
}

Result<Lock> Client::try_acquire(std::string_view resource, AcquireOptions options) {
  options.wait = milliseconds(0);
  return acquire(resource, std::move(options));
}

Result<DetachedHold> Client::acquire_detached(std::string_view resource, AcquireOptions options) {
  return client::blocking<DetachedHold>(engine_.get(), std::string(resource), [&](auto done) {
    start_acquire_detached(resource, std::move(options), std::move(done));
  });
}

Result<ReleaseInfo> Client::release_detached(const DetachedHold& hold) {
  return client::blocking<ReleaseInfo>(engine_.get(), hold.resource,
                                       [&](auto done) { start_release_detached(hold, std::move(done)); });
}

Result<DetachedHold> Client::renew_detached(const DetachedHold& hold, milliseconds lease) {
  return client::blocking<DetachedHold>(
      engine_.get(), hold.resource, [&](auto done) { start_renew_detached(hold, lease, std::move(done)); });
}

Result<LockReport> Client::inspect(std::string_view resource) {
  return client::blocking<LockReport>(engine_.get(), std::string(resource),
                                      [&](auto done) { start_inspect(resource, std::move(done)); });
}

Result<LockPage> Client::list_page(const ListOptions& options) {
  return client::blocking<LockPage>(engine_.get(), "",
                                    [&](auto done) { start_list_page(options, std::move(done)); });
}

Result<ClusterReport> Client::status() {
  return client::blocking<ClusterReport>(engine_.get(), "",
                                         [&](auto done) { start_status(std::move(done)); });
}

Result<GroupReport> Client::step_down(GroupId group) {
  return client::blocking<GroupReport>(engine_.get(), "",
                                       [&](auto done) { start_step_down(group, std::move(done)); });
}

Result<RingReport> Client::ring() {
  return client::blocking<RingReport>(engine_.get(), "", [&](auto done) { start_ring(std::move(done)); });
}

Result<PlaceReport> Client::locate(std::string_view resource) {
  return client::blocking<PlaceReport>(engine_.get(), std::string(resource),
                                       [&](auto done) { start_locate(resource, std::move(done)); });
}

Result<RingReport> Client::change_ring(const RingChange& change) {
  return client::blocking<RingReport>(engine_.get(), "",
                                      [&](auto done) { start_change_ring(change, std::move(done)); });
}

Result<RecoveryReport> Client::recover_group(GroupId group, std::uint64_t expected_version) {
  return client::blocking<RecoveryReport>(
      engine_.get(), "", [&](auto done) { start_recover_group(group, expected_version, std::move(done)); });
}

Result<void> Client::list(std::string_view prefix, const std::function<bool(const LockReport&)>& each) {
  // Who is not in the ring, coming or leaving, owns nothing, and may be gone.
  Result<RingReport> groups = ring();
  if (!groups) return groups.error();
  for (const RingReport::Group& group : groups->groups) {
    ListOptions options;
    options.prefix = prefix;
    options.group = group.state.group;
    do {
      Result<LockPage> page = list_page(options);
      if (!page) return page.error();
      for (const LockReport& lock : page->locks) {
        if (!each(lock)) return {};
      }
      options.cursor = page->next_cursor;
    } while (options.cursor != 0);
  }
  return {};
}

}  // namespace dlm
