#!/usr/bin/env bash
# CPU time that each node of a bench spends per order, by thread name, from /proc.
#
#   docs/cpu-per-order.sh target/release/firstcome [CONNECTIONS] [NODES] [WARMUP_SECONDS]
#
# Starts `firstcome bench`, waits for its warm-up to end, and reads the CPU time of every thread
# and the applied revision of every node twice, 6 s apart. In a bench nearly every revision is an
# order. The node whose `leader` metric is 1 leads. Until the page caches are full, which takes
# about 30 s, a good part of the time goes into fresh memory: compare runs of one warm-up.
set -euo pipefail
binary="$1"
connections="${2:-64}"
nodes="${3:-3}"
warmup="${4:-3}"
ticks="$(getconf CLK_TCK)"
"$binary" bench --nodes "$nodes" --connections "$connections" --warmup "$warmup" --seconds 9 >/dev/null 2>&1 &
bench=$!
trap 'kill "$bench" 2>/dev/null || true' EXIT

pids() { pgrep -P "$bench" || true; }
deadline=$((SECONDS + 30))
until [ "$(pids | wc -l)" -ge "$nodes" ]; do
  [ "$SECONDS" -lt "$deadline" ] || { echo "the nodes did not start" >&2; exit 1; }
  sleep 0.1
done

# sample PID: "thread_name ticks" lines, then "total N", "revision N" and "leader N". The total is that
# of the process: it includes threads that have ended.
sample() {
  local pid="$1" port
  for task in /proc/"$pid"/task/*; do
    awk -v name="$(cat "$task/comm")" '{ sub(/^.*\) /, ""); print name, $12 + $13 }' "$task/stat"
  done | awk '{ name = $1; sub(/[-0-9]+$/, "", name); sum[name] += $NF } END { for (n in sum) print n, sum[n] }'
  awk '{ sub(/^.*\) /, ""); print "total", $12 + $13 }' /proc/"$pid"/stat
  # The API port is the one that answers /metrics.
  for port in $(ss -ltnpH | awk -v pid="pid=$pid," '$0 ~ pid { n = split($4, part, ":"); print part[n] }' | sort -u); do
    curl -s --max-time 1 "http://127.0.0.1:$port/metrics" |
      awk '/^firstcome_raft_applied_index/ { print "revision", $NF } /^firstcome_raft_is_leader/ { print "leader", $NF }' && return
  done
}

sleep "$((warmup + 2))"
list="$(pids)"
before="$(for pid in $list; do sample "$pid" | sed "s/^/$pid /"; done)"
sleep 6
after="$(for pid in $list; do sample "$pid" | sed "s/^/$pid /"; done)"
printf '%s\n--\n%s\n' "$before" "$after" | awk -v ticks="$ticks" '
  /^--$/ { second = 1; next }
  { key = $1 " " $2; if (second) now[key] = $3; else was[key] = $3; pids[$1] }
  END {
    for (pid in pids) {
      orders = now[pid " revision"] - was[pid " revision"]
      printf "pid %s leader %s orders %d\n", pid, now[pid " leader"], orders
      for (key in now) {
        split(key, part, " ")
        if (part[1] != pid || part[2] == "revision" || part[2] == "leader") continue
        us = (now[key] - was[key]) / ticks * 1e6
        if (orders > 0) printf "  %-16s %6.1f us per order\n", part[2], us / orders
      }
    }
  }'
