#include "client/error.h"

#include <ctime>

#include "schema/text.h"

namespace dlm {

namespace {

std::string time_of_day(std::chrono::system_clock::time_point at) {
  std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  std::tm parts{};
  localtime_r(&seconds, &parts);
  char text[32];
  std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return std::string(text, length);
}

std::string describe_holder(const Holder& holder) {
  std::string text = "held by " + printable(holder.client_id);
  if (!holder.owner_tag.empty()) text += "/" + printable(holder.owner_tag);
  if (holder.since != std::chrono::system_clock::time_point{}) text += " since " + time_of_day(holder.since);
  return text;
}

}  // namespace

std::string Error::describe() const {
  std::string text;
  if (!resource.empty()) text = "lock \"" + printable(resource) + "\": ";
  text += to_string(status);
  if (status == Status::not_held && cause != EndCause::none)
    text += " (" + std::string(to_string(cause)) + ")";
  if (!holder.client_id.empty()) text += ", " + describe_holder(holder);
  if (!message.empty()) text += ": " + message;
  if (retry_after.count() != 0)
    text += " (worth trying again in " + std::to_string(retry_after.count()) + " ms)";
  if (outcome_unknown) text += " (it is not known whether it was done)";
  return text;
}

namespace client {

Holder to_holder(const HolderInfo& info) {
  Holder holder;
  holder.client_id = info.client_id;
  holder.owner_tag = info.owner_tag;
  if (info.since_unix_ms != 0) {
    holder.since = std::chrono::system_clock::time_point(std::chrono::milliseconds(info.since_unix_ms));
  }
  return holder;
}

Error to_error(const Answer& answer, const std::string& resource, bool outcome_unknown) {
  Error error;
  error.status = answer.status;
  if (error.status == Status::session_unknown) error.status = Status::session_expired;
  if (error.status == Status::moved || error.status == Status::not_primary)
    error.status = Status::unavailable;
  error.cause = answer.cause;
  error.group = answer.group;
  error.holder = to_holder(answer.holder);
  error.resource = resource;
  error.message = answer.message;
  error.retry_after = std::chrono::milliseconds(answer.retry_after_ms);
  error.outcome_unknown = outcome_unknown;
  return error;
}

Error make_error(Status status, const std::string& resource, const std::string& message) {
  Error error;
  error.status = status;
  error.resource = resource;
  error.message = message;
  return error;
}

}  // namespace client
}  // namespace dlm
