# One ZooKeeper of Debian's package on a free loopback port. Sourced, not run.

# zookeeper_start DIR PORT: starts it with its data in DIR; the pid is in DIR/pid. Serves when this returns.
zookeeper_start() {
  local dir=$1 port=$2
  mkdir -p "$dir/data"
  cat >"$dir/zoo.cfg" <<CONFIG
tickTime=500
dataDir=$dir/data
clientPort=$port
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
CONFIG
  nohup setsid java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
    -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zoo.cfg" \
    >>"$dir/log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
  disown
  wait_until 30 zookeeper_serves "$dir" "$port" || { tail -n 20 "$dir/log" >&2; die "ZooKeeper did not start: see $dir/log"; }
}

zookeeper_serves() {
  kill -0 "$(cat "$1/pid")" 2>/dev/null || { tail -n 20 "$1/log" >&2; die "ZooKeeper ended at its start: see $1/log"; }
  local answer
  answer=$( (exec 3<>"/dev/tcp/127.0.0.1/$2" && printf srvr >&3 && timeout 2 head -n 1 <&3) 2>/dev/null) || return 1
  [[ $answer == Zookeeper* ]]
}
