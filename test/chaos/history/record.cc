#include "test/chaos/history/record.h"

#include <array>
#include <boost/json.hpp>
#include <stdexcept>
#include <utility>

namespace dlm::chaos {
namespace {

constexpr std::array<std::pair<Op, std::string_view>, 4> kOps = {
    {{Op::acquire, "acquire"}, {Op::release, "release"}, {Op::renew, "renew"}, {Op::query, "query"}}};

constexpr std::array<std::pair<Outcome, std::string_view>, 10> kOutcomes = {{{Outcome::granted, "granted"},
                                                                             {Outcome::released, "released"},
                                                                             {Outcome::renewed, "renewed"},
                                                                             {Outcome::held, "held"},
                                                                             {Outcome::free, "free"},
                                                                             {Outcome::timeout, "timeout"},
                                                                             {Outcome::not_held, "not_held"},
                                                                             {Outcome::expired, "expired"},
                                                                             {Outcome::failed, "failed"},
                                                                             {Outcome::unknown, "unknown"}}};

template <class Table, class Value>
std::string_view name_of(const Table& table, Value value) {
  for (const auto& [known, name] : table) {
    if (known == value) return name;
  }
  return "?";
}

template <class Value, class Table>
std::optional<Value> value_of(const Table& table, std::string_view name) {
  for (const auto& [value, known] : table) {
    if (known == name) return value;
  }
  return std::nullopt;
}

// Members of one line. What is wrong with them is thrown, for parse_line to tell.
class Members {
 public:
  explicit Members(const boost::json::object& object) : object_(object) {}

  std::string text(const char* name) const {
    const boost::json::value* value = object_.if_contains(name);
    if (value == nullptr || !value->is_string())
      throw std::invalid_argument(std::string(name) + " is not a string");
    return std::string(value->get_string());
  }

  template <class T>
  T number(const char* name) const {
    const boost::json::value* value = object_.if_contains(name);
    if (value == nullptr) throw std::invalid_argument(std::string(name) + " is missing");
    boost::system::error_code error;
    const T number = value->to_number<T>(error);
    if (error) throw std::invalid_argument(std::string(name) + " is not such a number");
    return number;
  }

  template <class T>
  T number_or_zero(const char* name) const {
    const boost::json::value* value = object_.if_contains(name);
    return value == nullptr || value->is_null() ? T{0} : number<T>(name);
  }

  bool has_text(const char* name) const {
    const boost::json::value* value = object_.if_contains(name);
    return value != nullptr && value->is_string();
  }

 private:
  const boost::json::object& object_;
};

Record read_record(const Members& members) {
  Record record;
  const std::optional<Op> op = parse_op(members.text("op"));
  const std::optional<Outcome> outcome = parse_outcome(members.text("result"));
  if (!op) throw std::invalid_argument("op is unknown");
  if (!outcome || !possible(*op, *outcome)) throw std::invalid_argument("result does not fit the op");
  record.client = members.text("client");
  record.op = *op;
  record.resource = members.text("resource");
  record.call_ns = members.number<std::int64_t>("call_ns");
  record.return_ns = members.number<std::int64_t>("return_ns");
  record.outcome = *outcome;
  record.token = members.number_or_zero<std::uint64_t>("token");
  record.count = members.number_or_zero<std::uint32_t>("count");
  record.ttl_ms = members.number_or_zero<std::uint32_t>("ttl_ms");
  if (members.has_text("holder")) record.holder = members.text("holder");
  if (members.has_text("mode") && members.text("mode") == to_string(LockMode::shared))
    record.mode = LockMode::shared;
  if (record.return_ns < record.call_ns) throw std::invalid_argument("it returned before it was called");
  return record;
}

}  // namespace

std::string_view to_string(Op op) {
  return name_of(kOps, op);
}
std::string_view to_string(Outcome outcome) {
  return name_of(kOutcomes, outcome);
}
std::optional<Op> parse_op(std::string_view name) {
  return value_of<Op>(kOps, name);
}
std::optional<Outcome> parse_outcome(std::string_view name) {
  return value_of<Outcome>(kOutcomes, name);
}

bool possible(Op op, Outcome outcome) {
  if (outcome == Outcome::failed || outcome == Outcome::unknown) return true;
  switch (op) {
    case Op::acquire:
      return outcome == Outcome::granted || outcome == Outcome::timeout;
    case Op::release:
      return outcome == Outcome::released || outcome == Outcome::not_held || outcome == Outcome::expired;
    case Op::renew:
      return outcome == Outcome::renewed || outcome == Outcome::not_held || outcome == Outcome::expired;
    case Op::query:
      return outcome == Outcome::held || outcome == Outcome::free;
  }
  return false;
}

std::string to_line(const Record& record) {
  boost::json::object object{
      {"client", record.client},   {"op", to_string(record.op)},    {"resource", record.resource},
      {"call_ns", record.call_ns}, {"return_ns", record.return_ns}, {"result", to_string(record.outcome)},
      {"token", record.token},     {"count", record.count},         {"ttl_ms", record.ttl_ms}};
  if (record.op == Op::query) object.emplace("holder", record.holder);
  if (record.mode == LockMode::shared) object.emplace("mode", to_string(record.mode));
  return boost::json::serialize(object);
}

std::optional<Record> parse_line(std::string_view line, std::string& error) {
  boost::system::error_code broken;
  const boost::json::value value =
      boost::json::parse(boost::json::string_view(line.data(), line.size()), broken);
  if (broken || !value.is_object()) {
    error = "not a JSON object";
    return std::nullopt;
  }
  try {
    return read_record(Members(value.get_object()));
  } catch (const std::invalid_argument& wrong) {
    error = wrong.what();
    return std::nullopt;
  }
}

}  // namespace dlm::chaos
