// What other servers and routers say to a server, from the bytes of Cap'n Proto messages on: whatever they
// send, and in whatever order, a member of a group goes on, and gives each submit one answer for each of its
// operations.
#include <kj/exception.h>

#include <map>

#include "schema/wire/codec.h"
#include "schema/wire/rpc.h"
#include "server/core/group_core.h"
#include "server/replica_codec.h"
#include "test/fuzz/fuzz.h"
#include "test/fuzz/messages.h"
#include "test/fuzz/tables.h"

namespace dlm::fuzz {
namespace {

using server::Append;
using server::GroupCore;
using server::GroupOutput;
using server::GroupQuery;
using server::Install;
using server::MemberName;
using server::RequestId;
using server::Transfer;
using server::TransferReply;

// What a part of an input is; its first byte.
enum class Kind : unsigned {
  append,
  install,
  submit,
  reply,
  transfer,
  transfer_reply,
  query,
  acknowledge,  // the other member accepts what it was sent last
  time,         // passes: 100 ms for each unit of the next byte
  end_
};

// In which place of its group the member is when the messages come.
enum class Place : unsigned { backup, alone, primary, end_ };

const MemberName kSelf{"s1", 1};
const MemberName kOther{"s2", 2};
constexpr GroupId kGroup{1};
constexpr GroupId kOtherGroup{2};

server::GroupOptions options() {
  server::GroupOptions options;
  options.replica.group = kGroup;
  options.replica.self = kSelf;
  options.snapshot_chunk_bytes = 1'000;
  return options;
}

class Member {
 public:
  explicit Member(Place place) : core_(options()) {
    ring_.version = 1;
    ring_.groups = {{kGroup, 0.01}, {kOtherGroup, 0.01}};
    record_.version = 1;
    record_.config.epoch = Epoch(2);
    record_.config.lease_ms_max = 60'000;
    record_.config.primary = place == Place::backup ? kOther : kSelf;
    record_.config.in_sync = {kSelf};
    if (place != Place::alone) record_.config.in_sync.push_back(kOther);
    tell_view();
    turn();
    acknowledge();
  }

  void take(std::string_view part) {
    const Kind kind = static_cast<Kind>(take_choice(part, static_cast<unsigned>(Kind::end_)));
    if (kind == Kind::acknowledge) return acknowledge();
    if (kind == Kind::time) {
      now_.ms += 100 * take_choice(part, 64);
      return turn();
    }
    if (kind == Kind::query) {
      GroupQuery query;
      query.kind = static_cast<GroupQuery::Kind>(take_choice(part, 4));
      query.limit = take_choice(part, 16);
      query.text = part;
      core_.query(next_request(), std::move(query), now_);
      return turn();
    }
    const kj::Array<capnp::word> words = words_of(part);
    try {
      capnp::FlatArrayMessageReader message(words, wire::limits_of_message(words.size()));
      take(kind, message);
    } catch (const kj::Exception&) {
      // A damaged message; the link would be cut.
    }
    turn();
  }

  // That no submit was forgotten.
  void check_pending() const {
    std::size_t pending = 0;
    for (const auto& [request, operations] : submitted_) pending += operations;
    require(core_.pending_operations() <= pending, "nothing is pending that was answered");
    require(pending == 0 || core_.pending_operations() != 0, "who waits for answers is not forgotten");
  }

 private:
  void take(Kind kind, capnp::MessageReader& message) {
    switch (kind) {
      case Kind::append:
        return core_.on_append(next_request(), kOther,
                               server::read(message.getRoot<wire::Replica::AppendParams>(), kSelf), now_);
      case Kind::install:
        return core_.on_install(next_request(), kOther,
                                server::read(message.getRoot<wire::Replica::InstallParams>(), kSelf), now_);
      case Kind::submit: {
        std::vector<Operation> operations;
        auto list = message.getRoot<wire::LockChannel::SubmitParams>().getOperations();
        for (auto operation : list) operations.push_back(wire::read(operation));
        const RequestId request = next_request();
        submitted_[request] = operations.size();
        return core_.submit(server::ChannelId(1), request, operations, now_);
      }
      case Kind::reply:
        return core_.on_reply(server::read_reply(message.getRoot<wire::Replica::AppendResults>(), kOther),
                              now_);
      case Kind::transfer:
        return core_.move_in(next_request(), server::read(message.getRoot<wire::Transfer>(), kGroup), now_);
      default: {
        auto result = message.getRoot<wire::ShardServer::Host::MoveInResults>();
        const TransferReply reply{static_cast<Status>(result.getStatus()),
                                  std::string(wire::as_text(result.getMessage())), result.getRetryMs(),
                                  std::string(wire::as_text(result.getArcs())), result.getNextNumber()};
        return core_.on_transferred(kOtherGroup, last_transfer_, reply, now_);
      }
    }
  }

