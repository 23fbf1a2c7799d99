// Storage of many small nodes: stable 32-bit indexes, no allocation per node. Which index is given next
// depends on the calls made alone, so it is the same on every replica.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace dlm::server {

// "No node" wherever an index is kept.
inline constexpr std::uint32_t kNil = UINT32_MAX;

// REQUIRES: T is default constructible, and T{} is its empty state. A reference stays valid until its node
// is freed.
template <class T>
class Slab {
 public:
  // The index freed last, else the next new one. The node is T{}.
  std::uint32_t allocate() {
    if (!free_.empty()) {
      std::uint32_t index = free_.back();
      free_.pop_back();
      return index;
    }
    return extend();
  }

  void free(std::uint32_t index) {
    (*this)[index] = T{};
    free_.push_back(index);
    if (live() == 0 && size_ > kChunkMask) shrink();
  }

  T& operator[](std::uint32_t index) { return chunks_[index >> kChunkBits][index & kChunkMask]; }
  const T& operator[](std::uint32_t index) const { return chunks_[index >> kChunkBits][index & kChunkMask]; }

  // All indexes are below this.
  std::uint32_t size() const { return size_; }
  std::uint32_t live() const { return size_ - static_cast<std::uint32_t>(free_.size()); }

  // For restoring a slab with its indexes: extend() gives the next new one whatever is free; set_free()
  // says at the end which of them are, in the order of their freeing.
  std::uint32_t extend() {
    if (size_ >> kChunkBits == chunks_.size())
      chunks_.push_back(std::make_unique<T[]>(std::size_t{1} << kChunkBits));
    return size_++;
  }
  void set_free(std::vector<std::uint32_t> indexes) { free_ = std::move(indexes); }
  const std::vector<std::uint32_t>& free_list() const { return free_; }

 private:
  static constexpr unsigned kChunkBits = 10;
  static constexpr std::uint32_t kChunkMask = (1U << kChunkBits) - 1;

  // Gives back what an empty slab does not need. The first chunk stays: one node that comes and goes costs
  // nothing.
  void shrink() {
    chunks_.resize(1);
    chunks_.shrink_to_fit();
    free_ = {};
    size_ = 0;
  }

  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<std::uint32_t> free_;
  std::uint32_t size_ = 0;
};

}  // namespace dlm::server
