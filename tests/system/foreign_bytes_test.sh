#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# No reader ever sees a byte of another file while space changes owners, with requests through
# /dev/fuse, through io_uring, and with small files in the page cache.
# usage: foreign_bytes_test.sh BUILD_DIR [OPERATIONS]
source "$(dirname "$0")/lib.sh"

operations=${2:-500}
program=$build/tests/system/foreign_bytes_test

run() {
    echo "== $1"
    make_pool 256M
    mount_pool
    # Below its clients, the daemon is interrupted anywhere (Disturb).
    for thread in "/proc/$("$ingot" status --json "$mnt" | jq -er .mount.pid)"/task/*; do
        renice -n 10 -p "${thread##*/}" >/dev/null || [[ ! -d $thread ]] # some end by themselves
    done
    # 24 files of up to 5 MiB want more than what is left free.
    local fill=238 turns=1
    if is_directory_pool; then
        # Metadata takes its part of the host there, and small files another than large ones.
        fill=$(($(stat -f -c '%a * %S' "$mnt") / 1048576 - 12)) turns=0
    fi
    "$program" "$mnt" "$operations" "$fill" "$turns" || fail "$1"
    umount_pool
    check_pool
    remove_pool
}

more=${INGOT_TEST_OPTIONS:+,$INGOT_TEST_OPTIONS}
mount_options=io_uring=off$more
run /dev/fuse
mount_options=io_uring=off,cache=small$more
run 'small files cached'
mount_options=${INGOT_TEST_OPTIONS:-}
if use_io_uring; then run io_uring; else echo "SKIPPED io_uring: the kernel has none"; fi
echo "foreign bytes: passed"
