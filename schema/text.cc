#include "schema/text.h"

#include <array>
#include <charconv>
#include <utility>

namespace dlm {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Length of the well-formed, printable UTF-8 sequence at the beginning of `bytes`; 0: none.
std::size_t utf8_length(std::string_view bytes) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  unsigned char lead = byte(0);
  std::size_t length = lead < 0x80                   ? 1
                       : lead >= 0xc2 && lead < 0xe0 ? 2
                       : lead >= 0xe0 && lead < 0xf0 ? 3
                       : lead >= 0xf0 && lead < 0xf5 ? 4
                                                     : 0;
  if (length == 0 || bytes.size() < length) return 0;
  if (length == 1) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
  std::uint32_t code = lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return 0;
    code = (code << 6) | (byte(i) & 0x3fU);
  }
  constexpr std::array<std::uint32_t, 5> kShortest = {0, 0, 0x80, 0x800, 0x10000};
  bool surrogate = code >= 0xd800 && code < 0xe000;
  bool control = code < 0xa0 || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  return code < kShortest[length] || surrogate || control || code > 0x10ffff ? 0 : length;
}

using Unit = std::pair<std::string_view, std::uint64_t>;

// Reads a number and the unit behind it off the front of `text`; an empty unit matches the end of the text.
template <std::size_t N>
std::optional<std::uint64_t> take_quantity(std::string_view& text, const std::array<Unit, N>& units) {
  std::uint64_t number = 0;
  auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(stopped - text.data()));
  std::size_t unit_length = 0;
  while (unit_length < text.size() && (text[unit_length] < '0' || text[unit_length] > '9')) ++unit_length;
  for (auto [name, factor] : units) {
    if (name != text.substr(0, unit_length)) continue;
    text.remove_prefix(unit_length);
    std::uint64_t product = 0;
    if (__builtin_mul_overflow(number, factor, &product)) return std::nullopt;
    return product;
  }
  return std::nullopt;
}

constexpr std::array<Unit, 4> kDurationUnits = {{{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}}};
constexpr std::array<Unit, 8> kSizeUnits = {{{"", 1},
                                             {"B", 1},
                                             {"kB", 1'000},
                                             {"MB", 1'000'000},
                                             {"GB", 1'000'000'000},
                                             {"KiB", 1ULL << 10},
                                             {"MiB", 1ULL << 20},
                                             {"GiB", 1ULL << 30}}};

}  // namespace

std::string printable(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    char c = bytes.front();
    std::size_t length = c == '\\' ? 0 : utf8_length(bytes);
    if (length > 0) {
      out.append(bytes.substr(0, length));
      bytes.remove_prefix(length);
      continue;
    }
    auto value = static_cast<unsigned char>(c);
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += {'\\', 'x', kHexDigits[value >> 4], kHexDigits[value & 15]};
    }
    bytes.remove_prefix(1);
  }
  return out;
}

std::string to_hex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) {
    auto value = static_cast<unsigned char>(c);
    out += {kHexDigits[value >> 4], kHexDigits[value & 15]};
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    int high = hex_value(hex[i]);
    int low = hex_value(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
  }
  return out;
}

std::optional<std::uint64_t> parse_duration_ms(std::string_view text) {
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  std::uint64_t total = 0;
  while (!text.empty()) {
    auto part = take_quantity(text, kDurationUnits);
    if (!part || __builtin_add_overflow(total, *part, &total)) return std::nullopt;
  }
  return total;
}

std::string format_duration_ms(std::uint64_t ms) {
  if (ms == 0) return "0";
  std::string out;
  for (auto [name, factor] : {kDurationUnits[3], kDurationUnits[2], kDurationUnits[1], kDurationUnits[0]}) {
    if (ms < factor) continue;
    out += std::to_string(ms / factor) + std::string(name);
    ms %= factor;
  }
  return out;
}

std::optional<std::uint64_t> parse_size_bytes(std::string_view text) {
  auto bytes = take_quantity(text, kSizeUnits);
  return text.empty() ? bytes : std::nullopt;
}

std::string format_size_bytes(std::uint64_t bytes) {
  for (auto [name, factor] : {kSizeUnits[7], kSizeUnits[6], kSizeUnits[5]}) {
    if (bytes >= factor && bytes % factor == 0) return std::to_string(bytes / factor) + std::string(name);
  }
  return std::to_string(bytes) + "B";
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  std::string_view port = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  if (host.find_first_of("[]") != std::string_view::npos) return std::nullopt;
  HostPort result{std::string(host), 0};
  auto [stopped, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
  if (host.empty() || error != std::errc() || stopped != port.data() + port.size()) return std::nullopt;
  return result;
}

}  // namespace dlm
