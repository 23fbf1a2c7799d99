// What a router says to a client, from the payloads of frames on: whatever it sends, the client goes on, each
// of its operations ends once, and a hold is told of before it is told lost. What a report says can be passed
// on.
#include "client/router_frames.h"

#include <kj/exception.h>

#include <set>

#include "test/fuzz/fuzz.h"
#include "test/fuzz/messages.h"

namespace dlm::fuzz {
namespace {

using client::HoldId;
using client::Output;
using client::Request;
using client::SessionCore;

// What a part of an input is; its first byte.
enum class Kind : unsigned {
  frame,
  reconnect,
  time,  // passes: 100 ms for each unit of the next byte
  end_
};

constexpr std::uint64_t kBase = 0x12340000;

class Client {
 public:
  Client() : core_({}, kBase) {
    connect();
    for (LeaseKind lease : {LeaseKind::session, LeaseKind::detached, LeaseKind::capped}) {
      for (std::uint32_t wait_ms : {0U, 5'000U, kWaitForeverMs}) {
        Request request;
        request.lease = lease;
        request.lease_ms = lease == LeaseKind::session ? 0 : 30'000;
        request.wait_ms = wait_ms;
        request.resource = "orders/" + std::to_string(open_.size());
        request.handle = true;
        submit(std::move(request));
      }
    }
    core_.query(1'000, now_ms_, out_);
    tell();
  }

  void take(std::string_view part) {
    switch (static_cast<Kind>(take_choice(part, static_cast<unsigned>(Kind::end_)))) {
      case Kind::reconnect:
        core_.disconnected("the router died", now_ms_, out_);
        connect();
        break;
      case Kind::time:
        now_ms_ += 100 * take_choice(part, 64);
        core_.advance(now_ms_, out_);
        break;
      default:
        take_frame(part);
    }
    tell();
    give_back_one();
  }

  void finish() {
    core_.close(now_ms_, out_);
    tell();
    require(open_.empty(), "every operation has ended when the client is closed");
  }

 private:
  void connect() {
    core_.hello(kBase + 0x10000, now_ms_, out_);
    core_.connected(now_ms_, out_);
  }

  void submit(const Request& request) {
    const Sequence sequence = core_.submit(request, now_ms_, out_);
    require(open_.insert(sequence).second, "an operation has a number of its own");
  }

  void take_frame(std::string_view bytes) {
    const kj::Array<capnp::word> words = words_of(bytes);
    core_.heard(now_ms_);
    try {
      capnp::FlatArrayMessageReader reader(words, client::limits_of(words));
      auto frame = reader.getRoot<wire::RouterFrame>();
      if (frame.isBatch()) {
        for (auto event : frame.getBatch().getSessions())
          if (auto notice = client::read(event)) core_.session_notice(*notice, now_ms_, out_);
        for (auto answer : frame.getBatch().getAnswers()) core_.answer(wire::read(answer), now_ms_, out_);
      } else if (frame.isReport()) {
        pass_on(client::read(frame.getReport().getReport()));
      }
    } catch (const kj::Exception&) {
      // A damaged message; the connection would be dropped.
    }
  }

  static void pass_on(const client::ReportContent& content) {
    if (std::holds_alternative<std::monostate>(content)) return;
    const std::string written = bytes_of(content);
    const kj::Array<capnp::word> words = words_of(written);
    capnp::FlatArrayMessageReader reader(words);
    require(bytes_of(client::read(reader.getRoot<wire::Report>())) == written,
            "a report reads as it was written");
  }

  static std::string bytes_of(const client::ReportContent& content) {
    return message_of<wire::Report>([&](wire::Report::Builder to) {
      struct Write {
        wire::Report::Builder& to;
        void operator()(std::monostate) const { to.setNone(); }
        void operator()(const LockReport& lock) const { wire::write(lock, to.initLock()); }
        void operator()(const LockPage& page) const { wire::write(page, to.initPage()); }
        void operator()(const GroupReport& group) const { wire::write(group, to.initGroup()); }
        void operator()(const ClusterReport& cluster) const { wire::write(cluster, to.initCluster()); }
        void operator()(const RingReport& ring) const { wire::write(ring, to.initRing()); }
        void operator()(const PlaceReport& place) const { wire::write(place, to.initPlace()); }
        void operator()(const RecoveryReport& recovery) const { wire::write(recovery, to.initRecovery()); }
      };
      std::visit(Write{to}, content);
    });
  }

  void tell() {
    for (const client::Completion& completion : out_.completions) {
      require(open_.erase(completion.sequence) == 1, "an operation ends once");
      require(completion.answer.status != Status::queued, "queued is not an end");
      if (completion.hold) require(holds_.insert(completion.hold).second, "a hold is given once");
    }
    for (const client::HoldEvent& event : out_.holds) {
      require(holds_.contains(event.hold), "what is told of a hold is told of one that is held");
      if (event.kind == client::HoldEvent::Kind::lost) holds_.erase(event.hold);
    }
    for (Sequence sequence : out_.send) (void)core_.operation(sequence, now_ms_);
    out_.clear();
  }

  void give_back_one() {
    if (holds_.size() < 2) return;
    Request request;
    request.kind = OperationKind::release;
    const HoldId hold = request.hold = *holds_.begin();
    submit(std::move(request));
    tell();  // perhaps that it was lost just before
    holds_.erase(hold);
  }

  SessionCore core_;
  Output out_;
  std::uint64_t now_ms_ = 100'000;
  std::set<Sequence> open_;  // operations without an end
  std::set<HoldId> holds_;
};

template <class Fill>
std::string frame(Fill fill) {
  return static_cast<char>(Kind::frame) + message_of<wire::RouterFrame>(fill);
}

// Answers to the first operations, in a session that was opened for the first of them.
std::string batch(Status status) {
  return frame([&](wire::RouterFrame::Builder to) {
    auto content = to.initBatch();
    auto event = content.initSessions(1)[0];
    event.setKind(wire::SessionEvent::Kind::OPENED);
    event.setGroup(1);
    event.setTtlMs(kSessionTtlMsDefault);
    event.setCause(1);
    auto answers = content.initAnswers(9);
    for (unsigned i = 0; i < answers.size(); ++i) {
      Answer answer;
      answer.session = SessionId(kBase);
      answer.sequence = Sequence(i + 1);
      answer.status = status;
      answer.group = GroupId(1);
      answer.token = FencingToken((std::uint64_t{1} << 40) + i);
      answer.count = 1;
      answer.ttl_ms = i < 3 ? 0 : 30'000;
      wire::write(answer, answers[i]);
    }
  });
}

std::string session_event(wire::SessionEvent::Kind kind) {
  return frame([&](wire::RouterFrame::Builder to) {
    auto event = to.initBatch().initSessions(1)[0];
    event.setKind(kind);
    event.setGroup(1);
    event.setTtlMs(kSessionTtlMsDefault);
    event.setCause(1);
    event.initMovedTo(1).set(0, 2);
  });
}

template <class Report>
std::string report(const Report& content, void (*write)(const Report&, wire::Report::Builder)) {
  return frame([&](wire::RouterFrame::Builder to) {
    auto said = to.initReport();
    said.setId(1);
    write(content, said.initReport());
  });
}

LockReport lock_report() {
  LockReport lock;
  lock.resource = "orders/42";
  lock.group = GroupId(1);
  HoldReport& hold = lock.holders.emplace_back();
  hold.client_id = "a";
  hold.owner_tag = "tag";
  hold.count = 2;
  WaitReport& wait = lock.waiters.emplace_back();
  wait.client_id = "b";
  wait.left_ms = kWaitForeverMs;
  lock.waiter_count = 1;
  return lock;
}

GroupReport group_report() {
  GroupReport group;
  group.group = GroupId(1);
  group.primary = "s1#42";
  group.in_sync = group.members = {"s1#42", "s2#7"};
  group.move.waits_for = "g2";
  group.share_owned = 0.5;
  return group;
}

}  // namespace

void run(std::string_view input) {
  Client client;
  for (std::string_view part : parts_of(input)) client.take(part);
  client.finish();
}

Seeds seeds() {
  ClusterReport cluster;
  cluster.cluster = "blue";
  cluster.routers = {{"r1", "127.0.0.1:7700"}};
  cluster.ring = {{GroupId(1), 1, 1}};
  cluster.groups = {group_report()};
  RingReport ring;
  ring.groups.emplace_back().state = group_report();
  ring.flows.emplace_back().to = GroupId(2);
  LockPage page;
  page.locks = {lock_report()};
  PlaceReport place;
  place.resource = "orders/42";
  place.primary = "s1#42";
  RecoveryReport recovery;
  recovery.lost = {"s1#42"};
  recovery.successor = "s2#7";
  using Builder = wire::Report::Builder;
  const std::string reports = join({
      report<LockReport>(lock_report(), [](auto& from, Builder to) { wire::write(from, to.initLock()); }),
      report<LockPage>(page, [](auto& from, Builder to) { wire::write(from, to.initPage()); }),
      report<GroupReport>(group_report(), [](auto& from, Builder to) { wire::write(from, to.initGroup()); }),
      report<ClusterReport>(cluster, [](auto& from, Builder to) { wire::write(from, to.initCluster()); }),
      report<RingReport>(ring, [](auto& from, Builder to) { wire::write(from, to.initRing()); }),
      report<PlaceReport>(place, [](auto& from, Builder to) { wire::write(from, to.initPlace()); }),
      report<RecoveryReport>(recovery, [](auto& from, Builder to) { wire::write(from, to.initRecovery()); }),
  });
  const std::string reconnect(1, static_cast<char>(Kind::reconnect));
  const std::string second{static_cast<char>(Kind::time), 10};
  using Event = wire::SessionEvent::Kind;
  return {
      {"granted", join({batch(Status::ok), second, second, session_event(Event::RENEWED), second})},
      {"queued", join({batch(Status::queued), reconnect, batch(Status::queued), second, batch(Status::ok)})},
      {"refused", join({batch(Status::timed_out)})},
      {"moved", join({batch(Status::moved), batch(Status::unavailable), second, batch(Status::not_held)})},
      {"ended", join({batch(Status::ok), session_event(Event::ENDED), second, reconnect})},
      {"reports", reports},
  };
}

}  // namespace dlm::fuzz
