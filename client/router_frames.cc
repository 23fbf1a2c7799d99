#include "client/router_frames.h"

#include "schema/wire/codec.h"

namespace dlm::client {

capnp::ReaderOptions limits_of(wire::Words frame) {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = 4 * frame.size() + 1'024;
  return options;
}

std::optional<SessionNotice> read(wire::SessionEvent::Reader from) {
  if (from.getKind() > wire::SessionEvent::Kind::ENDED) return std::nullopt;
  SessionNotice notice;
  notice.kind = static_cast<SessionNotice::Kind>(from.getKind());
  notice.group = GroupId(from.getGroup());
  notice.generation = from.getGeneration();
  notice.ttl_ms = from.getTtlMs();
  notice.cause = from.getCause();
  for (std::uint32_t group : from.getMovedTo()) notice.moved_to.emplace_back(group);
  return notice;
}

ReportContent read(wire::Report::Reader from) {
  switch (from.which()) {
    case wire::Report::LOCK:
      return wire::read(from.getLock());
    case wire::Report::PAGE:
      return wire::read(from.getPage());
    case wire::Report::GROUP:
      return wire::read(from.getGroup());
    case wire::Report::CLUSTER:
      return wire::read(from.getCluster());
    case wire::Report::RING:
      return wire::read(from.getRing());
    case wire::Report::PLACE:
      return wire::read(from.getPlace());
    case wire::Report::RECOVERY:
      return wire::read(from.getRecovery());
    default:
      return {};
  }
}

}  // namespace dlm::client
