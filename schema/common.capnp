@0xd1c7a3b5e9f02468;
# What the client edge and the inside share: operations, answers, reads and reports. The C++ values are in
# schema/operation.h and schema/report.h, whose comments say what each field means; enumerations travel as the numbers of
# schema/types.h.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("dlm::wire");

struct Operation {
  kind @0 :UInt8;
  mode @1 :UInt8;
  lease @2 :UInt8;
  session @3 :UInt64;
  sequence @4 :UInt64;
  ackedBelow @5 :UInt64;
  target @6 :UInt64;
  token @7 :UInt64;
  waitMs @8 :UInt32;
  leaseMs @9 :UInt32;
  deadlineMs @10 :UInt32;
  resource @11 :Data;
  ownerTag @12 :Data;
  clientId @13 :Text;
}

struct Answer {
  session @0 :UInt64;
  sequence @1 :UInt64;
  status @2 :UInt8;
  cause @3 :UInt8;
  group @4 :UInt32;
  token @5 :UInt64;
  count @6 :UInt32;
  ttlMs @7 :UInt32;
  position @8 :UInt32;
  holderSinceUnixMs @9 :UInt64;
  holderClientId @10 :Text;
  holderOwnerTag @11 :Data;
  message @12 :Text;
}

struct Query {
  # A read; answered after a barrier, so never stale.
  union {
    inspect @0 :Data;        # resource
    list :group {
      prefix @1 :Data;
      group @2 :UInt32;      # which group's locks; the caller walks the groups
      cursor @3 :UInt64;     # 0 to begin
      limit @4 :UInt32;
    }
    status @5 :Void;
    stepDown :group {        # not a read: the group's primary gives its place to a backup that is in sync; the
      group @6 :UInt32;      # answer is its state then
      primary @7 :Text;      # who it was when this was asked; filled in by the router
    }
  }
}

struct Hold {
  clientId @0 :Text;
  ownerTag @1 :Data;
  mode @2 :UInt8;
  lease @3 :UInt8;
  token @4 :UInt64;
  count @5 :UInt32;
  sinceUnixMs @6 :UInt64;
  leftMs @7 :UInt32;
}

struct Wait {
  clientId @0 :Text;
  ownerTag @1 :Data;
  mode @2 :UInt8;
  sinceUnixMs @3 :UInt64;
  leftMs @4 :UInt32;
}

struct Lock {
  resource @0 :Data;
  group @1 :UInt32;
  holders @2 :List(Hold);
  waiters @3 :List(Wait);
  waiterCount @4 :UInt32;
}

struct LockPage {
  locks @0 :List(Lock);
  nextCursor @1 :UInt64;
}

struct GroupStatus {
  group @0 :UInt32;
  epoch @1 :UInt64;
  primary @2 :Text;
  inSync @3 :List(Text);
  members @4 :List(Text);
  era @5 :UInt64;
  lastIndex @6 :UInt64;
  committedIndex @7 :UInt64;
  locksHeld @8 :UInt64;
  waiters @9 :UInt64;
  sessions @10 :UInt64;
  problem @11 :Text;
}

struct ClusterStatus {
  struct Router {
    id @0 :Text;
    address @1 :Text;
  }
  struct Share {
    group @0 :UInt32;
    weight @1 :Float64;
    share @2 :Float64;
  }
  cluster @0 :Text;
  ringVersion @1 :UInt64;
  routers @2 :List(Router);
  ring @3 :List(Share);
  groups @4 :List(GroupStatus);
}

struct Report {
  # Answer to a Query.
  status @0 :UInt8;          # not ok: message says why, the union is void
  message @1 :Text;
  union {
    none @2 :Void;
    lock @3 :Lock;
    page @4 :LockPage;
    group @5 :GroupStatus;   # a primary's own answer to `status`
    cluster @6 :ClusterStatus;
  }
}
