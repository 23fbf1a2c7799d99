#include "server/storage/group_store.h"

#include <optional>
#include <utility>

#include "schema/text.h"
#include "server/core/entry_codec.h"
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

GroupContents look_into(Folder& folder, const GroupIdentity& identity) {
  GroupContents contents;
  RecoveredState& recovered = contents.recovered;
  std::unique_ptr<LockTable> table;
  if (const std::optional<LogIndex> index = newest_snapshot(folder)) {
    const std::unique_ptr<LockTable::SnapshotReader> reader = LockTable::restore();
    bool sound = true;
    contents.snapshot = read_snapshot_file(
        folder, identity, *index, [&](std::string_view chunk) { sound = sound && reader->feed(chunk); });
    if (sound) table = reader->finish();
    if (!table)
      throw DamagedFolder(folder.describe(snapshot_name(*index)) +
                          ": is whole, but no state that this version of the program can read");
  }
  contents.log = scan_log(folder, identity);
  if (contents.log.segments.empty() && contents.snapshot)
    throw DamagedFolder(folder.describe(segment_name(1)) +
                        " and all after it are missing beside a snapshot; " + kMoveDataAway);
  std::string error;
  std::optional<RecoveredLog> log =
      contents.log.replay.finish(contents.snapshot, contents.unconnected, error);
  if (!log) throw DamagedFolder(folder.describe("") + ": " + error + "; " + kMoveDataAway);
  for (const Batch& batch : log->batches) {
    if (!is_sound_batch(*batch.entries))
      throw DamagedFolder(folder.describe("") + ": batch " + std::to_string(batch.index.value) +
                          " is whole, but none that this version of the program can read");
  }
  recovered.log = std::move(*log);
  recovered.log_bytes = contents.log.record_bytes;
  if (contents.snapshot == recovered.log.base) recovered.table = std::move(table);
  return contents;
}

OpenedGroup open_group(Folder& folder, const GroupIdentity& identity, std::uint64_t segment_bytes) {
  remove_leftovers(folder);
  GroupContents contents = look_into(folder, identity);
  OpenedGroup opened;
  opened.recovered = std::move(contents.recovered);
  const RecoveredLog& log = opened.recovered.log;
  if (contents.log.unfinished_bytes != 0)
    opened.notes.push_back("cut off a write of " + format_size_bytes(contents.log.unfinished_bytes) +
                           " that a crash interrupted; nobody was told of it");
  if (!contents.log.segments.empty())
    opened.notes.push_back("read the state at " + std::to_string(log.base.index.value) + " and " +
                           std::to_string(log.batches.size()) + " batches of log, " +
                           format_size_bytes(contents.log.record_bytes) +
                           (contents.snapshot ? ", behind a snapshot" : ""));
  opened.log = std::make_unique<LogWriter>(folder, identity, segment_bytes, std::move(contents.log));
  if (contents.unconnected) {
    opened.log->add(LogReset{log.base.index, log.base.epoch, false});
    opened.log->sync();
  }
  return opened;
}

}  // namespace dlm::server