  RequestId next_request() { return RequestId(++requests_); }

  void tell_view() { core_.on_view(record_, {kSelf, kOther}, ring_, now_); }

  void turn() {
    for (bool again = true; again;) {
      GroupOutput output;
      core_.turn(now_, output);
      again = carry_out(output);
    }
  }

  // True: there were inputs in it.
  bool carry_out(GroupOutput& output) {
    for (const GroupOutput::Finished& finished : output.finished) {
      auto submitted = submitted_.find(finished.request);
      require(submitted != submitted_.end(), "a submit ends once");
      require(finished.answers.size() == submitted->second, "each operation has one answer");
      submitted_.erase(submitted);
    }
    for (const Append& append : output.appends) sent_ = {append.epoch, append.round, last_of(append)};
    for (const Install& install : output.installs) sent_ = {install.epoch, install.round, install.index};
    for (const Transfer& transfer : output.transfers) last_transfer_ = transfer.number;
    const bool again = output.propose || output.touch_coordinator;
    if (output.propose) {
      const bool accepted = output.propose->expected_version == record_.version;
      if (accepted) record_ = {record_.version + 1, output.propose->config};
      core_.on_proposed(accepted, now_);
      tell_view();
    }
    if (output.touch_coordinator) core_.on_touched(true, now_.ms, now_);
    return again;
  }

  static LogIndex last_of(const Append& append) {
    return append.batches.empty() ? append.prev_index : append.batches.back().index;
  }

  void acknowledge() {
    if (!sent_.round) return;
    core_.on_reply({kOther, sent_.epoch, sent_.round, true, sent_.last, false}, now_);
    turn();
  }

  struct Sent {
    Epoch epoch;
    std::uint64_t round = 0;
    LogIndex last;
  };

