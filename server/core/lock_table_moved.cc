#include "server/core/lock_table_moved.h"

#include <boost/unordered/unordered_flat_set.hpp>
#include <utility>

#include "schema/limits.h"
#include "server/core/lock_table_codec.h"
#include "server/core/lock_table_state.h"

namespace dlm::server {
namespace {

constexpr std::uint64_t kFormat = 1;

void encode(const StoredAnswer& answer, Encoder& to) {
  to.number(answer.sequence.value);
  to.number(static_cast<std::uint64_t>(answer.status));
  to.number(static_cast<std::uint64_t>(answer.cause));
  to.number(static_cast<std::uint64_t>(answer.reason));
  to.number(answer.ttl_ms);
  to.number(answer.place);
  to.number(answer.has_holder ? 1 : 0);
  to.number(answer.number);
  to.number(answer.count);
}

void encode(const MovedSession& session, Encoder& to) {
  to.number(session.id.value);
  to.number(session.client);
  to.number(session.ttl_ms);
  to.number(session.since_unix_ms);
  to.number(session.acked_below.value);
  to.number(session.answers.size());
  for (const StoredAnswer& answer : session.answers) encode(answer, to);
  to.number(session.ended_waits.size());
  for (const StoredAnswer& answer : session.ended_waits) encode(answer, to);
}

void encode(const MovedLock& lock, Encoder& to) {
  to.bytes(lock.name);
  to.number(static_cast<std::uint64_t>(lock.mode));
  to.number(lock.holds.size());
  for (const MovedHold& hold : lock.holds) {
    to.number(hold.token.value);
    to.number(hold.replaced.value);
    to.number(hold.sequence.value);
    to.number(hold.since_unix_ms);
    to.number(hold.owner);
    to.number(hold.session == MovedHold::kNoSession ? 0 : std::uint64_t{hold.session} + 1);
    to.number(hold.count);
    to.number(hold.lease_ms);
    to.number(static_cast<std::uint64_t>(hold.lease));
    to.number(hold.waited ? 1 : 0);
  }
  to.number(lock.waits.size());
  for (const MovedWait& wait : lock.waits) {
    to.number(wait.sequence.value);
    to.number(wait.since_unix_ms);
    to.number(wait.owner);
    to.number(wait.session);
    to.number(wait.wait_ms);
    to.number(wait.lease_ms);
    to.number(static_cast<std::uint64_t>(wait.mode));
    to.number(static_cast<std::uint64_t>(wait.lease));
  }
}

// Reads with every claim checked; memory grows with the bytes that came, never with a number in them.
class Reader {
 public:
  Reader(std::string_view bytes, MovedArc& out) : from_(bytes), out_(out) {}

  bool read() {
    if (from_.number() != kFormat) return false;
    out_.arc.begin = from_.number();
    out_.arc.end = from_.number();
    out_.last_token = FencingToken(from_.number());
    if (!from_.ok() || out_.arc.begin > out_.arc.end) return false;
    return list(&Reader::read_owner) && list(&Reader::read_session) && list(&Reader::read_expired) &&
           list(&Reader::read_lock) && from_.at_end();
  }

 private:
  bool list(bool (Reader::*read_one)()) {
    for (std::uint64_t left = from_.number(); left != 0 && from_.ok(); --left)
      if (!(this->*read_one)()) return false;
    return from_.ok();
  }

  std::uint32_t owner() {
    const std::uint32_t index = from_.number32();
    if (index >= out_.owners.size()) from_.fail();
    return index;
  }

  bool read_owner() {
    MovedOwner owner;
    owner.client_id = from_.bytes(kClientIdBytesMax);
    owner.owner_tag = from_.bytes(kOwnerTagBytesMax);
    out_.owners.push_back(owner);
    return from_.ok() && owners_.emplace(owner.client_id, owner.owner_tag).second;
  }

  bool read_session() {
    MovedSession session;
    session.id = SessionId(from_.number());
    session.client = owner();
    session.ttl_ms = from_.number32();
    session.since_unix_ms = from_.number();
    session.acked_below = Sequence(from_.number());
    if (!from_.ok() || !session.id || !out_.owners[session.client].owner_tag.empty()) return false;
    if (!read_answers(session.answers) || !read_answers(session.ended_waits)) return false;
    out_.sessions.push_back(std::move(session));
    return true;
  }

  bool read_answers(std::vector<StoredAnswer>& to) {
    for (std::uint64_t left = from_.number(); left != 0 && from_.ok(); --left) {
      StoredAnswer answer;
      answer.sequence = Sequence(from_.number());
      answer.status = static_cast<Status>(from_.number_up_to(static_cast<std::uint64_t>(kStatusLast)));
      answer.cause = static_cast<EndCause>(from_.number_up_to(static_cast<std::uint64_t>(EndCause::expired)));
      answer.reason = static_cast<Reason>(from_.number_up_to(static_cast<std::uint64_t>(Reason::last)));
      answer.ttl_ms = from_.number32();
      answer.place = from_.number32();
      answer.has_holder = from_.number_up_to(1) == 1;
      answer.number = from_.number();
      answer.count = answer.has_holder ? owner() : from_.number32();
      if (!answer.sequence) return false;
      to.push_back(answer);
    }
    return from_.ok();
  }

