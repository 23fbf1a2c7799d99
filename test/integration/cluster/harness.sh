# For the runs over real processes: a cluster of their own on free ports, its logs shown when something fails. Sourced.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../../../scripts/lib/common.sh"
BIN=$1
PATH=$BIN:$PATH
WORK=$(mktemp -d)
export DLM_CLUSTER_DIR=$WORK/cluster
CLUSTER=$ROOT/scripts/cluster

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  "$CLUSTER" status >&2 2>&1 || true
  for log in "$DLM_CLUSTER_DIR"/*/log; do
    printf -- '--- the end of %s\n' "$log" >&2
    tail -n 25 "$log" >&2
  done
  exit 1
}

finish() {
  local status=$?
  "$CLUSTER" down >/dev/null 2>&1 || true
  rm -rf "$WORK"
  exit $status
}
trap finish EXIT

# cluster_up ARGS...: on ports that are free, DLM_ROUTERS set.
cluster_up() {
  local port
  port=$(free_port)
  "$CLUSTER" up --bin "$BIN" --router-port "$port" "$@" || fail "the cluster did not come up"
  DLM_ROUTERS=$(. "$DLM_CLUSTER_DIR/settings" && echo "$ROUTERS")
  export DLM_ROUTERS
}

# json_number KEY: of the JSON on standard input.
json_number() { grep -oE "\"$1\":[0-9]+" | head -n 1 | cut -d: -f2; }

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# group_of NAME: the group that a resource's lock lives in.
group_of() { dlm inspect "$1" --json | grep -oE '"group":"g[0-9]+"' | head -n 1 | cut -d'"' -f4; }

# in_sync_count GROUP
in_sync_count() {
  dlm status --json | grep -oE "\"group\":\"$1\",\"epoch\":[^{}]*" | grep -oE '"in_sync":\[[^]]*\]' | head -n 1 | grep -oE '#' | wc -l
}
