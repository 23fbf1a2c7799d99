// Reads what routers send. Throws kj::Exception on a damaged message.
#pragma once

#include <capnp/message.h>

#include <optional>
#include <variant>

#include "client/core/session_core.h"
#include "schema/client.capnp.h"
#include "schema/report.h"
#include "schema/wire/frame.h"

namespace dlm::client {

// For the reader of a frame: each part of it is read once, or nearly so.
capnp::ReaderOptions limits_of(wire::Words frame);

// None: of a kind that a later protocol has.
std::optional<SessionNotice> read(wire::SessionEvent::Reader from);

using ReportContent = std::variant<std::monostate, LockReport, LockPage, ClusterReport, GroupReport,
                                   RingReport, PlaceReport, RecoveryReport>;
// Monostate: none, or of a kind that a later protocol has.
ReportContent read(wire::Report::Reader from);

}  // namespace dlm::client
