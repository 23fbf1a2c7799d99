#include "server/storage/group_store.h"

#include <optional>
#include <utility>

#include "schema/text.h"
#include "server/storage/damage.h"
#include "server/storage/snapshot_file.h"

namespace dlm::server {
namespace {

std::optional<LogIndex> newest_snapshot(Folder& folder) {
  std::optional<LogIndex> newest;
  for (const std::string& name : folder.list()) {
    const auto index = snapshot_index(name);
    if (index && (!newest || *newest < *index)) newest = index;
  }
  return newest;
}

void remove_leftovers(Folder& folder) {
  const std::optional<LogIndex> newest = newest_snapshot(folder);
  bool any = false;
  for (const std::string& name : folder.list()) {
    const auto index = snapshot_index(name);
    if (!name.ends_with(".new") && !(index && *index < *newest)) continue;
    folder.remove(name);
    any = true;
  }
  if (any) folder.sync();
}

}  // namespace

GroupContents look_into(Folder& folder, const GroupIdentity& identity, const LockTableLimits& limits) {
  GroupContents contents;
  if (const std::optional<LogIndex> index = newest_snapshot(folder)) {
    const std::string path = folder.describe(snapshot_name(*index));
    const std::unique_ptr<LockTable::SnapshotReader> reader = LockTable::restore(limits);
    bool sound = true;
    contents.snapshot = read_snapshot_file(
        folder, identity, *index, [&](std::string_view chunk) { sound = sound && reader->feed(chunk); });
    if (sound) contents.table = reader->finish();
    if (!contents.table)
      throw DamagedFolder(path + ": is whole, but no state that this version of the program can read");
  }
  contents.log = scan_log(folder, identity);
  if (contents.log.segments.empty() && contents.snapshot)
    throw DamagedFolder(folder.describe(segment_name(1)) +
                        " and all after it are missing beside a snapshot; " + std::string(kMoveDataAway));
  return contents;
}

OpenedGroup open_group(Folder& folder, const GroupIdentity& identity, const LockTableLimits& limits,
                       std::uint64_t segment_bytes) {
  remove_leftovers(folder);
  GroupContents contents = look_into(folder, identity, limits);
  OpenedGroup opened;
  RecoveredState& recovered = opened.recovered;
  bool unconnected = false;
  std::string error;
  std::optional<RecoveredLog> log = contents.log.replay.finish(contents.snapshot, unconnected, error);
  if (!log) throw DamagedFolder(folder.describe("") + ": " + error + "; " + kMoveDataAway);
  recovered.log = std::move(*log);
  recovered.table = std::move(contents.table);
  if (contents.snapshot && recovered.log.base != contents.snapshot->index) recovered.table.reset();
  recovered.log_bytes = contents.log.record_bytes;
  if (contents.log.unfinished_bytes != 0)
    opened.notes.push_back("cut off a write of " + format_size_bytes(contents.log.unfinished_bytes) +
                           " that a crash interrupted; nobody was told of it");
  if (!contents.log.segments.empty())
    opened.notes.push_back("read the state at " + std::to_string(recovered.log.base.value) + " and " +
                           std::to_string(recovered.log.batches.size()) + " batches of log, " +
                           format_size_bytes(contents.log.record_bytes) +
                           (contents.snapshot ? ", behind a snapshot" : ""));
  opened.log = std::make_unique<LogWriter>(folder, identity, segment_bytes, std::move(contents.log));
  if (unconnected) {
    opened.log->add(LogReset{recovered.log.base, recovered.log.base_epoch, false});
    opened.log->sync();
  }
  return opened;
}

}  // namespace dlm::server
