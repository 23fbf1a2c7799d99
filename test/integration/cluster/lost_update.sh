#!/usr/bin/env bash
# The lost-update run: 16 loops increment one file under one lock, 100 times each, while the group's primary, a router and the new
# primary are killed. No increment may be lost and no command may see an error.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
LOOPS=16 ROUNDS=100

cluster_up --groups 2 --replicas 3 --routers 2
GROUP=$(group_of counter)
cd "$WORK"
echo 0 >f

loop() {
  local i
  for ((i = 0; i < ROUNDS; i++)); do
    dlm lock counter -- sh -c 'n=$(cat f); echo $((n+1)) > f' 2>>"errors.$1" || { echo "exit code $?" >>"errors.$1"; return 1; }
  done
}
started=$(now_ms)
pids=()
for ((l = 0; l < LOOPS; l++)); do loop $l & pids+=($!); done

# at COUNT COMMAND...: waits for the counter, then acts.
reached() { local n; n=$(cat f); [ "${n:-0}" -ge "$1" ]; }
at() {
  wait_until 600 reached "$1" || fail "the counter stands at $(cat f), waiting for $1"
  printf 'at %s: %s\n' "$1" "$("${@:2}")"
}
at 300 "$CLUSTER" kill "primary:$GROUP"
at 700 "$CLUSTER" kill r1
at 1000 "$CLUSTER" start r1
at 1100 "$CLUSTER" kill "primary:$GROUP"

broken=0
for pid in "${pids[@]}"; do wait "$pid" || broken=$((broken + 1)); done
[ "$(cat f)" = $((LOOPS * ROUNDS)) ] || { cat errors.* >&2; fail "the counter says $(cat f), not $((LOOPS * ROUNDS))"; }
[ $broken = 0 ] || { cat errors.* >&2; fail "$broken loops saw an error"; }
[ ! -s <(cat errors.*) ] || { cat errors.* >&2; fail "something was printed on standard error"; }
echo "The counter says $(cat f) after $(($(now_ms) - started)) ms; no error was seen."
