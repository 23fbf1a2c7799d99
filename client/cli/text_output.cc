#include "client/cli/text_output.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iterator>

#include "schema/limits.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80; }));
}

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./:,@%+=").find(c) != std::string_view::npos;
}

// "s1 s2" for s1#42 and s2#7: which life of a server it is only matters where lives meet, and --json tells.
std::string server_names(const std::vector<std::string>& members) {
  std::string out;
  for (const std::string& member : members) {
    if (!out.empty()) out += ' ';
    out += printable(member.substr(0, member.find('#')));
  }
  return out.empty() ? "-" : out;
}

std::string mode_text(LockMode mode, std::uint32_t count) {
  std::string text(to_string(mode));
  if (count > 1) text += " x" + std::to_string(count);
  return text;
}

std::vector<std::string> group_row(const ClusterReport& cluster, const GroupReport& group) {
  auto share = std::find_if(cluster.ring.begin(), cluster.ring.end(),
                            [&](const ClusterReport::Share& each) { return each.group == group.group; });
  bool in_ring = share != cluster.ring.end();
  const bool is_told = group.last_index || group.problem.empty();
  auto told = [&](const std::string& text) { return is_told ? text : std::string("?"); };
  // Without the era in which the log was begun, which says nothing to people.
  auto place = [](LogIndex index) { return std::to_string(index.value & ((std::uint64_t{1} << 40) - 1)); };
  return {to_string(group.group),
          in_ring ? decimal(share->share * 100, 1) + "%" : "-",
          in_ring ? decimal(share->weight, 2) : "-",
          std::to_string(group.epoch.value),
          group.primary.empty() ? "-" : server_names({group.primary}),
          server_names(group.in_sync),
          server_names(group.members),
          told(place(group.committed_index) + "/" + place(group.last_index)),
          told(std::to_string(group.locks_held)),
          told(std::to_string(group.waiters)),
          told(std::to_string(group.sessions)),
          std::string(group.durability())};
}

// It left the ring, and its servers were stopped.
bool is_gone(const GroupReport& group, const RingReport* ring) {
  if (ring == nullptr || !group.members.empty()) return false;
  return std::none_of(ring->groups.begin(), ring->groups.end(),
                      [&](const RingReport::Group& each) { return each.state.group == group.group; });
}

std::string mixed_durability(const GroupReport& group) {
  std::vector<std::string> in_memory;
  std::copy_if(group.members.begin(), group.members.end(), std::back_inserter(in_memory),
               [&](const auto& member) {
                 return std::find(group.durable.begin(), group.durable.end(), member) == group.durable.end();
               });
  return server_names(group.durable) + " on disk, " + server_names(in_memory) +
         " in memory only: give all servers of a group the same --durability";
}

std::vector<std::string> problems_of(const ClusterReport& cluster, const RingReport* ring) {
  std::vector<std::string> problems;
  for (const GroupReport& group : cluster.groups) {
    if (is_gone(group, ring)) continue;
    std::string name = to_string(group.group) + ": ";
    if (!group.problem.empty()) problems.push_back(name + printable(group.problem));
    if (group.primary.empty() && group.problem.empty()) problems.push_back(name + "no primary");
    std::size_t alive = 0;  // of the in-sync set
    for (const std::string& member : group.in_sync) {
      const bool lives = std::find(group.members.begin(), group.members.end(), member) != group.members.end();
      alive += lives ? 1 : 0;
      if (!lives) problems.push_back(name + printable(member) + " is in the in-sync set, but not alive");
    }
    if (alive == 0 && !group.in_sync.empty())
      problems.push_back(name + "if none of these comes back: dlm admin recover " + to_string(group.group) +
                         " says what there is to choose, and does nothing unless confirmed");
    if (group.durability() == "mixed") problems.push_back(name + mixed_durability(group));
    if (group.in_sync.size() == 1) {
      problems.push_back(name + "only one replica is in sync; its locks would not survive its loss");
    }
  }
  for (const ClusterReport::Share& share : cluster.ring) {
    bool known = std::any_of(cluster.groups.begin(), cluster.groups.end(),
                             [&](const GroupReport& group) { return group.group == share.group; });
    if (!known)
      problems.push_back(to_string(share.group) + ": in the ring, but no server has registered for it");
  }
  return problems;
}

