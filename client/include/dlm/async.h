// The client's operations for Boost.Asio: each takes a completion token (use_awaitable, use_future, a
// callback, …) and completes with Result<T> on the token's associated executor, the client's I/O thread when
// it has none. The only public header that needs Boost.
//
// Cancellation (of any type, through the handler's cancellation slot) of an acquire withdraws the wait: it
// completes with Status::cancelled. Other operations are short and run to their end.
//
// An execution context that completions run on must outlive the Client: the I/O thread may still be leaving
// its post() when the handler has run.
#pragma once

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "dlm/client.h"

namespace dlm {

namespace client {

// Carries a result from the I/O thread to the handler's executor, keeping that executor's context busy
// meanwhile.
template <class T, class Handler>
class AsyncCompletion {
 public:
  explicit AsyncCompletion(Handler handler)
      : handler_(std::move(handler)), work_(boost::asio::make_work_guard(handler_)) {}

  static std::function<void(Result<T>)> as_function(std::shared_ptr<AsyncCompletion> self) {
    return [self = std::move(self)](Result<T> result) { finish(self, std::move(result)); };
  }

  // A token whose stop is requested through the handler's cancellation slot.
  std::stop_token cancellation() {
    auto slot = boost::asio::get_associated_cancellation_slot(handler_);
    if (!slot.is_connected()) return {};
    std::stop_source source;
    slot.assign([source](boost::asio::cancellation_type) mutable { source.request_stop(); });
    return source.get_token();
  }

 private:
  using Executor = boost::asio::associated_executor_t<Handler>;

  static void finish(const std::shared_ptr<AsyncCompletion>& self, Result<T> result) {
    // In a shared_ptr, because executors may want to copy what they run.
    auto run = [self, result = std::make_shared<Result<T>>(std::move(result))] {
      auto slot = boost::asio::get_associated_cancellation_slot(self->handler_);
      if (slot.is_connected()) slot.clear();
      Handler handler = std::move(self->handler_);
      self->work_.reset();
      std::move(handler)(std::move(*result));
    };
    // The handler may be the last work of its context, which may be destroyed right after it: not before this
    // thread has left post().
    auto work = self->work_;
    Executor executor = boost::asio::get_associated_executor(self->handler_);
    // The system executor would post to threads of its own; a handler without an executor runs where the
    // result came.
    if constexpr (std::is_same_v<Executor, boost::asio::system_executor>) {
      boost::asio::dispatch(executor, std::move(run));
    } else {
      boost::asio::post(executor, std::move(run));
    }
  }

