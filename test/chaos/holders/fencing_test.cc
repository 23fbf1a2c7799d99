// Fencing, end to end: processes that are frozen past their lease while they hold a lock, and two stores that
// they write to. The one that looks at tokens never loses an update; the other one does, which shows that the
// fault was strong enough.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "dlm/client.h"
#include "test/chaos/holders/register_file.h"
#include "test/support/child_process.h"

namespace dlm::chaos {
namespace {

using test::ChildProcess;

constexpr int kUpdaters = 4;
constexpr int kFreezes = 8;
constexpr std::uint32_t kTtlMs = 1'000;
constexpr const char* kResource = "the register";

class Fencing : public testing::Test {
 protected:
  Fencing() : folder_(testing::TempDir() + "/fencing-" + std::to_string(getpid())) {
    std::filesystem::create_directories(folder_);
    service_ = std::make_unique<ChildProcess>(
        std::vector<std::string>{DLM_PROGRAM, "dev", "--json", "--listen", "127.0.0.1:0"}, folder_ + "/dev");
  }
  ~Fencing() override {
    updaters_.clear();
    service_.reset();
    std::filesystem::remove_all(folder_);
  }

  // Where the service's router is; waits until it says so.
  std::string router() {
    for (;;) {
      std::ifstream file(folder_ + "/dev");
      const std::string said{std::istreambuf_iterator<char>(file), {}};
      std::smatch found;
      if (std::regex_search(said, found, std::regex("\"router\":\"([^\"]*)\""))) return found[1];
      if (!service_->running()) throw std::runtime_error("dlm dev ended: " + said);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  void start_updater(const std::string& router) {
    const std::string name = std::to_string(updaters_.size());
    updaters_.push_back(std::make_unique<ChildProcess>(
        std::vector<std::string>{DLM_CHAOS_PROGRAM, "updater", "--router", router, "--client", name,
                                 "--resource", kResource, "--fenced", fenced(), "--unfenced", unfenced(),
                                 "--ttl", std::to_string(kTtlMs)},
        folder_ + "/updater-" + name));
  }

  // The number of the one that holds the lock now.
  static std::optional<std::size_t> holder(Client& client) {
    const Result<LockReport> report = client.inspect(kResource);
    if (!report || report.value().holders.empty()) return std::nullopt;
    return std::stoul(report.value().holders.front().client_id);
  }

  // Not within an access to a store: a server would end it, too, whatever becomes of its client.
  void freeze(ChildProcess& updater) {
    RegisterFile(fenced(), true).between_accesses([&] {
      RegisterFile(unfenced(), false).between_accesses([&] { updater.stop(); });
    });
  }

  // Freezes whoever holds the lock until others have gone on writing without it.
  void freeze_holder(Client& client) {
    std::optional<std::size_t> frozen;
    while (!frozen) frozen = holder(client);
    freeze(*updaters_[*frozen]);
    const auto writes = RegisterFile(fenced(), true).content().writes;
    while (RegisterFile(fenced(), true).content().writes < writes + 3) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    updaters_[*frozen]->signal(SIGCONT);
  }

  std::string fenced() const { return folder_ + "/fenced"; }
  std::string unfenced() const { return folder_ + "/unfenced"; }

  const std::string folder_;
  std::unique_ptr<ChildProcess> service_;
  std::vector<std::unique_ptr<ChildProcess>> updaters_;
};

TEST_F(Fencing, KeepsEveryUpdateUnderFrozenHoldersWhereAStoreWithoutItLosesSome) {
  const std::string at = router();
  for (int i = 0; i < kUpdaters; ++i) start_updater(at);
  ClientOptions options;
  options.routers = {at};
  Client client(options);
  for (int i = 0; i < kFreezes; ++i) freeze_holder(client);
  for (auto& updater : updaters_) freeze(*updater);

  const RegisterFile::Content kept = RegisterFile(fenced(), true).content();
  const RegisterFile::Content lost = RegisterFile(unfenced(), false).content();
  EXPECT_EQ(kept.value, kept.writes) << "each accepted update is in the number";
  EXPECT_LT(lost.value, lost.writes) << "no frozen holder overwrote anything: the fault was too weak";
  EXPECT_LT(kept.writes, lost.writes) << "nobody was refused";
}

TEST(RegisterFile, RefusesSmallerTokensOnlyWithFencing) {
  const std::string path = testing::TempDir() + "/register-" + std::to_string(getpid());
  for (bool fenced : {true, false}) {
    std::filesystem::remove(path);
    RegisterFile file(path, fenced);
    EXPECT_EQ(file.read(5), 0u);
    EXPECT_EQ(file.write(4, 1), !fenced);
    EXPECT_EQ(file.read(4).has_value(), !fenced);
    EXPECT_TRUE(file.write(5, 7));
    EXPECT_EQ(file.content().value, 7u);
    EXPECT_EQ(file.content().writes, fenced ? 1u : 2u);
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace dlm::chaos
