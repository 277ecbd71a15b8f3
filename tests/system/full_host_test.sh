#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A sparse pool on a host that is full: ENOSPC, and no worse; nothing is called poisoned, deleting
# works and gives space back. usage: full_host_test.sh BUILD_DIR
source "$(dirname "$0")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
work_on() { python3 "$here/full_host_test.py" "$1" "$mnt" || fail "$1, options '$mount_options'"; }

# The host ran out, the pool did not: nothing is wrong with it, and the same daemon serves it.
is_well() {
    local status
    status=$("$ingot" status --json "$mnt")
    jq -e --argjson pid "$pid" '.device.poisoned_pages == 0 and .device.writable and
        .space.damaged_groups == 0 and .mount.pid == $pid' <<<"$status" >/dev/null ||
        fail "status: $status"
    # The log names what it does about a fault; there is to be none.
    if grep -Ei 'poison|fault|sigbus' "$work/log"; then fail "the log speaks of faults"; fi
}

mount_here() {
    mount_pool
    pid=$("$ingot" status --json "$mnt" | jq -er .mount.pid)
}

mkdir "$work/limited"
pool=$work/limited/pool
extra_mounts+=("$work/limited")
for mount_options in '' page_array=dram,atomic; do
    mount -t tmpfs -o size=64M none "$work/limited"
    make_pool 1G
    mount_here
    work_on fill
    is_well
    (($(stat -f -c %a "$work/limited") < 1024)) || fail "the host isn't full: nothing was tested"
    work_on verify
    umount_pool
    check_pool
    # Mounted on a full host.
    mount_here
    work_on verify
    work_on overwrite
    is_well
    umount_pool
    check_pool
    mount_here
    work_on empty
    is_well
    # Once the host has space again, so has the pool.
    mount -o remount,size=256M "$work/limited"
    head -c 128M /dev/zero >"$mnt/large" || fail "no space on a larger host"
    umount_pool
    check_pool
    umount "$work/limited"
done

# A directory pool: large files are the host's own, and share its space with the region.
INGOT_TEST_POOL=directory
for mount_options in direct=auto direct=always direct=never; do
    make_pool 96M
    mount_here
    work_on fill
    is_well
    (($(stat -f -c %a "$pool") < 1024)) || fail "the host isn't full: nothing was tested"
    work_on verify
    umount_pool
    check_pool
    mount_here
    work_on verify
    work_on overwrite
    is_well
    umount_pool
    check_pool
    mount_here
    work_on empty
    is_well
    mount -o remount,size=256M "$pool"
    # The region stays as large as the host was: what isn't backed must fit into it.
    if [[ $mount_options == *never* ]]; then size=64M; else size=128M; fi
    head -c $size /dev/zero >"$mnt/large" || fail "larger host, options '$mount_options'"
    umount_pool
    check_pool
    remove_pool
done
INGOT_TEST_POOL=
pool=$work/limited/pool

# Full from the very first mount on.
mount_options=
mount -t tmpfs -o size=32M none "$work/limited"
make_pool 1G
head -c 100M /dev/zero >"$work/limited/filler" 2>/dev/null || true
mount_here
if head -c 8M /dev/zero 2>/dev/null >"$mnt/file"; then fail "8 MiB on a full host"; fi
is_well
rm "$work/limited/filler"
head -c 8M /dev/zero >"$mnt/file" || fail "no space beside a removed file"
umount_pool
check_pool
echo "full host: passed"
