#include "client/cli/json_output.h"

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "schema/limits.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

void put_left(JsonObject& object, std::uint32_t left_ms) {
  if (left_ms == kWaitForeverMs) {
    object["left_ms"] = nullptr;
  } else {
    object["left_ms"] = left_ms;
  }
}

template <class List>
boost::json::array strings(const List& list) {
  boost::json::array out;
  for (const auto& text : list) out.emplace_back(printable(text));
  return out;
}

JsonObject move_json(const MoveReport& move) {
  return {{"arcs_left", move.arcs_left},     {"arcs_under_way", move.arcs_under_way},
          {"share_left", move.share_left},   {"arcs_moved", move.arcs_moved},
          {"locks_moved", move.locks_moved}, {"waits_for", printable(move.waits_for)}};
}

JsonObject flow_json(const RingReport::Flow& flow) {
  return {{"from", to_string(flow.from)}, {"to", to_string(flow.to)}, {"arcs", flow.arcs},
          {"share", flow.share},          {"locks", flow.locks},      {"waiters", flow.waiters}};
}

boost::json::array notes_json(const GroupNotes& notes) {
  boost::json::array out;
  for (const auto& [group, why] : notes)
    out.push_back(JsonObject{{"group", to_string(group)}, {"why", printable(why)}});
  return out;
}

std::string hash_text(std::uint64_t hash) {
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(hash));
  return digits.data();
}

}  // namespace

std::string_view status_name(Status status) {
  constexpr std::array<std::string_view, 17> kNames = {"ok",
                                                       "queued",
                                                       "timed_out",
                                                       "cancelled",
                                                       "not_held",
                                                       "session_expired",
                                                       "session_unknown",
                                                       "client_id_in_use",
                                                       "would_deadlock",
                                                       "unavailable",
                                                       "overloaded",
                                                       "invalid_argument",
                                                       "permission_denied",
                                                       "moved",
                                                       "not_primary",
                                                       "stale",
                                                       "over_quota"};
  auto number = static_cast<std::size_t>(status);
  return number < kNames.size() ? kNames[number] : "unknown";
}

std::string_view cause_name(EndCause cause) {
  constexpr std::array<std::string_view, 4> kNames = {"none", "never", "released", "expired"};
  auto number = static_cast<std::size_t>(cause);
  return number < kNames.size() ? kNames[number] : "unknown";
}

void put_name(JsonObject& object, std::string_view field, std::string_view name) {
  std::string text = printable(name);
  if (text != name) object[std::string(field) + "_hex"] = to_hex(name);
  object[field] = std::move(text);
}

JsonObject to_json(const LockReport& lock) {
  JsonObject out;
  put_name(out, "resource", lock.resource);
  out["group"] = to_string(lock.group);
  boost::json::array holders;
  for (const HoldReport& hold : lock.holders) {
    JsonObject each;
    put_name(each, "client_id", hold.client_id);
    put_name(each, "owner_tag", hold.owner_tag);
    each["mode"] = to_string(hold.mode);
    each["lease"] = to_string(hold.lease);
    each["token"] = hold.token.value;
    each["count"] = hold.count;
    each["since_unix_ms"] = hold.since_unix_ms;
    put_left(each, hold.left_ms);
    holders.push_back(std::move(each));
  }
  out["holders"] = std::move(holders);
  out["waiter_count"] = lock.waiter_count;
  boost::json::array waiters;
  for (const WaitReport& wait : lock.waiters) {
    JsonObject each;
    put_name(each, "client_id", wait.client_id);
    put_name(each, "owner_tag", wait.owner_tag);
    each["mode"] = to_string(wait.mode);
    each["since_unix_ms"] = wait.since_unix_ms;
    put_left(each, wait.left_ms);
    waiters.push_back(std::move(each));
  }
  out["waiters"] = std::move(waiters);
  return out;
}

JsonObject to_json(const GroupReport& group) {
  JsonObject out;
  out["group"] = to_string(group.group);
  out["epoch"] = group.epoch.value;
  out["primary"] = printable(group.primary);
  out["in_sync"] = strings(group.in_sync);
  out["members"] = strings(group.members);
  out["durable"] = strings(group.durable);
  out["era"] = group.era;
  out["last_index"] = group.last_index.value;
  out["committed_index"] = group.committed_index.value;
  out["locks_held"] = group.locks_held;
  out["waiters"] = group.waiters;
  out["sessions"] = group.sessions;
  out["durability"] = group.durability();
  out["ring_version"] = group.ring_version;
  out["arcs"] = group.arcs;
  out["share_owned"] = group.share_owned;
  out["problem"] = printable(group.problem);
  out["move"] = move_json(group.move);
  if (group.sessions_max == 0) return out;  // its primary told nothing
  out["limits"] = JsonObject{{"sessions_max", group.sessions_max},
                             {"holds_per_client_max", group.holds_per_client_max},
                             {"waits_per_client_max", group.waits_per_client_max}};
  out["operations_pending"] = group.operations_pending;
  out["operations_refused"] = group.operations_refused;
  return out;
}

