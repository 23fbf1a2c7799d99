#include "test/chaos/history/history_file.h"

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <stdexcept>

namespace dlm::chaos {
namespace {

namespace json = boost::json;

void write_lines(const std::string& path, const std::function<void(std::ostream&)>& write) {
  std::ofstream file(path, std::ios::trunc);
  write(file);
  file.flush();
  if (!file) throw std::runtime_error("can't write " + path);
}

// False: there is no such file. `read` throws what is wrong with a line.
bool read_lines(const std::string& path, const std::function<void(const std::string&)>& read) {
  std::ifstream file(path);
  if (!file) return false;
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    try {
      read(line);
    } catch (const std::exception& wrong) {
      throw std::runtime_error(path + ":" + std::to_string(number) + ": " + wrong.what());
    }
  }
  return true;
}

void read_records(const std::string& path, bool required, std::vector<Record>& records) {
  const bool found = read_lines(path, [&](const std::string& line) {
    std::string error;
    std::optional<Record> record = parse_line(line, error);
    if (!record) throw std::runtime_error(error);
    records.push_back(std::move(*record));
  });
  if (!found && required) throw std::runtime_error("can't read " + path);
}

void write_context(std::ostream& out, const Context& context) {
  for (const FaultWindow& fault : context.faults) {
    out << json::object{{"fault", fault.kind},
                        {"target", fault.target},
                        {"group", fault.group},
                        {"from_ns", fault.from_ns},
                        {"to_ns", fault.to_ns}}
        << '\n';
  }
  for (const Claim& claim : context.claims) {
    out << json::object{{"claim", claim.client},
                        {"resource", claim.resource},
                        {"token", claim.token},
                        {"until_ns", claim.until_ns}}
        << '\n';
  }
  for (const auto& [resource, group] : context.groups) {
    out << json::object{{"resource", resource}, {"group", group}} << '\n';
  }
}

void read_context_line(const std::string& line, Context& context) {
  const json::value value = json::parse(line);
  const json::object& object = value.as_object();
  auto text = [&](const char* name) { return std::string(object.at(name).as_string()); };
  if (object.contains("fault")) {
    context.faults.push_back({text("fault"), text("target"), text("group"),
                              object.at("from_ns").to_number<std::int64_t>(),
                              object.at("to_ns").to_number<std::int64_t>()});
  } else if (object.contains("claim")) {
    context.claims.push_back({text("claim"), text("resource"), object.at("token").to_number<std::uint64_t>(),
                              object.at("until_ns").to_number<std::int64_t>()});
  } else {
    context.groups[text("resource")] = text("group");
  }
}

}  // namespace

void write_history(const std::string& path, History history) {
  std::stable_sort(history.records.begin(), history.records.end(),
                   [](const Record& a, const Record& b) { return a.call_ns < b.call_ns; });
  std::set<std::string> shared;
  for (const Record& record : history.records) {
    if (record.mode == LockMode::shared) shared.insert(record.resource);
  }
  auto write_some = [&](bool wanted) {
    return [&, wanted](std::ostream& out) {
      for (const Record& record : history.records) {
        if (shared.contains(record.resource) == wanted) out << to_line(record) << '\n';
      }
    };
  };
  write_lines(path, write_some(false));
  write_lines(path + ".shared", write_some(true));
  write_lines(path + ".context", [&](std::ostream& out) { write_context(out, history.context); });
}

History read_history(const std::string& path) {
  History history;
  read_records(path, true, history.records);
  read_records(path + ".shared", false, history.records);
  read_lines(path + ".context", [&](const std::string& line) { read_context_line(line, history.context); });
  return history;
}

}  // namespace dlm::chaos
