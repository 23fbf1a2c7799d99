#include "coordinator/zookeeper_registration.h"

#include <utility>

namespace dlm::coordinator {

ZookeeperRegistration::ZookeeperRegistration(ZookeeperClient& client, Request request)
    : client_(client), request_(std::move(request)) {}

void ZookeeperRegistration::resume(std::int64_t session) {
  if (phase_ == Phase::done) return;
  ++round_;
  session_ = session;
  attempt();
}

void ZookeeperRegistration::pause() {
  if (phase_ == Phase::done) return;
  ++round_;
  phase_ = Phase::away;
}

void ZookeeperRegistration::on_event(const ZookeeperEvent& event) {
  if (phase_ == Phase::waiting && event.path == request_.path) attempt();
}

ZookeeperClient::Done ZookeeperRegistration::step(std::function<void(const ZookeeperResult&)> next) {
  return
      [this, weak = weak_from_this(), round = round_, next = std::move(next)](const ZookeeperResult& result) {
        std::shared_ptr<ZookeeperRegistration> self = weak.lock();
        if (!self) return;
        if (round != round_ || phase_ == Phase::done) return;
        if (result.code == ZookeeperCode::lost || result.code == ZookeeperCode::ended)
          return;  // resume() or fail()
        next(result);
      };
}

void ZookeeperRegistration::attempt() {
  phase_ = Phase::trying;
  client_.create(request_.path, request_.data, true, step([this](const ZookeeperResult& result) {
                   if (result.code == ZookeeperCode::ok) return finish(true, "");
                   if (result.code == ZookeeperCode::node_exists) return look();
                   refused(result);
                 }));
}

void ZookeeperRegistration::look() {
  client_.get(request_.path, true, step([this](const ZookeeperResult& result) {
                if (result.code == ZookeeperCode::no_node) return attempt();
                if (result.code != ZookeeperCode::ok) return refused(result);
                // Ours: created by a request whose answer was lost.
                if (result.ephemeral_owner == session_) return finish(true, "");
                waits(result);
              }));
}

void ZookeeperRegistration::waits(const ZookeeperResult& holder) {
  if (patience_over_) return finish(false, request_.taken_text(holder.data));
  phase_ = Phase::waiting;
}

void ZookeeperRegistration::give_up(const std::string& unreachable) {
  if (phase_ == Phase::done) return;
  patience_over_ = true;
  if (phase_ == Phase::away) return finish(false, unreachable);
  if (phase_ == Phase::waiting) attempt();
}

void ZookeeperRegistration::fail(const std::string& why) {
  if (phase_ != Phase::done) finish(false, why);
}

void ZookeeperRegistration::refused(const ZookeeperResult& result) {
  finish(false, "ZooKeeper refuses the registration at " + request_.path + ": " + result.text);
}

void ZookeeperRegistration::finish(bool ok, const std::string& why) {
  phase_ = Phase::done;
  registered_ = ok;
  request_.done(ok, why);
}

}  // namespace dlm::coordinator
