#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Handles of all kinds on one file at once, while it crosses 1 MiB both ways: none ever fails; and
# no zero byte in a log that is truncated under its writers. usage: opens_test.sh BUILD_DIR [ROUNDS]
source "$(dirname "$0")/lib.sh"

rounds=${2:-300}
for cached in 0 1; do
    mount_options=cache=$( ((cached)) && echo small || echo none)
    make_pool 256M
    mount_pool
    "$build/tests/system/opens_test" "$mnt" "$rounds" "$cached" || fail "options '$mount_options'"
    umount_pool
    check_pool
    rm "$pool"
done
echo "opens: passed"
