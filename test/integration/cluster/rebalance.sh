#!/usr/bin/env bash
# The ring changes three times under load, the primaries of both sides are killed in the middle of each: every held lock keeps its token,
# every waiter its place in line, no client sees an error; then the group that left is shut down.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

cluster_up --groups 2 --replicas 2 --routers 2
"$CLUSTER" add-group || fail "the third group did not come up"
dlm-rebalance --router "$DLM_ROUTERS" --cluster "$CLUSTER" --state "$DLM_CLUSTER_DIR" --kill --clients 4 --locks 500 --lines 5 \
  --line-length 4 || fail "not all is as it was"
"$CLUSTER" remove-group g3 || fail "a group that owns nothing could not be removed"
dlm lock after/removal -- true || fail "no lock after the removal"
! "$CLUSTER" remove-group g2 || fail "a group that owns arcs was removed"
