// GroupCore's snapshots: to a member that joins, and as one.
#include <string>
#include <utility>

#include "schema/text.h"
#include "server/core/group_core_impl.h"

namespace dlm::server {

void GroupCore::Impl::begin_or_cancel_snapshots() {
  std::vector<MemberName> cancelled = std::exchange(wanted_.cancel_snapshots, {});
  for (const MemberName& member : cancelled) {
    if (!outgoing_ || outgoing_->to != member) continue;
    note("snapshot for " + coordinator::to_string(member) + " broken off");
    outgoing_.reset();
  }
  std::vector<MemberName> begun = std::exchange(wanted_.begin_snapshots, {});
  for (const MemberName& member : begun) {
    outgoing_.reset();  // the writer before must be gone first: a table has one at a time
    outgoing_ = Outgoing{member, table_->snapshot(), 0};
    note("sends a snapshot to " + coordinator::to_string(member));
  }
}

void GroupCore::Impl::send_chunks(TimeMs now) {
  if (!outgoing_) return;
  for (const MemberName& to : replica_.want_install()) {
    if (!outgoing_ || outgoing_->to != to) continue;
    std::string chunk;
    const bool last = !outgoing_->writer->next(options_.snapshot_chunk_bytes, chunk);
    outgoing_->sent_bytes += chunk.size();
    Install message;
    replica_.next_install(to, std::move(chunk), last, now, message);
    if (message.to) out_.installs.push_back(std::move(message));
    if (!last) continue;
    note("snapshot for " + coordinator::to_string(to) + " handed out, " +
         format_size_bytes(outgoing_->sent_bytes));
    outgoing_.reset();
  }
}

void GroupCore::Impl::on_install(RequestId request, const MemberName& from, const Install& message,
                                 TimeMs now) {
  bool damaged = false;
  if (replica_.expects_install(from, message)) {
    if (message.first) {
      note("receives a snapshot from " + coordinator::to_string(from));
      incoming_ = LockTable::restore();
      received_.reset();
    }
    damaged = !incoming_ || !incoming_->feed(message.chunk);
    if (!damaged && message.last) {
      received_ = incoming_->finish();
      damaged = received_ == nullptr;
    }
    if (damaged) note("the snapshot from " + coordinator::to_string(from) + " is damaged: refused");
    if (damaged || message.last) incoming_.reset();
  }
  const std::size_t replies_before = wanted_.replies.size();
  replica_.on_install(from, message, damaged, now, wanted_);
  reply_added(replies_before, request);
  // At once: the replica has dropped what was still to be applied to the state before, and what it wants
  // applied from now on comes after the snapshot.
  if (std::exchange(wanted_.snapshot_installed, false)) install_snapshot();
}

void GroupCore::Impl::install_snapshot() {
  if (!received_) broken_invariant("a snapshot is installed only when it was received", replica_.describe());
  outgoing_.reset();  // it borrows the table
  own_snapshot_.reset();
  table_ = std::move(received_);
  if (options_.replica.durable) begin_own_snapshot();
  note("snapshot installed, at " + std::to_string(replica_.applied_index().value));
}

void GroupCore::Impl::start_empty() {
  outgoing_.reset();
  own_snapshot_.reset();
  incoming_.reset();
  received_.reset();
  table_ = std::make_unique<LockTable>();
  note("all that were in sync are lost: begins anew, empty, in era " +
       std::to_string(replica_.config().config.era));
}

}  // namespace dlm::server
