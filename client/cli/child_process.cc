#include "client/cli/child_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "client/cli/file_descriptor.h"

extern char** environ;

namespace dlm::cli {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

// Between fork and exec of a process with threads: system calls only, no memory of the heap's.
[[noreturn]] void become(char* const* command, char* const* environment, const ProcessContext& context,
                         pid_t parent, int report_fd) {
  setpgid(0, 0);
  // Of last resort, should dlm be killed; the guardian does the same for the whole group. A set-user-id
  // program clears it.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);
  unsigned first = 3;
  for (int kept : context.open_files) {
    auto fd = static_cast<unsigned>(kept);
    if (fd > first) syscall(SYS_close_range, first, fd - 1, CLOSE_RANGE_CLOEXEC);
    first = std::max(first, fd + 1);
  }
  syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC);
  sigaction(SIGPIPE, &context.on_broken_pipe, nullptr);
  sigprocmask(SIG_SETMASK, &context.signal_mask, nullptr);
  execvpe(command[0], command, environment);
  int error = errno;
  ssize_t written = write(report_fd, &error, sizeof error);
  _exit(written == sizeof error ? 127 : 126);
}

}  // namespace

ProcessContext ProcessContext::of_this_process() {
  ProcessContext context;
  sigprocmask(SIG_SETMASK, nullptr, &context.signal_mask);
  sigaction(SIGPIPE, nullptr, &context.on_broken_pipe);
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) {
    context.open_files = {0, 1, 2};
    return context;
  }
  while (const dirent* entry = readdir(directory)) {
    char* end = nullptr;
    long fd = std::strtol(entry->d_name, &end, 10);
    if (end != entry->d_name && *end == '\0' && fd != dirfd(directory))
      context.open_files.push_back(static_cast<int>(fd));
  }
  closedir(directory);
  std::sort(context.open_files.begin(), context.open_files.end());
  return context;
}

ChildStart start_child(const std::vector<std::string>& command, const std::vector<std::string>& environment,
                       const ProcessContext& context) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return {.error = errno, .no_process = true};
  FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  std::vector<char*> argv = pointers(command);
  std::vector<char*> envp = pointers(environment);
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid < 0) return {.error = errno, .no_process = true};
  if (pid == 0) become(argv.data(), envp.data(), context, parent, write_end.get());

  setpgid(pid, pid);  // whoever is first, so that a signal sent from here on finds the group
  write_end.reset();
  int error = 0;
  ssize_t count = 0;
  do {
    count = read(read_end.get(), &error, sizeof error);
  } while (count < 0 && errno == EINTR);
  if (count != sizeof error) return {.pid = pid};  // the pipe was closed by a successful exec
  waitpid(pid, nullptr, 0);
  return {.error = error};
}

std::vector<std::string> environment_with(const std::vector<std::string>& set,
                                          const std::vector<std::string>& unset) {
  auto replaced = [&](std::string_view variable) {
    auto same = [&](const std::string& other) { return name_of(other) == name_of(variable); };
    return std::any_of(set.begin(), set.end(), same) || std::any_of(unset.begin(), unset.end(), same);
  };
  std::vector<std::string> out;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    if (!replaced(*variable)) out.emplace_back(*variable);
  }
  out.insert(out.end(), set.begin(), set.end());
  return out;
}

}  // namespace dlm::cli
