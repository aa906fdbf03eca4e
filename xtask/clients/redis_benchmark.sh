#!/usr/bin/env bash
# redis-benchmark, one node and cluster (--cluster): does it run to its end, while nodes come and go?
#
#     redis_benchmark.sh PLAIN CLUSTER,CLUSTER,...        addresses, host:port
#
# It says "ready" once it has seen the cluster, and then loads the one node until its input ends. The cluster mode of
# redis-benchmark looks for nodes once, at its start, so it runs while no node comes or goes.
set -euo pipefail

first=${2%%,*}
runs=0

# benchmark ARGUMENT...: an error that is answered ends it.
benchmark() {
    local output
    output=$(redis-benchmark -q -t set,get,incr -r 1000 -n 5000 -P 16 "$@" </dev/null 2>&1) ||
        { echo "redis-benchmark $* failed: $output" >&2; exit 1; }
    if grep -qi "error" <<<"$output" || ! grep -q "requests per second" <<<"$output"; then
        echo "redis-benchmark $*: $output" >&2
        exit 1
    fi
    runs=$((runs + 1))
}

benchmark --cluster -h "${first%:*}" -p "${first##*:}"
echo ready
ended=0
while [ "$ended" = 0 ]; do
    read -r -t 0.01 || [ $? -gt 128 ] || ended=1
    benchmark -h "${1%:*}" -p "${1##*:}"
done
benchmark --cluster -h "${first%:*}" -p "${first##*:}"
echo "$((runs * 15000)) operations"
