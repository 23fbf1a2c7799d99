#include "test/sim/beliefs.h"

#include <algorithm>

namespace dlm::sim {
namespace {

std::string describe(const Belief& belief) {
  return belief.client->name() + (belief.owner.tag.empty() ? "" : "/" + belief.owner.tag) + " with token " +
         std::to_string(belief.token.value) + (belief.mode == LockMode::shared ? " (shared)" : "");
}

}  // namespace

LocalMs Belief::deadline_ms() const {
  LocalMs deadline = client::kNever;
  if (lease != LeaseKind::detached) deadline = std::min(deadline, term_deadline_ms);
  if (lease != LeaseKind::session) deadline = std::min(deadline, lease_deadline_ms);
  return deadline;
}

void Beliefs::begin(Belief belief) {
  ++grants_;
  FencingToken& highest = highest_[belief.resource];
  highest = std::max(highest, belief.token);
  std::vector<Belief>& list = by_resource_[belief.resource];
  std::erase_if(list, [](const Belief& old) { return !old.trusted(); });
  check_conflicts(belief);
  list.push_back(std::move(belief));
}

void Beliefs::check_conflicts(const Belief& belief) const {
  if (!belief.trusted()) return;
  auto found = by_resource_.find(belief.resource);
  if (found == by_resource_.end()) return;
  for (const Belief& other : found->second) {
    const bool compatible = belief.mode == LockMode::shared && other.mode == LockMode::shared;
    if (compatible || other.owner == belief.owner || !other.trusted()) continue;
    world_.violated("two hold " + belief.resource + ": " + describe(belief) + " and " + describe(other));
  }
}

void Beliefs::end(const ClientProcess& client, client::HoldId hold, const std::string& resource) {
  std::erase_if(by_resource_[resource], [&](const Belief& b) {
    return b.client == &client && b.life == client.life() && b.hold == hold;
  });
}

void Beliefs::end_token(const std::string& resource, FencingToken token) {
  std::erase_if(by_resource_[resource], [&](const Belief& b) { return b.token == token; });
}

void Beliefs::crashed(const ClientProcess& client) {
  for (auto& [resource, list] : by_resource_) {
    std::erase_if(list, [&](Belief& belief) {
      if (belief.client != &client || belief.life != client.life()) return false;
      belief.life = 0;
      return belief.lease != LeaseKind::detached;
    });
  }
}

void Beliefs::extended(const Belief& belief, LocalMs deadline_before) const {
  if (belief.deadline_ms() <= deadline_before) return;
  if (belief.client->clock_ms() >= deadline_before)
    world_.violated("a hold of " + belief.resource + " that had ended came back: " + describe(belief));
  check_conflicts(belief);
}

void Beliefs::set_term(const ClientProcess& client, const client::TermDeadline& deadline) {
  for (auto& [resource, list] : by_resource_) {
    for (Belief& belief : list) {
      if (belief.client != &client || belief.life != client.life() || belief.term != deadline.term) continue;
      const LocalMs before = belief.deadline_ms();
      belief.term_deadline_ms = deadline.deadline_ms;
      extended(belief, before);
    }
  }
}

void Beliefs::set_lease(const ClientProcess& client, const std::string& resource,
                        const client::HoldEvent& event) {
  for (Belief& belief : by_resource_[resource]) {
    if (belief.client != &client || belief.life != client.life() || belief.hold != event.hold) continue;
    const LocalMs before = belief.deadline_ms();
    belief.lease_deadline_ms = event.deadline_ms;
    extended(belief, before);
  }
}

void Beliefs::set_token(const ClientProcess& client, const std::string& resource,
                        const client::HoldEvent& event) {
  for (Belief& belief : by_resource_[resource]) {
    if (belief.client != &client || belief.life != client.life() || belief.hold != event.hold) continue;
    if (event.token <= belief.token) world_.violated("an upgrade of " + resource + " lowered the token");
    belief.token = event.token;
  }
}

void Beliefs::check_ended(const std::string& resource, const LockModel::Hold& hold) const {
  auto found = by_resource_.find(resource);
  if (found == by_resource_.end()) return;
  for (const Belief& belief : found->second) {
    if (belief.token != hold.token || belief.owner != hold.owner || !belief.trusted()) continue;
    world_.violated("the servers ended a hold of " + resource +
                    " that its client trusts: " + describe(belief) + ", " +
                    std::to_string(belief.deadline_ms() - belief.client->clock_ms()) + " ms early");
  }
}

FencingToken Beliefs::highest_token(const std::string& resource) const {
  auto found = highest_.find(resource);
  return found == highest_.end() ? FencingToken() : found->second;
}

void Beliefs::check_token(const std::string& resource, FencingToken floor, FencingToken token) {
  if (token > floor) return;
  world_.violated("a grant of " + resource + " has token " + std::to_string(token.value) +
                  ", one before it had " + std::to_string(floor.value));
}

}  // namespace dlm::sim
