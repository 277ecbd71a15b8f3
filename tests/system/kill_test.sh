#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# kill -9 of the daemon under mixed load from several processes, many times: each time
# the pool mounts again, fsck finds nothing, and every acknowledged operation is there. A second
# daemon on the pool is refused by the first one's mount point; after the kill the lock is free.
# How long each daemon took from its start to its first answer is printed, not judged.
# usage: kill_test.sh BUILD_DIR [ROUNDS]
# From the environment: INGOT_TEST_ROUNDS, where no ROUNDS are given (20); INGOT_TEST_SECONDS: no
# further round is begun after so many.
source "$(dirname "$0")/lib.sh"

rounds=${2:-${INGOT_TEST_ROUNDS:-20}}
seconds=${INGOT_TEST_SECONDS:-0}
here=$(cd "$(dirname "$0")" && pwd)
times=$work/times # of starts, in microseconds, one a line
least=${INGOT_TEST_SHORT:+4} # a disk is slow
least=${least:-10}           # operations are acknowledged in each round, or it was no load

daemon_pid() { "$ingot" status --json "$mnt" | jq -er '.mount.pid'; }

# Mounts; from the start of the program to the first answered request.
timed_mount() {
    local begin=${EPOCHREALTIME/[.,]/}
    mount_pool
    stat -c %i "$mnt" >/dev/null
    echo $((${EPOCHREALTIME/[.,]/} - begin)) >>"$times"
}

# (Without --foreground the pool would be shown at the second place, by the first daemon.)
second_daemon_is_refused() {
    local answer
    mkdir -p "$work/second"
    extra_mounts+=("$work/second")
    if answer=$(timeout 100 "$ingot" mount --foreground "$pool" "$work/second" 2>&1); then
        fail "two daemons on one pool"
    fi
    [[ $answer == *"$mnt"* ]] || fail "a second daemon is refused without a name: $answer"
}

print_times() {
    sort -n "$times" | awk '{ t[NR] = $1 } END {
        printf "kill: first answer after %.1f ms at most, %.1f ms in the median, of %d mounts\n",
               t[NR] / 1000, t[int((NR + 1) / 2)] / 1000, NR }'
}

# How many operations of that round were.
acknowledged() { cat "$work"/manifest-"$1"-* | grep -c done; }

one_round() {
    local round=$1 worker pid
    local -a workers=()
    timed_mount
    if ((round == 1)); then second_daemon_is_refused; fi
    pid=$(daemon_pid)
    for worker in 1 2 3 4; do
        python3 "$here/kill_worker.py" "$mnt/r$round-w$worker" "$work/manifest-$round-$worker" \
            "$((round * 10 + worker))" &
        workers+=($!)
    done
    # The load must have begun, and have done something, however slow the machine is.
    for worker in 1 2 3 4; do
        until [[ -s $work/manifest-$round-$worker ]]; do sleep 0.01; done
    done
    sleep "0.$((RANDOM % 9 + 1))"
    until (($(acknowledged "$round") >= least)); do
        kill -0 "$pid" || fail "the daemon has ended by itself"
        sleep 0.01
    done
    kill -9 "$pid"
    wait "${workers[@]}" || true
    umount -l "$mnt"
    while [[ -d /proc/$pid ]]; do sleep 0.01; done
    # As it is after the kill, fsck says at most that recovery is needed; after a mount it is clean.
    check_pool # takes the lock, without waiting for anybody
    timed_mount
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
round=0
begin=$SECONDS
while ((round < rounds)); do
    if ((seconds > 0 && SECONDS - begin >= seconds)); then break; fi
    round=$((round + 1))
    one_round "$round"
    total=$((total + $(acknowledged "$round")))
    rm -f "$work"/manifest-"$((round - 3))"-*
done
((total >= round * least)) || fail "only $total operations were acknowledged: no load"
print_times
echo "kill: $round rounds passed, $total operations acknowledged"
