// The processes of a cluster that scripts/cluster started, by the names that it gives them.
#pragma once

#include <string>
#include <utility>

namespace dlm::bench {

class Processes {
 public:
  // The script, and the folder of its state.
  Processes(std::string script, std::string state) : script_(std::move(script)), state_(std::move(state)) {}

  // These throw std::runtime_error when it can't be done.
  void signal(const std::string& process, int number) const;
  // Again, when what was killed or stopped has ended.
  void start(const std::string& process) const;

  // "s1" of the member "s1#42".
  static std::string server_of(const std::string& member) { return member.substr(0, member.find('#')); }

 private:
  std::string script_;
  std::string state_;
};

}  // namespace dlm::bench
