// The coordinator's records, which any process of the cluster may have written: what is accepted, written
// again, reads the same, and a ring that is accepted can be built and changed.
#include <cstring>

#include "coordinator/core/group_config.h"
#include "coordinator/core/ring.h"
#include "coordinator/core/ring_change.h"
#include "coordinator/member_json.h"
#include "test/fuzz/fuzz.h"

namespace dlm::fuzz {
namespace {

using coordinator::GroupConfig;
using coordinator::RingGroup;
using coordinator::RingRecord;
using coordinator::RouterMember;
using coordinator::ServerMember;
using coordinator::VersionedConfig;

// Whether it was read. `parse(text, record, error)` is the reader of this kind of record.
template <class Record, class Parse>
bool reads_as_written(std::string_view json, Record& record, Parse parse) {
  const Record before = record;
  std::string error;
  if (!parse(json, record, error)) {
    require(!error.empty(), "a refusal says why");
    require(record == before, "what can't be read leaves everything as it was");
    return false;
  }
  Record again = before;
  const std::string written = to_json(record);
  require(parse(written, again, error), "a record that was read can be written and read");
  require(again == record, "a record reads as it was written");
  require(to_json(again) == written, "a record has one form");
  return true;
}

void group_config(std::string_view json) {
  GroupConfig config;
  const bool read =
      reads_as_written(json, config, [](std::string_view text, GroupConfig& out, std::string& error) {
        return coordinator::parse_json(text, out, error);
      });
  if (read) require(!config.primary || config.has(config.primary), "a primary is in its in-sync set");
}

void server(std::string_view json) {
  ServerMember member;
  reads_as_written(json, member, [](std::string_view text, ServerMember& out, std::string& error) {
    return coordinator::parse_json("s1", text, out, error);
  });
}

void router(std::string_view json) {
  RouterMember member;
  reads_as_written(json, member, [](std::string_view text, RouterMember& out, std::string& error) {
    return coordinator::parse_json("r1", text, out, error);
  });
}

void cluster(std::string_view json) {
  std::string id;
  std::string error;
  if (!coordinator::parse_cluster_json(json, id, error)) return require(!error.empty(), "a refusal says why");
  std::string again;
  require(coordinator::parse_cluster_json(coordinator::cluster_json(id), again, error) && again == id,
          "a cluster's id reads as it was written");
}

bool read_ring(std::string_view json, RingRecord& ring) {
  return reads_as_written(json, ring, [](std::string_view text, RingRecord& out, std::string& error) {
    return coordinator::parse_json(text, out, error);
  });
}

// Only those that are small: one of the largest takes a second to build.
void build(const std::vector<RingGroup>& groups) {
  constexpr double kWeightsMax = 0.5;
  double weights = 0;
  for (const RingGroup& group : groups) weights += group.weight;
  if (groups.empty() || weights > kWeightsMax) return;
  const coordinator::Ring ring(groups);
  std::uint64_t next = 0;
  for (const coordinator::Arc& arc : ring.arcs()) {
    require(arc.begin == next && arc.begin <= arc.end, "arcs follow each other without gaps");
    next = arc.end + 1;
    require(ring.group_of(arc.begin) == arc.group && ring.group_of(arc.end) == arc.group,
            "a hash is found in its arc");
  }
  require(next == 0, "arcs cover the whole space");
}

void ring(std::string_view json) {
  RingRecord ring;
  if (!read_ring(json, ring)) return;
  build(ring.groups);
  build(ring.before);
}

// What an operator asks for: a kind, a group, a weight and a rate as bytes, then the ring that it is asked
// of.
void ring_change(std::string_view input) {
  RingChange change;
  const auto take = [&input](auto& value) {
    if (input.size() < sizeof value) return;
    std::memcpy(&value, input.data(), sizeof value);
    input.remove_prefix(sizeof value);
  };
  take(change.kind);
  take(change.group.value);
  take(change.weight);
  take(change.locks_per_s_max);
  RingRecord before;
  before.version = 7;
  if (!read_ring(input, before)) return;
  std::map<GroupId, VersionedConfig> groups;
  for (GroupId group : coordinator::groups_of(before)) groups[group].version = 1;
  VersionedConfig& named = groups[change.group];
  named.version = 1;
  named.config.primary = {"s1", 1};

  const coordinator::RingPlan plan = coordinator::plan(before, change, groups);
  if (!plan.ok()) return require(!plan.message.empty(), "a refusal says why");
  RingRecord written;
  written.version = plan.record.version;
  std::string error;
  require(
      coordinator::parse_json(coordinator::to_json(plan.record), written, error) && written == plan.record,
      "what a change makes of a ring can be written and read");
}

constexpr void (*kReaders[])(std::string_view) = {group_config, server, router, cluster, ring, ring_change};

template <class T>
std::string bytes_of(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string change_of(RingChange::Kind kind, std::uint32_t group, double weight, const RingRecord& ring) {
  return '\x05' + bytes_of(kind) + bytes_of(group) + bytes_of(weight) + bytes_of(std::uint32_t{50}) +
         coordinator::to_json(ring);
}

}  // namespace

void run(std::string_view input) {
  kReaders[take_choice(input, std::size(kReaders))](input);
}

Seeds seeds() {
  GroupConfig config;
  config.epoch = Epoch(3);
  config.primary = {"s1", 42};
  config.in_sync = {{"s1", 42}, {"s2", 7}};
  config.era = 2;
  config.lease_ms_max = 20'000;
  config.recovering = true;
  config.ring_done = 5;
  config.author = "s1#42/17";
  ServerMember server;
  server.name = {"s1", 42};
  server.address = "127.0.0.1:7800";
  server.groups = {GroupId(1), GroupId(20)};
  server.durable = true;
  RingRecord ring;
  ring.groups = {{GroupId(1), 0.1}, {GroupId(2), 0.25}};
  RingRecord changing = ring;
  changing.before = {{GroupId(2), 0.1}};
  changing.paused = true;
  changing.locks_per_s_max = 1'000;
  using Kind = RingChange::Kind;
  return {
      {"group", '\x00' + coordinator::to_json(config)},
      {"group-new", '\x00' + coordinator::to_json(GroupConfig{.epoch = Epoch(1)})},
      {"group-twice", '\x00' + std::string("{\"epoch\":1,\"epoch\":2}")},
      {"server", '\x01' + coordinator::to_json(server)},
      {"router", '\x02' + coordinator::to_json(RouterMember{"r1", "[::1]:7700"})},
      {"router-escapes", std::string("\x02{\"address\":\"\\u0041\\ud83d\\udd12\\n\"}")},
      {"cluster", '\x03' + coordinator::cluster_json("5f0c")},
      {"ring", '\x04' + coordinator::to_json(ring)},
      {"ring-changing", '\x04' + coordinator::to_json(changing)},
      {"ring-exponent", std::string("\x04{\"groups\":[{\"group\":\"g1\",\"weight\":1e-2}],\"before\":[],"
                                    "\"paused\":false,\"locksPerSecondMax\":0}")},
      {"add", change_of(Kind::add, 3, 0.5, ring)},
      {"remove", change_of(Kind::remove, 1, 0, ring)},
      {"weigh", change_of(Kind::weight, 2, 0.3, ring)},
      {"pause", change_of(Kind::pause, 0, 0, changing)},
      {"resume", change_of(Kind::resume, 0, 0, changing)},
      {"abort", change_of(Kind::abort, 0, 0, changing)},
      {"rate", change_of(Kind::rate, 0, 0, changing)},
  };
}

}  // namespace dlm::fuzz
