#include "server/storage/log_files.h"

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <utility>

#include "schema/text.h"
#include "server/storage/damage.h"

namespace dlm::server {
namespace {

constexpr unsigned kVersion = 1;

enum class Kind : std::uint8_t { batch = 1, reset = 2, led = 3 };

void add_u64(std::string& out, std::uint64_t value) {
  std::array<char, sizeof(value)> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(value));
  out.append(bytes.data(), bytes.size());
}

bool take_u64(std::string_view& bytes, std::uint64_t& value) {
  if (bytes.size() < sizeof(value)) return false;
  std::memcpy(&value, bytes.data(), sizeof(value));
  bytes.remove_prefix(sizeof(value));
  return true;
}

bool take_record(std::string_view& bytes, LogRecord& record) {
  if (bytes.empty()) return false;
  const auto kind = static_cast<Kind>(bytes.front());
  bytes.remove_prefix(1);
  std::uint64_t a = 0, b = 0, c = 0;
  switch (kind) {
    case Kind::batch:
      if (!take_u64(bytes, a) || !take_u64(bytes, b) || !take_u64(bytes, c) || c > bytes.size()) return false;
      record = Batch{LogIndex(a), Epoch(b), std::make_shared<const std::string>(bytes.substr(0, c))};
      bytes.remove_prefix(c);
      return true;
    case Kind::reset:
      if (!take_u64(bytes, a) || !take_u64(bytes, b) || !take_u64(bytes, c) || c > 1) return false;
      record = LogReset{LogIndex(a), Epoch(b), c == 1};
      return true;
    case Kind::led:
      if (!take_u64(bytes, a)) return false;
      record = LedEpoch{Epoch(a)};
      return true;
  }
  return false;
}

}  // namespace

// --- whose it is -----------------------------------------------------------------------------------------

std::string first_frame(const char* kind, const GroupIdentity& identity) {
  return "dlm " + std::string(kind) + " " + std::to_string(kVersion) + "\n" + identity.cluster + "\n" +
         identity.server + "#" + std::to_string(identity.incarnation) + "\n" + to_string(identity.group) +
         "\n";
}

void check_first_frame(const char* kind, const GroupIdentity& identity, std::string_view content,
                       const std::string& path) {
  const std::string expected = first_frame(kind, identity);
  if (content == expected) return;
  const std::string head = "dlm " + std::string(kind) + " ";
  if (!content.starts_with(head)) throw DamagedFolder(path + ": is no " + kind + " of this program");
  const std::string_view version = content.substr(head.size(), content.find('\n') - head.size());
  if (version != std::to_string(kVersion))
    throw DamagedFolder(path + ": was written in format " + printable(version) +
                        ", this program knows format " + std::to_string(kVersion) +
                        ": start the version that wrote it");
  throw DamagedFolder(path + ": belongs to another server or group: \"" + printable(content) +
                      "\" instead of \"" + printable(expected) +
                      "\": put the files back where they were taken from");
}

// --- names -----------------------------------------------------------------------------------------------

std::string segment_name(std::uint64_t id) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "log-%012" PRIu64, id);
  return name.data();
}

std::optional<std::uint64_t> segment_id(std::string_view name) {
  constexpr std::string_view kHead = "log-";
  if (!name.starts_with(kHead)) return std::nullopt;
  std::uint64_t id = 0;
  for (char c : name.substr(kHead.size())) {
    if (c < '0' || c > '9' || id > UINT64_MAX / 16) return std::nullopt;
    id = id * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (segment_name(id) != name) return std::nullopt;
  return id;
}

// --- records ---------------------------------------------------------------------------------------------

void encode(const LogRecord& record, std::string& out) {
  if (const auto* batch = std::get_if<Batch>(&record)) {
    out.push_back(static_cast<char>(Kind::batch));
    add_u64(out, batch->index.value);
    add_u64(out, batch->epoch.value);
    add_u64(out, batch->entries->size());
    out += *batch->entries;
  } else if (const auto* reset = std::get_if<LogReset>(&record)) {
    out.push_back(static_cast<char>(Kind::reset));
    add_u64(out, reset->index.value);
    add_u64(out, reset->epoch.value);
    add_u64(out, reset->empty ? 1 : 0);
  } else {
    out.push_back(static_cast<char>(Kind::led));
    add_u64(out, std::get<LedEpoch>(record).epoch.value);
  }
}

bool decode_records(std::string_view bytes, std::vector<LogRecord>& out) {
  while (!bytes.empty()) {
    LogRecord record;
    if (!take_record(bytes, record)) return false;
    out.push_back(std::move(record));
  }
  return true;
}

// --- replay ----------------------------------------------------------------------------------------------

bool LogReplay::add(LogRecord&& record) {
  if (auto* batch = std::get_if<Batch>(&record)) {
    std::vector<Batch>& batches = log_.batches;
    if (batches.empty() && reset_ && batch->index != reset_->index.next()) return false;
    if (!batches.empty()) {
      if (batch->index > batches.back().index.next() || batch->index < batches.front().index) return false;
      batches.resize(batch->index.value - batches.front().index.value);
      if (!batches.empty() && batch->epoch < batches.back().epoch) return false;
    }
    batches.push_back(std::move(*batch));
  } else if (const auto* reset = std::get_if<LogReset>(&record)) {
    log_.batches.clear();
    reset_ = *reset;
  } else {
    log_.led = std::max(log_.led, std::get<LedEpoch>(record).epoch);
  }
  return true;
}

std::optional<RecoveredLog> LogReplay::finish(const std::optional<LogPlace>& snapshot, bool& unconnected,
                                              std::string& error) {
  unconnected = false;
  LogPlace base;
  if (snapshot && (!reset_ || snapshot->index >= reset_->index)) {
    base = *snapshot;
  } else if (reset_ && !reset_->empty) {
    error =
        "the snapshot at " + std::to_string(reset_->index.value) + ", on which the log follows, is missing";
    return std::nullopt;
  } else if (reset_) {
    base = {reset_->index, reset_->epoch};
  }
  std::vector<Batch>& batches = log_.batches;
  const bool behind = batches.empty() || batches.back().index < base.index;
  if (!behind && batches.front().index > base.index.next()) {
    error = "the log begins at " + std::to_string(batches.front().index.value) +
            ", but the last state known is of " + std::to_string(base.index.value);
    return std::nullopt;
  }
  if (behind) {
    unconnected = !batches.empty() || (reset_ && reset_->index != base.index) || (!reset_ && snapshot);
    batches.clear();
  } else {
    // A snapshot that was installed and whose LogReset was not safe yet: what follows in the log does not
    // follow on it.
    const std::size_t covered = base.index.next().value - batches.front().index.value;
    unconnected = covered > 0 && batches[covered - 1].epoch != base.epoch;
    batches.erase(batches.begin(),
                  unconnected ? batches.end() : batches.begin() + static_cast<std::ptrdiff_t>(covered));
  }
  log_.base = base;
  return std::move(log_);
}

}  // namespace dlm::server
