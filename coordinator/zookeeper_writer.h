// The writing side: compare-and-sets whose outcome is always found out. Internal to coordinator/.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "coordinator/coordinator.h"
#include "coordinator/zookeeper_client.h"

namespace dlm::coordinator {

// On the executor's thread. Each write is one transaction of the compare-and-set itself and of a note in an
// ephemeral node of this session, /outcomes/<session>-<target>, that holds the number of this session's last
// accepted write to the target. When the connection breaks with a write out, the note tells after
// reconnecting whether it was accepted, even if others have written to the target since. If it was not, the
// note is changed before that is reported: the transaction expects the note as it was, so the write can't
// come in late. One write per target is out at a time.
class ZookeeperWriter {
 public:
  using Written = Coordinator::Written;

  // `client` outlives this. `root`: the path below which the cluster lies.
  ZookeeperWriter(ZookeeperClient& client, std::string root);

  // In touch: writes go out, and outcomes left unknown are read back.
  void resume(const std::string& session);
  // Out of touch: new writes are `unavailable`.
  void pause();
  // The session is over: everything is `unavailable`.
  void end();

  // Sets root/<target> to `data`; `expected` is the node's version + 1, or 0 to create it.
  void write(const std::string& target, std::int64_t expected, std::string data, Written done);

 private:
  struct Write {
    std::int64_t expected = 0;
    std::string data;
    Written done;
    std::string number;  // of its sending, within this session
  };
  static constexpr std::int32_t kNoNote = -1;

  struct Target {
    std::deque<Write> writes;  // the first is out
    std::int32_t note_version = kNoNote;
    bool unknown = false;  // the first one's outcome
  };

  std::string note_path(const std::string& target) const;
  void send(const std::string& target);
  void on_written(const std::string& target, const ZookeeperResult& result);
  void read_back(const std::string& target);
  void on_note(const std::string& target, const ZookeeperResult& note);
  void fence(const std::string& target);
  // The target, while the outcome of its first write is unknown.
  Target* unknown(const std::string& target);
  void finish(const std::string& target, WriteResult result);

  ZookeeperClient& client_;
  const std::string root_;
  std::string session_;
  bool in_touch_ = false;
  std::uint64_t last_number_ = 0;
  std::map<std::string, Target> targets_;
};

}  // namespace dlm::coordinator
