@0xb8e4f1a2c3d59706;
# The client edge: what a client and a router say to each other. Each frame on the socket is one of the two messages at the
# end, behind an 8-byte header (see schema/wire/frame.h).
#
# A connection begins with Hello, answered by Welcome or Refusal (then closed). Everything after that may be
# interleaved; answers come in any order and are told apart by their sequence.

using Cxx = import "/capnp/c++.capnp";
using Common = import "common.capnp";
$Cxx.namespace("dlm::wire");

struct GroupSession {
  # Which generation of the client's session is in use in a group. Groups not listed are at generation 0.
  group @0 :UInt32;
  generation @1 :UInt32;
  renew @2 :Bool;           # the session is known to be open there: renew it
}

struct Hello {
  protocolMin @0 :UInt16;
  protocolMax @1 :UInt16;
  cluster @2 :Text;         # the cluster id learnt from an earlier Welcome; empty at first: any
  clientId @3 :Text;
  sessionBase @4 :UInt64;   # random, low 16 bits zero
  ttlMs @5 :UInt32;
  groups @6 :List(GroupSession);
}

struct Welcome {
  protocol @0 :UInt16;
  cluster @1 :Text;
  router @2 :Text;
  leaseMsMin @3 :UInt32;
  leaseMsMax @4 :UInt32;
}

struct Refusal {
  status @0 :UInt8;
  message @1 :Text;
}

struct Operations {
  ackedBelow @0 :UInt64;          # every answer (or "queued") to a sequence below this has arrived
  list @1 :List(Common.Operation);  # session and ackedBelow of each are left to the router
}

struct Heartbeat {
  # One for all groups, each third of the TTL. Also tells the router the generations (a router keeps no state that
  # its death could lose).
  number @0 :UInt64;
  groups @1 :List(GroupSession);
}

struct GroupQuery {
  id @0 :UInt64;
  deadlineMs @1 :UInt32;
  query @2 :Common.Query;
}

struct ClientFrame {
  union {
    hello @0 :Hello;
    operations @1 :Operations;
    heartbeat @2 :Heartbeat;
    query @3 :GroupQuery;
    bye @4 :Void;           # orderly end: sessions with nothing left in them may be closed by the router
  }
}

struct SessionEvent {
  # The state of the client's session in one group.
  enum Kind {
    opened @0;              # the router opened it (or found it open) for operation `cause`
    renewed @1;             # answer to heartbeat `cause`
    ended @2;               # the group ended it, or has never seen it: holds and waits there are gone
  }
  kind @0 :Kind;
  group @1 :UInt32;
  generation @2 :UInt32;
  ttlMs @3 :UInt32;         # in force, counted by the client from when it sent `cause`
  cause @4 :UInt64;         # sequence of the operation, or number of the heartbeat
  movedTo @5 :List(UInt32); # groups that holds of this one moved to: renew there too
}

struct ReportFor {
  id @0 :UInt64;
  report @1 :Common.Report;
}

struct RouterFrame {
  union {
    welcome @0 :Welcome;
    refusal @1 :Refusal;
    batch :group {
      sessions @2 :List(SessionEvent);  # to be read before the answers
      answers @3 :List(Common.Answer);
    }
    report @4 :ReportFor;
  }
}
