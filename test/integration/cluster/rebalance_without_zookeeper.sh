#!/usr/bin/env bash
# ZooKeeper goes away in the middle of a change of the ring, for longer than every session of it: locks are served all the while, the
# change is not over before ZooKeeper is back, then it ends by itself; every held lock keeps its token.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
HELD=400

cluster_up --groups 2 --replicas 2 --routers 1
"$CLUSTER" add-group || fail "the third group did not come up"
cd "$WORK"
for ((i = 0; i < HELD; i++)); do
  dlm acquire "held/$i" --client keeper --lease 10m --json >>held.json || fail "held/$i could not be taken"
done
holds() { dlm ls --prefix held/ --json | grep -oE '"(resource|token)":("[^"]*"|[0-9]+)' | paste - - | sort; }
holds >before
[ "$(wc -l <before)" = $HELD ] || fail "$(wc -l <before) locks are listed, not $HELD"

is_changing() { dlm ring status --json | grep -q '"changing":true'; }
# Slow enough that some 130 locks are not through before ZooKeeper is back, on a busy machine too.
dlm ring add g3 --max-rate 1/s --no-wait || fail "the change was not begun"
under_way() {
  dlm ring status --json >status
  [ "$(json_number arcs_left <status)" -lt "$(json_number arcs_total <status)" ]
}
wait_until 60 under_way || fail "no arc moves"
is_changing || fail "the change was over before ZooKeeper went away"
"$CLUSTER" kill zookeeper

gone_ms=$(now_ms)
served=0
while [ $(($(now_ms) - gone_ms)) -lt 8000 ]; do
  dlm lock "flow/$served" -- true || fail "a lock was not served without ZooKeeper"
  served=$((served + 1))
done
dlm ring rate none 2>refused && fail "the ring was changed without ZooKeeper"
is_changing || fail "the change ended without ZooKeeper"

"$CLUSTER" start zookeeper
faster() { dlm ring rate none >/dev/null 2>&1; }
wait_until 60 faster || fail "the change cannot be steered with ZooKeeper back"
over() { ! is_changing; }
wait_until 120 over || fail "the change is not over"
holds >after
diff before after >&2 || fail "holds or tokens changed"
[ "$(dlm ring show --json | grep -oE '"group":"g[0-9]+"' | sort -u | wc -l)" = 3 ] || fail "g3 is not in the ring"
