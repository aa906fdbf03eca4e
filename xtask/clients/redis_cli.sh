#!/usr/bin/env bash
# redis-cli, one node and cluster (-c): what a person at a terminal sees while nodes come and go.
#
#     redis_cli.sh PLAIN CLUSTER,CLUSTER,...        addresses, host:port
#
# It says "ready" once everyday commands have been tried, and then works until its input ends. Every answer has to be right.
set -euo pipefail

# The cluster is asked through its first address, which stays.
plain=(-h "${1%:*}" -p "${1##*:}")
first=${2%%,*}
cluster=(-c -h "${first%:*}" -p "${first##*:}")
operations=0
# No other run has these keys.
prefix=redis-cli:$$

# expect ANSWER ARGUMENT...: calls redis-cli and compares.
expect() {
    local expected=$1 answer
    shift
    answer=$(redis-cli "$@" </dev/null) || { echo "redis-cli $* failed: $answer" >&2; exit 1; }
    [ "$answer" = "$expected" ] || { echo "redis-cli $*: $answer instead of $expected" >&2; exit 1; }
    operations=$((operations + 1))
}

everyday() {
    local key=$1
    shift
    expect PONG "$@" PING
    expect OK "$@" SET "$key" hello EX 100
    expect hello "$@" GET "$key"
    expect 5 "$@" STRLEN "$key"
    expect string "$@" TYPE "$key"
    expect "ERR value is not an integer or out of range" "$@" INCR "$key"
    expect 1 "$@" DEL "$key"
    expect "" "$@" GET "$key"
}

everyday "$prefix:everyday" "${plain[@]}"
everyday "$prefix:cluster:everyday" "${cluster[@]}"
printf 'SET pipe:%d value\r\n' $(seq 1000) | redis-cli "${plain[@]}" --pipe | grep -q "errors: 0, replies: 1000"
echo ready

round=0
ended=0
while [ "$ended" = 0 ]; do
    # Waits a little; status 1 is the end, above 128 the time.
    read -r -t 0.01 || [ $? -gt 128 ] || ended=1
    round=$((round + 1))
    key=$prefix:$((round % 20))
    expect OK "${plain[@]}" SET "$key" "$round"
    expect "$round" "${plain[@]}" GET "$key"
    expect OK "${cluster[@]}" SET "$key:cluster" "$round"
    expect "$round" "${cluster[@]}" GET "$key:cluster"
    expect "$round" "${cluster[@]}" INCR "$prefix:count"
done
echo "$operations operations"
