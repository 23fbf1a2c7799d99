#include "router/router_process.h"

#include <glog/logging.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "coordinator/core/group_recovery.h"
#include "router/client_edge.h"
#include "router/group_links.h"
#include "schema/wire/turn.h"

namespace dlm::router {
namespace {

using boost::system::error_code;
using coordinator::SessionState;

constexpr std::chrono::milliseconds kNewSessionPause(500);
constexpr std::chrono::milliseconds kStopLook(10);
constexpr std::chrono::milliseconds kStopTime(1'500);

std::string id_of(std::string address) {
  for (char& c : address) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.';
    if (!plain) c = '-';
  }
  return address;
}

}  // namespace

// Shared with the handlers that are on their way, which find `open` false once the process object is gone.
struct RouterProcess::Impl : std::enable_shared_from_this<RouterProcess::Impl> {
  Impl(wire::EventLoop& event_loop, std::unique_ptr<coordinator::Coordinator> first,
       RouterProcessOptions from)
      : loop(event_loop),
        options(std::move(from)),
        core(options.core),
        edge(loop, core,
             EdgeOptions{options.listen, options.frames, options.half_frame_ms, options.lease_ms_min,
                         options.lease_ms_max},
             [this] { wake(); }),
        turn_timer(loop.io()),
        session_timer(loop.io()),
        stop_timer(loop.io()),
        coordinator(std::move(first)) {
    const std::string& host = options.listen.host;
    const bool v6 = host.find(':') != std::string::npos;
    address = !options.advertise.empty() ? options.advertise
                                         : (v6 ? "[" + host + "]" : host) + ":" + std::to_string(edge.port());
    id = options.id.empty() ? id_of(address) : options.id;
    links.emplace(loop, core, id, options.rpc, [this] { wake(); });
  }

  void close();
  void begin_session();
  void end_session(const std::string& why);
  void registered(bool ok, const std::string& why);
  void look_ready();
  void fail(std::string why);
  void write_ring(const RingWrite& write);
  void write_group(GroupWrite&& write);
  void wake();
  void turn();
  void arm();
  void look_stopped(std::chrono::steady_clock::time_point until, std::function<void()> done);
  // A handler that does nothing once this is closed.
  template <class Task>
  auto guarded(Task task) {
    return [self = weak_from_this(), task = std::move(task)](auto&&... arguments) mutable {
      auto alive = self.lock();
      if (alive != nullptr && alive->open) task(std::forward<decltype(arguments)>(arguments)...);
    };
  }

