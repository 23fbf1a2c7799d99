#include "coordinator/zookeeper_log.h"

#include <algorithm>

namespace dlm::coordinator {
namespace {

constexpr auto kSilence = std::chrono::seconds(5);

// What stands between `before` and the next `after`; empty when either is missing.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  std::size_t begin = text.find(before);
  if (begin == std::string_view::npos) return {};
  begin += before.size();
  std::size_t end = text.find(after, begin);
  return end == std::string_view::npos ? std::string_view() : text.substr(begin, end - begin);
}

std::string_view port_of(std::string_view host) {
  std::size_t colon = host.rfind(':');
  return colon == std::string_view::npos ? std::string_view() : host.substr(colon);
}

}  // namespace

// A message reads: <time>:<process>(<thread>):ZOO_ERROR@check_events@2985: Socket 127.0.0.1:2181 zk
// retcode=-4, errno=111(Connection refused): server refused to accept the client
std::optional<std::string> ZookeeperLogFilter::pass(std::string_view message, Clock::time_point now) {
  std::string_view place = between(message, ":ZOO_", ": ");
  std::string_view text = message;
  if (!place.empty()) text.remove_prefix(static_cast<std::size_t>(place.end() - message.begin()) + 2);

  std::string_view port = port_of(between(text, "Socket ", " "));
  std::string_view error = between(text, "errno=", ")");
  std::string_view cause = error.substr(std::min(error.size(), error.find('(') + 1));
  if (!port.empty() && !cause.empty()) failures_[std::string(port)] = cause;

  auto [found, first] = kinds_.try_emplace(std::string(place), Kind{now, 0});
  Kind& kind = found->second;
  if (!first && now - kind.passed < kSilence) {
    ++kind.held_back;
    return std::nullopt;
  }
  std::string line(text);
  if (kind.held_back > 0) line += " (and " + std::to_string(kind.held_back) + " like it before)";
  kind = {now, 0};
  return line;
}

std::string ZookeeperLogFilter::last_failure(std::string_view hosts) const {
  while (!hosts.empty()) {
    std::size_t comma = hosts.find(',');
    if (auto found = failures_.find(port_of(hosts.substr(0, comma))); found != failures_.end())
      return found->second;
    hosts.remove_prefix(comma == std::string_view::npos ? hosts.size() : comma + 1);
  }
  return {};
}

}  // namespace dlm::coordinator