  bool read_expired() {
    ExpiredToken expired;
    expired.token = FencingToken(from_.number());
    expired.place = from_.number32();
    out_.expired.push_back(expired);
    return from_.ok();
  }

  bool read_lock() {
    MovedLock lock;
    lock.name = from_.bytes(kResourceBytesMax);
    lock.mode = static_cast<LockMode>(from_.number_up_to(1));
    const std::uint64_t hash = NameKey(lock.name).hash;
    if (!from_.ok() || hash < out_.arc.begin || hash > out_.arc.end) return false;
    holders_.clear();
    tokens_.clear();
    for (std::uint64_t left = from_.number(); left != 0 && from_.ok(); --left)
      if (!read_hold(lock)) return false;
    if (lock.holds.empty() || (lock.mode == LockMode::exclusive && lock.holds.size() != 1)) return false;
    for (std::uint64_t left = from_.number(); left != 0 && from_.ok(); --left)
      if (!read_wait(lock)) return false;
    out_.locks.push_back(std::move(lock));
    return from_.ok();
  }

  bool read_hold(MovedLock& lock) {
    MovedHold hold;
    hold.token = FencingToken(from_.number());
    hold.replaced = FencingToken(from_.number());
    hold.sequence = Sequence(from_.number());
    hold.since_unix_ms = from_.number();
    hold.owner = owner();
    const std::uint64_t session = from_.number_up_to(out_.sessions.size());
    hold.session = session == 0 ? MovedHold::kNoSession : static_cast<std::uint32_t>(session - 1);
    hold.count = from_.number32();
    hold.lease_ms = from_.number32();
    hold.lease = static_cast<LeaseKind>(from_.number_up_to(2));
    hold.waited = from_.number_up_to(1) == 1;
    if (!from_.ok() || !hold.token || hold.token > out_.last_token || hold.count == 0) return false;
    if ((hold.lease == LeaseKind::session) != (hold.lease_ms == 0)) return false;
    if (hold.session == MovedHold::kNoSession && (hold.lease != LeaseKind::detached || hold.waited))
      return false;
    if (hold.replaced && (lock.mode == LockMode::shared || hold.waited || hold.replaced >= hold.token))
      return false;
    if (!holders_.insert(hold.owner).second || !tokens_.insert(hold.token).second) return false;
    lock.holds.push_back(hold);
    return true;
  }

  bool read_wait(MovedLock& lock) {
    MovedWait wait;
    wait.sequence = Sequence(from_.number());
    wait.since_unix_ms = from_.number();
    wait.owner = owner();
    wait.session = from_.number32();
    wait.wait_ms = from_.number32();
    wait.lease_ms = from_.number32();
    wait.mode = static_cast<LockMode>(from_.number_up_to(1));
    wait.lease = static_cast<LeaseKind>(from_.number_up_to(2));
    if (!from_.ok() || wait.session >= out_.sessions.size() || wait.wait_ms == 0 || !wait.sequence)
      return false;
    if ((wait.lease == LeaseKind::session) != (wait.lease_ms == 0)) return false;
    lock.waits.push_back(wait);
    return true;
  }

  Decoder from_;
  MovedArc& out_;
  boost::unordered_flat_set<std::pair<std::string_view, std::string_view>> owners_;
  boost::unordered_flat_set<std::uint32_t> holders_;  // of the lock that is being read
  boost::unordered_flat_set<FencingToken> tokens_;    // of its holds
};

}  // namespace

std::string encode_moved(const MovedArc& moved) {
  std::string bytes;
  Encoder to(bytes);
  to.number(kFormat);
  to.number(moved.arc.begin);
  to.number(moved.arc.end);
  to.number(moved.last_token.value);
  to.number(moved.owners.size());
  for (const MovedOwner& owner : moved.owners) {
    to.bytes(owner.client_id);
    to.bytes(owner.owner_tag);
  }
  to.number(moved.sessions.size());
  for (const MovedSession& session : moved.sessions) encode(session, to);
  to.number(moved.expired.size());
  for (const ExpiredToken& expired : moved.expired) {
    to.number(expired.token.value);
    to.number(expired.place);
  }
  to.number(moved.locks.size());
  for (const MovedLock& lock : moved.locks) encode(lock, to);
  return bytes;
}

bool decode_moved(std::string_view bytes, MovedArc& out) {
  out = MovedArc();
  return Reader(bytes, out).read();
}

}  // namespace dlm::server
