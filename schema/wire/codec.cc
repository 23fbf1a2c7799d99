#include "schema/wire/codec.h"

#include <cstring>

namespace dlm::wire {
namespace {

std::string as_string(capnp::Data::Reader data) {
  return std::string(as_text(data));
}
std::string as_string(capnp::Text::Reader text) {
  return std::string(as_text(text));
}

template <class Enum>
std::uint8_t number(Enum value) {
  return static_cast<std::uint8_t>(value);
}

// Texts are copied by hand: Cap'n Proto's setters want a zero behind the bytes. Empty ones are left out.
void fill(capnp::Text::Builder to, std::string_view from) {
  std::memcpy(to.begin(), from.data(), from.size());
}

#define DLM_SET_TEXT(builder, field, value) \
  if (!(value).empty()) fill((builder).init##field(static_cast<unsigned>((value).size())), value)
#define DLM_SET_DATA(builder, field, value) \
  if (!(value).empty()) (builder).set##field(as_bytes(value))
// A field that is left out is cheaper to find missing than to read as empty.
#define DLM_GET(reader, field) ((reader).has##field() ? as_text((reader).get##field()) : std::string_view())

void write_texts(const std::vector<std::string>& from, capnp::List<capnp::Text>::Builder to) {
  unsigned i = 0;
  for (const auto& text : from) fill(to.init(i++, static_cast<unsigned>(text.size())), text);
}

std::vector<std::string> read_texts(capnp::List<capnp::Text>::Reader from) {
  std::vector<std::string> to;
  for (auto text : from) to.push_back(as_string(text));
  return to;
}

void write(const HoldReport& from, Hold::Builder to) {
  DLM_SET_TEXT(to, ClientId, from.client_id);
  DLM_SET_DATA(to, OwnerTag, from.owner_tag);
  to.setMode(number(from.mode));
  to.setLease(number(from.lease));
  to.setToken(from.token.value);
  to.setCount(from.count);
  to.setSinceUnixMs(from.since_unix_ms);
  to.setLeftMs(from.left_ms);
}

HoldReport read(Hold::Reader from) {
  HoldReport to;
  to.client_id = as_string(from.getClientId());
  to.owner_tag = as_string(from.getOwnerTag());
  to.mode = static_cast<LockMode>(from.getMode());
  to.lease = static_cast<LeaseKind>(from.getLease());
  to.token = FencingToken(from.getToken());
  to.count = from.getCount();
  to.since_unix_ms = from.getSinceUnixMs();
  to.left_ms = from.getLeftMs();
  return to;
}

void write(const WaitReport& from, Wait::Builder to) {
  DLM_SET_TEXT(to, ClientId, from.client_id);
  DLM_SET_DATA(to, OwnerTag, from.owner_tag);
  to.setMode(number(from.mode));
  to.setSinceUnixMs(from.since_unix_ms);
  to.setLeftMs(from.left_ms);
}

WaitReport read(Wait::Reader from) {
  WaitReport to;
  to.client_id = as_string(from.getClientId());
  to.owner_tag = as_string(from.getOwnerTag());
  to.mode = static_cast<LockMode>(from.getMode());
  to.since_unix_ms = from.getSinceUnixMs();
  to.left_ms = from.getLeftMs();
  return to;
}

}  // namespace

kj::ArrayPtr<const kj::byte> as_bytes(std::string_view text) {
  return kj::arrayPtr(reinterpret_cast<const kj::byte*>(text.data()), text.size());
}

std::string_view as_text(capnp::Data::Reader data) {
  return std::string_view(reinterpret_cast<const char*>(data.begin()), data.size());
}

std::string_view as_text(capnp::Text::Reader text) {
  return std::string_view(text.begin(), text.size());
}

void write(const dlm::Operation& from, Operation::Builder to) {
  to.setKind(number(from.kind));
  to.setMode(number(from.mode));
  to.setLease(number(from.lease));
  to.setSession(from.session.value);
  to.setSequence(from.sequence.value);
  to.setAckedBelow(from.acked_below.value);
  to.setTarget(from.target.value);
  to.setToken(from.token.value);
  to.setWaitMs(from.wait_ms);
  to.setLeaseMs(from.lease_ms);
  to.setDeadlineMs(from.deadline_ms);
  DLM_SET_DATA(to, Resource, from.resource);
  DLM_SET_DATA(to, OwnerTag, from.owner_tag);
  DLM_SET_TEXT(to, ClientId, from.client_id);
}

dlm::Operation read(Operation::Reader from) {
  dlm::Operation to;
  to.kind = static_cast<OperationKind>(from.getKind());
  to.mode = static_cast<LockMode>(from.getMode());
  to.lease = static_cast<LeaseKind>(from.getLease());
  to.session = SessionId(from.getSession());
  to.sequence = Sequence(from.getSequence());
  to.acked_below = Sequence(from.getAckedBelow());
  to.target = Sequence(from.getTarget());
  to.token = FencingToken(from.getToken());
  to.wait_ms = from.getWaitMs();
  to.lease_ms = from.getLeaseMs();
  to.deadline_ms = from.getDeadlineMs();
  to.resource = as_text(from.getResource());
  to.owner_tag = as_text(from.getOwnerTag());
  to.client_id = as_text(from.getClientId());
  return to;
}

void write(const dlm::Answer& from, Answer::Builder to) {
  to.setSession(from.session.value);
  to.setSequence(from.sequence.value);
  to.setStatus(number(from.status));
  to.setCause(number(from.cause));
  to.setGroup(from.group.value);
  to.setToken(from.token.value);
  to.setCount(from.count);
  to.setTtlMs(from.ttl_ms);
  to.setRetryAfterMs(from.retry_after_ms);
  to.setPosition(from.position);
  to.setHolderSinceUnixMs(from.holder.since_unix_ms);
  DLM_SET_TEXT(to, HolderClientId, from.holder.client_id);
  DLM_SET_DATA(to, HolderOwnerTag, from.holder.owner_tag);
  DLM_SET_TEXT(to, Message, from.message);
  if (from.moved_to.empty()) return;
  auto moved = to.initMovedTo(static_cast<unsigned>(from.moved_to.size()));
  for (unsigned i = 0; i < moved.size(); ++i) moved.set(i, from.moved_to[i].value);
}

dlm::Answer read(Answer::Reader from) {
  dlm::Answer to;
  to.session = SessionId(from.getSession());
  to.sequence = Sequence(from.getSequence());
  to.status = static_cast<Status>(from.getStatus());
  to.cause = static_cast<EndCause>(from.getCause());
  to.group = GroupId(from.getGroup());
  to.token = FencingToken(from.getToken());
  to.count = from.getCount();
  to.ttl_ms = from.getTtlMs();
  to.retry_after_ms = from.getRetryAfterMs();
  to.position = from.getPosition();
  to.holder.since_unix_ms = from.getHolderSinceUnixMs();
  to.holder.client_id = DLM_GET(from, HolderClientId);
  to.holder.owner_tag = DLM_GET(from, HolderOwnerTag);
  to.message = DLM_GET(from, Message);
  if (from.hasMovedTo()) {
    for (std::uint32_t group : from.getMovedTo()) to.moved_to.emplace_back(group);
  }
  return to;
}

std::uint64_t words_of(const dlm::Operation& op) {
  return capnp::sizeInWords<Operation>() + 3 +
         (op.resource.size() + op.owner_tag.size() + op.client_id.size()) / sizeof(capnp::word);
}

std::uint64_t words_of(const dlm::Answer& answer) {
  const auto& holder = answer.holder;
  return capnp::sizeInWords<Answer>() + 3 +
         (holder.client_id.size() + holder.owner_tag.size() + answer.message.size()) / sizeof(capnp::word) +
         (answer.moved_to.size() + 1) / 2;
}

capnp::MessageSize size_hint(std::uint64_t words) {
  constexpr std::uint64_t kFields = 16;
  return {words + kFields, 0};
}

void write(const LockReport& from, Lock::Builder to) {
  DLM_SET_DATA(to, Resource, from.resource);
  to.setGroup(from.group.value);
  to.setWaiterCount(from.waiter_count);
  unsigned i = 0;
  auto holders = to.initHolders(static_cast<unsigned>(from.holders.size()));
  for (const auto& hold : from.holders) write(hold, holders[i++]);
  i = 0;
  auto waiters = to.initWaiters(static_cast<unsigned>(from.waiters.size()));
  for (const auto& wait : from.waiters) write(wait, waiters[i++]);
}

LockReport read(Lock::Reader from) {
  LockReport to;
  to.resource = as_string(from.getResource());
  to.group = GroupId(from.getGroup());
  to.waiter_count = from.getWaiterCount();
  for (auto hold : from.getHolders()) to.holders.push_back(read(hold));
  for (auto wait : from.getWaiters()) to.waiters.push_back(read(wait));
  return to;
}

void write(const dlm::LockPage& from, LockPage::Builder to) {
  to.setNextCursor(from.next_cursor);
  unsigned i = 0;
  auto locks = to.initLocks(static_cast<unsigned>(from.locks.size()));
  for (const auto& lock : from.locks) write(lock, locks[i++]);
}

dlm::LockPage read(LockPage::Reader from) {
  dlm::LockPage to;
  to.next_cursor = from.getNextCursor();
  for (auto lock : from.getLocks()) to.locks.push_back(read(lock));
  return to;
}

void write(const GroupReport& from, GroupStatus::Builder to) {
  to.setGroup(from.group.value);
  to.setEpoch(from.epoch.value);
  DLM_SET_TEXT(to, Primary, from.primary);
  write_texts(from.in_sync, to.initInSync(static_cast<unsigned>(from.in_sync.size())));
  write_texts(from.members, to.initMembers(static_cast<unsigned>(from.members.size())));
  to.setEra(from.era);
  to.setLastIndex(from.last_index.value);
  to.setCommittedIndex(from.committed_index.value);
  to.setLocksHeld(from.locks_held);
  to.setWaiters(from.waiters);
  to.setSessions(from.sessions);
  write_texts(from.durable, to.initDurable(static_cast<unsigned>(from.durable.size())));
  to.setHoldsPerClientMax(from.holds_per_client_max);
  to.setWaitsPerClientMax(from.waits_per_client_max);
  to.setSessionsMax(from.sessions_max);
  to.setOperationsPending(from.operations_pending);
  to.setOperationsRefused(from.operations_refused);
  to.setRingVersion(from.ring_version);
  to.setArcs(from.arcs);
  to.setShareOwned(from.share_owned);
  auto move = to.initMove();
  move.setArcsLeft(from.move.arcs_left);
  move.setArcsUnderWay(from.move.arcs_under_way);
  move.setShareLeft(from.move.share_left);
  move.setArcsMoved(from.move.arcs_moved);
  move.setLocksMoved(from.move.locks_moved);
  DLM_SET_TEXT(move, WaitsFor, from.move.waits_for);
  DLM_SET_TEXT(to, Problem, from.problem);
}

GroupReport read(GroupStatus::Reader from) {
  GroupReport to;
  to.group = GroupId(from.getGroup());
  to.epoch = Epoch(from.getEpoch());
  to.primary = as_string(from.getPrimary());
  to.in_sync = read_texts(from.getInSync());
  to.members = read_texts(from.getMembers());
  to.era = from.getEra();
  to.last_index = LogIndex(from.getLastIndex());
  to.committed_index = LogIndex(from.getCommittedIndex());
  to.locks_held = from.getLocksHeld();
  to.waiters = from.getWaiters();
  to.sessions = from.getSessions();
  to.durable = read_texts(from.getDurable());
  to.holds_per_client_max = from.getHoldsPerClientMax();
  to.waits_per_client_max = from.getWaitsPerClientMax();
  to.sessions_max = from.getSessionsMax();
  to.operations_pending = from.getOperationsPending();
  to.operations_refused = from.getOperationsRefused();
  to.ring_version = from.getRingVersion();
  to.arcs = from.getArcs();
  to.share_owned = from.getShareOwned();
  auto move = from.getMove();
  to.move.arcs_left = move.getArcsLeft();
  to.move.arcs_under_way = move.getArcsUnderWay();
  to.move.share_left = move.getShareLeft();
  to.move.arcs_moved = move.getArcsMoved();
  to.move.locks_moved = move.getLocksMoved();
  to.move.waits_for = as_string(move.getWaitsFor());
  to.problem = as_string(from.getProblem());
  return to;
}

void write(const ClusterReport& from, ClusterStatus::Builder to) {
  DLM_SET_TEXT(to, Cluster, from.cluster);
  to.setRingVersion(from.ring_version);
  unsigned i = 0;
  auto routers = to.initRouters(static_cast<unsigned>(from.routers.size()));
  for (const auto& router : from.routers) {
    auto entry = routers[i++];
    DLM_SET_TEXT(entry, Id, router.id);
    DLM_SET_TEXT(entry, Address, router.address);
  }
  i = 0;
  auto ring = to.initRing(static_cast<unsigned>(from.ring.size()));
  for (const auto& share : from.ring) {
    auto entry = ring[i++];
    entry.setGroup(share.group.value);
    entry.setWeight(share.weight);
    entry.setShare(share.share);
  }
  i = 0;
  auto groups = to.initGroups(static_cast<unsigned>(from.groups.size()));
  for (const auto& group : from.groups) write(group, groups[i++]);
}

ClusterReport read(ClusterStatus::Reader from) {
  ClusterReport to;
  to.cluster = as_string(from.getCluster());
  to.ring_version = from.getRingVersion();
  for (auto router : from.getRouters()) {
    to.routers.push_back({as_string(router.getId()), as_string(router.getAddress())});
  }
  for (auto share : from.getRing()) {
    to.ring.push_back({GroupId(share.getGroup()), share.getWeight(), share.getShare()});
  }
  for (auto group : from.getGroups()) to.groups.push_back(read(group));
  return to;
}

void write(const RingReport& from, RingStatus::Builder to) {
  to.setVersion(from.version);
  to.setChanging(from.changing);
  to.setPaused(from.paused);
  to.setLocksPerSMax(from.locks_per_s_max);
  unsigned i = 0;
  auto groups = to.initGroups(static_cast<unsigned>(from.groups.size()));
  for (const auto& group : from.groups) {
    auto entry = groups[i++];
    entry.setWeight(group.weight);
    entry.setWeightBefore(group.weight_before);
    entry.setShare(group.share);
    entry.setShareBefore(group.share_before);
    write(group.state, entry.initState());
  }
  i = 0;
  auto flows = to.initFlows(static_cast<unsigned>(from.flows.size()));
  for (const auto& flow : from.flows) {
    auto entry = flows[i++];
    entry.setFrom(flow.from.value);
    entry.setTo(flow.to.value);
    entry.setArcs(flow.arcs);
    entry.setShare(flow.share);
    entry.setLocks(flow.locks);
    entry.setWaiters(flow.waiters);
  }
}

RingReport read(RingStatus::Reader from) {
  RingReport to;
  to.version = from.getVersion();
  to.changing = from.getChanging();
  to.paused = from.getPaused();
  to.locks_per_s_max = from.getLocksPerSMax();
  for (auto group : from.getGroups()) {
    to.groups.push_back({group.getWeight(), group.getWeightBefore(), group.getShare(), group.getShareBefore(),
                         read(group.getState())});
  }
  for (auto flow : from.getFlows()) {
    to.flows.push_back({GroupId(flow.getFrom()), GroupId(flow.getTo()), flow.getArcs(), flow.getShare(),
                        flow.getLocks(), flow.getWaiters()});
  }
  return to;
}

void write(const PlaceReport& from, Place::Builder to) {
  DLM_SET_DATA(to, Resource, from.resource);
  to.setHash(from.hash);
  to.setArcBegin(from.arc_begin);
  to.setArcEnd(from.arc_end);
  to.setGroup(from.group.value);
  to.setMovingTo(from.moving_to.value);
  DLM_SET_TEXT(to, Primary, from.primary);
  to.setRingVersion(from.ring_version);
}

PlaceReport read(Place::Reader from) {
  PlaceReport to;
  to.resource = as_string(from.getResource());
  to.hash = from.getHash();
  to.arc_begin = from.getArcBegin();
  to.arc_end = from.getArcEnd();
  to.group = GroupId(from.getGroup());
  to.moving_to = GroupId(from.getMovingTo());
  to.primary = as_string(from.getPrimary());
  to.ring_version = from.getRingVersion();
  return to;
}

void write(const RecoveryReport& from, Recovery::Builder to) {
  to.setGroup(from.group.value);
  to.setVersion(from.version);
  to.setEpoch(from.epoch.value);
  to.setEra(from.era);
  write_texts(from.lost, to.initLost(static_cast<unsigned>(from.lost.size())));
  write_texts(from.in_sync_alive, to.initInSyncAlive(static_cast<unsigned>(from.in_sync_alive.size())));
  write_texts(from.members, to.initMembers(static_cast<unsigned>(from.members.size())));
  to.setLeaseMsMax(from.lease_ms_max);
  DLM_SET_TEXT(to, Successor, from.successor);
  to.setFirstToken(from.first_token.value);
  DLM_SET_TEXT(to, Refusal, from.refusal);
  to.setBegun(from.begun);
}

RecoveryReport read(Recovery::Reader from) {
  RecoveryReport to;
  to.group = GroupId(from.getGroup());
  to.version = from.getVersion();
  to.epoch = Epoch(from.getEpoch());
  to.era = from.getEra();
  to.lost = read_texts(from.getLost());
  to.in_sync_alive = read_texts(from.getInSyncAlive());
  to.members = read_texts(from.getMembers());
  to.lease_ms_max = from.getLeaseMsMax();
  to.successor = as_string(from.getSuccessor());
  to.first_token = FencingToken(from.getFirstToken());
  to.refusal = as_string(from.getRefusal());
  to.begun = from.getBegun();
  return to;
}

void write(const dlm::RingChange& from, RingChange::Builder to) {
  to.setKind(number(from.kind));
  to.setGroup(from.group.value);
  to.setWeight(from.weight);
  to.setLocksPerSMax(from.locks_per_s_max);
  to.setExpectedVersion(from.expected_version);
  to.setDryRun(from.dry_run);
}

dlm::RingChange read(RingChange::Reader from) {
  dlm::RingChange to;
  to.kind = static_cast<dlm::RingChange::Kind>(from.getKind());
  to.group = GroupId(from.getGroup());
  to.weight = from.getWeight();
  to.locks_per_s_max = from.getLocksPerSMax();
  to.expected_version = from.getExpectedVersion();
  to.dry_run = from.getDryRun();
  return to;
}

}  // namespace dlm::wire
