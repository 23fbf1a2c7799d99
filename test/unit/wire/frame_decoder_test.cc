#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "schema/client.capnp.h"
#include "schema/wire/codec.h"
#include "schema/wire/frame.h"

namespace dlm::wire {
namespace {

constexpr std::size_t kBytesMax = 1u << 20;

std::string header(std::uint32_t bytes) {
  std::string out = "DLM1";
  for (int i = 0; i < 4; ++i) out += static_cast<char>(bytes >> (8 * i));
  return out;
}

// A frame whose payload is `words` words with this text in the first.
std::string frame(const std::string& mark, std::size_t words) {
  std::string payload = mark;
  payload.resize(words * 8, '.');
  return header(static_cast<std::uint32_t>(payload.size())) + payload;
}

std::string text(Words words) {
  return std::string(as_text(words.asBytes()));
}

// Feeds bytes in pieces of at most `piece`, collecting the payloads as texts.
struct Feeder {
  explicit Feeder(std::size_t bytes_max) : decoder(bytes_max) {}

  bool feed(std::string_view bytes, std::size_t piece) {
    while (!bytes.empty()) {
      auto space = decoder.space();
      std::size_t count = std::min({piece, bytes.size(), space.size()});
      std::memcpy(space.begin(), bytes.data(), count);
      bytes.remove_prefix(count);
      std::vector<Words> payloads;
      bool good = decoder.filled(count, payloads);
      for (auto payload : payloads) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(payload.begin()) % sizeof(capnp::word), 0u);
        got.push_back(text(payload));
      }
      if (!good) return false;
    }
    return true;
  }

  FrameDecoder decoder;
  std::vector<std::string> got;
};

TEST(FrameDecoder, FindsFramesSplitAtEveryByte) {
  std::string stream = frame("first", 1) + frame("second", 3) + frame("third", 2);
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    Feeder feeder(kBytesMax);
    ASSERT_TRUE(feeder.feed(std::string_view(stream).substr(0, cut), stream.size()));
    ASSERT_TRUE(feeder.feed(std::string_view(stream).substr(cut), stream.size()));
    ASSERT_EQ(feeder.got.size(), 3u) << "cut at " << cut;
    EXPECT_EQ(feeder.got[0].substr(0, 5), "first");
    EXPECT_EQ(feeder.got[1].substr(0, 6), "second");
    EXPECT_EQ(feeder.got[1].size(), 24u);
    EXPECT_EQ(feeder.got[2].substr(0, 5), "third");
  }
}

TEST(FrameDecoder, FindsFramesInPiecesOfAnySize) {
  std::string stream;
  for (std::size_t i = 1; i <= 300; ++i) stream += frame(std::to_string(i) + ";", i);
  for (std::size_t piece : {1, 2, 3, 7, 8, 9, 63, 4'096, 5'001, 1'000'000}) {
    Feeder feeder(kBytesMax);
    ASSERT_TRUE(feeder.feed(stream, piece));
    ASSERT_EQ(feeder.got.size(), 300u);
    for (std::size_t i = 1; i <= 300; ++i) {
      EXPECT_EQ(feeder.got[i - 1].substr(0, feeder.got[i - 1].find(';')), std::to_string(i));
      EXPECT_EQ(feeder.got[i - 1].size(), i * 8);
    }
  }
}

TEST(FrameDecoder, AFrameAtTheLimitIsGoodAndOneAboveItIsNot) {
  Feeder at_limit(kBytesMax);
  EXPECT_TRUE(at_limit.feed(frame("big", kBytesMax / 8), 10'000));
  ASSERT_EQ(at_limit.got.size(), 1u);
  EXPECT_EQ(at_limit.got[0].size(), kBytesMax);

  Feeder above(kBytesMax);
  EXPECT_FALSE(above.feed(header(kBytesMax + 8), 100));
  EXPECT_EQ(above.decoder.error(), "frame of 1048584 bytes is over the limit of 1048576");
}

TEST(FrameDecoder, FramesBeforeABadOneAreStillGiven) {
  Feeder feeder(kBytesMax);
  EXPECT_FALSE(feeder.feed(frame("good", 1) + header(0xffffffff), 1'000));
  ASSERT_EQ(feeder.got.size(), 1u);
  EXPECT_FALSE(feeder.decoder.error().empty());
  EXPECT_FALSE(feeder.feed(frame("good", 1), 1'000)) << "an error is final";
  EXPECT_EQ(feeder.got.size(), 1u);
}

TEST(FrameDecoder, RefusesWhatIsNotFramesAtItsFirstWrongByte) {
  for (const char* stranger : {"GET / HTTP/1.1\r\n", "G", "DLM2", "DLX", "\x16\x03\x01"}) {
    Feeder feeder(kBytesMax);
    EXPECT_FALSE(feeder.feed(stranger, 1));
    EXPECT_EQ(feeder.decoder.error(), "not a DLM client (bad magic)");
  }
}

TEST(FrameDecoder, RefusesLengthsThatNoMessageHas) {
  for (std::uint32_t bytes : {0u, 1u, 7u, 9u, 1'001u}) {
    Feeder feeder(kBytesMax);
    EXPECT_FALSE(feeder.feed(header(bytes), 8)) << bytes;
    EXPECT_NE(feeder.decoder.error().find("whole number of words"), std::string::npos);
  }
}

TEST(FrameDecoder, ATruncatedFrameIsNeverGiven) {
  std::string whole = frame("whole", 100);
  Feeder feeder(kBytesMax);
  EXPECT_TRUE(feeder.feed(std::string_view(whole).substr(0, whole.size() - 1), 50));
  EXPECT_TRUE(feeder.got.empty());
}

TEST(FrameDecoder, PayloadsAreMessagesThatCanBeReadInPlace) {
  capnp::MallocMessageBuilder builder;
  auto frame_builder = builder.initRoot<ClientFrame>();
  dlm::Operation sent;
  sent.sequence = Sequence(7);
  sent.resource = "orders/42";
  write(sent, frame_builder.initOperations().initList(1)[0]);
  auto flat = capnp::messageToFlatArray(builder);
  FrameDecoder decoder(kBytesMax);
  std::string stream =
      header(static_cast<std::uint32_t>(flat.asBytes().size())) + std::string(as_text(flat.asBytes()));
  auto space = decoder.space();
  std::memcpy(space.begin(), stream.data(), stream.size());
  std::vector<Words> payloads;
  ASSERT_TRUE(decoder.filled(stream.size(), payloads));
  ASSERT_EQ(payloads.size(), 1u);
  capnp::FlatArrayMessageReader reader(payloads[0]);
  auto operation = read(reader.getRoot<ClientFrame>().getOperations().getList()[0]);
  EXPECT_EQ(operation.sequence, Sequence(7));
  EXPECT_EQ(operation.resource, "orders/42");
}

}  // namespace
}  // namespace dlm::wire
