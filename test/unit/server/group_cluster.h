// Members of one group over a network, a coordinator and a clock that exist only here: every message is
// delivered at once and in order, time passes only when a test says so.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/core/group_core.h"

namespace dlm::server {

class GroupCluster {
 public:
  static constexpr std::uint64_t kUnixMs = 1'700'000'000'000;

  // Members s1, s2, …, all registered, and a ring of g1 alone. The group is g1 unless `options` names
  // another.
  explicit GroupCluster(int members, const GroupOptions& options = {});

  // --- faults and membership ---
  // The process dies: nobody listens at its address. Its registration stays until unregister().
  void kill(const std::string& server);
  // A new life of a server id, with nothing in memory.
  void restart(const std::string& server);
  void unregister(const std::string& server);
  // No message passes between this member and the others any more; it is not told.
  void cut_off(const std::string& server);
  void mend(const std::string& server);
  // What the coordinator says reaches this member no more.
  void cut_from_coordinator(const std::string& server);
  // Its touches are not answered.
  void hold_touches(const std::string& server);
  // Undoes both.
  void reach_coordinator(const std::string& server);

  // --- time ---
  // Everything that can happen without time passing.
  void settle();
  // In steps as the cores ask for them.
  void pass_ms(TimeMs ms);
  TimeMs now_ms() const { return now_ms_; }

  // --- operations ---
  RequestId submit(const std::string& server, const std::vector<Operation>& operations,
                   std::uint64_t channel = 1);
  // Submits, settles, and gives the one answer; status unavailable when there is none.
  Answer ask(const std::string& server, const Operation& operation, std::uint64_t channel = 1);
  bool is_finished(RequestId request) const { return finished_.contains(request); }
  const std::vector<Answer>& answers(RequestId request) const { return finished_.at(request).answers; }
  // Smaller for one that was finished earlier.
  std::size_t finish_order(RequestId request) const { return finish_order_.at(request); }
  RequestId query(const std::string& server, GroupQuery query);
  const GroupOutput::Reported& report(RequestId request) const { return reports_.at(request); }
  bool is_reported(RequestId request) const { return reports_.contains(request); }
  // Later answers on a channel since the last call.
  std::vector<Answer> take_later(std::uint64_t channel = 1);

  // --- other groups: what the test carries between them ---
  void set_ring(const coordinator::RingRecord& next);
  struct Sent {
    std::string by;
    Transfer transfer;
  };
  // Since the last call.
  std::vector<Sent> take_transfers() { return std::exchange(transfers_, {}); }
  // Gives a transfer to a member, settles, and gives the answer; status unavailable when there is none.
  TransferReply move_in(const std::string& server, const Transfer& transfer);
  RequestId begin_move_in(const std::string& server, const Transfer& transfer);  // and settles nothing
  void answer_transfer(const Sent& sent, const TransferReply& reply);

  // --- looking inside ---
  GroupCore& core(const std::string& server) { return *nodes_.at(server).core; }
  bool is_running(const std::string& server) const { return nodes_.at(server).core != nullptr; }
  // This very life of it.
  bool is_running(const MemberName& member) const {
    const Node& node = nodes_.at(member.server);
    return node.core != nullptr && node.name == member;
  }
  // The serving primary that the record names; "" when there is none.
  std::string primary() const;
  const GroupConfig& config() const { return record_.config; }
  const VersionedConfig& record() const { return record_; }
  // Whether all running members of the set have applied the same and are in the same state.
  bool agree() const;
  std::size_t snapshots_begun() const { return snapshots_begun_; }

  // Given to members by the next view; version 0: unknown.
  coordinator::RingRecord ring;

 private:
  struct Node {
    MemberName name;
    std::unique_ptr<GroupCore> core;
    bool cut_off = false;
    bool sees_coordinator = true;
    bool touches = true;  // are answered
    bool registered = true;
  };
  struct Message {
    std::string from;
    std::string to;
    std::variant<Append, Install> content;
  };
  struct Asked {
    std::string from;  // who sent it
    std::string to;
  };

  void start(const std::string& server);
  Instant now() const { return {now_ms_, kUnixMs + now_ms_}; }
  void tell_views();
  void turn(const std::string& server);
  void carry_out(const std::string& server, GroupOutput& output);
  void deliver(Message& message);
  bool connected(const std::string& a, const std::string& b) const;

  GroupOptions options_;
  std::map<std::string, Node> nodes_;
  std::uint64_t incarnations_ = 0;
  VersionedConfig record_;
  TimeMs now_ms_ = 1'000;
  std::uint64_t requests_ = 0;
  bool changed_ = false;  // since the last round of settle()
  std::deque<Message> messages_;
  std::map<RequestId, Asked> asked_;
  std::map<RequestId, GroupOutput::Finished> finished_;
  std::map<RequestId, std::size_t> finish_order_;
  std::map<RequestId, GroupOutput::Reported> reports_;
  std::map<ChannelId, std::vector<Answer>> later_;
  std::vector<Sent> transfers_;
  std::map<RequestId, TransferReply> arrivals_;
  std::size_t snapshots_begun_ = 0;
};

// Operations as routers send them.
Operation open_session(std::uint64_t session, std::string_view client, std::uint32_t ttl_ms = 10'000);
Operation acquire(std::uint64_t session, std::uint64_t sequence, std::string_view resource,
                  std::uint32_t wait_ms = 0);
Operation release(std::uint64_t session, std::uint64_t sequence, std::string_view resource,
                  FencingToken token = {});
Operation renew(std::uint64_t session, std::uint64_t sequence, std::string_view resource, FencingToken token);
Operation heartbeat(std::uint64_t session);

}  // namespace dlm::server
