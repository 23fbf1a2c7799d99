// Which group owns which hash at any moment, by the committed logs, and what is on its way from one group to
// another: invariant 8. The models of the groups hand each other their content over it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "test/sim/lock_model.h"
#include "test/sim/world.h"

namespace dlm::sim {

class ArcBook {
 public:
  using Emptied = std::function<void(const server::OwnedArc&)>;
  ArcBook(const World& world, Emptied on_emptied) : world_(world), on_emptied_(std::move(on_emptied)) {}
  // As it is now, for somebody who goes on alone: what becomes of it is told to nobody.
  ArcBook apart() const {
    ArcBook copy(*this);
    copy.on_emptied_ = [](const server::OwnedArc&) {};
    return copy;
  }

  // A group has these arcs from now on, with nothing in them. Nobody may own them, or have them on the way to
  // somebody.
  void begin(GroupId group, const std::vector<server::OwnedArc>& arcs);
  // A group has lost everything: what it owned is nobody's.
  void lose(GroupId group);
  // Another group has begun anew. What was on its way to it, and what its earlier life gave under numbers
  // below this and has not arrived, is no more.
  void let(GroupId by, GroupId other, std::uint64_t below);
  // It must own the arc, which from now on is nobody's.
  void give(GroupId from, std::uint64_t number, LockModel::Piece piece);
  // What was given under this number, for the group that it was given to. None: the group has it already,
  // and a repeat does nothing.
  std::optional<LockModel::Piece> take(GroupId by, GroupId from, std::uint64_t number);
  // The group that gave it forgets it, so the other one must have it.
  void forget(GroupId from, std::uint64_t number);

  GroupId owner_of(std::uint64_t hash) const;  // none: nobody, or it is on its way
  bool owns(GroupId group, std::uint64_t hash) const { return owner_of(hash) == group; }
  std::vector<server::OwnedArc> arcs_of(GroupId group) const;  // sorted, neighbours merged
  // Given in this life of the group and not forgotten, by number.
  std::vector<std::uint64_t> outgoing_of(GroupId group) const;
  bool any_outgoing() const { return !outgoing_.empty(); }
  std::uint64_t taken() const { return taken_; }

 private:
  struct Outgoing {
    server::OwnedArc arc;
    GroupId to;
    std::optional<LockModel::Piece> piece;  // none: it has arrived
    bool giver_lost = false;
    bool receiver_lost = false;
  };
  using Name = std::pair<GroupId, std::uint64_t>;

  std::map<std::uint64_t, GroupId>::iterator cut(std::uint64_t at);
  void assign(const server::OwnedArc& arc, GroupId owner);
  bool is_no_more(const std::pair<const Name, Outgoing>& entry, const server::OwnedArc& arc,
                  GroupId group) const;
  bool is_all_of(const server::OwnedArc& arc, GroupId owner) const;
  static std::string text_of(const Name& name);

  const World& world_;
  Emptied on_emptied_;
  // From each hash up to the next one in the map. None: nobody.
  std::map<std::uint64_t, GroupId> owners_{{0, GroupId()}};
  std::map<Name, Outgoing> outgoing_;
  std::map<Name, GroupId> receivers_;  // of all that ever was taken
  std::map<std::pair<GroupId, GroupId>, std::uint64_t> let_;
  std::uint64_t taken_ = 0;
};

}  // namespace dlm::sim
