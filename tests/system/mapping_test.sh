#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Shared mappings: closed descriptors, unlinked files, msync; unmounting while there are some; the
# same bytes after a remount and after a kill of the daemon. usage: mapping_test.sh BUILD_DIR
source "$(dirname "$0")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
mapping() { python3 "$here/mapping_test.py" "$1" "$mnt" || fail "$1, options '$mount_options'"; }

for mount_options in '' cache=small; do
    make_pool 256M
    mount_pool
    mapping store
    remount_pool
    mapping verify

    # A mapping keeps the mount busy, as an open file does.
    mkfifo "$work/release"
    rm -f "$work/said" # of the last turn
    python3 "$here/mapping_test.py" hold "$mnt" <"$work/release" >"$work/said" &
    holder=$!
    exec 5>"$work/release"
    until grep -qs holding "$work/said"; do
        kill -0 "$holder" || fail "the holder of a mapping has ended"
        sleep 0.01
    done
    if "$ingot" umount "$mnt" 2>/dev/null; then fail "unmounted under a mapping"; fi
    exec 5>&-
    wait "$holder" || fail "the holder of a mapping failed"
    rm "$work/release"
    remount_pool
    mapping verify

    # What was synced survives the daemon.
    pid=$("$ingot" status --json "$mnt" | jq -er .mount.pid)
    kill -9 "$pid"
    umount -l "$mnt"
    while [[ -d /proc/$pid ]]; do sleep 0.01; done
    check_pool
    mount_pool
    mapping verify
    umount_pool
    check_pool
    remove_pool
done
echo "mapping: passed"
