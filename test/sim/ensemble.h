// The virtual coordinator: what a ZooKeeper ensemble keeps and promises, as one process that never forgets.
// Records change by compare-and-set on their version, registrations live as long as their session, watches
// fire once, and each write is done in the order of arrival, whether or not its answer gets back.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "test/sim/network.h"

namespace dlm::sim {

class Ensemble final : public Process, public Endpoint {
 public:
  Ensemble(World& world, Network& network, const coordinator::RingRecord& ring);

  // --- faults ---
  void go_away();  // answers nobody, and no session ends meanwhile
  void come_back();
  bool away() const { return away_; }
  void expire_session_of(const std::string& process);
  // Of writes, this many percent are done and the connection breaks before the answer; as many break it
  // before anything is done.
  void lose_answers(std::uint32_t percent) { lost_percent_ = percent; }
  void delay_watches(TimeUs upto) { watch_delay_ = upto; }

  // Called for each change of a group's record.
  using Observer = std::function<void(GroupId, const coordinator::VersionedConfig& before,
                                      const coordinator::VersionedConfig&)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

  // What is true now, whoever may know it.
  const coordinator::ClusterView& view() const { return view_; }

  Endpoint* acceptor() override { return away_ ? nullptr : this; }
  void on_message(LinkId link, Message&& message) override;
  void on_closed(LinkId link) override;

 protected:
  void begin_life() override {}
  void end_life() override {}

 private:
  struct Note {
    std::uint64_t number = 0;
    std::int64_t version = -1;
  };
  struct Session {
    std::uint64_t id = 0;
    std::string process;
    TimeUs timeout = 0;
    TimeUs heard_at = 0;
    LinkId link;
    std::set<Part> watches;
    std::map<GroupId, Note> notes;  // none: of the ring's record
    std::set<std::string> servers;  // registered
    std::set<std::string> routers;
  };

  Session* session_of(LinkId link);
  void attach(LinkId link, const CoordinatorRequest& request, CoordinatorReply& reply);
  void read(Session& session, const Part& part, CoordinatorReply& reply);
  void write(Session& session, const CoordinatorRequest& request, CoordinatorReply& reply);
  void write_group(const CoordinatorRequest& request);
  void write_ring(const CoordinatorRequest& request);
  void fence(Session& session, const CoordinatorRequest& request, CoordinatorReply& reply);
  void enlist(Session& session, const CoordinatorRequest& request, CoordinatorReply& reply);
  void changed(const Part& part);
  void watch_for_silence(std::uint64_t id);
  void end_session(std::uint64_t id);
  bool loses_answer(const CoordinatorRequest& request, bool before);

  Network& network_;
  bool away_ = false;
  std::uint32_t lost_percent_ = 0;
  TimeUs watch_delay_ = 2 * kMs;
  Observer observer_;
  coordinator::ClusterView view_;
  std::map<std::uint64_t, Session> sessions_;
  std::map<LinkId, std::uint64_t> links_;
  std::map<std::string, std::uint64_t> server_sessions_;
  std::map<std::string, std::uint64_t> router_sessions_;
  std::uint64_t last_session_ = 0;
};

}  // namespace dlm::sim
