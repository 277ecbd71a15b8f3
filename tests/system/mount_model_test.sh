#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Random operations through a mount against the plain model, in several kinds of mount.
# usage: mount_model_test.sh BUILD_DIR [OPERATIONS [OPTIONS...]]
source "$(dirname "$0")/lib.sh"

operations=${2:-20000}
kinds=('' cache=small atomic page_array=dram)
(($# < 3)) || kinds=("${@:3}")
program=$build/tests/system/mount_model_test
common_options=$mount_options

run() {
    local seed=$1
    mount_options=$common_options${2:+${common_options:+,}$2}
    make_pool 2G
    mount_pool
    "$program" "$mnt" "$operations" "$seed" || fail "options '$2', seed $seed"
    umount_pool
    check_pool
    remove_pool
}

for i in "${!kinds[@]}"; do run $((i + 1)) "${kinds[i]}"; done
echo "mount model: passed"
