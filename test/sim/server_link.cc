#include "test/sim/server_link.h"

#include <algorithm>
#include <utility>

namespace dlm::sim {
namespace {

constexpr std::uint32_t kBackoffMsFirst = 5;
constexpr std::uint32_t kBackoffMsMax = 500;

}  // namespace

ServerLink::ServerLink(Process& process, Network& network, Options options, Events events)
    : process_(process),
      network_(network),
      options_(std::move(options)),
      events_(std::move(events)),
      backoff_ms_(kBackoffMsFirst) {
  connect();
}

ServerLink::~ServerLink() {
  if (link_ && process_.alive()) network_.close(link_, process_);
}

void ServerLink::connect() {
  const std::uint64_t attempt = ++attempt_;
  std::weak_ptr<bool> alive = alive_;
  network_.connect(process_, *this, options_.address,
                   [this, alive, attempt, &network = network_, &process = process_](Network::Outcome outcome,
                                                                                    LinkId link) {
                     if (alive.expired() || attempt != attempt_) {
                       if (link) network.close(link, process);
                       return;
                     }
                     if (outcome == Network::Outcome::refused) return lost(true);
                     link_ = link;
                     network_.send(link_, process_, Greet{options_.self});
                   });
  // To connect, and to be greeted.
  process_.post(options_.connect_timeout_ms * kMs, [this, alive, attempt] {
    if (!alive.expired() && attempt == attempt_ && !up_) lost(false);
  });
}

void ServerLink::reconnect() {
  process_.post(0, [this, alive = std::weak_ptr<bool>(alive_), attempt = attempt_] {
    if (!alive.expired() && attempt == attempt_) lost(false);
  });
}

void ServerLink::greeted(const Greeted& greeting) {
  if (greeting.name != options_.server) return lost(true);
  if (!greeting.ready) return lost(false);
  backoff_ms_ = kBackoffMsFirst;
  up_ = true;
  events_.on_up();
}

void ServerLink::lost(bool gone) {
  const std::uint64_t attempt = ++attempt_;
  if (link_) network_.close(std::exchange(link_, LinkId()), process_);
  // A link that was up is tried again at once: that it can't be is how a death is noticed.
  const std::uint32_t pause_ms = up_ ? 0 : process_.world().random.below(backoff_ms_) + 1;
  if (!up_) backoff_ms_ = std::min(kBackoffMsMax, backoff_ms_ * 2);
  up_ = false;
  process_.post(pause_ms * kMs, [this, alive = std::weak_ptr<bool>(alive_), attempt] {
    if (!alive.expired() && attempt == attempt_) connect();
  });
  events_.on_down(gone);
}

void ServerLink::on_message(LinkId link, Message&& message) {
  if (link != link_) return;
  if (const auto* greeting = std::get_if<Greeted>(&message)) return greeted(*greeting);
  if (up_) events_.on_message(std::move(message));
}

void ServerLink::on_closed(LinkId link) {
  if (link != link_) return;
  link_ = LinkId();
  lost(false);
}

}  // namespace dlm::sim
