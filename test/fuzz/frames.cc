// FrameDecoder: what comes out does not depend on how the bytes were cut, and is what went in.
#include <algorithm>
#include <cstring>

#include "schema/wire/codec.h"
#include "schema/wire/frame.h"
#include "test/fuzz/fuzz.h"

namespace dlm::fuzz {
namespace {

constexpr std::size_t kFrameBytesMaxHere = 4'096;

struct Decoded {
  std::vector<std::string> payloads;
  std::string error;
  bool operator==(const Decoded&) const = default;
};

std::string frame_of(std::string_view payload) {
  std::string frame(wire::kFrameMagic);
  for (std::size_t i = 0; i < 4; ++i) frame += static_cast<char>(payload.size() >> (8 * i));
  return frame.append(payload);
}

Decoded decode(std::string_view stream, std::size_t piece_bytes) {
  Decoded decoded;
  wire::FrameDecoder decoder(kFrameBytesMaxHere);
  std::vector<wire::Words> payloads;
  bool good = true;
  while (good && !stream.empty()) {
    auto space = decoder.space();
    const std::size_t count = std::min({piece_bytes, stream.size(), space.size()});
    require(count != 0, "there is always room for more");
    std::memcpy(space.begin(), stream.data(), count);
    stream.remove_prefix(count);
    payloads.clear();
    good = decoder.filled(count, payloads);
    for (wire::Words payload : payloads) {
      require(reinterpret_cast<std::uintptr_t>(payload.begin()) % sizeof(capnp::word) == 0,
              "payloads are aligned");
      decoded.payloads.emplace_back(wire::as_text(payload.asBytes()));
    }
    require(good == decoder.error().empty(), "an error has a reason, and nothing else has");
  }
  decoded.error = decoder.error();
  return decoded;
}

}  // namespace

void run(std::string_view input) {
  const std::size_t piece_bytes = 1 + take_choice(input, 64);
  const Decoded whole = decode(input, input.size());
  require(decode(input, piece_bytes) == whole, "frames do not depend on how their bytes were cut");
  std::string again;
  for (const std::string& payload : whole.payloads) again += frame_of(payload);
  require(input.starts_with(again), "the payloads are what the frames had in them");
}

Seeds seeds() {
  const std::string one_word(8, 'a');
  const std::string largest(kFrameBytesMaxHere, 'b');
  return {
      {"one", '\x00' + frame_of(one_word)},
      {"several", '\x07' + frame_of(one_word) + frame_of("0123456789abcdef") + frame_of(one_word)},
      {"largest", '\x3f' + frame_of(largest) + frame_of(one_word)},
      {"too-long", '\x03' + frame_of(one_word) + frame_of(largest + one_word)},
      {"not-words", '\x05' + frame_of("1234567")},
      {"empty", '\x05' + frame_of("")},
      {"cut-off", '\x02' + frame_of(one_word).substr(0, 11)},
      {"stranger", "\x01GET / HTTP/1.1\r\n\r\n"},
  };
}

}  // namespace dlm::fuzz