  GroupCore core_;
  server::Instant now_{1'000'000, 1'700'000'000'000};
  coordinator::RingRecord ring_;
  coordinator::VersionedConfig record_;
  std::uint64_t requests_ = 0;
  std::map<RequestId, std::size_t> submitted_;  // operations of those that are not finished
  Sent sent_;
  std::uint64_t last_transfer_ = 0;
};

// A part with a message that `fill` makes.
template <class Root, class Fill>
std::string part(Kind kind, Fill fill) {
  return static_cast<char>(kind) + message_of<Root>(fill);
}

std::string append_part(std::uint64_t round, std::uint64_t after, const std::vector<std::string>& batches) {
  Append append;
  append.epoch = Epoch(2);
  append.round = round;
  append.prev_index = LogIndex(after);
  append.prev_epoch = after == 0 ? Epoch() : Epoch(2);
  for (const std::string& batch : batches) {
    const LogIndex index(after + append.batches.size() + 1);
    append.batches.push_back({index, Epoch(2), std::make_shared<const std::string>(batch)});
  }
  append.committed = LogIndex(after + append.batches.size());
  return part<wire::Replica::AppendParams>(Kind::append, [&](auto to) { server::write(append, kOther, to); });
}

std::vector<std::string> install_parts(const std::string& snapshot, std::uint64_t index) {
  std::vector<std::string> parts;
  const std::size_t half = snapshot.size() / 2;
  for (bool last : {false, true}) {
    Install install;
    install.epoch = install.index_epoch = Epoch(2);
    install.round = last ? 12 : 11;
    install.index = LogIndex(index);
    install.first = !last;
    install.last = last;
    install.chunk = last ? snapshot.substr(half) : snapshot.substr(0, half);
    parts.push_back(part<wire::Replica::InstallParams>(Kind::install,
                                                       [&](auto to) { server::write(install, kOther, to); }));
  }
  return parts;
}

std::string submit_part(const std::vector<Operation>& operations) {
  return part<wire::LockChannel::SubmitParams>(Kind::submit, [&](auto to) {
    auto list = to.initOperations(static_cast<unsigned>(operations.size()));
    for (unsigned i = 0; i < list.size(); ++i) wire::write(operations[i], list[i]);
  });
}

std::string transfer_part(std::uint64_t number, const std::string& state) {
  Transfer transfer;
  transfer.from = kOtherGroup;
  transfer.number = number;
  transfer.ring_version = 1;
  transfer.lease_ms_max = 30'000;
  transfer.last_token = FencingToken((std::uint64_t{1} << 40) + 1'000);
  if (!state.empty()) transfer.state = std::make_shared<const std::string>(state);
  return part<wire::Transfer>(Kind::transfer, [&](auto to) { server::write(transfer, to); });
}

std::string seed(Place place, const std::vector<std::string>& parts) {
  return static_cast<char>(place) + join(parts);
}

}  // namespace

void run(std::string_view input) {
  Member member(static_cast<Place>(take_choice(input, static_cast<unsigned>(Place::end_))));
  for (std::string_view part : parts_of(input)) member.take(part);
  member.check_pending();
}

Seeds seeds() {
  server::Effects ignored;
  const std::string arcs = all_arcs();
  const SeedBatches& batches = seed_batches();
  const auto giver = new_table();
  giver->apply(start_epoch(1, arcs), 0, ignored);
  apply_batch(*giver, batch_of(batches.fill));
  const std::vector<std::string> chunks = install_parts(snapshot_of(*giver), 7);
  Operation move_out;
  move_out.kind = OperationKind::move_out;
  move_out.target = Sequence(kGroup.value);
  move_out.resource = arcs;
  giver->apply(move_out, 0, ignored);
  const std::string moved = *giver->outgoing().front().state;

  std::vector<Operation> from_clients;
  for (const auto& list : {batches.fill, batches.end}) {
    for (const Operation& op : list)
      if (op.kind < kFirstInternalOperation) from_clients.push_back(op);
  }
  const std::string start = batch_of({start_epoch(1, arcs)});
  const std::string asked = part<wire::Replica::AppendResults>(Kind::reply, [](auto to) {
    to.setEpoch(2);
    to.setRound(1);
    to.setAsked(true);
  });
  const std::string taken = part<wire::ShardServer::Host::MoveInResults>(Kind::transfer_reply, [](auto) {});
  const auto of = [](Kind kind, const std::string& rest = {}) { return static_cast<char>(kind) + rest; };
  const std::string acknowledged = of(Kind::acknowledge);
  const std::string second = of(Kind::time, std::string(1, '\x0a'));
  const std::string inspected = of(Kind::query, std::string("\x00\x08x", 3));
  const std::string listed = of(Kind::query, std::string("\x01\x08", 2));
  return {
      {"appends", seed(Place::backup, {append_part(1, 0, {start, batch_of(batches.fill)}),
                                       append_part(2, 2, {batch_of(batches.end)}), append_part(3, 3, {})})},
      {"appends-damaged", seed(Place::backup, {append_part(1, 0, {start, "no batch"})})},
      {"snapshot", seed(Place::backup, {chunks[0], chunks[1], append_part(13, 7, {batch_of(batches.end)})})},
      {"takes-over", seed(Place::backup, {append_part(1, 0, {start}), second, second,
                                          submit_part(from_clients), acknowledged})},
      {"alone", seed(Place::alone, {submit_part(from_clients), inspected, listed, second, second})},
      {"primary", seed(Place::primary, {submit_part(from_clients), acknowledged, inspected, acknowledged,
                                        asked, second, acknowledged})},
      {"gets-an-arc", seed(Place::alone, {transfer_part(0, {}), transfer_part(1, moved),
                                          transfer_part(1, moved), submit_part(from_clients)})},
      {"claimed", seed(Place::alone, {transfer_part(server::kClaim, {}), taken})},
  };
}

}  // namespace dlm::fuzz
