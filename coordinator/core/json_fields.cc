#include "coordinator/core/json_fields.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/system/error_code.hpp>

namespace dlm::coordinator {
namespace {

namespace json = boost::json;

json::string_view view(std::string_view text) {
  return {text.data(), text.size()};
}

const json::array& empty_list() {
  static const json::array none;
  return none;
}

}  // namespace

std::string json_quoted(std::string_view text) {
  return json::serialize(json::value(view(text)));
}

JsonFields::JsonFields(std::string_view text, std::initializer_list<std::string_view> names,
                       std::string& error)
    : error_(error) {
  boost::system::error_code failed;
  json::value parsed = json::parse(view(text), failed);
  if (failed) {
    ok_ = false;
    error_ = "not JSON: " + failed.message();
    return;
  }
  adopt(parsed, names);
}

JsonFields::JsonFields(const json::value& value, std::initializer_list<std::string_view> names,
                       std::string& error)
    : error_(error) {
  adopt(value, names);
}

void JsonFields::adopt(const json::value& value, std::initializer_list<std::string_view> names) {
  const json::object* object = value.if_object();
  if (object == nullptr) {
    ok_ = false;
    error_ = "not a JSON object";
    return;
  }
  object_ = *object;
  for (const auto& field : object_) {
    std::string_view name(field.key().data(), field.key().size());
    if (std::find(names.begin(), names.end(), name) == names.end()) return fail(name, "is not a known field");
  }
  for (std::string_view name : names) {
    if (!object_.contains(view(name))) return fail(name, "is missing");
  }
}

void JsonFields::fail(std::string_view name, std::string_view what) {
  if (!ok_) return;
  ok_ = false;
  error_ = std::string(name) + " " + std::string(what);
}

std::uint64_t JsonFields::number(std::string_view name, std::uint64_t min, std::uint64_t max) {
  if (!ok_) return min;
  const json::value& value = object_.at(view(name));
  bool whole = value.is_uint64() || (value.is_int64() && value.get_int64() >= 0);
  std::uint64_t number = !whole              ? 0
                         : value.is_uint64() ? value.get_uint64()
                                             : static_cast<std::uint64_t>(value.get_int64());
  if (whole && number >= min && number <= max) return number;
  fail(name, "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  return min;
}

double JsonFields::real(std::string_view name, double min, double max) {
  if (!ok_) return min;
  const json::value& value = object_.at(view(name));
  double number = value.is_double()   ? value.get_double()
                  : value.is_int64()  ? static_cast<double>(value.get_int64())
                  : value.is_uint64() ? static_cast<double>(value.get_uint64())
                                      : -1;
  if (value.is_number() && number >= min && number <= max) return number;
  fail(name, "must be a number from " + std::to_string(min) + " to " + std::to_string(max));
  return min;
}

bool JsonFields::flag(std::string_view name) {
  if (!ok_) return false;
  const json::value& value = object_.at(view(name));
  if (!value.is_bool()) fail(name, "must be true or false");
  return value.is_bool() && value.get_bool();
}

std::string JsonFields::text(std::string_view name) {
  if (!ok_) return {};
  const json::value& value = object_.at(view(name));
  if (value.is_string()) return {value.get_string().data(), value.get_string().size()};
  fail(name, "must be a string");
  return {};
}

const json::array& JsonFields::list(std::string_view name) {
  if (!ok_) return empty_list();
  if (const json::array* list = object_.at(view(name)).if_array()) return *list;
  fail(name, "must be a list");
  return empty_list();
}

}  // namespace dlm::coordinator
