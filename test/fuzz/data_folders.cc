// What lies in a server's data folder: it is refused, or it is a log without gaps, which is the same when it
// is opened again and goes on from there.
#include "server/core/entry_codec.h"
#include "server/storage/damage.h"
#include "server/storage/data_folder.h"
#include "server/storage/frames.h"
#include "server/storage/group_store.h"
#include "server/storage/log_files.h"
#include "test/fuzz/fuzz.h"
#include "test/sim/disk.h"

namespace dlm::fuzz {

using server::Batch;
using server::LogRecord;

namespace {

constexpr std::uint64_t kSegmentBytes = 64u << 10;

server::GroupIdentity identity() {
  return {"c", "s1", 1, GroupId(1)};
}

void check_identity(std::string_view text) {
  sim::Disk disk;
  const auto root = disk.root();
  root->create("identity.json")->write(0, text);
  try {
    const auto identity = server::read_identity(*root);
    require(identity.has_value(), "a folder with an identity has one");
    server::write_identity(*root, *identity);
    require(server::read_identity(*root) == identity, "an identity reads as it was written");
  } catch (const server::DamagedFolder&) {
  }
}

// A segment with these frames, sealed as they must be, and then some bytes laid over it.
void lay_segment(server::Folder& folder, const std::vector<std::string_view>& frames, std::string_view over) {
  const auto file = folder.create(server::segment_name(1));
  std::uint64_t at = 0;
  std::uint64_t number = 0;
  const auto add = [&](std::string_view content) {
    const std::string frame = server::seal_frame(1, at, number++, content);
    file->write(at, frame);
    at += frame.size();
  };
  add(server::first_frame("log", identity()));
  for (std::string_view content : frames) add(content);
  file->write(at, std::string(kSegmentBytes - std::min<std::uint64_t>(at, kSegmentBytes), '\0'));
  if (over.size() > 2) {
    const std::uint64_t place =
        static_cast<unsigned char>(over[0]) | std::uint64_t{static_cast<unsigned char>(over[1])} << 8;
    file->write(place, over.substr(2));
  }
}

void check_log(const server::RecoveredLog& log) {
  LogIndex last = log.base.index;
  for (const Batch& batch : log.batches) {
    require(batch.index == last.next(), "a log has no gaps");
    last = batch.index;
  }
}

std::string text_of(const server::RecoveredLog& log) {
  std::string text = std::to_string(log.base.index.value) + " " + std::to_string(log.led.value);
  for (const Batch& batch : log.batches) server::encode(batch, text);
  return text;
}

}  // namespace

// Parts: an identity, bytes over the segment (2 for the place), and the contents of frames.
void run(std::string_view input) {
  const std::vector<std::string_view> parts = parts_of(input);
  if (parts.size() < 2) return;
  check_identity(parts[0]);
  for (std::size_t i = 2; i < parts.size(); ++i) {
    std::vector<LogRecord> records;
    if (!server::decode_records(parts[i], records)) continue;
    std::string written;
    for (const LogRecord& record : records) server::encode(record, written);
    require(written == parts[i], "records read as they were written");
  }

  sim::Disk disk;
  const auto folder = disk.root()->folder("g1");
  lay_segment(*folder, {parts.begin() + 2, parts.end()}, parts[1]);
  try {
    const auto opened = server::open_group(*folder, identity(), kSegmentBytes);
    check_log(opened.recovered.log);
    const auto again = server::open_group(*folder, identity(), kSegmentBytes);
    require(text_of(again.recovered.log) == text_of(opened.recovered.log),
            "a log is the same when it is opened again");
    const server::RecoveredLog& log = again.recovered.log;
    const LogIndex next = log.batches.empty() ? log.base.index.next() : log.batches.back().index.next();
    again.log->add(
        Batch{next, Epoch(UINT64_MAX), std::make_shared<const std::string>(server::BatchWriter().take())});
    again.log->sync();
    const auto after = server::open_group(*folder, identity(), kSegmentBytes);
    require(!after.recovered.log.batches.empty() && after.recovered.log.batches.back().index == next,
            "a log goes on where it ended");
  } catch (const server::DamagedFolder&) {
  }
}

Seeds seeds() {
  const auto batch = [](std::uint64_t index, std::uint64_t epoch) {
    std::string bytes;
    server::encode(Batch{LogIndex(index), Epoch(epoch),
                         std::make_shared<const std::string>(server::BatchWriter().take())},
                   bytes);
    return bytes;
  };
  std::string led, reset;
  server::encode(server::LedEpoch{Epoch(3)}, led);
  server::encode(server::LogReset{LogIndex(1ULL << 40), Epoch(), true}, reset);
  const std::string json = R"({"format":1,"cluster":"c","server":"s1","incarnation":1,"groups":["g1"]})";
  return {
      {"log", join({json, "", led + batch(1, 1), batch(2, 1) + batch(3, 3)})},
      {"replaced", join({json, "", batch(1, 1) + batch(2, 1), batch(2, 2)})},
      {"begun-anew", join({json, "", batch(1, 1), reset + batch((1ULL << 40) + 1, 5)})},
      {"damaged", join({json, std::string("\x00\x10", 2) + "x", batch(1, 1)})},
  };
}

}  // namespace dlm::fuzz
