// ServerProcess: arcs between the groups here and those of other servers, and the end of a change of the
// ring, as server/shard_node.cc has them.
#include <algorithm>
#include <utility>

#include "coordinator/core/ring_change.h"
#include "test/sim/server_life.h"

namespace dlm::sim {

using server::GroupOutput;
using server::MemberName;

namespace {

constexpr TimeUs kRingRetry = 500 * kMs;

}  // namespace

// To whom the record says leads the group: itself, for one.
void ServerProcess::Life::send(const server::Transfer& transfer) {
  const TransferCalls::Name arc{transfer.from, transfer.to, transfer.number};
  auto record = view.groups.find(transfer.to);
  const MemberName primary = record == view.groups.end() ? MemberName() : record->second.config.primary;
  auto here = hosts.find(transfer.to);
  if (primary == name && here != hosts.end()) {
    const server::RequestId request(++ids);
    here->second.local_moves[request] = arc;
    return move_in(here->second, request, transfer);
  }
  auto link = links.find(primary);
  if (link != links.end()) return link->second->send(transfer);
  self.post(0, [this, arc] { transferred(arc, unreached("it has no primary that is known")); });
}

void ServerProcess::Life::take(LinkId link, const MoveIn& move) {
  auto found = hosts.find(move.transfer.to);
  if (found == hosts.end())
    return self.network_.send(link, self, MovedIn{move.call, unreached("it is not here")});
  const server::RequestId request(++ids);
  found->second.asked[request] = {link, move.call, {}};
  move_in(found->second, request, move.transfer);
}

void ServerProcess::Life::move_in(Host& host, server::RequestId request, const server::Transfer& transfer) {
  host.core.move_in(request, transfer, now());
  schedule_turn(transfer.to, host);
}

void ServerProcess::Life::arrived(Host& host, const GroupOutput::Arrived& arrival) {
  if (auto local = host.local_moves.extract(arrival.request); !local.empty()) {
    return self.post(0, [this, arc = local.mapped(), reply = arrival.reply] { transferred(arc, reply); });
  }
  auto asked = host.asked.extract(arrival.request);
  if (!asked.empty())
    self.network_.send(asked.mapped().link, self, MovedIn{asked.mapped().call, arrival.reply});
}

void ServerProcess::Life::transferred(const TransferCalls::Name& arc, const server::TransferReply& reply) {
  auto from = hosts.find(arc.from);
  if (failed || from == hosts.end()) return;
  from->second.core.on_transferred(arc.to, arc.number, reply, now());
  schedule_turn(arc.from, from->second);
}

// Every primary may end a change in which all groups are through, and one of them comes first.
void ServerProcess::Life::settle_ring_if_due() {
  if (failed || proposing_ring || !coordinator::all_done(view.ring, view.groups)) return;
  const bool leads =
      std::any_of(hosts.begin(), hosts.end(), [](const auto& host) { return host.second.core.serving(); });
  if (!leads) return;
  proposing_ring = true;
  coordinator->propose_ring(view.ring.version, coordinator::settled(view.ring),
                            [this](coordinator::WriteResult result) {
                              proposing_ring = false;
                              if (result == coordinator::WriteResult::accepted || failed) return;
                              self.post(kRingRetry, [this] { settle_ring_if_due(); });
                            });
}

}  // namespace dlm::sim
