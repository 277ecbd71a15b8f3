#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Load that others wrote: stress-ng's filesystem stressors, which check what they get, dbench's
# office of clients, and fio with sums in every block, by each way into a file. Remounted and
# checked after each. usage: stress_test.sh BUILD_DIR [SECONDS [STEP...]]: about so long each (8)
# From the environment: INGOT_TEST_SEED, of fio's random numbers.
source "$(dirname "$0")/lib.sh"

# Left out of stress-ng's class "filesystem": what touches no file of this one (dup, eventfd,
# ioprio, procfs; binderfs, which is another), bind-mount, which may hang a machine by its own
# manual, and what the kernel has for no FUSE filesystem (fiemap) or which ingot hasn't (verity).
readonly not_here=dup,eventfd,ioprio,procfs,binderfs,bind-mount,fiemap,verity

# What stress-ng calls a failure; the last lines of anything else that ended badly.
complain() { fail "$1: $(grep -iE 'fail|error' "$work/said" || tail -n 20 "$work/said")"; }

# All at once, so that they meet; then those for whole files of data, which need the time. (Not
# io-uring, which fails on every filesystem: it asks for the attributes of a name that is gone.)
test_stress_ng() {
    local -a common=(--temp-path "$mnt" --verify --timeout "$((seconds / 2))" --no-rand-seed
        --hdd-bytes 32m --iomix-bytes 32m --fallocate-bytes 32m --sync-file-bytes 32m
        --copy-file-bytes 128m --readahead-bytes 32m --revio-bytes 32m
        --seek-size 32m --fstat-dir "$mnt")
    stress-ng "${common[@]}" --class filesystem --all 1 --exclude "$not_here" \
        >"$work/said" 2>&1 || complain stress-ng
    stress-ng "${common[@]}" --aio 2 --aiol 2 --readahead 1 --revio 1 --seek 2 \
        --hdd 1 --iomix 1 --fpunch 1 >"$work/said" 2>&1 || complain stress-ng
}

test_dbench() {
    dbench --directory "$mnt" --timelimit "$((seconds - 1))" --loadfile \
        /usr/share/dbench/client.txt 4 >"$work/said" 2>&1 || complain dbench
    grep -q '^Throughput' "$work/said" || complain dbench
}

# Each engine writes a file of its own, in order and at random, reads back while it writes, then
# all of it.
test_fio() {
    local pattern engine name
    local -a jobs=()
    local -a engines=(psync psync:direct mmap io_uring io_uring:direct libaio:direct pvsync2)
    for pattern in write randwrite randrw; do
        jobs=(--name=global --directory="$mnt" --size=32m --bsrange=4k-128k --rw="$pattern"
            --verify=crc32c --verify_fatal=1 --verify_backlog=256 --verify_state_save=0
            --minimal --iodepth=8 --randseed="${INGOT_TEST_SEED:-1}"
            --loops="$((1 + seconds / 6))")
        for engine in "${engines[@]}"; do
            name=${engine/:/-}
            jobs+=(--name="$name" --filename="$name" --ioengine="${engine%:*}" --direct=0)
            [[ $engine != *:direct ]] || jobs[-1]=--direct=1
        done
        fio "${jobs[@]}" >"$work/said" 2>&1 || complain "fio $pattern"
    done
}

seconds=${2:-8}
steps=(stress_ng dbench fio)
(($# < 3)) || steps=("${@:3}")
mount_options=suid,dev${mount_options:+,$mount_options}
make_pool 3G
mount_pool
for step in "${steps[@]}"; do
    begin=$SECONDS
    "test_$step"
    find "$mnt" -mindepth 1 -delete
    remount_pool
    echo "== $step: $((SECONDS - begin)) s"
done
umount_pool
check_pool
if grep -E ' (error|critical) ' "$work/log"; then fail "the daemon complained"; fi
echo "stress: passed"
