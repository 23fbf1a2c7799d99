#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <utility>

#include "schema/wire/frame.h"
#include "schema/wire/socket_options.h"
#include "schema/wire/socket_writer.h"

namespace dlm::wire {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

// How long close() may take to send what is queued, and then to wait for the peer to close its side.
constexpr std::chrono::milliseconds kCloseTime(1'000);
// What a connection reads into is not charged to the budget up to this.
constexpr std::size_t kFreeBytes = 64u << 10;

std::string describe(const error_code& error) {
  if (error == boost::asio::error::eof) return "closed by the peer";
  return "connection lost: " + error.message();
}

class SocketFrameConnection final : public FrameConnection {
 public:
  SocketFrameConnection(tcp::socket socket, const FrameLimits& limits)
      : socket_(std::move(socket)),
        limits_(limits),
        peer_(peer_name(socket_)),
        decoder_(limits.frame_bytes_max),
        writer_(socket_, {.on_error = [this](const error_code& error) { write_failed(error); },
                          .on_drained = [this] { drained(); }}),
        close_timer_(socket_.get_executor()) {
    set_socket_options(socket_);
    if (limits_.budget) limits_.budget->add_connection();
  }
  ~SocketFrameConnection() override {
    if (!limits_.budget) return;
    limits_.budget->charge(charged_bytes_, 0);
    limits_.budget->remove_connection();
  }

  void start(Events events) override;
  void send(capnp::MessageBuilder& message) override;
  std::size_t queued_bytes() const override { return writer_.queued_bytes(); }
  std::uint64_t frames_received() const override { return frames_; }
  bool is_mid_frame() const override { return decoder_.is_mid_frame(); }
  bool at_fault() const override { return at_fault_; }
  void close(const std::string& why) override;
  std::string peer() const override { return peer_; }

 private:
  enum class State {
    open,
    closing,    // close() was called: what is queued still leaves
    lingering,  // over for the user; reads what the peer still sends, so that its kernel delivers our last
                // frames
    closed,
  };

  std::shared_ptr<SocketFrameConnection> self() {
    return std::static_pointer_cast<SocketFrameConnection>(shared_from_this());
  }
  void read();
  void handle_read(const error_code& error, std::size_t count);
  void deliver(std::size_t count);
  void charge_budget();
  bool is_over_budget() const;
  void drained();
  void write_failed(const error_code& error);
  void shut_after(std::chrono::milliseconds delay, const std::string& why);
  void linger();
  void cut_off(const std::string& why);
  void shut(const std::string& why);
  void report_close();
  void close_socket();

  tcp::socket socket_;
  const FrameLimits limits_;
  const std::string peer_;
  FrameDecoder decoder_;
  SocketWriter writer_;
  boost::asio::steady_timer close_timer_;
  Events events_;
  State state_ = State::open;
  std::string why_;
  bool started_ = false;
  bool reported_ = false;
  bool at_fault_ = false;
  std::uint64_t frames_ = 0;
  std::size_t charged_bytes_ = 0;  // to the budget
  std::vector<Words> payloads_;    // of one read; a member for its memory
};

void SocketFrameConnection::start(Events events) {
  events_ = std::move(events);
  started_ = true;
  if (state_ != State::open) {
    if (reported_) {
      reported_ = false;
      report_close();
    }
    return;
  }
  read();
}

void SocketFrameConnection::read() {
  auto space = decoder_.space();
  charge_budget();
  if (is_over_budget())
    return cut_off("the buffers of all connections are full, and it sends too large a frame");
  socket_.async_read_some(
      boost::asio::buffer(space.begin(), space.size()),
      [self = self()](const error_code& error, std::size_t count) { self->handle_read(error, count); });
}

void SocketFrameConnection::handle_read(const error_code& error, std::size_t count) {
  if (state_ == State::closed) return;
  if (error) return shut(describe(error));
  // Later than close() nothing is delivered: the bytes are read to be dropped.
  if (state_ == State::open) deliver(count);
  if (state_ != State::closed) read();
}

void SocketFrameConnection::deliver(std::size_t count) {
  payloads_.clear();
  bool good = decoder_.filled(count, payloads_);
  frames_ += payloads_.size();
  try {
    if (!payloads_.empty()) events_.on_frames(payloads_);
  } catch (const kj::Exception& e) {
    close(std::string("bad frame: ") + e.getDescription().cStr());
  } catch (const std::exception& e) {
    close(std::string("bad frame: ") + e.what());
  }
  if (good || state_ != State::open) return;
  at_fault_ = true;
  close(decoder_.error());
}

// To be called whenever the buffers changed.
void SocketFrameConnection::charge_budget() {
  if (!limits_.budget) return;
  const std::size_t in_bytes = decoder_.capacity_bytes();
  const std::size_t bytes = writer_.queued_bytes() + (in_bytes > kFreeBytes ? in_bytes : 0);
  limits_.budget->charge(std::exchange(charged_bytes_, bytes), bytes);
}

bool SocketFrameConnection::is_over_budget() const {
  return charged_bytes_ > kFreeBytes && limits_.budget->is_over(charged_bytes_);
}

void SocketFrameConnection::send(capnp::MessageBuilder& message) {
  if (state_ != State::open || writer_.stopped()) return;
  auto segments = message.getSegmentsForOutput();
  std::size_t bytes = flat_size_bytes(segments);
  if (bytes > limits_.frame_bytes_max) {
    return close("a frame of " + std::to_string(bytes) + " bytes can't be sent: the limit is " +
                 std::to_string(limits_.frame_bytes_max));
  }
  if (writer_.queued_bytes() + kFrameHeaderBytes + bytes > limits_.queue_bytes_max) {
    return cut_off("the peer reads too slowly: " + std::to_string(writer_.queued_bytes()) +
                   " bytes are unsent");
  }
  writer_.queue().append_bytes(kFrameMagic);
  writer_.queue().append_u32(static_cast<std::uint32_t>(bytes));
  writer_.queue().append_message(segments);
  charge_budget();
  if (is_over_budget()) {
    return cut_off("the buffers of all connections are full, and the peer reads too slowly: " +
                   std::to_string(writer_.queued_bytes()) + " bytes are unsent");
  }
  writer_.schedule(self());
}

void SocketFrameConnection::close(const std::string& why) {
  if (state_ != State::open) return;
  state_ = State::closing;
  why_ = why;
  if (writer_.stopped()) return shut(why);
  shut_after(kCloseTime, why);
  writer_.schedule(self());
}

void SocketFrameConnection::shut_after(std::chrono::milliseconds delay, const std::string& why) {
  close_timer_.expires_after(delay);
  close_timer_.async_wait([self = self(), why](const error_code& cancelled) {
    if (!cancelled) self->shut(why);
  });
}

// The peer's last words (a refusal, say) may still be unread: the end is left to the reading side, which
// comes to it soon.
void SocketFrameConnection::write_failed(const error_code& error) {
  if (state_ == State::open) return shut_after(kCloseTime, describe(error));
  shut(why_);
}

// Everything queued left.
void SocketFrameConnection::drained() {
  charge_budget();
  if (state_ == State::closing) linger();
}

// Closing a socket while bytes of the peer are unread resets the connection, and the peer's kernel may then
// throw away our last frames: a refusal would never be seen. So only our half is closed until the peer has
// closed its own.
void SocketFrameConnection::linger() {
  state_ = State::lingering;
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  report_close();
  if (!started_) close_socket();
}

void SocketFrameConnection::cut_off(const std::string& why) {
  at_fault_ = true;
  shut(why);
}

// The end without further ado.
void SocketFrameConnection::shut(const std::string& why) {
  if (state_ == State::closed) return;
  if (state_ == State::open) why_ = why;
  close_socket();
  report_close();
}

void SocketFrameConnection::close_socket() {
  state_ = State::closed;
  if (limits_.budget) limits_.budget->charge(std::exchange(charged_bytes_, 0), 0);
  writer_.stop();
  close_timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

void SocketFrameConnection::report_close() {
  if (reported_) return;
  reported_ = true;
  if (!started_) return;  // start() will
  // Posted, so that it never comes from within a call of the user, nor while on_frames runs; moved, so that
  // what the callbacks hold is let go.
  boost::asio::post(socket_.get_executor(), [self = self()] {
    Events events = std::move(self->events_);
    if (events.on_close) events.on_close(self->why_);
  });
}

}  // namespace

std::shared_ptr<FrameConnection> FrameConnection::make(tcp::socket socket, const FrameLimits& limits) {
  return std::make_shared<SocketFrameConnection>(std::move(socket), limits);
}

}  // namespace dlm::wire
