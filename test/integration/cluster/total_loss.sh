#!/usr/bin/env bash
# All replicas of a group are killed at once: the group stays down until every one of them is back, then grants
# nothing before the longest lease has passed and says so; tokens are higher than before.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
LEASE_MS=10000

cluster_up --groups 1 --replicas 2 --routers 1
cd "$WORK"
two() { [ "$(in_sync_count g1)" = 2 ]; }
wait_until 60 two || fail "the second replica is not in sync"
before=$(dlm acquire kept --client keeper --lease ${LEASE_MS}ms --json | json_number token)

# At once: frozen first, so that none can remove the other from the set.
for act in freeze kill; do
  "$CLUSTER" $act s1
  "$CLUSTER" $act s2
done
killed=$(now_ms)
"$CLUSTER" start s1
says() { dlm status | grep -q "$1"; }
wait_until 60 says "all replicas were lost (s[12]#[0-9]* s[12]#[0-9]*), s2 must come back" || fail "status does not name the missing server"
if dlm acquire early --client other --lease 1s --request-timeout 1s 2>refusal; then fail "a lock without the whole set"; fi
grep -q "s2 must come back" refusal || fail "the refusal says: $(cat refusal)"

"$CLUSTER" start s2
wait_until 60 says "recovering: no grants for another [0-9]* s, all replicas were lost" || fail "status does not tell of the recovery"
if dlm acquire early --client other --lease 1s --request-timeout 1s 2>refusal; then fail "a lock within the wait"; fi
grep -q "g1 is recovering: no grants for another" refusal || fail "the refusal says: $(cat refusal)"
after=$(dlm acquire kept --client other --lease 1s --request-timeout 60s --json | json_number token) ||
  fail "no lock for one who had the patience"
took=$(($(now_ms) - killed))
[ $took -ge $LEASE_MS ] || fail "granted $took ms after the kill, the longest lease is $LEASE_MS ms"
[ "$after" -gt "$before" ] || fail "token $after is not above $before"
# The token's upper bits are the era: the recorded one and 1.
[ $((after >> 40)) -gt $((before >> 40)) ] || fail "token $after is of the same era as $before"
says "recovering" && fail "status still says recovering"
echo "All replicas killed: granted again after $took ms, with a token of era $((after >> 40))."
