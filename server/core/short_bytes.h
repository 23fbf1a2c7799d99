// A byte string in 24 bytes: up to 22 bytes lie inside, longer ones on the heap. For names and ids, of
// which a table holds millions.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace dlm::server {

// Holds at most 65,535 bytes.
class ShortBytes {
 public:
  ShortBytes() = default;
  // The two parts, one after the other. REQUIRES: together at most 65,535 bytes.
  explicit ShortBytes(std::string_view first, std::string_view second = {}) {
    auto size = static_cast<std::uint16_t>(first.size() + second.size());
    std::memcpy(raw_ + kInlineBytes, &size, sizeof size);
    char* to = raw_;
    if (size > kInlineBytes) {
      to = new char[size];
      std::memcpy(raw_, &to, sizeof to);
    }
    if (!first.empty()) std::memcpy(to, first.data(), first.size());
    if (!second.empty()) std::memcpy(to + first.size(), second.data(), second.size());
  }
  ShortBytes(ShortBytes&& other) noexcept { swap(other); }
  ShortBytes& operator=(ShortBytes&& other) noexcept {
    ShortBytes taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~ShortBytes() {
    if (size() > kInlineBytes) delete[] heap();
  }

  std::uint16_t size() const {
    std::uint16_t size = 0;
    std::memcpy(&size, raw_ + kInlineBytes, sizeof size);
    return size;
  }
  std::string_view view() const { return {size() > kInlineBytes ? heap() : raw_, size()}; }

 private:
  static constexpr std::size_t kInlineBytes = 22;

  const char* heap() const {
    const char* p = nullptr;
    std::memcpy(&p, raw_, sizeof p);
    return p;
  }
  void swap(ShortBytes& other) noexcept {
    char raw[sizeof raw_];
    std::memcpy(raw, raw_, sizeof raw_);
    std::memcpy(raw_, other.raw_, sizeof raw_);
    std::memcpy(other.raw_, raw, sizeof raw_);
  }

  alignas(8) char raw_[24] = {};  // bytes or a pointer to them, and the size in the last two
};

}  // namespace dlm::server
