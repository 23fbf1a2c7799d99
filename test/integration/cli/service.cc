#include "test/integration/cli/service.h"

#include <boost/json/parse.hpp>

namespace dlm::test {

Service::Service(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"dev", "--json", "--listen", "127.0.0.1:0"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  program_ = std::make_unique<Program>(words);
  bool ready =
      eventually([&] { return program_->out().find('\n') != std::string::npos || !program_->running(); });
  if (!ready || !program_->running()) return;
  auto told = json_of(program_->out());
  if (told.is_object()) router_ = told.at("router").as_string().c_str();
}

boost::json::value json_of(const std::string& text) {
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
  boost::system::error_code error;
  auto value = boost::json::parse(text, error);
  EXPECT_FALSE(error) << error.message() << ": " << text;
  return value;
}

void expect_one_error_line(const Ended& ended) {
  EXPECT_EQ(ended.err.substr(0, 5), "dlm: ") << ended.err;
  EXPECT_EQ(ended.err.find('\n'), ended.err.size() - 1) << ended.err;
  EXPECT_EQ(ended.out, "");
}

}  // namespace dlm::test
