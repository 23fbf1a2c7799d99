#include "schema/wire/rpc_stream.h"

#include <capnp/rpc.capnp.h>
#include <capnp/serialize.h>
#include <kj/debug.h>

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstring>
#include <utility>

#include "schema/wire/buffers.h"
#include "schema/wire/socket_options.h"
#include "schema/wire/socket_writer.h"

namespace dlm::wire {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
using Message = kj::Maybe<capnp::MessageReaderAndFds>;

constexpr std::uint64_t kSegmentsMax = 512;  // as in Cap'n Proto's own streams
// A Finish waits so long for a message to ride along with.
constexpr std::chrono::milliseconds kFinishDelay(10);

kj::Exception disconnected(kj::StringPtr why) {
  return kj::Exception(kj::Exception::Type::DISCONNECTED, __FILE__, __LINE__, kj::heapString(why));
}

// Whether the peer only frees memory for it: Finish, which follows each answer. To wake a process for one
// costs more than the call itself.
bool can_wait(kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) {
  capnp::SegmentArrayMessageReader message(segments);
  return message.getRoot<capnp::rpc::Message>().isFinish();
}

struct Storage {
  kj::Array<capnp::word> words;
};

// A message with the memory it lies in.
class StoredMessage final : private Storage, public capnp::FlatArrayMessageReader {
 public:
  StoredMessage(kj::Array<capnp::word> message, capnp::ReaderOptions reader_options)
      : Storage{kj::mv(message)}, FlatArrayMessageReader(words, reader_options) {}
};

}  // namespace

capnp::ReaderOptions limits_of_message(std::size_t words) {
  // Each getter of a structure counts what it points to again.
  constexpr std::uint64_t kTraversals = 8;
  capnp::ReaderOptions options;
  options.traversalLimitInWords = kTraversals * words + 1'024;
  return options;
}

// What the socket's handlers need; they keep it alive, the stream shuts it when it goes.
struct RpcStream::State : std::enable_shared_from_this<State> {
  State(tcp::socket connected, const RpcLimits& rpc_limits)
      : socket(std::move(connected)),
        limits(rpc_limits),
        finish_timer(socket.get_executor()),
        writer(socket,
               {.on_error = [this](const error_code&) { drained(); }, .on_drained = [this] { drained(); }}) {
    set_socket_options(socket);
  }

  // The message at the beginning of the buffer, or null when it is not whole. Throws when it is no message,
  // or too long.
  Message take_message();
  void read();
  void handle_read(const error_code& error, std::size_t count);
  // Hands a message, or the end, to the waiting reader.
  void serve_reader();
  void send_soon();
  void drained();
  // The connection is of no use any more. Null: the peer closed it.
  void lose(kj::Maybe<kj::Exception> why);

  tcp::socket socket;
  const RpcLimits limits;
  InputBuffer input;
  std::size_t message_bytes = 0;  // of the message at the beginning of the buffer, as far as known
  boost::asio::steady_timer finish_timer;
  bool finish_waiting = false;
  SocketWriter writer;
  bool reading = false;
  bool lost = false;
  kj::Maybe<kj::Exception> lost_why;
  kj::PromiseFulfiller<Message>* reader = nullptr;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> drain_waiter;
};

namespace {

// Waits for a message; dropped, it leaves the stream as it is.
struct ReadWaiter {
  ReadWaiter(kj::PromiseFulfiller<Message>& fulfiller, std::shared_ptr<RpcStream::State> stream)
      : state(std::move(stream)) {
    state->reader = &fulfiller;
    state->read();
  }
  ~ReadWaiter() { state->reader = nullptr; }
  ReadWaiter(const ReadWaiter&) = delete;
  ReadWaiter& operator=(const ReadWaiter&) = delete;

  std::shared_ptr<RpcStream::State> state;
};

}  // namespace

Message RpcStream::State::take_message() {
  auto words = input.words();
  if (words.size() == 0) return nullptr;
  std::uint32_t last_segment = 0;
  std::memcpy(&last_segment, words.begin(), sizeof(last_segment));
  KJ_REQUIRE(last_segment < kSegmentsMax, "the peer does not speak Cap'n Proto RPC");
  // At first what the part of the segment table that is there adds up to.
  std::uint64_t expected_words = capnp::expectedSizeInWordsFromPrefix(words);
  KJ_REQUIRE(expected_words <= limits.message_bytes_max / kWordBytes, "message is over the limit",
             expected_words * kWordBytes, limits.message_bytes_max);
  message_bytes = expected_words * kWordBytes;
  if (expected_words > words.size()) return nullptr;
  auto copy = kj::heapArray<capnp::word>(expected_words);
  std::memcpy(copy.begin(), words.begin(), message_bytes);
  input.consume(message_bytes);
  message_bytes = 0;
  return capnp::MessageReaderAndFds{kj::heap<StoredMessage>(kj::mv(copy), limits_of_message(expected_words)),
                                    nullptr};
}

void RpcStream::State::read() {
  if (reading || lost) return;
  reading = true;
  auto space = input.space(message_bytes);
  socket.async_read_some(boost::asio::buffer(space.begin(), space.size()),
                         [self = shared_from_this()](const error_code& error, std::size_t count) {
                           self->handle_read(error, count);
                         });
}

