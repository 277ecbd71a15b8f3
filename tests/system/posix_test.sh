#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Thousands of system calls with odd arguments, on a mount and on the kernel's own filesystems: an
# answer that none of those gives is a failure. usage: posix_test.sh BUILD_DIR
source "$(dirname "$0")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
export PYTHONDONTWRITEBYTECODE=1
chmod 711 "$work"

# native NAME COMMAND...: a native filesystem's answers; COMMAND mounts it on $work/NAME.
natives=()
native() {
    local name=$1
    shift
    mkdir "$work/$name"
    if ! "$@" "$work/$name"; then
        echo "SKIPPED: no $name can be mounted here to compare with"
        exit 77
    fi
    extra_mounts+=("$work/$name")
    python3 "$here/posix_calls.py" "$work/$name" >"$work/$name.json" || fail "cases on $name"
    umount "$work/$name"
    natives+=("$work/$name.json")
}

mount_image() {
    local type=$1 size=$2 block=$3
    truncate -s "$size" "$work/$type.image"
    "mkfs.$type" -q -b "$block" "$work/$type.image" && mount -o loop "$work/$type.image" "$4"
}

native tmpfs mount -t tmpfs none
native ext4 mount_image ext4 300M 4096
native xfs mount_image xfs 400M size=4096

make_pool 1G
mount_options=suid,dev
mount_pool
python3 "$here/posix_calls.py" "$mnt" >"$work/ingot.json" || fail "cases on the mount"
find "$mnt" -mindepth 1 -delete
umount_pool
check_pool
python3 "$here/posix_calls.py" --compare "$work/ingot.json" "${natives[@]}" ||
    fail "answers differ from those of every native filesystem"
echo "posix: passed"
