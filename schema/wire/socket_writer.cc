#include "schema/wire/socket_writer.h"

#include "schema/wire/turn.h"

namespace dlm::wire {

using boost::system::error_code;

void SocketWriter::schedule(std::shared_ptr<void> owner) {
  if (scheduled_ || waiting_ || stopped_) return;
  scheduled_ = true;
  Turn::of(socket_.get_executor().context())
      .at_end(Turn::Phase::send, this, std::move(owner), [](void* self, std::shared_ptr<void>&& kept) {
        auto* writer = static_cast<SocketWriter*>(self);
        writer->scheduled_ = false;
        writer->flush(std::move(kept));
      });
}

void SocketWriter::stop() {
  stopped_ = true;
  queued_.clear();
  writing_.clear();
  written_bytes_ = 0;
}

void SocketWriter::flush(std::shared_ptr<void> owner) {
  while (!stopped_) {
    if (written_bytes_ == writing_.size_bytes()) {
      writing_.clear();
      written_bytes_ = 0;
      if (queued_.size_bytes() == 0) return events_.on_drained();
      std::swap(queued_, writing_);
    }
    error_code error;
    auto rest = boost::asio::buffer(writing_.data() + written_bytes_, writing_.size_bytes() - written_bytes_);
    written_bytes_ += socket_.write_some(rest, error);
    if (error == boost::asio::error::would_block) {
      waiting_ = true;
      socket_.async_wait(boost::asio::ip::tcp::socket::wait_write,
                         [this, owner = std::move(owner)](const error_code& failed) mutable {
                           waiting_ = false;
                           if (failed) return fail(failed);
                           flush(std::move(owner));
                         });
      return;
    }
    if (error) return fail(error);
  }
}

void SocketWriter::fail(const error_code& error) {
  if (stopped_) return;
  stop();
  events_.on_error(error);
}

}  // namespace dlm::wire
