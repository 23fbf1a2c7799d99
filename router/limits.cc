#include "router/limits.h"

#include <algorithm>

#include "schema/text.h"

namespace dlm::router {
namespace {

constexpr std::size_t kConnectionBytes =
    48u << 10;  // buffers and state of one, at most, while its budget is not used
constexpr std::size_t kPendingBytes = 1u << 10;  // an operation with a name of usual length
constexpr std::size_t kConnectionsDefault = 16'384;
constexpr std::size_t kOtherFiles = 64;  // ZooKeeper, servers, log
constexpr std::size_t kQueueBytesMax = 16u << 20;

}  // namespace

// Half of the memory is for connections, three eighths for operations that have no answer, an eighth for what
// is read and written in larger pieces than is usual.
std::optional<std::string> apply(const ProcessLimits& limits, RouterProcessOptions& options) {
  const std::size_t memory = limits.memory_bytes_max;
  options.core.queue_ms_max = limits.queue_ms_max;
  options.core.pending_bytes_max = memory / 8 * 3;
  options.core.pending_max =
      std::min(options.core.pending_max, options.core.pending_bytes_max / kPendingBytes);
  options.frames.budget = std::make_shared<wire::BufferBudget>(memory / 8);
  options.frames.queue_bytes_max = std::min(kQueueBytesMax, memory / 16);

  const std::size_t by_memory = memory / 2 / kConnectionBytes;
  const std::size_t by_files = limits.open_files > kOtherFiles ? limits.open_files - kOtherFiles : 1;
  const std::size_t wanted =
      limits.connections_max != 0 ? limits.connections_max : std::min(kConnectionsDefault, by_memory);
  options.core.connections_max = std::min(wanted, by_memory);
  if (limits.connections_max > by_memory) {
    return "at most " + std::to_string(by_memory) + " client connections, not " +
           std::to_string(limits.connections_max) + ": --memory-max " + format_size_bytes(memory) +
           " allows no more";
  }
  if (limits.open_files == 0 || options.core.connections_max <= by_files) return std::nullopt;
  options.core.connections_max = by_files;
  return "at most " + std::to_string(by_files) + " client connections, not " + std::to_string(wanted) +
         ": this process may have " + std::to_string(limits.open_files) +
         " open files. Raise that (ulimit -Hn, or LimitNOFILE of a service) or lower --connections-max";
}

}  // namespace dlm::router
