#include "server/core/lock_table_codec.h"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "server/core/lock_table_arcs.h"

namespace dlm::server {

void Encoder::number(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
  out_.push_back(static_cast<char>(value));
}

void Encoder::bytes(std::string_view value) {
  number(value.size());
  out_.append(value);
}

std::uint64_t Decoder::number() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (rest_.empty()) break;
    auto byte = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    if (shift == 63 && byte > 1) break;
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
  fail();
  return 0;
}

std::uint64_t Decoder::number_up_to(std::uint64_t max) {
  std::uint64_t value = number();
  if (value <= max) return value;
  fail();
  return 0;
}

std::string_view Decoder::bytes(std::size_t size_max) {
  std::uint64_t size = number();
  if (size > size_max || size > rest_.size()) {
    fail();
    return {};
  }
  std::string_view value = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return value;
}

std::uint64_t hash_of_bytes(std::string_view bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

namespace {

std::uint64_t name_of(const LockState& state, std::uint32_t owner, OwnerForm form) {
  if (form == OwnerForm::index) return owner;
  return hash_of_bytes(state.tag_of(owner), hash_of_bytes(state.client_of(owner), 0));
}

void encode_answer(const LockState& state, const StoredAnswer& answer, OwnerForm form, Encoder& out) {
  out.number(answer.sequence.value);
  out.number(static_cast<std::uint64_t>(answer.status));
  out.number(static_cast<std::uint64_t>(answer.cause));
  out.number(static_cast<std::uint64_t>(answer.reason));
  out.number(answer.ttl_ms);
  out.number(answer.place);
  out.number(answer.has_holder ? 1 : 0);
  out.number(answer.number);
  out.number(answer.has_holder ? name_of(state, answer.count, form) : answer.count);
}

}  // namespace

void encode_owner(const LockState& state, std::uint32_t owner, std::string& out) {
  Encoder to(out);
  to.number(owner);
  to.bytes(state.client_of(owner));
  to.bytes(state.tag_of(owner));
}

void encode_session(const LockState& state, std::uint32_t index, OwnerForm form, std::string& out) {
  const Session& session = state.session(index);
  Encoder to(out);
  to.number(session.id.value);
  to.number(session.acked_below.value);
  to.number(session.since_unix_ms);
  to.number(session.ttl_ms);
  to.number(name_of(state, session.client, form));
  to.number(session.adopted ? 1 : 0);
  const bool is_live_one = state.live_session_of(session.client) == index;
  const bool goes_by_base = state.find_generation(session.id) == index;
  to.number((is_live_one ? kIsLiveOne : 0U) | (goes_by_base ? 0U : kBaseIsOthers));
  to.number(static_cast<std::uint64_t>(session.ending));
  to.number(session.swept);
  to.number(session.moved_to.size());
  for (GroupId group : session.moved_to) to.number(group.value);
  to.number(session.answers.size());
  for (const StoredAnswer& answer : session.answers) encode_answer(state, answer, form, to);
  to.number(session.ended_waits.size());
  for (std::size_t i = 0; i < session.ended_waits.size(); ++i)
    encode_answer(state, session.ended_waits[i], form, to);
}

void encode_lock(const LockState& state, std::uint32_t index, OwnerForm form, const SessionIds& renamed,
                 std::string& out) {
  const Lock& lock = state.lock(index);
  auto session_id = [&](std::uint32_t session) {
    if (session == kNil) return SessionId().value;
    auto id = renamed.find(session);
    return id == renamed.end() ? state.session(session).id.value : id->second.value;
  };
  Encoder to(out);
  to.bytes(lock.name.view());
  to.number(static_cast<std::uint64_t>(lock.mode));
  for (std::uint32_t h = lock.first_hold; h != kNil; h = state.hold(h).next) {
    const Hold& hold = state.hold(h);
    to.number(hold.token.value);
    to.number(hold.sequence.value);
    to.number(hold.since_unix_ms);
    to.number(session_id(hold.session));
    to.number(name_of(state, hold.owner, form));
    to.number(hold.count);
    to.number(hold.lease_ms);
    to.number(static_cast<std::uint64_t>(hold.lease));
    to.number(hold.waited ? 1 : 0);
    to.number(state.replaced_token(h).value);
  }
  to.number(0);  // no token: the end of the holds
  to.number(lock.wait_count);
  for (std::uint32_t w = lock.first_wait; w != kNil; w = state.wait(w).next) {
    const Wait& wait = state.wait(w);
    to.number(wait.sequence.value);
    to.number(wait.since_unix_ms);
    to.number(session_id(wait.session));
    to.number(name_of(state, wait.owner, form));
    to.number(wait.wait_ms);
    to.number(wait.lease_ms);
    to.number(wait.ticket);
    to.number(static_cast<std::uint64_t>(wait.mode));
    to.number(static_cast<std::uint64_t>(wait.lease));
  }
}

void encode_rest(const LockState& state, std::string& out) {
  Encoder to(out);
  to.bytes(encode_limits(state.limits));
  to.number(state.last_token.value);
  to.bytes(encode_arcs(state.arcs));
  to.number(state.expired().size());
  for (const ExpiredToken& expired : state.expired()) {
    to.number(expired.token.value);
    to.number(expired.place);
  }
  to.number(state.last_move);
  to.number(state.outgoing.size());
  for (const auto& [number, outgoing] : state.outgoing) {
    to.number(number);
    to.number(outgoing.to.value);
    to.bytes(*outgoing.state);
  }
  to.number(state.missing.size());
  for (const auto& [group, arcs] : state.missing) {
    to.number(group.value);
    to.bytes(encode_arcs(arcs));
  }
  to.number(state.received.size());
  for (const auto& [from, received] : state.received) {
    to.number(from.value);
    to.number(received.below);
    to.number(received.numbers.size());
    for (std::uint64_t number : received.numbers) to.number(number);
  }
}

std::uint64_t fingerprint(const LockState& state) {
  std::string scratch;
  encode_rest(state, scratch);
  Encoder numbers(scratch);
  for (SessionId id : state.tombstone_ids()) {
    numbers.number(id.value);
    numbers.number(static_cast<std::uint64_t>(state.tombstone(id)));
  }
  for (std::uint32_t index : state.locks().free_list()) numbers.number(index);
  std::uint64_t hash = hash_of_bytes(scratch, 0);
  for (SessionId id : state.session_ids()) {
    scratch.clear();
    encode_session(state, state.find_session(id), OwnerForm::hash, scratch);
    hash = hash_of_bytes(scratch, hash);
  }
  for (std::uint32_t lock = 0; lock < state.locks().size(); ++lock) {
    if (!state.lock_live(lock)) continue;
    scratch.clear();
    Encoder(scratch).number(lock);
    encode_lock(state, lock, OwnerForm::hash, {}, scratch);
    hash = hash_of_bytes(scratch, hash);
  }
  return hash;
}

// --- limits --------------------------------------------------------------------------------------

namespace {

constexpr std::string_view kLimitsVersion = "\x01";

template <class Limits, class F>
void for_each_limit(Limits& limits, F&& visit) {
  visit(limits.lease_ms_min);
  visit(limits.lease_ms_max);
  visit(limits.tombstone_ms);
  visit(limits.answers_per_session_max);
  visit(limits.waits_per_client_max);
  visit(limits.holds_per_client_max);
  visit(limits.sessions_max);
  visit(limits.holds_per_sweep);
  visit(limits.locks_per_sweep);
}

}  // namespace

std::string encode_limits(const LockTableLimits& limits) {
  std::string out(kLimitsVersion);
  for_each_limit(limits, [to = Encoder(out)](std::uint32_t limit) mutable { to.number(limit); });
  return out;
}

bool decode_limits(std::string_view bytes, LockTableLimits& limits) {
  if (!bytes.starts_with(kLimitsVersion)) return false;
  Decoder from(bytes.substr(kLimitsVersion.size()));
  LockTableLimits read;
  bool any_is_0 = false;
  for_each_limit(read, [&](std::uint32_t& limit) {
    limit = from.number32();
    any_is_0 = any_is_0 || limit == 0;
  });
  if (!from.ok() || !from.at_end() || any_is_0 || read.lease_ms_min > read.lease_ms_max) return false;
  limits = read;
  return true;
}

// --- arcs ----------------------------------------------------------------------------------------

std::string encode_arcs(std::span<const OwnedArc> arcs) {
  // The version makes "no arcs" differ from "arcs unchanged", which is the empty string.
  std::string out(1, '\x01');
  Encoder to(out);
  for (const OwnedArc& arc : arcs) {
    to.number(arc.begin);
    to.number(arc.end);
  }
  return out;
}

bool decode_arcs(std::string_view bytes, std::vector<OwnedArc>& arcs) {
  arcs.clear();
  if (bytes.empty() || bytes.front() != '\x01') return false;
  Decoder from(bytes.substr(1));
  while (from.ok() && !from.at_end()) {
    OwnedArc arc;
    arc.begin = from.number();
    arc.end = from.number();
    if (arc.begin > arc.end || (!arcs.empty() && arc.begin <= arcs.back().end)) return false;
    arcs.push_back(arc);
  }
  return from.ok();
}

bool contains(const std::vector<OwnedArc>& arcs, const OwnedArc& arc) {
  return std::any_of(arcs.begin(), arcs.end(),
                     [&](const OwnedArc& owned) { return owned.begin <= arc.begin && arc.end <= owned.end; });
}

void remove_arc(std::vector<OwnedArc>& arcs, const OwnedArc& arc) {
  auto whole = std::find_if(arcs.begin(), arcs.end(), [&](const OwnedArc& owned) {
    return owned.begin <= arc.begin && arc.end <= owned.end;
  });
  const OwnedArc owned = *whole;
  whole = arcs.erase(whole);
  if (arc.end < owned.end) whole = arcs.insert(whole, {arc.end + 1, owned.end});
  if (owned.begin < arc.begin) arcs.insert(whole, {owned.begin, arc.begin - 1});
}

void add_arc(std::vector<OwnedArc>& arcs, const OwnedArc& arc) {
  OwnedArc whole = arc;
  std::vector<OwnedArc> merged;
  for (const OwnedArc& owned : arcs) {
    const bool before = owned.end < whole.begin && owned.end + 1 < whole.begin;
    const bool after = owned.begin > whole.end && owned.begin - 1 > whole.end;
    if (before || after) {
      merged.push_back(owned);
    } else {
      whole = {std::min(whole.begin, owned.begin), std::max(whole.end, owned.end)};
    }
  }
  auto at = std::find_if(merged.begin(), merged.end(),
                         [&](const OwnedArc& owned) { return owned.begin > whole.end; });
  merged.insert(at, whole);
  arcs = std::move(merged);
}

}  // namespace dlm::server
