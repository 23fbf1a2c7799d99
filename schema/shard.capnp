@0xe57b20d94c6a1f83;
# Inside the cluster: routers and servers speak this, as Cap'n Proto RPC. Expected outcomes are statuses in results; an RPC
# exception means a fault of the link or of the callee.

using Cxx = import "/capnp/c++.capnp";
using Common = import "common.capnp";
$Cxx.namespace("dlm::wire");

struct Peer {
  protocol @0 :UInt16;
  cluster @1 :Text;
  name @2 :Text;            # router id, or member name "s1#42"
}

interface ShardServer {
  # A server's bootstrap capability. `greet` first: a peer of another cluster or protocol gets a status and a message, and
  # no capability.
  greet @0 (peer :Peer) -> (status :UInt8, message :Text, peer :Peer, host :Host);

  interface Host {
    locks @0 (group :UInt32, listener :AnswerListener) -> (status :UInt8, message :Text, channel :LockChannel);
    # A channel to the group's replica on this server, whether or not it is primary now.
    replica @1 (group :UInt32) -> (status :UInt8, message :Text, replica :Replica);
    moveIn @2 (to :UInt32, transfer :Transfer) -> (status :UInt8, message :Text, retryMs :UInt32, arcs :Data,
                                                nextNumber :UInt64);
    # From the primary of another group: an arc for group `to`, with its locks. ok: it has them, now or since an earlier
    # call. All else: not now, again after retryMs.
  }
}

struct Transfer {
  # As in server/core/move.h.
  from @0 :UInt32;
  number @1 :UInt64;
  doneBelow @2 :UInt64;
  ringVersion @3 :UInt64;
  leaseMsMax @4 :UInt32;
  lastToken @5 :UInt64;
  state @6 :Data;
}

interface AnswerListener {
  # Held by the server for one router: later answers (grants, time-outs, cancelled waits) of sessions that were told
  # "queued" through this channel.
  answers @0 (list :List(Common.Answer)) -> ();
}

interface LockChannel {
  submit @0 (operations :List(Common.Operation)) -> (epoch :UInt64, answers :List(Common.Answer));
  # One answer to each operation, told apart by session and sequence (heartbeats: session alone); a queued acquire is
  # answered "queued" here and finally through the listener. A replica that is not the serving primary answers
  # not_primary to all.
  query @1 (query :Common.Query) -> (report :Common.Report);
}

interface Replica {
  # Replication, spoken by primaries to the other members. The payloads are the structures of server/core/replica.h.
  append @0 (from :Text, epoch :UInt64, round :UInt64, prevIndex :UInt64, prevEpoch :UInt64, committed :UInt64,
             batches :List(Batch)) -> (epoch :UInt64, round :UInt64, accepted :Bool, lastIndex :UInt64,
              asked :Bool);
  install @1 (from :Text, epoch :UInt64, round :UInt64, index :UInt64, indexEpoch :UInt64, first :Bool, last :Bool,
              chunk :Data) -> (epoch :UInt64, round :UInt64, accepted :Bool, lastIndex :UInt64,
              asked :Bool);

  struct Batch {
    index @0 :UInt64;
    epoch @1 :UInt64;
    entries @2 :Data;       # server/core/entry_codec.h
  }
}
