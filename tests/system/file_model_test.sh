#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Random operations on one file against its bytes in memory; then the same bytes after a remount.
# usage: file_model_test.sh BUILD_DIR [OPERATIONS [SEED]]: else 10000, and seeds 1 and 2
source "$(dirname "$0")/lib.sh"

operations=${2:-10000}
seeds=(1 2)
(($# < 3)) || seeds=("$3")
program=$build/tests/system/file_model_test

# The model is right where it is the kernel's own filesystem that is asked.
"$program" "$work/native" 2000 1 || fail "the model differs from $(stat -f -c %T "$work")"

make_pool 2G
mount_pool
for seed in "${seeds[@]}"; do
    "$program" "$mnt/file$seed" "$operations" "$seed" "$work/contents$seed" || fail "seed $seed"
done
remount_pool
for seed in "${seeds[@]}"; do
    cmp "$mnt/file$seed" "$work/contents$seed" || fail "seed $seed: it differs after a remount"
done
umount_pool
check_pool
echo "file model: passed"
