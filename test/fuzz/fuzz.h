// What the fuzz targets share. A target is one file that defines run() and seeds(); entry.cc makes a
// libFuzzer program of it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dlm::fuzz {

// One input, which may be any bytes. Returns when every property of the target holds for it.
void run(std::string_view input);

// Inputs to begin with, made by our own encoders; each with the name of its file.
using Seeds = std::vector<std::pair<std::string, std::string>>;
Seeds seeds();

// Ends the program when it does not hold, which libFuzzer reports together with the input.
void require(bool holds, std::string_view property);

// An input of several parts: each is its length in 2 bytes, little-endian, and its bytes. The last one ends
// where the input does.
std::vector<std::string_view> parts_of(std::string_view input);
// REQUIRES: each part is shorter than 64 KiB.
std::string join(const std::vector<std::string>& parts);

// Takes the first byte off, as a choice of one of `count`; 0 of an empty input.
unsigned take_choice(std::string_view& input, unsigned count);

}  // namespace dlm::fuzz
