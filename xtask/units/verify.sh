#!/usr/bin/env bash
# verify.sh PROGRAM: what systemd itself says of the units in packaging/.
set -euo pipefail
program=$(realpath "$1")
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp -r packaging/systemd "$stage/units"
# The program is not installed where the units have it.
sed -i "s#^ExecStart=[^ ]*boato #ExecStart=$program #" "$stage"/units/*.service "$stage"/units/user/*.service
export XDG_RUNTIME_DIR=$stage
systemd-analyze verify --man=no "$stage"/units/*.service "$stage"/units/*.socket
systemd-analyze verify --man=no --user "$stage"/units/user/*.service
systemd-analyze security --offline=true --threshold=20 "$stage/units/boato.service" | tail -n 1