constexpr std::size_t kNameColumns = 32;
constexpr std::size_t kModeColumns = 10;
constexpr std::size_t kOwnerColumns = 28;
constexpr std::size_t kTokenColumns = 16;
constexpr std::size_t kLeftColumns = 9;

}  // namespace

std::string shell_quoted(std::string_view word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return std::string(word);
  std::string out = "'";
  for (char c : word) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string name_arguments(std::string_view resource) {
  bool typed = printable(resource) == resource && !resource.empty() && resource.front() != '-';
  return typed ? shell_quoted(resource) : "--name-hex " + shell_quoted(to_hex(resource));
}

std::string shown(std::string_view name) {
  return name.empty() ? "\"\"" : printable(name);
}

std::string utc_time(std::uint64_t unix_ms) {
  auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm parts{};
  char buffer[64];
  if (gmtime_r(&seconds, &parts) == nullptr ||
      std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
    return "?";
  }
  return buffer;
}

std::string age(std::uint64_t since_unix_ms, std::uint64_t now_unix_ms) {
  std::uint64_t ms = now_unix_ms > since_unix_ms ? now_unix_ms - since_unix_ms : 0;
  if (ms >= 1000) ms -= ms % 1000;
  return format_duration_ms(ms);
}

std::string rough_duration(std::uint32_t ms) {
  if (ms == kWaitForeverMs) return "for ever";
  if (ms >= 10'000) return format_duration_ms(ms - ms % 1000);
  return format_duration_ms(ms);
}

std::string decimal(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

std::string owner_text(std::string_view client_id, std::string_view owner_tag) {
  std::string out = shown(client_id);
  if (!owner_tag.empty()) out += " (tag " + printable(owner_tag) + ")";
  return out;
}

void append_padded(std::string& out, std::string_view text, std::size_t columns) {
  out += text;
  std::size_t used = columns_of(text);
  if (used < columns) out.append(columns - used, ' ');
}

std::string Table::text(std::string_view indent) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  std::string out;
  for (const auto& row : rows_) {
    out += indent;
    for (std::size_t i = 0; i < row.size(); ++i) {
      bool last = i + 1 == row.size();
      append_padded(out, row[i], last ? 0 : widths[i] + 2);
    }
    out += '\n';
  }
  return out;
}

std::string waiting_text(std::string_view resource, const QueuedInfo& queued, std::uint64_t now_unix_ms) {
  std::string out = "waiting for " + shown(resource) + ": ";
  if (!queued.holder.client_id.empty()) {
    out += "held by " + owner_text(queued.holder.client_id, queued.holder.owner_tag);
    if (queued.holder.since != std::chrono::system_clock::time_point()) {
      auto since = static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::milliseconds>(queued.holder.since.time_since_epoch())
              .count());
      out += " since " + utc_time(since) + " (" + age(since, now_unix_ms) + ")";
    }
    out += ", ";
  }
  return out + "position " + std::to_string(queued.position + 1) + " in line";
}

std::string lock_text(const LockReport& lock, std::uint64_t now_unix_ms) {
  std::string out = shown(lock.resource) + "  (group " + to_string(lock.group) + ")\n";
  if (lock.holders.empty() && lock.waiter_count == 0)
    return out + "  free: nobody holds it or waits for it\n";
  for (const HoldReport& hold : lock.holders) {
    out += "  held by " + owner_text(hold.client_id, hold.owner_tag) + ", " +
           mode_text(hold.mode, hold.count) + "\n";
    out += "    token " + std::to_string(hold.token.value) + ", since " + utc_time(hold.since_unix_ms) +
           " (" + age(hold.since_unix_ms, now_unix_ms) + "), " + std::string(to_string(hold.lease)) +
           " lease, " + rough_duration(hold.left_ms) + " left\n";
  }
  if (lock.waiter_count > 0) out += "  " + std::to_string(lock.waiter_count) + " waiting:\n";
  std::size_t position = 0;
  for (const WaitReport& wait : lock.waiters) {
    out += "    " + std::to_string(++position) + ". " + owner_text(wait.client_id, wait.owner_tag) + ", " +
           std::string(to_string(wait.mode)) + ", since " + utc_time(wait.since_unix_ms) + " (" +
           age(wait.since_unix_ms, now_unix_ms) + "), waits " +
           (wait.left_ms == kWaitForeverMs ? "" : "another ") + rough_duration(wait.left_ms) + "\n";
  }
  if (lock.waiters.size() < lock.waiter_count) {
    out += "    ... and " + std::to_string(lock.waiter_count - lock.waiters.size()) + " more\n";
  }
  return out;
}

std::string list_header() {
  std::string out;
  append_padded(out, "RESOURCE", kNameColumns);
  append_padded(out, "  MODE", kModeColumns + 2);
  append_padded(out, "  HOLDER", kOwnerColumns + 2);
  append_padded(out, "  TOKEN", kTokenColumns + 2);
  append_padded(out, "  LEFT", kLeftColumns + 2);
  return out + "  WAITING\n";
}

void append_list_lines(std::string& out, const LockReport& lock) {
  for (const HoldReport& hold : lock.holders) {
    append_padded(out, shown(lock.resource), kNameColumns);
    out += "  ";
    append_padded(out, mode_text(hold.mode, hold.count), kModeColumns);
    out += "  ";
    append_padded(out, owner_text(hold.client_id, hold.owner_tag), kOwnerColumns);
    out += "  ";
    append_padded(out, std::to_string(hold.token.value), kTokenColumns);
    out += "  ";
    append_padded(out, rough_duration(hold.left_ms), kLeftColumns);
    out += "  " + std::to_string(lock.waiter_count) + "\n";
  }
}

namespace {

// Quotas, where a primary tells them, and what it refused: one line for all groups of which it is the same.
std::string load_text(const ClusterReport& cluster) {
  std::vector<std::pair<std::string, std::string>> lines;  // what is said of which groups
  for (const GroupReport& group : cluster.groups) {
    if (group.sessions_max == 0) continue;
    std::string says = std::to_string(group.sessions_max) + " sessions; each client " +
                       std::to_string(group.holds_per_client_max) + " locks, " +
                       std::to_string(group.waits_per_client_max) +
                       " waiting; refused as overloaded: " + std::to_string(group.operations_refused);
    auto same =
        std::find_if(lines.begin(), lines.end(), [&](const auto& line) { return line.first == says; });
    if (same == lines.end()) same = lines.insert(lines.end(), {std::move(says), ""});
    same->second += (same->second.empty() ? "" : ", ") + to_string(group.group);
  }
  std::string out = lines.empty() ? "" : "\nAt most\n";
  for (const auto& [says, groups] : lines) out += "  " + groups + ": " + says + "\n";
  return out;
}

}  // namespace

std::string cluster_text(const ClusterReport& cluster, const RingReport* ring) {
  std::string out = "cluster " + printable(cluster.cluster) + ", ring version " +
                    std::to_string(cluster.ring_version) + "\n";

  out += "\nRouters\n";
  Table routers({"ID", "ADDRESS"});
  for (const RouterReport& router : cluster.routers) {
    routers.add({printable(router.id), printable(router.address)});
  }
  out += routers.text("  ");

  out += "\nGroups\n";
  Table groups({"GROUP", "SHARE", "WEIGHT", "EPOCH", "PRIMARY", "IN SYNC", "MEMBERS", "LOG", "LOCKS",
                "WAITING", "SESSIONS", "DURABILITY"});
  for (const GroupReport& group : cluster.groups) groups.add(group_row(cluster, group));
  out += groups.text("  ");

  out += load_text(cluster);
  std::vector<std::string> problems = problems_of(cluster, ring);
  out += problems.empty() ? "\nNo problems\n" : "\nProblems\n";
  for (const std::string& problem : problems) out += "  " + problem + "\n";
  return out;
}

}  // namespace dlm::cli
