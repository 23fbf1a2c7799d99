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

// What the buffers of many connections may take together, beyond the little that each keeps while it is idle.
class BufferBudget {
 public:
  explicit BufferBudget(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  void add_connection() { ++connections_; }
  void remove_connection() { --connections_; }
  void charge(std::size_t before, std::size_t after) { used_ = used_ - before + after; }
  // All are over it, and one with so many bytes has more than its share.
  bool is_over(std::size_t own_bytes) const {
    return used_ > bytes_max_ && own_bytes > bytes_max_ / (connections_ + 1);
  }
  std::size_t used_bytes() const { return used_; }

 private:
  std::size_t bytes_max_;
  std::size_t used_ = 0;
  std::size_t connections_ = 0;
};

struct FrameLimits {
  std::size_t frame_bytes_max =
      kFrameBytesMax;  // of a payload; a header that announces more closes the connection
  std::size_t queue_bytes_max = 64u << 20;  // unsent bytes beyond this close the connection
  std::shared_ptr<BufferBudget> budget{};   // shared with other connections; none: no bound
};

// Takes bytes in any pieces, gives whole frames. Pure; the fuzz target of the edge.
class FrameDecoder {
 public:
  explicit FrameDecoder(std::size_t frame_bytes_max);
  ~FrameDecoder();

  // Room for the next read, aligned so that payloads can be used in place.
  kj::ArrayPtr<kj::byte> space();
  // `count` bytes of it were filled. Appends every whole payload now there; they stay valid until the next
  // space(). False: the stream is not of frames, or one is too long; error() says which. Final.
  bool filled(std::size_t count, std::vector<Words>& payloads);
  const std::string& error() const;
  // The beginning of a frame has come, and not its end.
  bool is_mid_frame() const;
  std::size_t capacity_bytes() const;

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
  // Frames that came, and whether the beginning of another one did: half a frame that never ends is the
  // user's to find.
  virtual std::uint64_t frames_received() const = 0;
  virtual bool is_mid_frame() const = 0;
  // It was closed because the peer sent what is no frame, or too much, or does not read.
  virtual bool at_fault() const = 0;
  // Sends what is queued (for at most a second), then closes.
  virtual void close(const std::string& why) = 0;
  virtual std::string peer() const = 0;  // host:port
};

}  // namespace dlm::wire
