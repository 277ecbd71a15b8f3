#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Random operations through a mount against the plain model, in several kinds of mount.
# usage: mount_model_test.sh BUILD_DIR [OPERATIONS]
source "$(dirname "$0")/lib.sh"

operations=${2:-20000}
program=$build/tests/system/mount_model_test

run() {
    local seed=$1
    mount_options=$2
    make_pool 2G
    mount_pool
    "$program" "$mnt" "$operations" "$seed" || fail "options '$2', seed $seed"
    umount_pool
    check_pool
    rm "$pool"
}

run 1 ''
run 2 cache=small
run 3 atomic
run 4 page_array=dram
echo "mount model: passed"
