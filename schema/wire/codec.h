// Between plain values (schema/operation.h, schema/report.h) and Cap'n Proto messages. Reading throws
// kj::Exception on a damaged message, as all of Cap'n Proto's readers do; unknown enumeration numbers pass
// through to who judges them.
#pragma once

#include "schema/common.capnp.h"
#include "schema/operation.h"
#include "schema/report.h"

namespace dlm::wire {

void write(const dlm::Operation& from, Operation::Builder to);
// The strings are borrowed from the message.
dlm::Operation read(Operation::Reader from);

void write(const dlm::Answer& from, Answer::Builder to);
dlm::Answer read(Answer::Reader from);

void write(const LockReport& from, Lock::Builder to);
LockReport read(Lock::Reader from);
void write(const dlm::LockPage& from, LockPage::Builder to);
dlm::LockPage read(LockPage::Reader from);
void write(const GroupReport& from, GroupStatus::Builder to);
GroupReport read(GroupStatus::Reader from);
void write(const ClusterReport& from, ClusterStatus::Builder to);
ClusterReport read(ClusterStatus::Reader from);
void write(const RingReport& from, RingStatus::Builder to);
RingReport read(RingStatus::Reader from);
void write(const PlaceReport& from, Place::Builder to);
PlaceReport read(Place::Reader from);
void write(const RecoveryReport& from, Recovery::Builder to);
RecoveryReport read(Recovery::Reader from);
void write(const dlm::RingChange& from, RingChange::Builder to);
dlm::RingChange read(RingChange::Reader from);

// Hints for messages that are to lie in one segment: what an element of a list takes, at least.
std::uint64_t words_of(const dlm::Operation& op);
std::uint64_t words_of(const dlm::Answer& answer);
// Of a call that carries `words` of lists and a few fields.
capnp::MessageSize size_hint(std::uint64_t words);

kj::ArrayPtr<const kj::byte> as_bytes(std::string_view text);
std::string_view as_text(capnp::Data::Reader data);
std::string_view as_text(capnp::Text::Reader text);

}  // namespace dlm::wire
