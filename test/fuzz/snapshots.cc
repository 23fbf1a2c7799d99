// Snapshots of lock tables, as a primary sends them to a member that joins: one that is accepted gives a
// table that is like any other.
#include <algorithm>

#include "server/core/lock_table_codec.h"
#include "server/core/lock_table_snapshot_format.h"
#include "test/fuzz/fuzz.h"
#include "test/fuzz/tables.h"

namespace dlm::fuzz {
namespace {

using server::snapshot::Record;

constexpr bool is_end(std::string_view record) {
  return !record.empty() && record.front() == static_cast<char>(Record::end);
}

// A checksum is nothing that a mutation gets right. So most inputs are the records alone, and this makes a
// snapshot of them, with its end.
std::string snapshot_of_records(const std::vector<std::string_view>& records) {
  std::string snapshot;
  std::uint64_t checksum = 0;
  const auto append = [&](std::string_view record) {
    const std::size_t begin = snapshot.size();
    server::snapshot::append_length(record.size(), snapshot);
    snapshot.append(record);
    checksum = server::hash_of_bytes(std::string_view(snapshot).substr(begin), checksum);
  };
  std::uint64_t locks = 0;
  for (std::string_view record : records) {
    if (record.empty() || is_end(record)) continue;
    if (record.front() == static_cast<char>(Record::lock)) ++locks;
    append(record);
  }
  std::string end(1, static_cast<char>(Record::end));
  server::Encoder to(end);
  to.number(locks);
  to.number(checksum);
  append(end);
  return snapshot;
}

std::vector<std::string> records_of(std::string_view snapshot) {
  std::vector<std::string> records;
  while (!snapshot.empty()) {
    const std::size_t length = server::snapshot::read_length(snapshot.data());
    snapshot.remove_prefix(server::snapshot::kLengthBytes);
    records.emplace_back(snapshot.substr(0, length));
    snapshot.remove_prefix(length);
  }
  return records;
}

}  // namespace

// After a choice, parts: a batch to be applied to what was read, and either a whole snapshot or records.
void run(std::string_view input) {
  const bool is_whole = take_choice(input, 2) == 1;
  std::vector<std::string_view> parts = parts_of(input);
  if (parts.empty()) return;
  const std::string_view batch = parts.front();
  parts.erase(parts.begin());
  std::string snapshot;
  if (is_whole) {
    for (std::string_view part : parts) snapshot.append(part);
  } else {
    snapshot = snapshot_of_records(parts);
  }
  if (const auto table = restored(snapshot)) check(*table, batch);
}

Seeds seeds() {
  server::Effects ignored;
  const std::string arcs = all_arcs();
  const SeedBatches& batches = seed_batches();
  const auto table = new_table();
  table->apply(start_epoch(1, arcs), 0, ignored);
  Seeds all;
  const auto add = [&](const std::string& name) {
    const std::string snapshot = snapshot_of(*table);
    std::vector<std::string> parts = records_of(snapshot);
    parts.insert(parts.begin(), batch_of(batches.end));
    all.emplace_back(name + "-records", '\x00' + join(parts));
    all.emplace_back(name + "-whole", '\x01' + join({parts.front(), snapshot}));
  };
  add("empty");
  apply_batch(*table, batch_of(batches.fill));
  add("filled");
  apply_batch(*table, batch_of(batches.end));
  add("ended");
  return all;
}

}  // namespace dlm::fuzz
