#include "client/cli/recovery_text.h"

#include <string_view>
#include <vector>

#include "client/cli/text_output.h"
#include "schema/text.h"

namespace dlm::cli {
namespace {

// "s1#4, s2#7 and s3#9".
std::string listed(const std::vector<std::string>& words, std::string_view before_last) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " " + std::string(before_last) + " " : ", ";
    out += printable(words[i]);
  }
  return out;
}

std::vector<std::string> servers_of(const std::vector<std::string>& members) {
  std::vector<std::string> servers;
  for (const std::string& member : members) servers.push_back(member.substr(0, member.find('#')));
  return servers;
}

std::string or_none(std::string text) {
  return text.empty() ? "none" : text;
}

std::string known_text(const RecoveryReport& report) {
  return to_string(report.group) + ": version " + std::to_string(report.version) + " of its record, epoch " +
         std::to_string(report.epoch.value) + ", era " + std::to_string(report.era) +
         "\n  in sync and gone:   " + or_none(listed(report.lost, "and")) +
         "\n  in sync and alive:  " + or_none(listed(report.in_sync_alive, "and")) +
         "\n  alive in all:       " + or_none(listed(report.members, "and")) + "\n";
}

std::string waiting_choice(const RecoveryReport& report) {
  const bool one = report.lost.size() == 1;
  std::string out = "\n(a) Wait for " + listed(report.lost, "or") +
                    ". With --durability fsync nothing is lost as soon as\n    " +
                    (one ? "it" : "one of them") +
                    " is back with its disk. With --durability memory a server that went down has lost\n"
                    "    what it knew: ";
  return out + to_string(report.group) + " then begins anew by itself when " +
         listed(servers_of(report.lost), "and") + (one ? " is" : " are all") + " back.\n";
}

std::string giving_up_choice(const RecoveryReport& report) {
  const std::string group = to_string(report.group);
  return "\n(b) Begin anew without " + listed(report.lost, "and") + ", from nothing, with " +
         printable(report.successor) + " as primary:\n    - Every lock of " + group +
         ", held or waited for, is forgotten. Holders find out when they renew\n"
         "      or when their leases end.\n    - Nothing is granted for " +
         rough_duration(report.lease_ms_max) +
         ", as long as a lease may run that was given before.\n"
         "    - Fencing tokens go on above all before, from " +
         std::to_string(report.first_token.value) + " (era " + std::to_string(report.era + 1) +
         ").\n    - What the lost members still have on their disks is discarded when they come back.\n"
         "    Make sure first that no process of " +
         listed(report.lost, "or") +
         " runs any more: cut off a machine\n    that you can't reach. One that still runs could serve the "
         "same locks.\n";
}

}  // namespace

std::string recovery_text(const RecoveryReport& report) {
  std::string out = known_text(report);
  return report.refusal.empty() ? out + waiting_choice(report) + giving_up_choice(report) : out;
}

std::string recovered_text(const RecoveryReport& report) {
  return to_string(report.group) + " begins anew in epoch " + std::to_string(report.epoch.value + 1) +
         ", era " + std::to_string(report.era + 1) + ", with " + printable(report.successor) +
         " as primary; it grants nothing for " + rough_duration(report.lease_ms_max) +
         " (`dlm status` tells how long still)\n";
}

}  // namespace dlm::cli
