// The client edge: frames on a Boost.Asio socket. A frame is an 8-byte header (the magic "DLM1", the
// payload's length in bytes, little-endian) and a Cap'n Proto message in its standard flat form. No KJ loop:
// the client library needs none.
#pragma once

#include <capnp/message.h>
#include <kj/array.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "schema/limits.h"

namespace dlm::wire {

using Words = kj::ArrayPtr<const capnp::word>;

inline constexpr std::string_view kFrameMagic = "DLM1";
inline constexpr std::size_t kFrameHeaderBytes = 8;

struct FrameLimits {
  std::size_t frame_bytes_max =
      kFrameBytesMax;  // of a payload; a header that announces more closes the connection
  std::size_t queue_bytes_max = 64u << 20;  // unsent bytes beyond this close the connection
};

// Takes bytes in any pieces, gives whole frames. Pure; the fuzz target of the edge.
class FrameDecoder {
 public:
  explicit FrameDecoder(std::size_t frame_bytes_max);
  ~FrameDecoder();

  // Room for the next read, at least 16 KiB, aligned so that payloads can be used in place.
  kj::ArrayPtr<kj::byte> space();
  // `count` bytes of it were filled. Appends every whole payload now there; they stay valid until the next
  // space(). False: the stream is not of frames, or one is too long; error() says which. Final.
  bool filled(std::size_t count, std::vector<Words>& payloads);
  const std::string& error() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// One connection. Used from its socket's executor only. Kept alive by its shared_ptr and its pending
// operations.
class FrameConnection : public std::enable_shared_from_this<FrameConnection> {
 public:
  struct Events {
    // All frames of one read. The words are valid during the call. Bad messages are the receiver's to find:
    // it reads them within a try block (capnp throws) and closes.
    std::function<void(const std::vector<Words>&)> on_frames;
    // Once, whoever closed; never from within a call of send() or close().
    std::function<void(const std::string& why)> on_close;
  };

  static std::shared_ptr<FrameConnection> make(boost::asio::ip::tcp::socket socket,
                                               const FrameLimits& limits);
  virtual ~FrameConnection() = default;

  // Begins to read.
  virtual void start(Events events) = 0;
  // Queues a frame. Everything queued in one turn of the loop leaves in one write. Ignored once closed. A
  // message over frame_bytes_max is not sent and closes the connection: split lists before.
  virtual void send(capnp::MessageBuilder& message) = 0;
  virtual std::size_t queued_bytes() const = 0;
  // Sends what is queued (for at most a second), then closes.
  virtual void close(const std::string& why) = 0;
  virtual std::string peer() const = 0;  // host:port
};

}  // namespace dlm::wire
