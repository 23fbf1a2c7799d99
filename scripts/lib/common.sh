# Shared by the scripts: where things are, what must be installed, how they are built. Sourced, not run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

PACKAGES_BUILD=(g++ cmake ninja-build pkg-config capnproto libcapnp-dev libboost1.81-dev libboost-json1.81-dev
                libgoogle-glog-dev libgoogle-perftools-dev libcli11-dev libxxhash-dev libzookeeper-mt-dev)
PACKAGES_ZOOKEEPER=(zookeeper default-jre-headless)
PACKAGES_FUZZ=(clang)  # libFuzzer comes with it
PACKAGES_TEST=(libgtest-dev libgmock-dev clang-format patch iproute2 nftables "${PACKAGES_FUZZ[@]}" "${PACKAGES_ZOOKEEPER[@]}")

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# install_packages NAME...: installs those that are missing, from Debian alone. Needs root or sudo only then.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "Installing ${missing[*]} …"
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "these Debian packages are missing and neither root nor sudo is at hand: ${missing[*]}"
    sudo=(sudo)
  fi
  local log
  log=$(mktemp)
  if ! { "${sudo[@]}" apt-get update &&
         "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
       >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    die "apt-get could not install ${missing[*]} (this project is for Debian 12)"
  fi
  rm -f "$log"
}

# build PRESET [TARGET...]: configures once and builds; shows ninja's progress on a terminal, errors always.
build() {
  local preset=$1 log
  shift
  log=$(mktemp)
  say "Building ($preset) …"
  (cd "$ROOT" && cmake --preset "$preset") >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; die "configuring failed"; }
  rm -f "$log"
  local targets=()
  [ $# -eq 0 ] || targets=(--target "$@")
  cmake --build "$ROOT/build/$preset" -j "$(nproc)" "${targets[@]}" || die "the $preset build failed"
}

# free_port: a TCP port of 127.0.0.1 that nobody listened on a moment ago, below those that Linux gives to outgoing connections: one of
# these could take it while its listener is restarted.
free_port() {
  local port
  while :; do
    port=$((10000 + (RANDOM * 32768 + RANDOM) % 22000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# wait_until SECONDS COMMAND...: polls; fails when the time is over.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.05
  done
}
