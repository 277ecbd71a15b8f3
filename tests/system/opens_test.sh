#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Handles of all kinds on one file at once, while it crosses 1 MiB both ways: none ever fails; and
# no zero byte in a log that is truncated under its writers. usage: opens_test.sh BUILD_DIR [ROUNDS]
source "$(dirname "$0")/lib.sh"

rounds=${2:-300}

# run CACHED OPTIONS
run() {
    echo "== $2"
    mount_options=${mount_options:+$mount_options,}$2
    make_pool 256M
    mount_pool
    "$build/tests/system/opens_test" "$mnt" "$rounds" "$1" || fail "options '$mount_options'"
    umount_pool
    check_pool
    remove_pool
    mount_options=
}

run 0 cache=none,io_uring=off
run 1 cache=small,io_uring=off
if use_io_uring; then run 0 cache=none; else echo "SKIPPED io_uring: the kernel has none"; fi
echo "opens: passed"
