#!/usr/bin/env bash
# Durable groups: all servers of all groups get kill -9 at once, ten times in a row, under load. What was acknowledged is there
# again: locks are held with their tokens, no increment made under a lock is lost or made twice, tokens increase.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"
LOOPS=6 KILLS=10

cluster_up --groups 2 --replicas 2 --routers 1 --durability fsync
cd "$WORK"
echo 0 >f

# Each says what it has counted; one whose lock was lost meanwhile does not.
loop() {
  local n
  while [ ! -e stop ]; do
    n=$(dlm lock counter --ttl 60s -- sh -c 'n=$(($(cat f) + 1)); echo $n > f; echo $n' 2>>errors) || continue
    echo "$n" >>"counted.$1"
  done
}
# Locks that nobody gives back: "name token" of each that was acknowledged.
holder() {
  local i=0 token
  while [ ! -e stop ]; do
    i=$((i + 1))
    token=$(dlm acquire "kept/$i" --client keeper --lease 1h --request-timeout 60s --json 2>>errors | json_number token) || continue
    echo "kept/$i $token" >>kept
  done
}
pids=()
for ((l = 0; l < LOOPS; l++)); do loop $l & pids+=($!); done
holder & pids+=($!)

# Empty for the moment in which it is written.
count() { local n; n=$(cat f); echo "${n:-0}"; }
moves() { [ "$(count)" -gt "$1" ]; }
for ((kill = 1; kill <= KILLS; kill++)); do
  wait_until 120 moves $(($(count) + 5)) || fail "the counter stands at $(cat f) before kill $kill"
  "$CLUSTER" kill servers >/dev/null
  "$CLUSTER" start servers >/dev/null || fail "not all came back after kill $kill"
done
wait_until 120 moves $(($(count) + 5)) || fail "the counter stands at $(cat f) after the last kill"
touch stop
for pid in "${pids[@]}"; do wait "$pid" || true; done

counted=$(cat counted.* | wc -l)
[ "$(cat counted.* | sort -n | uniq -d | wc -l)" = 0 ] || fail "counted twice: $(cat counted.* | sort -n | uniq -d | tr '\n' ' ')"
[ "$(cat f)" -ge "$counted" ] || fail "the counter says $(cat f), and $counted were told that they had counted"

# The lease of each is an hour, so nothing but a loss can have ended it.
dlm ls --prefix kept/ --json >held || fail "dlm ls"
while read -r name token; do
  grep -qE "\"resource\":\"$name\"[^}]*\"token\":$token[,}]" held || fail "$name was acknowledged with token $token: $(dlm inspect "$name")"
done <kept
era() { dlm status --json | grep -oE '"era":[0-9]+' | sort -u; }
[ "$(era)" = '"era":1' ] || fail "a group began anew: $(era)"
last=$(sed 's/.* //' kept | sort -n | tail -n 1)
for name in $(sed 's/ .*//' kept | tail -n 1); do
  dlm release "$name" --client keeper --token "$(sed -n "s|^$name ||p" kept)" || fail "can't release $name"
  next=$(dlm acquire "$name" --client other --lease 1s --json | json_number token)
  [ "$next" -gt "$(sed -n "s|^$name ||p" kept)" ] || fail "token $next of $name does not increase"
done
echo "$KILLS times all servers: $counted increments, $(wc -l <kept) locks kept, highest token $last."
