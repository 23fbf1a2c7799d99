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
  movedTo @13 :List(UInt32);
  retryAfterMs @14 :UInt32;
}

struct RingChange {
  kind @0 :UInt8;
  group @1 :UInt32;
  weight @2 :Float64;
  locksPerSMax @3 :UInt32;
  expectedVersion @4 :UInt64;
  dryRun @5 :Bool;
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
    ring @8 :Void;           # the ring and its groups, for the router to tell
    locate @9 :Data;         # resource: where it is
    changeRing @10 :RingChange;  # not a read: the answer is the ring as it will be
    recoverGroup :group {    # the way out for a group whose in-sync members are gone for ever, for the router
      group @11 :UInt32;
      expectedVersion @12 :UInt64;  # of the group's record; 0: a read, it is only told what would be done
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
  ringVersion @12 :UInt64;
  arcs @13 :UInt32;
  shareOwned @14 :Float64;
  move @15 :MoveStatus;
  durable @16 :List(Text);
  holdsPerClientMax @17 :UInt32;
  waitsPerClientMax @18 :UInt32;
  sessionsMax @19 :UInt32;
  operationsPending @20 :UInt64;
  operationsRefused @21 :UInt64;
}

struct MoveStatus {
  arcsLeft @0 :UInt32;
  arcsUnderWay @1 :UInt32;
  shareLeft @2 :Float64;
  arcsMoved @3 :UInt64;
  locksMoved @4 :UInt64;
  waitsFor @5 :Text;
}

struct RingStatus {
  struct Group {
    weight @0 :Float64;
    weightBefore @1 :Float64;
    share @2 :Float64;
    shareBefore @3 :Float64;
    state @4 :GroupStatus;
  }
  struct Flow {
    from @0 :UInt32;
    to @1 :UInt32;
    arcs @2 :UInt32;
    share @3 :Float64;
    locks @4 :UInt64;
    waiters @5 :UInt64;
  }
  version @0 :UInt64;
  changing @1 :Bool;
  paused @2 :Bool;
  locksPerSMax @3 :UInt32;
  groups @4 :List(Group);
  flows @5 :List(Flow);
}

struct Place {
  resource @0 :Data;
  hash @1 :UInt64;
  arcBegin @2 :UInt64;
  arcEnd @3 :UInt64;
  group @4 :UInt32;
  movingTo @5 :UInt32;
  primary @6 :Text;
  ringVersion @7 :UInt64;
}

struct Recovery {
  group @0 :UInt32;
  version @1 :UInt64;
  epoch @2 :UInt64;
  era @3 :UInt64;
  lost @4 :List(Text);
  inSyncAlive @5 :List(Text);
  members @6 :List(Text);
  leaseMsMax @7 :UInt32;
  successor @8 :Text;
  firstToken @9 :UInt64;
  refusal @10 :Text;
  begun @11 :Bool;
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
    ring @7 :RingStatus;
    place @8 :Place;
    recovery @9 :Recovery;
  }
}
