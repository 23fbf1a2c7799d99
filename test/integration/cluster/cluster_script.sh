#!/usr/bin/env bash
# scripts/cluster itself: what it says to wrong input, and stop, start, freeze.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

# refuses TEXT COMMAND...: it fails, with one line on stderr, beside log lines, that contains TEXT.
refuses() {
  local said
  if said=$("${@:2}" 2>&1 >/dev/null); then fail "'${*:2}' did not fail"; fi
  said=$(grep -vE '^[IWE][0-9]{8} ' <<<"$said" || true)
  [[ $said == *"$1"* ]] || fail "'${*:2}' said '$said', nothing of '$1'"
  [ "$(wc -l <<<"$said")" = 1 ] || fail "'${*:2}' said more than a line: $said"
}
refuses "no cluster is up" "$CLUSTER" status
refuses "not a number" "$CLUSTER" up --groups none
refuses "unknown option" "$CLUSTER" up --sharks 3
cluster_up --groups 1 --replicas 2 --routers 1
refuses "is up already" "$CLUSTER" up
refuses "no process 'x9'" "$CLUSTER" kill x9
refuses "no group g7" "$CLUSTER" kill primary:g7
refuses "runs already" "$CLUSTER" start s1
refuses "is taken" timeout 60 "$BIN/dlm-server" --id s1 --groups g1 --listen 127.0.0.1:0 \
  --zookeeper "$(. "$DLM_CLUSTER_DIR/settings" && echo "$ZOOKEEPER")" --session-timeout 1s
refuses "ZooKeeper" timeout 60 "$BIN/dlm-server" --id s8 --groups g1 --listen 127.0.0.1:0 \
  --zookeeper "127.0.0.1:$(free_port)" --session-timeout 1s
refuses "in use" timeout 60 "$BIN/dlm-router" --listen "$DLM_ROUTERS" --id r9 \
  --zookeeper "$(. "$DLM_CLUSTER_DIR/settings" && echo "$ZOOKEEPER")"
primary() { dlm status --json | grep -oE '"primary":"[^"]*"' | cut -d'"' -f4; }
before=$(primary)
dlm admin step-down g1 | grep -q "^g1: s[12]#[0-9]* is primary now" || fail "the primary did not step down"
[ "$(primary)" != "$before" ] || fail "$before is still primary"
refuses "there is no group g7" dlm admin step-down g7
refuses "takes a group like g1" dlm admin step-down s1
"$CLUSTER" stop backup:g1 | grep -q stopped || fail "no backup was stopped"
one_left() { [ "$(in_sync_count g1)" = 1 ]; }
wait_until 60 one_left || fail "the stopped backup is still in the in-sync set"
refuses "no backup in sync" dlm admin step-down g1
dlm lock after-stop -- true || fail "no lock with one replica"
"$CLUSTER" start s1 2>/dev/null || "$CLUSTER" start s2
two() { [ "$(in_sync_count g1)" = 2 ]; }
wait_until 60 two || fail "the started backup did not join"
"$CLUSTER" freeze primary:g1
dlm lock after-freeze -- true || fail "no lock with a frozen primary"
"$CLUSTER" down
refuses "no cluster is up" "$CLUSTER" down
echo "scripts/cluster does what it says."