JsonObject to_json(const ClusterReport& cluster) {
  JsonObject out;
  out["cluster"] = printable(cluster.cluster);
  out["ring_version"] = cluster.ring_version;
  boost::json::array routers;
  for (const RouterReport& router : cluster.routers) {
    routers.push_back(JsonObject{{"id", printable(router.id)}, {"address", printable(router.address)}});
  }
  out["routers"] = std::move(routers);
  boost::json::array ring;
  for (const ClusterReport::Share& share : cluster.ring) {
    ring.push_back(
        JsonObject{{"group", to_string(share.group)}, {"weight", share.weight}, {"share", share.share}});
  }
  out["ring"] = std::move(ring);
  boost::json::array groups;
  for (const GroupReport& group : cluster.groups) groups.push_back(to_json(group));
  out["groups"] = std::move(groups);
  return out;
}

JsonObject to_json(const RingReport& ring) {
  JsonObject out;
  out["version"] = ring.version;
  out["changing"] = ring.changing;
  out["paused"] = ring.paused;
  out["locks_per_s_max"] = ring.locks_per_s_max;
  boost::json::array groups;
  for (const RingReport::Group& group : ring.groups) {
    JsonObject each{{"group", to_string(group.state.group)},
                    {"weight", group.weight},
                    {"weight_before", group.weight_before},
                    {"share", group.share},
                    {"share_before", group.share_before}};
    for (auto& field : to_json(group.state)) each.emplace(field.key(), std::move(field.value()));
    groups.push_back(std::move(each));
  }
  out["groups"] = std::move(groups);
  boost::json::array flows;
  for (const RingReport::Flow& flow : ring.flows) flows.push_back(flow_json(flow));
  out["flows"] = std::move(flows);
  return out;
}

JsonObject to_json(const PlaceReport& place) {
  JsonObject out;
  put_name(out, "resource", place.resource);
  out["hash"] = hash_text(place.hash);
  out["arc_begin"] = hash_text(place.arc_begin);
  out["arc_end"] = hash_text(place.arc_end);
  out["group"] = to_string(place.group);
  out["moving_to"] = nullptr;
  if (place.moving_to) out["moving_to"] = to_string(place.moving_to);
  out["primary"] = printable(place.primary);
  out["ring_version"] = place.ring_version;
  return out;
}

JsonObject to_json(const RecoveryReport& recovery) {
  JsonObject out;
  out["group"] = to_string(recovery.group);
  out["begun"] = recovery.begun;
  out["version"] = recovery.version;
  out["epoch"] = recovery.epoch.value;
  out["era"] = recovery.era;
  out["lost"] = strings(recovery.lost);
  out["in_sync_alive"] = strings(recovery.in_sync_alive);
  out["members"] = strings(recovery.members);
  out["lease_ms_max"] = recovery.lease_ms_max;
  out["successor"] = printable(recovery.successor);
  out["first_token"] = recovery.first_token.value;
  out["refusal"] = printable(recovery.refusal);
  return out;
}

JsonObject to_json(const RingProgress& progress) {
  JsonObject out;
  out["version"] = progress.version;
  out["changing"] = progress.changing;
  out["paused"] = progress.paused;
  out["locks_per_s_max"] = progress.locks_per_s_max;
  out["arcs_total"] = progress.arcs_total;
  out["arcs_left"] = progress.arcs_left;
  out["share_left"] = progress.share_left;
  out["locks_left"] = progress.locks_left;
  out["locks_per_s"] = nullptr;
  if (progress.locks_per_s) out["locks_per_s"] = *progress.locks_per_s;
  out["left_ms"] = nullptr;
  if (progress.left_ms) out["left_ms"] = *progress.left_ms;
  out["waits"] = notes_json(progress.waits);
  out["silent"] = notes_json(progress.silent);
  return out;
}

JsonObject plan_json(const RingReport& plan) {
  RingReport::Flow sum = sum_of(plan.flows);
  return {{"arcs", sum.arcs},
          {"share", sum.share},
          {"locks", sum.locks},
          {"waiters", sum.waiters},
          {"balance_before", balance(plan, true)},
          {"balance", balance(plan, false)}};
}

JsonObject error_json(std::string_view status, std::string_view message, const JsonObject& details) {
  JsonObject error;
  error["status"] = status;
  error["message"] = printable(message);
  for (const auto& [field, value] : details) error[field] = value;
  return JsonObject{{"error", std::move(error)}};
}

std::string json_line(const JsonObject& object) {
  return boost::json::serialize(object) + "\n";
}

}  // namespace dlm::cli
