// libFuzzer's entry points, around the target that this file is linked with. `TARGET --seeds FOLDER` writes
// the target's seeds and ends.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "test/fuzz/fuzz.h"

namespace dlm::fuzz {

void require(bool holds, std::string_view property) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(property.size()), property.data());
  std::abort();
}

std::vector<std::string_view> parts_of(std::string_view input) {
  std::vector<std::string_view> parts;
  while (input.size() >= 2) {
    const std::size_t size =
        static_cast<unsigned char>(input[0]) | std::size_t{static_cast<unsigned char>(input[1])} << 8;
    input.remove_prefix(2);
    parts.push_back(input.substr(0, size));
    input.remove_prefix(parts.back().size());
  }
  return parts;
}

std::string join(const std::vector<std::string>& parts) {
  std::string joined;
  for (const std::string& part : parts) {
    require(part.size() <= UINT16_MAX, "a part of a seed is shorter than 64 KiB");
    joined += static_cast<char>(part.size());
    joined += static_cast<char>(part.size() >> 8);
    joined += part;
  }
  return joined;
}

unsigned take_choice(std::string_view& input, unsigned count) {
  if (input.empty()) return 0;
  const unsigned choice = static_cast<unsigned char>(input.front()) % count;
  input.remove_prefix(1);
  return choice;
}

namespace {

void write_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  for (const auto& [name, bytes] : seeds()) {
    run(bytes);
    std::ofstream file(folder / name, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    require(file.good(), "the folder for the seeds can be written to");
  }
}

}  // namespace
}  // namespace dlm::fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc != 3 || std::string_view((*argv)[1]) != "--seeds") return 0;
  dlm::fuzz::write_seeds((*argv)[2]);
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  dlm::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
