// Strict reading of the small JSON objects that lie in the coordinator: every field known, present and of its
// type, or a text that says what is wrong. (Of a field that is there twice the last one counts.) Internal to
// coordinator/.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>

namespace dlm::coordinator {

// A JSON string literal, quotes included.
std::string json_quoted(std::string_view text);

class JsonFields {
 public:
  // Reads one object with exactly the fields `names`. The first thing that is wrong goes to `error`, which
  // outlives this, and everything after it fails too.
  JsonFields(std::string_view json, std::initializer_list<std::string_view> names, std::string& error);
  JsonFields(const boost::json::value& value, std::initializer_list<std::string_view> names,
             std::string& error);

  bool ok() const { return ok_; }
  void fail(std::string_view name, std::string_view what);

  // Each gives a neutral value once something is wrong.
  std::uint64_t number(std::string_view name, std::uint64_t min = 0,
                       std::uint64_t max = std::numeric_limits<std::uint64_t>::max());
  double real(std::string_view name, double min, double max);
  bool flag(std::string_view name);
  std::string text(std::string_view name);
  const boost::json::array& list(std::string_view name);

 private:
  void adopt(const boost::json::value& value, std::initializer_list<std::string_view> names);

  std::string& error_;
  bool ok_ = true;
  boost::json::object object_;
};

}  // namespace dlm::coordinator
