#!/usr/bin/env bash
# boot.sh PROGRAM: boots a systemd of its own, in namespaces, and has it run walk.sh. Nothing of this system is
# changed: what the walk writes goes to a file system in memory, over the real ones.
set -euo pipefail
if [ $$ = 1 ]; then
    stage=$1
    # No other services than those of the units, and no setting of the kernel is touched.
    units=/usr/lib/systemd/system
    mkdir "$stage"/{units,none,usr,usr.work,etc,etc.work}
    for target in sysinit basic shutdown sockets multi-user network-online; do
        cp "$units/$target.target" "$stage/units/"
    done
    mount -t overlay overlay -o "lowerdir=/usr,upperdir=$stage/usr,workdir=$stage/usr.work" /usr
    mount -t overlay overlay -o "lowerdir=/etc,upperdir=$stage/etc,workdir=$stage/etc.work" /etc
    mount --bind "$stage/units" $units
    mount --bind "$stage/none" /usr/lib/systemd/system-generators
    rm -rf /etc/systemd/system/*
    for dir in /run /var/lib; do mount -t tmpfs tmpfs $dir; done
    mount -t proc proc /proc
    mount --bind /proc/sys /proc/sys
    mount -o remount,ro,bind /proc/sys
    umount -R /sys/fs/cgroup 2>/dev/null || umount -l /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ip link set lo up
    cat > /etc/systemd/system/walk.service <<UNIT
[Unit]
DefaultDependencies=no
[Service]
WorkingDirectory=$stage/archive
ExecStart=/bin/bash -c 'bash -euo pipefail xtask/units/walk.sh && said=passed || said=failed; echo \$\$said > $stage/verdict'
StandardOutput=append:$stage/log
StandardError=append:$stage/log
UNIT
    exec env -i container=boato "PATH=$PATH" /lib/systemd/systemd --system --unit=walk.service --log-target=null --show-status=no
fi

if [ "${2-}" != mounts ]; then
    exec unshare --mount --propagation private bash "$0" "$1" mounts
fi
program=$(realpath "$1")
stage=$(mktemp -d)
mount -t tmpfs tmpfs "$stage"
mkdir "$stage/archive" "$stage/cgroup"
mount -t cgroup2 cgroup2 "$stage/cgroup"
group=$stage/cgroup/boato-units-$$
mkdir "$group"
clean() {
    kill -KILL "$systemd" 2>/dev/null || true
    wait "$systemd" 2>/dev/null || true
    # A process that was killed leaves its group a moment later.
    for _ in $(seq 50); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break || sleep 0.1
    done
    umount --recursive --lazy "$stage" && rmdir "$stage"
}
trap clean EXIT
cp -r docs packaging xtask "$stage/archive"
install -D "$program" "$stage/archive/target/release/boato"
# A systemd that is killed takes all of its processes along.
(echo $BASHPID > "$group/cgroup.procs"
    exec unshare --fork --kill-child=KILL --pid --mount --net --ipc --uts --cgroup bash "$0" "$stage") &
systemd=$!
for _ in $(seq 600); do
    [ -s "$stage/verdict" ] && break
    kill -0 "$systemd" 2>/dev/null || break
    sleep 0.2
done
cat "$stage/log" 2>/dev/null || true
case $(cat "$stage/verdict" 2>/dev/null) in
    passed) ;;
    failed) echo "the units do not do what docs/operations.md says" >&2; exit 1 ;;
    *) echo "systemd ended, or did not come to an end in two minutes" >&2; exit 1 ;;
esac