  wire::EventLoop& loop;
  RouterProcessOptions options;
  std::string id;
  std::string address;
  Events events;
  bool open = true;
  bool stopping = false;
  bool is_registered = false;
  bool is_ready = false;
  bool failed = false;
  RouterCore core;
  RouterOutput output;
  ClientEdge edge;
  std::optional<GroupLinks> links;
  bool turn_due = false;
  TimeMs armed_for = kNever;
  boost::asio::steady_timer turn_timer;
  boost::asio::steady_timer session_timer;
  boost::asio::steady_timer stop_timer;
  std::uint64_t session = 0;  // counts coordinator sessions
  std::unique_ptr<coordinator::Coordinator> coordinator;
};

// --- the coordinator ---------------------------------------------------------

void RouterProcess::Impl::begin_session() {
  const std::uint64_t number = ++session;
  is_registered = false;
  coordinator->start({.on_view = guarded([this, number](const coordinator::ClusterView& view) {
                        if (number != session) return;
                        core.view(view, wire::EventLoop::now_ms());
                        wake();
                        look_ready();
                      }),
                      .on_session = guarded([this, number](SessionState state, const std::string& why) {
                        if (number != session || stopping) return;
                        if (state == SessionState::ended) return end_session(why);
                        if (state == SessionState::connected) {
                          LOG(INFO) << "connected to the coordinator";
                        } else {
                          LOG(WARNING)
                              << "not in touch with the coordinator" << (why.empty() ? "" : ": ") << why;
                        }
                      })});
  coordinator->register_router({id, address}, options.registration_patience_ms,
                               guarded([this, number](bool ok, const std::string& why) {
                                 if (number == session && !stopping) registered(ok, why);
                               }));
}

void RouterProcess::Impl::registered(bool ok, const std::string& why) {
  if (ok) {
    is_registered = true;
    LOG(INFO) << "registered as router " << id << " on " << address;
    return look_ready();
  }
  if (!is_ready)
    return fail("router id \"" + id + "\" can't be registered: " + why +
                "; give another --id, or end that router");
  end_session("the registration failed: " + why);
}

// A router loses nothing with its session: it serves on from what it knows and registers anew.
void RouterProcess::Impl::end_session(const std::string& why) {
  ++session;  // what is on its way from the old session counts no more
  LOG(WARNING) << "the coordinator session has ended (" << why << ")"
               << (options.new_coordinator ? ": beginning another" : "");
  if (!options.new_coordinator) {
    if (!is_ready) fail("the coordinator ended the session: " + why);
    return;
  }
  session_timer.expires_after(kNewSessionPause);
  session_timer.async_wait(guarded([this](const error_code& cancelled) {
    if (cancelled || stopping) return;
    coordinator.reset();  // first, so that the id is free
    coordinator = options.new_coordinator();
    begin_session();
  }));
}

void RouterProcess::Impl::look_ready() {
  if (is_ready || !is_registered || !core.ready()) return;
  is_ready = true;
  loop.post(guarded([this] {
    if (events.on_ready) events.on_ready();
  }));
}

void RouterProcess::Impl::fail(std::string why) {
  if (std::exchange(failed, true)) return;
  loop.post(guarded([this, why = std::move(why)] {
    if (events.on_failed) events.on_failed(why);
  }));
}

// What a session of the coordinator that has been replaced would have answered never comes: the core waits
// for it until the deadline of who asked.
void RouterProcess::Impl::write_ring(const RingWrite& write) {
  auto written = guarded([this, call = write.call](coordinator::WriteResult result) {
    core.ring_written(call, result, wire::EventLoop::now_ms());
    wake();
  });
  LOG(INFO) << "writing the ring after version " << write.record.version << ": " << to_json(write.record);
  if (coordinator == nullptr) return written(coordinator::WriteResult::unavailable);
  coordinator->propose_ring(write.record.version, write.record, std::move(written));
}

void RouterProcess::Impl::write_group(GroupWrite&& write) {
  auto written = guarded([this, call = write.call](coordinator::WriteResult result) {
    core.group_written(call, result);
    wake();
  });
  coordinator::GroupConfig& next = write.record.config;
  next.author = coordinator::operator_author(id, write.call.value);
  LOG(WARNING) << "an operator has " << to_string(write.group) << " begin anew, after version "
               << write.record.version << " of its record: " << to_json(next);
  if (coordinator == nullptr) return written(coordinator::WriteResult::unavailable);
  coordinator->propose(write.group, write.record.version, next, std::move(written));
}

// --- turns -------------------------------------------------------------------

// At the end of the loop's turn, so that whatever else is ready becomes input too, and leaves in the same
// submits and frames.
void RouterProcess::Impl::wake() {
  if (turn_due || !open) return;
  turn_due = true;
  wire::Turn::of(loop.io()).at_end<&Impl::turn>(wire::Turn::Phase::decide, shared_from_this());
}

void RouterProcess::Impl::turn() {
  turn_due = false;
  if (!open) return;
  core.turn(wire::EventLoop::now_ms(), output);
  // What is for clients first: an input, which perform() may make, ends what the output borrows.
  edge.deliver(output, id);
  links->perform(output);
  for (const RingWrite& write : output.ring_writes) write_ring(write);
  for (GroupWrite& write : output.group_writes) write_group(std::move(write));
  arm();
}

void RouterProcess::Impl::arm() {
  const TimeMs next = core.next_turn();
  if (next == kNever) return;
  const TimeMs now = wire::EventLoop::now_ms();
  if (next <= now) return wake();
  if (next >= armed_for) return;  // that one comes first, and arms the next
  armed_for = next;
  turn_timer.expires_after(std::chrono::milliseconds(next - now));
  turn_timer.async_wait(guarded([this](const error_code& cancelled) {
    if (cancelled) return;
    armed_for = kNever;
    wake();
  }));
}

// --- the end -----------------------------------------------------------------

void RouterProcess::Impl::close() {
  open = false;
  turn_timer.cancel();
  session_timer.cancel();
  stop_timer.cancel();
  coordinator.reset();
  links.reset();
  edge.stop_accepting();
}

void RouterProcess::Impl::look_stopped(std::chrono::steady_clock::time_point until,
                                       std::function<void()> done) {
  if (edge.connections() == 0 || std::chrono::steady_clock::now() >= until) return done();
  stop_timer.expires_after(kStopLook);
  stop_timer.async_wait(guarded([this, until, done = std::move(done)](const error_code& cancelled) {
    if (!cancelled) look_stopped(until, std::move(done));
  }));
}

RouterProcess::RouterProcess(wire::EventLoop& loop, std::unique_ptr<coordinator::Coordinator> coordinator,
                             RouterProcessOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(coordinator), std::move(options))) {}

RouterProcess::~RouterProcess() {
  impl_->close();
}

void RouterProcess::start(Events events) {
  impl_->events = std::move(events);
  impl_->edge.start();
  impl_->begin_session();
}

void RouterProcess::stop(std::function<void()> done) {
  Impl& impl = *impl_;
  impl.stopping = true;
  ++impl.session;
  impl.session_timer.cancel();
  impl.edge.stop_accepting();
  impl.coordinator.reset();
  impl.edge.close_all("this router stops");
  impl.loop.post(impl.guarded([&impl, done = std::move(done)]() mutable {
    impl.look_stopped(std::chrono::steady_clock::now() + kStopTime, std::move(done));
  }));
}

const std::string& RouterProcess::id() const {
  return impl_->id;
}
std::string RouterProcess::address() const {
  return impl_->address;
}
std::uint16_t RouterProcess::port() const {
  return impl_->edge.port();
}
bool RouterProcess::ready() const {
  return impl_->is_ready;
}
RouterStats RouterProcess::stats() const {
  return impl_->core.stats();
}

}  // namespace dlm::router
