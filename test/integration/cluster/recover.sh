#!/usr/bin/env bash
# The in-sync members of a durable group are lost with their disks, and one from outside the set is left: it is not promoted. An
# operator has it begin anew, and must mean it: `dlm admin recover` refuses while a member in sync lives, and without confirmation.
# Then nothing is granted for the longest lease, tokens go on above, and the servers that were given up join again.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
LEASE_MS=10000

cluster_up --groups 1 --replicas 3 --routers 1 --durability fsync
cd "$WORK"
in_sync() { [ "$(in_sync_count g1)" = "$1" ]; }
says() { dlm status | grep -q "$1"; }
# refused ARGS...: `dlm admin recover g1 ARGS` without a terminal does nothing, says so on stderr, and why in `refusal`.
refused() {
  local code=0
  dlm admin recover g1 "$@" </dev/null >told 2>refusal || code=$?
  [ $code = 64 ] || fail "dlm admin recover g1 $* ended with $code: $(cat told refusal)"
  grep -q "nothing was done" refusal || fail "the refusal says: $(cat refusal)"
}
wait_until 60 in_sync 3 || fail "not all replicas are in sync"
"$CLUSTER" stop s3
wait_until 60 in_sync 2 || fail "s3 has not left the set"
before=$(dlm acquire kept --client keeper --lease ${LEASE_MS}ms --json | json_number token)
refused --yes-lose-locks
grep -q "s1#[0-9]* s2#[0-9]* are in sync and live\|s2#[0-9]* s1#[0-9]* are in sync and live" refusal || fail "the refusal says: $(cat refusal)"

# At once, so that none can remove the other from the set.
kill -KILL "$(cat "$DLM_CLUSTER_DIR/s1/pid")" "$(cat "$DLM_CLUSTER_DIR/s2/pid")"
killed=$(now_ms)
rm -r "$DLM_CLUSTER_DIR"/s1/data "$DLM_CLUSTER_DIR"/s2/data
"$CLUSTER" start s3
wait_until 60 says "all replicas were lost (s[12]#[0-9]* s[12]#[0-9]*), s[12] and s[12] must come back" || fail "status does not say what is missing"

refused
grep -q "yes-lose-locks" refusal || fail "the refusal says: $(cat refusal)"
grep -q "Begin anew without s[12]#[0-9]* and s[12]#[0-9]*, from nothing, with s3#[0-9]* as primary" told || fail "it tells: $(cat told)"
refused --json
grep -q '"begun":false' told || fail "it tells: $(cat told)"
says "s[12] must come back" || fail "the group began anew without being told to"

dlm admin recover g1 --yes-lose-locks </dev/null >told || fail "dlm admin recover: $(cat told)"
grep -q "g1 begins anew in epoch [0-9]*, era 2, with s3#[0-9]* as primary" told || fail "it tells: $(cat told)"
wait_until 60 says "recovering: no grants for another" || fail "status does not tell of the recovery"
if dlm acquire early --client other --lease 1s --request-timeout 1s 2>refusal; then fail "a lock within the wait"; fi
grep -q "g1 is recovering: no grants for another" refusal || fail "the refusal says: $(cat refusal)"
after=$(dlm acquire kept --client other --lease 1s --request-timeout 60s --json | json_number token) ||
  fail "no lock for one who had the patience"
took=$(($(now_ms) - killed))
[ $took -ge $LEASE_MS ] || fail "granted $took ms after the kill, the longest lease is $LEASE_MS ms"
[ $((after >> 40)) = 2 ] && [ $((before >> 40)) = 1 ] || fail "token $after after $before"
grep -q "g1: an operator had the group begin anew (dlm admin recover): given up: s[12]#[0-9]* s[12]#[0-9]*; epoch [0-9]*, era 2" \
  "$DLM_CLUSTER_DIR/s3/log" || fail "s3 has not logged it"

"$CLUSTER" start s1
"$CLUSTER" start s2
wait_until 60 in_sync 3 || fail "the servers that were given up have not joined"
says "recovering" && fail "status still says recovering"
refused --yes-lose-locks
echo "Begun anew by an operator: granted again after $took ms, with a token of era $((after >> 40))."
