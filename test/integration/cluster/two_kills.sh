#!/usr/bin/env bash
# Three replicas, two killed one after the other: every lock held throughout is still held, with its token; a restarted replica joins
# while operations flow.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
HELD=50

cluster_up --groups 1 --replicas 3 --routers 1
cd "$WORK"
for ((i = 0; i < HELD; i++)); do
  dlm acquire "held/$i" --client keeper --lease 10m --json >>held.json || fail "held/$i could not be taken"
done

flow() { while [ ! -e stop ]; do dlm lock "flow/$1" -- true 2>>flow.errors || echo "exit code $?" >>flow.errors; echo >>"flow.$1"; done; }
flow 1 & flow1=$!
flow 2 & flow2=$!

holds() { dlm ls --prefix held/ --json | grep -oE '"(resource|token)":("[^"]*"|[0-9]+)' | paste - - | sort; }
holds >before
[ "$(wc -l <before)" = $HELD ] || fail "$(wc -l <before) locks are listed, not $HELD"

settled() { [ "$(in_sync_count g1)" = "$1" ]; }
"$CLUSTER" kill primary:g1 >killed
wait_until 60 settled 2 || fail "the first dead member is still in the in-sync set"
"$CLUSTER" kill primary:g1 >>killed
wait_until 60 settled 1 || fail "the second dead member is still in the in-sync set"
holds >after
diff before after >&2 || fail "holds or tokens changed"

lines=$(cat flow.1 | wc -l)
first=$(head -n 1 killed | cut -d' ' -f2)
"$CLUSTER" start "$first"
wait_until 60 settled 2 || fail "$first did not join again"
moved_on() { [ "$(cat flow.1 | wc -l)" -gt $((lines + 3)) ]; }
wait_until 60 moved_on || fail "operations do not flow"
# The one that never died goes, too: the state now lives in the one that joined.
"$CLUSTER" kill primary:g1
wait_until 60 settled 1 || fail "the last first member is still in the in-sync set"
holds >after
diff before after >&2 || fail "holds or tokens changed when only the rejoined replica was left"
touch stop
wait $flow1 $flow2
[ ! -s flow.errors ] || { cat flow.errors >&2; fail "a command saw an error"; }
echo "$HELD locks kept their holders and tokens through three kills, $(cat flow.1 flow.2 | wc -l) operations flowed."
