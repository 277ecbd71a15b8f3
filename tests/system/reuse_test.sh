#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Whoever holds an unlinked file sees that file or ESTALE, whatever became of its inode.
# usage: reuse_test.sh BUILD_DIR [ROUNDS]
source "$(dirname "$0")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
rounds=${2:-400}

no_orphan_is_left() {
    orphans=$("$ingot" status --json "$1" | jq -e '.space.orphans')
    ((orphans == 0))
}

for mount_options in '' cache=small; do
    make_pool 256M
    mount_pool
    python3 "$here/reuse_test.py" "$mnt" "$rounds" || fail "options '$mount_options'"
    (($(find "$mnt" -mindepth 1 | wc -l) == 2)) || fail "something is left"
    # What was held is all given back, once the daemon has heard of the last close. (An unmount ends
    # what it has not heard yet.)
    eventually no_orphan_is_left "$mnt" || fail "$orphans orphans are left"
    umount_pool
    check_pool
    no_orphan_is_left "$pool" || fail "$orphans orphans are left on the medium"
    remove_pool
done
echo "reuse: passed"
