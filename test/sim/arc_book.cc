#include "test/sim/arc_book.h"

#include <iterator>

namespace dlm::sim {

std::string ArcBook::text_of(const Name& name) {
  return "arc " + std::to_string(name.second) + " of " + to_string(name.first);
}

// --- the map ---------------------------------------------------------------------------------------------

// Makes a run begin there.
std::map<std::uint64_t, GroupId>::iterator ArcBook::cut(std::uint64_t at) {
  const auto run = std::prev(owners_.upper_bound(at));
  return run->first == at ? run : owners_.emplace(at, run->second).first;
}

void ArcBook::assign(const server::OwnedArc& arc, GroupId owner) {
  const auto begin = cut(arc.begin);
  const auto end = arc.end == UINT64_MAX ? owners_.end() : cut(arc.end + 1);
  begin->second = owner;
  owners_.erase(std::next(begin), end);
}

bool ArcBook::is_all_of(const server::OwnedArc& arc, GroupId owner) const {
  for (auto run = std::prev(owners_.upper_bound(arc.begin)); run != owners_.end() && run->first <= arc.end;
       ++run) {
    if (run->second != owner) return false;
  }
  return true;
}

GroupId ArcBook::owner_of(std::uint64_t hash) const {
  return std::prev(owners_.upper_bound(hash))->second;
}

std::vector<server::OwnedArc> ArcBook::arcs_of(GroupId group) const {
  std::vector<server::OwnedArc> arcs;
  for (auto run = owners_.begin(); run != owners_.end(); ++run) {
    if (run->second != group) continue;
    const auto next = std::next(run);
    const std::uint64_t end = next == owners_.end() ? UINT64_MAX : next->first - 1;
    if (!arcs.empty() && arcs.back().end + 1 == run->first) {
      arcs.back().end = end;
    } else {
      arcs.push_back({run->first, end});
    }
  }
  return arcs;
}

// --- what happens ----------------------------------------------------------------------------------------

void ArcBook::begin(GroupId group, const std::vector<server::OwnedArc>& arcs) {
  for (const server::OwnedArc& arc : arcs) {
    if (!is_all_of(arc, GroupId()))
      world_.violated(to_string(group) + " begins with an arc that is another's");
    std::erase_if(outgoing_, [&](const auto& entry) { return is_no_more(entry, arc, group); });
    assign(arc, group);
    on_emptied_(arc);
  }
}

// What an earlier life of one group gave to an earlier life of another is no more when both have lost
// everything. All else that is on its way must not be begun anew.
bool ArcBook::is_no_more(const std::pair<const Name, Outgoing>& entry, const server::OwnedArc& arc,
                         GroupId group) const {
  const auto& [name, outgoing] = entry;
  const bool is_under_way = outgoing.piece && outgoing.arc.begin <= arc.end && arc.begin <= outgoing.arc.end;
  if (!is_under_way) return false;
  if (!outgoing.giver_lost || !outgoing.receiver_lost)
    world_.violated(to_string(group) + " begins with " + text_of(name) + ", which is on its way");
  return true;
}

void ArcBook::lose(GroupId group) {
  for (const server::OwnedArc& arc : arcs_of(group)) assign(arc, GroupId());
  for (auto& [name, outgoing] : outgoing_) {
    if (name.first == group) outgoing.giver_lost = true;
    if (outgoing.to == group) outgoing.receiver_lost = true;
  }
  std::erase_if(outgoing_, [](const auto& entry) { return entry.second.giver_lost && !entry.second.piece; });
}

void ArcBook::let(GroupId by, GroupId other, std::uint64_t below) {
  std::uint64_t& let = let_[{by, other}];
  if (let >= below) return;
  let = below;
  std::erase_if(outgoing_, [&](const auto& entry) {
    const auto& [name, outgoing] = entry;
    if (name.first == by) return outgoing.to == other;
    return name.first == other && outgoing.to == by && name.second < below;
  });
}

void ArcBook::give(GroupId from, std::uint64_t number, LockModel::Piece piece) {
  const Name name{from, number};
  if (!is_all_of(piece.arc, from)) world_.violated(text_of(name) + " is given away and not its own");
  if (outgoing_.contains(name) || receivers_.contains(name))
    world_.violated(text_of(name) + " is given away twice");
  const server::OwnedArc arc = piece.arc;
  assign(arc, GroupId());
  const GroupId to = piece.to;
  outgoing_[name] = {arc, to, std::move(piece), false, false};
}

std::optional<LockModel::Piece> ArcBook::take(GroupId by, GroupId from, std::uint64_t number) {
  const Name name{from, number};
  if (auto known = receivers_.find(name); known != receivers_.end()) {
    if (known->second != by) world_.violated(to_string(by) + " takes " + text_of(name) + ", which is taken");
    return std::nullopt;
  }
  auto found = outgoing_.find(name);
  if (found == outgoing_.end())
    world_.violated(to_string(by) + " takes " + text_of(name) + ", which was not given");
  Outgoing& outgoing = found->second;
  if (outgoing.to != by)
    world_.violated(to_string(by) + " takes " + text_of(name) + ", which is for " + to_string(outgoing.to));
  receivers_[name] = by;
  ++taken_;
  assign(outgoing.arc, by);
  std::optional<LockModel::Piece> piece = std::exchange(outgoing.piece, std::nullopt);
  if (outgoing.giver_lost) outgoing_.erase(found);
  return piece;
}

void ArcBook::forget(GroupId from, std::uint64_t number) {
  auto found = outgoing_.find({from, number});
  if (found == outgoing_.end()) return;
  if (found->second.piece) world_.violated(text_of({from, number}) + " is forgotten before it is taken");
  outgoing_.erase(found);
}

std::vector<std::uint64_t> ArcBook::outgoing_of(GroupId group) const {
  std::vector<std::uint64_t> numbers;
  for (auto at = outgoing_.lower_bound({group, 0}); at != outgoing_.end() && at->first.first == group; ++at)
    if (!at->second.giver_lost) numbers.push_back(at->first.second);
  return numbers;
}

}  // namespace dlm::sim
