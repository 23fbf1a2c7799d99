#include "test/sim/ring_admin.h"

#include <algorithm>
#include <utility>

#include "test/sim/coordinator_client.h"

namespace dlm::sim {
namespace {

using Kind = RingChange::Kind;

constexpr TimeUs kNewSessionPause = 200 * kMs;
constexpr TimeUs kFinishLook = 100 * kMs;

}  // namespace

struct RingAdmin::Life {
  explicit Life(RingAdmin& process) : self(process) { begin_session(); }

  void begin_session() {
    CoordinatorClient::Options options;
    options.groups = self.options_.groups;
    options.session_timeout_ms = self.options_.session_timeout_ms;
    coordinator = std::make_unique<CoordinatorClient>(
        self, self.network_, std::move(options),
        CoordinatorClient::Events{
            .on_view = [this](const coordinator::ClusterView& next) { view = next; },
            .on_ended = [this] { self.post(kNewSessionPause, [this] { begin_session(); }); },
            .on_registered = {}});
  }

  RingAdmin& self;
  coordinator::ClusterView view;
  bool writing = false;
  std::unique_ptr<CoordinatorClient> coordinator;
};

RingAdmin::RingAdmin(World& world, Network& network, const Clock& clock, const Options& options)
    : Process(world, "admin", clock), network_(network), options_(options) {}
RingAdmin::~RingAdmin() = default;

void RingAdmin::begin_life() {
  state_ = std::make_unique<Life>(*this);
  see_to_the_end();
}
void RingAdmin::end_life() {
  state_.reset();
}

bool RingAdmin::is_idle() const {
  return !state_ || !state_->writing;
}

bool RingAdmin::change(const RingChange& change) {
  if (!running() || state_->writing) return false;
  const coordinator::RingRecord& ring = state_->view.ring;
  const coordinator::RingPlan plan = coordinator::plan(ring, change, state_->view.groups);
  if (!plan.ok()) return false;
  state_->writing = true;
  state_->coordinator->propose_ring(ring.version, plan.record,
                                    [this](coordinator::WriteResult) { state_->writing = false; });
  return true;
}

// --- what it does ----------------------------------------------------------------------------------------

void RingAdmin::do_something(Random& random) {
  if (!running()) return;
  change(state_->view.ring.changing() ? some_steering(random) : some_beginning(random));
}

RingChange RingAdmin::some_beginning(Random& random) const {
  const std::vector<coordinator::RingGroup>& ring = state_->view.ring.groups;
  RingChange change;
  change.group = random.pick(options_.groups);
  const bool is_in_ring =
      std::any_of(ring.begin(), ring.end(), [&](const auto& entry) { return entry.group == change.group; });
  if (is_in_ring) change.kind = random.one_in(2) ? Kind::remove : Kind::weight;
  change.weight = random.pick(options_.weights);
  if (random.one_in(4)) change.locks_per_s_max = static_cast<std::uint32_t>(random.between(2, 100));
  return change;
}

RingChange RingAdmin::some_steering(Random& random) const {
  RingChange change;
  switch (random.below(4)) {
    case 0:
      change.kind = Kind::abort;
      break;
    case 1:
      change.kind = Kind::rate;
      change.locks_per_s_max = static_cast<std::uint32_t>(random.one_in(2) ? 0 : random.between(2, 100));
      break;
    default:
      change.kind = state_->view.ring.paused ? Kind::resume : Kind::pause;
      break;
  }
  return change;
}

void RingAdmin::finish() {
  finishing_ = true;
  if (running()) see_to_the_end();
}

void RingAdmin::see_to_the_end() {
  if (!finishing_) return;
  RingChange on;
  on.kind = state_->view.ring.paused ? Kind::resume : Kind::rate;
  change(on);
  post(kFinishLook, [this] { see_to_the_end(); });
}

}  // namespace dlm::sim
