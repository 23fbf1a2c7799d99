#include "test/chaos/workload/journal.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <fstream>
#include <map>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace dlm::chaos {

namespace json = boost::json;

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Journal::Journal(const std::string& path)
    : fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path);
}

Journal::~Journal() {
  close(fd_);
}

// One call, so that lines of different threads do not mix and none is left half written by a kill.
void Journal::write_line(const std::string& line) {
  const std::string whole = line + '\n';
  if (write(fd_, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size())) {
    throw std::system_error(errno, std::generic_category(), "writing the journal");
  }
}

std::uint64_t Journal::begin(Record& record) {
  const std::uint64_t operation = ++last_;
  record.call_ns = record.return_ns = now_ns();
  record.outcome = Outcome::unknown;
  write_line("begin " + std::to_string(operation) + ' ' + to_line(record));
  return operation;
}

void Journal::end(std::uint64_t operation, Record& record) {
  record.return_ns = now_ns();
  write_line("end " + std::to_string(operation) + ' ' + to_line(record));
}

void Journal::claim(const Claim& claim) {
  write_line("claim 0 " + json::serialize(json::object{{"client", claim.client},
                                                       {"resource", claim.resource},
                                                       {"token", claim.token},
                                                       {"until_ns", claim.until_ns}}));
}

void Journal::group(const std::string& resource, const std::string& group) {
  write_line("group 0 " + json::serialize(json::object{{"resource", resource}, {"group", group}}));
}

namespace {

class JournalReader {
 public:
  explicit JournalReader(History& history) : history_(history) {}

  void line(const std::string& text) {
    const std::size_t kind_end = text.find(' ');
    const std::size_t number_end = text.find(' ', kind_end + 1);
    if (number_end == std::string::npos) throw std::runtime_error("a line without its parts: " + text);
    const std::string kind = text.substr(0, kind_end);
    const std::string body = text.substr(number_end + 1);
    if (kind == "begin" || kind == "end") {
      operation(kind == "end", std::stoull(text.substr(kind_end + 1, number_end - kind_end - 1)), body);
    } else {
      note(kind, json::parse(body).as_object());
    }
  }

  void finish(std::int64_t over_ns) {
    for (auto& [number, record] : open_) {
      record.return_ns = over_ns;
      history_.records.push_back(std::move(record));
    }
  }

 private:
  void operation(bool ended, std::uint64_t number, const std::string& body) {
    std::string error;
    std::optional<Record> record = parse_line(body, error);
    if (!record) throw std::runtime_error(error + ": " + body);
    if (ended) {
      open_.erase(number);
      history_.records.push_back(std::move(*record));
    } else {
      open_.emplace(number, std::move(*record));
    }
  }

  void note(const std::string& kind, const json::object& object) {
    const std::string resource(object.at("resource").as_string());
    if (kind == "claim") {
      history_.context.claims.push_back({std::string(object.at("client").as_string()), resource,
                                         object.at("token").to_number<std::uint64_t>(),
                                         object.at("until_ns").to_number<std::int64_t>()});
    } else {
      history_.context.groups[resource] = object.at("group").as_string();
    }
  }

  History& history_;
  std::map<std::uint64_t, Record> open_;
};

}  // namespace

void read_journal(const std::string& path, std::int64_t over_ns, History& history) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("can't read " + path);
  JournalReader reader(history);
  std::string text;
  while (std::getline(file, text)) reader.line(text);
  reader.finish(over_ns);
}

}  // namespace dlm::chaos
