// A `dlm dev` on a free port, for the tests of a suite to talk to.
#pragma once

#include <gtest/gtest.h>

#include <boost/json/value.hpp>
#include <memory>
#include <string>
#include <vector>

#include "test/integration/cli/program.h"

namespace dlm::test {

class Service {
 public:
  // Returns when it is ready; ok() says whether it is.
  explicit Service(const std::vector<std::string>& arguments = {});

  bool ok() const { return !router_.empty(); }
  const std::string& router() const { return router_; }  // host:port
  Program& program() { return *program_; }
  // To be found by a `dlm` that this is in the environment of.
  std::vector<std::string> environment() const { return {"DLM_ROUTERS=" + router_}; }
  Ended dlm(const std::vector<std::string>& arguments) const { return run(arguments, environment()); }

 private:
  std::unique_ptr<Program> program_;
  std::string router_;
};

// Fails the test when it is not one JSON value on one line.
boost::json::value json_of(const std::string& text);

// "dlm: ..." on one line, and nothing more.
void expect_one_error_line(const Ended& ended);

// Suites that share one service.
class ServiceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { service_ = std::make_unique<Service>(); }
  static void TearDownTestSuite() { service_.reset(); }
  void SetUp() override { ASSERT_TRUE(service_->ok()) << service_->program().err(); }
  static Ended dlm(const std::vector<std::string>& arguments) { return service_->dlm(arguments); }
  static Service& service() { return *service_; }

 private:
  static inline std::unique_ptr<Service> service_;
};

}  // namespace dlm::test
