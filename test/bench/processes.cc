#include "test/bench/processes.h"

#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace dlm::bench {
namespace {

bool runs(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return false;
  const std::size_t name_end = line.rfind(')');
  return name_end == std::string::npos || line.size() < name_end + 3 || line[name_end + 2] != 'Z';
}

pid_t pid_of(const std::string& state, const std::string& process) {
  std::ifstream file(state + "/" + process + "/pid");
  pid_t pid = 0;
  return file >> pid ? pid : 0;
}

}  // namespace

void Processes::signal(const std::string& process, int number) const {
  const pid_t pid = pid_of(state_, process);
  if (pid == 0 || kill(pid, number) != 0) throw std::runtime_error("can't signal " + process);
}

void Processes::start(const std::string& process) const {
  const pid_t pid = pid_of(state_, process);
  for (int i = 0; i < 1'000 && runs(pid); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const std::string command = "'" + script_ + "' start " + process + " >/dev/null";
  if (std::system(command.c_str()) != 0) throw std::runtime_error("can't start " + process);
}

}  // namespace dlm::bench