  Handler handler_;
  boost::asio::executor_work_guard<Executor> work_;
};

// Begins an operation: `start` is called with the function to call when it is done, and the stop token of the
// handler.
template <class T, class CompletionToken, class Start>
auto async_start(CompletionToken&& token, Start start) {
  return boost::asio::async_initiate<CompletionToken, void(Result<T>)>(
      [](auto handler, Start begin) {
        using Completion = AsyncCompletion<T, std::decay_t<decltype(handler)>>;
        auto completion = std::make_shared<Completion>(std::move(handler));
        std::stop_token stop = completion->cancellation();
        std::move(begin)(Completion::as_function(std::move(completion)), std::move(stop));
      },
      token, std::move(start));
}

// The operation that withdraws a wait when either token is stopped: the handler's, or the caller's own in the
// options.
struct StopEither {
  std::stop_source source;
  struct Request {
    std::stop_source source;
    void operator()() { source.request_stop(); }
  };
  std::stop_callback<Request> first;
  std::stop_callback<Request> second;
  StopEither(std::stop_token a, std::stop_token b)
      : first(std::move(a), Request{source}), second(std::move(b), Request{source}) {}
};

}  // namespace client

// As Client::acquire. The client must outlive the operation.
template <class CompletionToken>
auto async_acquire(Client& client, std::string_view resource, AcquireOptions options,
                   CompletionToken&& token) {
  return client::async_start<Lock>(
      std::forward<CompletionToken>(token),
      [&client, name = std::string(resource), options = std::move(options)](auto done,
                                                                            std::stop_token stop) mutable {
        if (!stop.stop_possible()) return client.start_acquire(name, std::move(options), std::move(done));
        auto either = std::make_shared<client::StopEither>(std::move(stop), std::move(options.stop));
        options.stop = either->source.get_token();
        client.start_acquire(name, std::move(options), [either, done = std::move(done)](Result<Lock> result) {
          done(std::move(result));
        });
      });
}

// As Client::try_acquire.
template <class CompletionToken>
auto async_try_acquire(Client& client, std::string_view resource, AcquireOptions options,
                       CompletionToken&& token) {
  options.wait = std::chrono::milliseconds{0};
  return async_acquire(client, resource, std::move(options), std::forward<CompletionToken>(token));
}

// As Client::acquire_detached.
template <class CompletionToken>
auto async_acquire_detached(Client& client, std::string_view resource, AcquireOptions options,
                            CompletionToken&& token) {
  return client::async_start<DetachedHold>(
      std::forward<CompletionToken>(token),
      [&client, name = std::string(resource), options = std::move(options)](auto done,
                                                                            std::stop_token stop) mutable {
        if (!stop.stop_possible())
          return client.start_acquire_detached(name, std::move(options), std::move(done));
        auto either = std::make_shared<client::StopEither>(std::move(stop), std::move(options.stop));
        options.stop = either->source.get_token();
        client.start_acquire_detached(
            name, std::move(options),
            [either, done = std::move(done)](Result<DetachedHold> result) { done(std::move(result)); });
      });
}

// As Lock::release.
template <class CompletionToken>
auto async_release(Lock lock, CompletionToken&& token) {
  return client::async_start<ReleaseInfo>(
      std::forward<CompletionToken>(token),
      [lock = std::move(lock)](auto done, std::stop_token) mutable { lock.start_release(std::move(done)); });
}

// As Lock::renew. `lock` must not be moved or destroyed before the operation has begun.
template <class CompletionToken>
auto async_renew(Lock& lock, std::optional<std::chrono::milliseconds> lease, CompletionToken&& token) {
  return client::async_start<std::chrono::milliseconds>(
      std::forward<CompletionToken>(token),
      [&lock, lease](auto done, std::stop_token) { lock.start_renew(lease, std::move(done)); });
}

// As Client::release_detached and renew_detached.
template <class CompletionToken>
auto async_release_detached(Client& client, DetachedHold hold, CompletionToken&& token) {
  return client::async_start<ReleaseInfo>(std::forward<CompletionToken>(token),
                                          [&client, hold = std::move(hold)](auto done, std::stop_token) {
                                            client.start_release_detached(hold, std::move(done));
                                          });
}
template <class CompletionToken>
auto async_renew_detached(Client& client, DetachedHold hold, std::chrono::milliseconds lease,
                          CompletionToken&& token) {
  return client::async_start<DetachedHold>(
      std::forward<CompletionToken>(token),
      [&client, hold = std::move(hold), lease](auto done, std::stop_token) {
        client.start_renew_detached(hold, lease, std::move(done));
      });
}

// As Client::inspect and status.
template <class CompletionToken>
auto async_inspect(Client& client, std::string_view resource, CompletionToken&& token) {
  return client::async_start<LockReport>(std::forward<CompletionToken>(token),
                                         [&client, name = std::string(resource)](auto done, std::stop_token) {
                                           client.start_inspect(name, std::move(done));
                                         });
}
template <class CompletionToken>
auto async_status(Client& client, CompletionToken&& token) {
  return client::async_start<ClusterReport>(
      std::forward<CompletionToken>(token),
      [&client](auto done, std::stop_token) { client.start_status(std::move(done)); });
}

}  // namespace dlm
