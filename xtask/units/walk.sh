# Run by a systemd that boot.sh has booted: what docs/operations.md says to type, word for word, and what comes of it.

# The commands of the first block behind a line that has the words.
block() {
    sed -n "/$1/,\$p" docs/operations.md | sed -n '/^```sh$/,/^```$/p' | sed '/^```$/q' | grep -v '^```\|^cargo build'
}
fail() { echo "$1" >&2; systemctl status --no-pager boato >&2 || true; exit 1; }
status() { systemctl show --property StatusText --value boato; }
# Whether $1 is said within ten seconds by the commands behind it.
says() {
    local text=$1 said=; shift
    for _ in $(seq 100); do
        said=$("$@" 2>&1) || true
        [[ $said == *"$text"* ]] && return
        sleep 0.1
    done
    fail "'$*' says '$said', not '$text'"
}
connects() {
    exec 3<>/dev/tcp/127.0.0.1/7480 || return 1
    printf 'GET /_/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    local line; IFS= read -r -t 20 line <&3 || return 1
    [[ $line == "HTTP/1.1 200"* ]]
}

echo "== install"
eval "$(block 'With systemd, as root')"
systemctl is-active boato
says "ready: 16384 slots" status
boato set greeting hello
says hello boato get greeting
[ -s /var/lib/boato/node ] || fail "nothing is kept in the data-dir of boato.toml: $(ls -la /var/lib/boato)"

echo "== reload"
echo 'max-memory = "1GiB"' >> /etc/boato/boato.toml
systemctl reload boato
says "reloaded: max-memory: none -> 1073741824" status
echo 'http = "127.0.0.1:1"' >> /etc/boato/boato.toml
systemctl reload boato
says "need a restart: http" status
sed -i '$d' /etc/boato/boato.toml

echo "== a restart with sockets"
eval "$(block '^### A restart that refuses no connection' | sed '$d')"
(systemctl restart boato; touch /run/restarted) &
asked=0
until [ -e /run/restarted ]; do
    connects || fail "a connection was refused, or not answered"
    asked=$((asked + 1))
done
wait
[ $asked -gt 0 ] || fail "nobody asked during the restart"
echo "$asked connections, all answered"

echo "== a crash"
before=$(systemctl show --property MainPID --value boato)
kill -ABRT "$before"
says 1 systemctl show --property NRestarts --value boato
says "ready: 16384 slots" status

echo "== the end"
eval "$(grep -o 'systemctl disable --now [a-z. -]*' docs/operations.md | head -n 1)"
says inactive systemctl is-active boato
says success systemctl show --property Result --value boato
