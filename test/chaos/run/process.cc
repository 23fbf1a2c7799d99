#include "test/chaos/run/process.h"

#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <utility>

namespace dlm::chaos {

void sleep_ms(std::uint32_t time_ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(time_ms));
}

void wait_until(const std::string& what, int seconds, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error(what + ": not within " + std::to_string(seconds) + " s");
    }
    sleep_ms(20);
  }
}

Process::Process(std::string name, std::vector<std::string> command, std::string log)
    : name_(std::move(name)), command_(std::move(command)), log_(std::move(log)) {}

void Process::start() {
  std::error_code none_yet;
  const auto size = std::filesystem::file_size(log_, none_yet);
  log_mark_ = none_yet ? 0 : size;
  child_.reset();
  child_ = std::make_unique<test::ChildProcess>(command_, log_);
  expected_ = true;
}

bool Process::said(const std::string& text) {
  std::ifstream file(log_, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(log_mark_));
  const std::string since(std::istreambuf_iterator<char>(file), {});
  if (since.find(text) != std::string::npos) return true;
  if (!running()) throw std::runtime_error(name_ + " ended at its start:\n" + test::tail_of(log_));
  return false;
}

void Process::kill() {
  expected_ = false;
  child_.reset();
}

void Process::terminate() {
  expected_ = false;
  if (child_) child_->signal(SIGTERM);
}

void Process::freeze() {
  if (child_) child_->stop();
}

void Process::thaw() {
  if (child_) child_->signal(SIGCONT);
}

bool Process::stopped() {
  if (!running()) return false;
  std::ifstream stat("/proc/" + std::to_string(child_->pid()) + "/stat");
  const std::string line{std::istreambuf_iterator<char>(stat), {}};
  const std::size_t after_name = line.rfind(") ");
  return after_name != std::string::npos && line[after_name + 2] == 'T';
}

}  // namespace dlm::chaos
