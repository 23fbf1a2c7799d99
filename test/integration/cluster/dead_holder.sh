#!/usr/bin/env bash
# A client that dies while holding: the next waiter gets the lock when the lease ends, and not before.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
TTL_MS=4000

cluster_up --groups 1 --replicas 2 --routers 1
cd "$WORK"
dlm lock ward --ttl ${TTL_MS}ms -- sh -c 'echo $PPID > holder; exec sleep 600' &
holder_job=$!
wait_until 30 test -s holder || fail "the first client did not get the lock"

dlm lock ward -- sh -c 'echo "$DLM_TOKEN" > token; date +%s%N > granted' &
waiter=$!
waits() { dlm inspect ward --json | grep -q '"waiters":\[{'; }
wait_until 30 waits || fail "the second client does not wait"

first=$(dlm inspect ward --json | json_number token)
# The last renewal was sent at most now: the lease the server knows may have up to its full length left.
before=$(dlm inspect ward --json | json_number left_ms)
killed=$(now_ms)
kill -9 "$(cat holder)"
wait "$holder_job" 2>/dev/null || true
wait "$waiter" || fail "the waiter saw an error"
granted=$(($(cat granted) / 1000000))
took=$((granted - killed))
[ "$(cat token)" -gt "$first" ] || fail "token $(cat token) is not above $first"
# What the server said was left when we asked had to pass first; half a second for what lay between asking and killing.
[ $took -ge $((before - 500)) ] || fail "granted after $took ms, although $before ms of the lease were left"
echo "The lease had $before ms left at the kill; the waiter got the lock after $took ms, $((took - before)) ms past the lease."
