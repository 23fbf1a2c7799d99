// What `dlm` prints for people: tables, times, quoted words. Nothing here reads a clock or writes anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dlm/client.h"
#include "schema/report.h"
#include "schema/types.h"

namespace dlm::cli {

// A word that a POSIX shell reads back as these bytes: as it is where that is safe, in single quotes
// otherwise. Null bytes can't be in an argument: see name_arguments().
std::string shell_quoted(std::string_view word);

// A resource as the arguments that name it: quoted, or "--name-hex 6f72" when it can't be typed.
std::string name_arguments(std::string_view resource);

// A name for people, never empty: "" becomes two quotes.
std::string shown(std::string_view name);

// "2026-11-23T13:05:55Z".
std::string utc_time(std::uint64_t unix_ms);
// "12 s", "3m12s": how long ago, in whole seconds from one second on. The two clocks may differ: never
// negative.
std::string age(std::uint64_t since_unix_ms, std::uint64_t now_unix_ms);
// A duration that need not be exact: whole seconds from ten seconds on, "for ever" for kWaitForeverMs.
std::string rough_duration(std::uint32_t ms);

// "1.25": with so many digits behind the point.
std::string decimal(double value, int digits);

// "w7", or "w7 (tag batch)".
std::string owner_text(std::string_view client_id, std::string_view owner_tag);

// Columns as wide as their widest cell, two blanks apart; the last one is not padded.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Each line begins with `indent`.
  std::string text(std::string_view indent = "") const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Appends `text`, and blanks until it fills `columns` terminal cells (approximately: one per code point).
void append_padded(std::string& out, std::string_view text, std::size_t columns);

// "waiting for orders/42: held by w7 since 2026-11-23T13:05:55Z (12s), position 3 in line".
std::string waiting_text(std::string_view resource, const QueuedInfo& queued, std::uint64_t now_unix_ms);

// One lock, several lines: holders, then waiters in order.
std::string lock_text(const LockReport& lock, std::uint64_t now_unix_ms);
// One lock, a line for each holder, under list_header().
std::string list_header();
void append_list_lines(std::string& out, const LockReport& lock);
// `ring` (null: not known) tells which groups may own something: others may have been stopped, and are no
// problem.
std::string cluster_text(const ClusterReport& cluster, const RingReport* ring = nullptr);

}  // namespace dlm::cli
