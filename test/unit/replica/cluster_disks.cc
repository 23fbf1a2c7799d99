// The disks of a Cluster: what was written, what of it is safe, and what a restart finds.
#include <algorithm>
#include <utility>

#include "test/unit/replica/cluster.h"

namespace dlm::server::test {

RecoveredLog Cluster::recover(const Disk& disk, Node& node) const {
  RecoveredLog log;
  for (const Disk::Written& written : disk.written) {
    if (const auto* batch = std::get_if<Batch>(&written.record)) {
      while (!log.batches.empty() && log.batches.back().index >= batch->index) log.batches.pop_back();
      log.batches.push_back(*batch);
    } else if (const auto* reset = std::get_if<LogReset>(&written.record)) {
      log.batches.clear();
      log.base = {reset->index, reset->epoch};
      node.table = written.table;
      node.base = written.base;
    } else {
      log.led = std::get<LedEpoch>(written.record).epoch;
    }
  }
  return log;
}

void Cluster::write(Node& node, ReplicaOutput& out) {
  if (out.log_writes.empty()) return;
  Disk& disk = disks_.at(node.name.server);
  for (LogRecord& record : out.log_writes) {
    Disk::Written written{std::move(record), {}, 0};
    if (std::holds_alternative<LogReset>(written.record)) {
      written.table = node.table;
      written.base = node.base;
    }
    disk.written.push_back(std::move(written));
  }
  out.log_writes.clear();
  events_.push_back({node.name, node.name, Synced{disk.written.size() - disk.before}, now_ms_, node.life});
}

void Cluster::synced(Node& node, std::uint64_t records) {
  Disk& disk = disks_.at(node.name.server);
  disk.synced = std::max(disk.synced, disk.before + static_cast<std::size_t>(records));
  release_replies(node);
}

void Cluster::release_replies(Node& node) {
  std::erase_if(node.held_replies, [&](Event& event) {
    const std::uint64_t after = std::get<AppendReply>(event.what).after_records;
    if (after != 0 && disks_.at(node.name.server).synced < disks_.at(node.name.server).before + after)
      return false;
    events_.push_back(std::move(event));
    return true;
  });
}

}  // namespace dlm::server::test
