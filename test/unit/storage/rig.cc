#include "test/unit/storage/rig.h"

#include "schema/limits.h"
#include "server/core/entry_codec.h"

namespace dlm::server::test {

GroupIdentity identity() {
  return {"cluster-1", "s1", 42, GroupId(1)};
}

// The text lies in the names of operations.
Batch batch(std::uint64_t index, std::uint64_t epoch, std::string_view text) {
  BatchWriter writer;
  while (!text.empty()) {
    Operation op;
    op.resource = text.substr(0, kResourceBytesMax);
    writer.add(op);
    text.remove_prefix(op.resource.size());
  }
  return {LogIndex(index), Epoch(epoch), std::make_shared<const std::string>(writer.take())};
}

std::string to_text(const Batch& batch) {
  std::string text = std::to_string(batch.index.value) + ":" + std::to_string(batch.epoch.value) + " ";
  BatchReader reader(*batch.entries);
  Operation op;
  while (reader.next(op)) text += op.resource;
  return text;
}

std::vector<std::string> to_texts(const std::vector<Batch>& batches) {
  std::vector<std::string> texts;
  for (const Batch& one : batches) texts.push_back(to_text(one));
  return texts;
}

void Store::open() {
  close();
  folder_ = disk.root()->folder("g1");
  opened_ = open_group(*folder_, identity(), kSmallSegment);
}

void Store::write_batches(std::uint64_t first, std::uint64_t last) {
  for (std::uint64_t index = first; index <= last; ++index) {
    log().add(batch(index, 1, "b" + std::to_string(index)));
    log().sync();
  }
}

}  // namespace dlm::server::test