void RpcStream::State::handle_read(const error_code& error, std::size_t count) {
  reading = false;
  if (lost) return;
  if (!error) {
    input.filled(count);
  } else if (error == boost::asio::error::eof) {
    if (input.size_bytes() == 0) {
      lose(nullptr);
    } else {
      lose(disconnected("connection closed in the middle of a message"));
    }
  } else {
    lose(disconnected(kj::str("connection lost: ", error.message().c_str())));
  }
  serve_reader();
}

void RpcStream::State::serve_reader() {
  if (reader == nullptr) return;
  auto& waiting = *reader;
  if (!lost) {
    KJ_IF_MAYBE (failure, kj::runCatchingExceptions([&] {
                   auto message = take_message();
                   if (message != nullptr) {
                     reader = nullptr;
                     waiting.fulfill(kj::mv(message));
                   } else {
                     read();
                   }
                 })) {
      // Writing goes on: the RPC system's last message tells the peer what was wrong.
      reader = nullptr;
      waiting.reject(disconnected(failure->getDescription()));
    }
    return;
  }
  reader = nullptr;
  KJ_IF_MAYBE (why, lost_why) {
    waiting.reject(kj::cp(*why));
  } else {
    waiting.fulfill(nullptr);
  }
}

void RpcStream::State::send_soon() {
  if (std::exchange(finish_waiting, true)) return;
  finish_timer.expires_after(kFinishDelay);
  finish_timer.async_wait([self = shared_from_this()](const error_code& cancelled) {
    self->finish_waiting = false;
    if (!cancelled && self->writer.queued_bytes() > 0) self->writer.schedule(self);
  });
}

void RpcStream::State::drained() {
  KJ_IF_MAYBE (waiter, drain_waiter) {
    (*waiter)->fulfill();
    drain_waiter = nullptr;
  }
}

void RpcStream::State::lose(kj::Maybe<kj::Exception> why) {
  if (lost) return;
  lost = true;
  lost_why = kj::mv(why);
  writer.stop();
  finish_timer.cancel();
  error_code ignored;
  socket.close(ignored);
  drained();
}

RpcStream::RpcStream(EventLoop& loop, tcp::socket socket, const RpcLimits& limits)
    : loop_(loop), state_(std::make_shared<State>(std::move(socket), limits)) {}

RpcStream::~RpcStream() {
  state_->reader = nullptr;
  state_->lose(disconnected("connection closed"));
}

kj::Promise<Message> RpcStream::tryReadMessage(kj::ArrayPtr<kj::AutoCloseFd>, capnp::ReaderOptions,
                                               kj::ArrayPtr<capnp::word>) {
  if (state_->lost) {
    KJ_IF_MAYBE (why, state_->lost_why) {
      return kj::cp(*why);
    }
    return Message(nullptr);
  }
  kj::Maybe<kj::Promise<Message>> result;
  KJ_IF_MAYBE (failure, kj::runCatchingExceptions([&] {
                 auto message = state_->take_message();
                 if (message != nullptr) result = kj::Promise<Message>(kj::mv(message));
               })) {
    return disconnected(failure->getDescription());
  }
  KJ_IF_MAYBE (ready, result) {
    return kj::mv(*ready);
  }
  return kj::newAdaptedPromise<Message, ReadWaiter>(state_);
}

kj::Promise<void> RpcStream::writeMessage(kj::ArrayPtr<const int>,
                                          kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) {
  if (state_->lost || state_->writer.stopped()) return kj::READY_NOW;
  if (queued_bytes() + flat_size_bytes(segments) > state_->limits.queue_bytes_max) {
    auto why = disconnected(kj::str("the peer reads too slowly: ", queued_bytes(), " bytes are unsent"));
    state_->lose(kj::cp(why));
    return why;
  }
  state_->writer.queue().append_message(segments);
  if (can_wait(segments)) {
    state_->send_soon();
  } else {
    state_->writer.schedule(state_);
  }
  return kj::READY_NOW;
}

kj::Promise<void> RpcStream::writeMessages(
    kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) {
  for (auto segments : messages) {
    auto written = writeMessage(nullptr, segments);
    if (state_->lost) return written;
  }
  return kj::READY_NOW;
}

kj::Maybe<int> RpcStream::getSendBufferSize() {
  return nullptr;
}

kj::Promise<void> RpcStream::end() {
  if (state_->lost) return kj::READY_NOW;
  kj::Promise<void> flushed = kj::READY_NOW;
  if (state_->writer.queued_bytes() > 0) {
    state_->writer.schedule(state_);
    auto waiter = kj::newPromiseAndFulfiller<void>();
    state_->drain_waiter = kj::mv(waiter.fulfiller);
    flushed = waiter.promise.exclusiveJoin(loop_.timer().afterDelay(1 * kj::SECONDS));
  }
  return flushed.then([state = state_] {
    error_code ignored;
    state->socket.shutdown(tcp::socket::shutdown_send, ignored);
  });
}

std::size_t RpcStream::queued_bytes() const {
  return state_->writer.queued_bytes();
}

}  // namespace dlm::wire
