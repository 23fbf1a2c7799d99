#include "server/replica_codec.h"

#include <memory>
#include <string>

#include "schema/wire/codec.h"

namespace dlm::server {

void write(const Append& from, const MemberName& self, wire::Replica::AppendParams::Builder to) {
  to.setFrom(coordinator::to_string(self).c_str());
  to.setEpoch(from.epoch.value);
  to.setRound(from.round);
  to.setPrevIndex(from.prev_index.value);
  to.setPrevEpoch(from.prev_epoch.value);
  to.setCommitted(from.committed.value);
  auto batches = to.initBatches(static_cast<unsigned>(from.batches.size()));
  for (unsigned i = 0; i < batches.size(); ++i) {
    auto batch = batches[i];
    batch.setIndex(from.batches[i].index.value);
    batch.setEpoch(from.batches[i].epoch.value);
    batch.setEntries(wire::as_bytes(*from.batches[i].entries));
  }
}

void write(const Install& from, const MemberName& self, wire::Replica::InstallParams::Builder to) {
  to.setFrom(coordinator::to_string(self).c_str());
  to.setEpoch(from.epoch.value);
  to.setRound(from.round);
  to.setIndex(from.index.value);
  to.setIndexEpoch(from.index_epoch.value);
  to.setFirst(from.first);
  to.setLast(from.last);
  to.setChunk(wire::as_bytes(from.chunk));
}

capnp::MessageSize size_hint(const Append& message) {
  std::uint64_t words = 0;
  for (const Batch& batch : message.batches) {
    words += capnp::sizeInWords<wire::Replica::Batch>() + 1 + batch.entries->size() / sizeof(capnp::word);
  }
  return wire::size_hint(words);
}

capnp::MessageSize size_hint(const Install& message) {
  return wire::size_hint(message.chunk.size() / sizeof(capnp::word));
}

void write(const Transfer& from, wire::Transfer::Builder to) {
  to.setFrom(from.from.value);
  to.setNumber(from.number);
  to.setDoneBelow(from.done_below);
  to.setRingVersion(from.ring_version);
  to.setLeaseMsMax(from.lease_ms_max);
  to.setLastToken(from.last_token.value);
  if (from.state) to.setState(wire::as_bytes(*from.state));
}

Transfer read(wire::Transfer::Reader from, GroupId to) {
  Transfer transfer;
  transfer.from = GroupId(from.getFrom());
  transfer.to = to;
  transfer.number = from.getNumber();
  transfer.done_below = from.getDoneBelow();
  transfer.ring_version = from.getRingVersion();
  transfer.lease_ms_max = from.getLeaseMsMax();
  transfer.last_token = FencingToken(from.getLastToken());
  if (from.hasState()) transfer.state = std::make_shared<const std::string>(wire::as_text(from.getState()));
  return transfer;
}

capnp::MessageSize size_hint(const Transfer& transfer) {
  const std::size_t bytes = transfer.state ? transfer.state->size() : 0;
  return wire::size_hint(capnp::sizeInWords<wire::Transfer>() + 1 + bytes / sizeof(capnp::word));
}

Append read(wire::Replica::AppendParams::Reader from, const MemberName& to) {
  Append message;
  message.to = to;
  message.epoch = Epoch(from.getEpoch());
  message.round = from.getRound();
  message.prev_index = LogIndex(from.getPrevIndex());
  message.prev_epoch = Epoch(from.getPrevEpoch());
  message.committed = LogIndex(from.getCommitted());
  auto batches = from.getBatches();
  message.batches.reserve(batches.size());
  for (auto batch : batches) {
    message.batches.push_back({LogIndex(batch.getIndex()), Epoch(batch.getEpoch()),
                               std::make_shared<const std::string>(wire::as_text(batch.getEntries()))});
  }
  return message;
}

Install read(wire::Replica::InstallParams::Reader from, const MemberName& to) {
  Install message;
  message.to = to;
  message.epoch = Epoch(from.getEpoch());
  message.round = from.getRound();
  message.index = LogIndex(from.getIndex());
  message.index_epoch = Epoch(from.getIndexEpoch());
  message.first = from.getFirst();
  message.last = from.getLast();
  message.chunk = wire::as_text(from.getChunk());
  return message;
}

}  // namespace dlm::server
