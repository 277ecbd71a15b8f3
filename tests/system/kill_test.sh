#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# kill -9 of the daemon under mixed load from several processes, many times: each time
# the pool mounts again, fsck finds nothing, and every acknowledged operation is there.
# usage: kill_test.sh BUILD_DIR [ROUNDS]
source "$(dirname "$0")/lib.sh"

rounds=${2:-20}
here=$(cd "$(dirname "$0")" && pwd)

daemon_pid() { "$ingot" status --json "$mnt" | jq -er '.mount.pid'; }

one_round() {
    local round=$1 worker pid
    local -a workers=()
    mount_pool
    pid=$(daemon_pid)
    for worker in 1 2 3 4; do
        python3 "$here/kill_worker.py" "$mnt/r$round-w$worker" "$work/manifest-$round-$worker" \
            "$((round * 10 + worker))" &
        workers+=($!)
    done
    # The load must have begun, however slow the machine is.
    for worker in 1 2 3 4; do
        until [[ -s $work/manifest-$round-$worker ]]; do sleep 0.01; done
    done
    sleep "0.$((RANDOM % 9 + 1))"
    kill -9 "$pid"
    wait "${workers[@]}" || true
    umount -l "$mnt"
    while [[ -d /proc/$pid ]]; do sleep 0.01; done
    # As it is after the kill, fsck says at most that recovery is needed; after a mount it is clean.
    check_pool
    mount_pool
    for worker in 1 2 3 4; do
        python3 "$here/kill_worker.py" --verify "$mnt/r$round-w$worker" \
            "$work/manifest-$round-$worker" || fail "round $round"
    done
    # Older rounds must not have been touched; keeping a few bounds the time.
    if ((round > 2)); then rm -rf "$mnt/r$((round - 2))-w"*; fi
    umount_pool
    check_pool
}

make_pool 2G
total=0
for round in $(seq "$rounds"); do
    one_round "$round"
    total=$((total + $(cat "$work"/manifest-"$round"-* | grep -c done)))
done
least=${INGOT_TEST_SHORT:+4} # a disk is slow
((total >= rounds * ${least:-10})) || fail "only $total operations were acknowledged: no load"
echo "kill: $rounds rounds passed, $total operations acknowledged"
