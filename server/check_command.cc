#include "server/check_command.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <system_error>

#include "schema/text.h"
#include "server/core/entry_codec.h"
#include "server/storage/damage.h"
#include "server/storage/data_folder.h"
#include "server/storage/group_store.h"
#include "server/storage/posix_files.h"

namespace dlm::server {
namespace {

constexpr const char* kAbout =
    "Verifies the data folder of a server that does not run, and prints what is in it. Changes nothing.";
constexpr std::size_t kPage = 1'000;

// What the whole log makes of the state; what of it was not acknowledged can't be told from here.
LockTable with_all_applied(RecoveredState&& state) {
  LockTable table = state.table ? std::move(*state.table) : LockTable();
  Effects effects;
  for (const Batch& batch : state.log.batches) {
    BatchReader reader(*batch.entries);
    Operation entry;
    while (reader.next(entry)) {
      effects.clear();
      table.apply(entry, reader.stamp_unix_ms(), effects);
    }
  }
  return table;
}

void print_locks(const LockTable& table) {
  std::uint64_t cursor = 0;
  do {
    const LockPage page = table.list("", cursor, kPage);
    for (const LockReport& lock : page.locks) {
      std::cout << "    " << printable(lock.resource);
      for (const HoldReport& hold : lock.holders)
        std::cout << "  " << printable(hold.client_id) << " token " << hold.token.value << " count "
                  << hold.count;
      if (lock.waiter_count != 0) std::cout << "  " << lock.waiter_count << " waiting";
      std::cout << "\n";
    }
    cursor = page.next_cursor;
  } while (cursor != 0);
}

void check_group(Folder& root, const ServerIdentity& identity, GroupId group, bool list) {
  if (!root.has_folder(to_string(group)))
    throw DamagedFolder(root.describe(to_string(group)) + ": is missing; " + kMoveDataAway);
  const std::unique_ptr<Folder> folder = root.folder(to_string(group));
  GroupContents contents = look_into(*folder, identity_of(identity, group));
  const RecoveredLog& log = contents.recovered.log;
  std::cout << to_string(group) << ": sound\n";
  if (contents.snapshot) std::cout << "  snapshot   at " << contents.snapshot->index.value << "\n";
  std::uint64_t bytes = 0;
  for (const Segment& segment : contents.log.segments) bytes += segment.size_bytes;
  std::cout << "  log        " << contents.log.segments.size() << " segments, " << format_size_bytes(bytes)
            << " on disk; " << log.batches.size() << " batches behind " << log.base.index.value;
  if (!log.batches.empty())
    std::cout << ", the last " << log.batches.back().index.value << " of epoch "
              << log.batches.back().epoch.value;
  std::cout << "\n";
  if (contents.log.unfinished_bytes != 0)
    std::cout << "  unfinished " << format_size_bytes(contents.log.unfinished_bytes)
              << " of a write that a crash interrupted: nobody was told of it, the next start cuts it off\n";
  const LockTable table = with_all_applied(std::move(contents.recovered));
  const TableStats stats = table.stats();
  std::cout << "  state      " << stats.locks_held << " locks held, " << stats.waiters << " waiting, "
            << stats.sessions << " sessions, last token " << stats.last_token.value
            << ", with the whole log applied\n";
  if (list) print_locks(table);
}

int check(const std::string& path, bool list) {
  if (!std::filesystem::is_directory(path)) throw DamagedFolder(path + ": there is no such folder");
  const FolderLock lock(path);
  const std::unique_ptr<Folder> root = posix_folder(path);
  const std::optional<ServerIdentity> identity = read_identity(*root);
  if (!identity) throw DamagedFolder(path + ": is no data folder: it has no identity.json");
  std::cout << "data folder of " << identity->server << "#" << identity->incarnation << ", cluster "
            << identity->cluster << "\n";
  for (GroupId group : identity->groups) check_group(*root, *identity, group, list);
  return EXIT_SUCCESS;
}

}  // namespace

int run_check(int argc, char** argv) {
  CLI::App app(kAbout, "dlm-server check");
  std::string path;
  bool list = false;
  app.add_option("DIR", path, "The server's --data-dir")->required();
  app.add_flag("--locks", list, "Print each lock that is held, too");
  CLI11_PARSE(app, argc, argv);
  try {
    return check(path, list);
  } catch (const std::exception& error) {  // DamagedFolder, std::system_error
    std::cerr << "dlm-server check: " << error.what() << "\n";
    return EXIT_FAILURE;
  }
}

}  // namespace dlm::server
