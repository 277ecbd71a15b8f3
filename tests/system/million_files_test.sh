#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A million files in one pool: made, unmounted, checked, mounted, counted, read; and the daemon's
# own memory stays small all the time. usage: million_files_test.sh BUILD_DIR
source "$(dirname "$0")/lib.sh"

program=$build/tests/system/million_files_test
most_kib=$((64 << 10))

# The kernel holds a reference to each of a million inodes; the daemon counts them in the pool.
memory_is_small() {
    local pid kib
    pid=$("$ingot" status --json "$mnt" | jq -er .mount.pid)
    kib=$(awk '$1 == "RssAnon:" { print $2 }' "/proc/$pid/status")
    echo "$1: the daemon has $kib KiB of its own"
    ((kib <= most_kib)) || fail "$1: the daemon has $kib KiB of its own, at most $most_kib"
}

mount_options=noatime
make_pool 2G
mount_pool
"$program" create "$mnt" || fail "creating"
memory_is_small "after creating"
umount_pool
check_pool
files=$("$ingot" fsck -n --json "$pool" | jq -er '.counts.files')
((files == 1000000)) || fail "fsck counts $files files"
mount_pool
"$program" verify "$mnt" || fail "verifying"
memory_is_small "after listing"
umount_pool
echo "million files: passed"
