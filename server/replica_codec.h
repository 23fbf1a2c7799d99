// Between what servers say to each other (server/core/replica.h, move.h) and their Cap'n Proto form. Reading
// throws kj::Exception on a damaged message.
#pragma once

#include "schema/shard.capnp.h"
#include "server/core/move.h"
#include "server/core/replica.h"

namespace dlm::server {

void write(const Append& from, const MemberName& self, wire::Replica::AppendParams::Builder to);
void write(const Install& from, const MemberName& self, wire::Replica::InstallParams::Builder to);

// For the request that carries it.
capnp::MessageSize size_hint(const Append& message);
capnp::MessageSize size_hint(const Install& message);

// `to` of the message is not on the wire: greeting has made sure that a connection leads to the member meant.
Append read(wire::Replica::AppendParams::Reader from, const MemberName& to);
Install read(wire::Replica::InstallParams::Reader from, const MemberName& to);

// An arc for another group; `to` of it is a parameter beside it.
void write(const Transfer& from, wire::Transfer::Builder to);
Transfer read(wire::Transfer::Reader from, GroupId to);
capnp::MessageSize size_hint(const Transfer& transfer);

// For the results of both calls, which have the same fields.
template <class Builder>
void write_reply(const AppendReply& from, Builder to) {
  to.setEpoch(from.epoch.value);
  to.setRound(from.round);
  to.setAccepted(from.accepted);
  to.setLastIndex(from.last_index.value);
  to.setAsked(from.asked);
}

template <class Reader>
AppendReply read_reply(const Reader& from, const MemberName& sender) {
  AppendReply reply;
  reply.from = sender;
  reply.epoch = Epoch(from.getEpoch());
  reply.round = from.getRound();
  reply.accepted = from.getAccepted();
  reply.last_index = LogIndex(from.getLastIndex());
  reply.asked = from.getAsked();
  return reply;
}

}  // namespace dlm::server
