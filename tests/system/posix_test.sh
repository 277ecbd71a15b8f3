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

# on_ingot NAME OPTIONS [MODULE]: the answers on a mount with these options, compared.
on_ingot() {
    echo "== $1"
    mount_options=suid,dev$2
    make_pool 1G
    mount_pool
    python3 "$here/posix_calls.py" "$mnt" "${@:3}" >"$work/$1.json" || fail "cases on $1"
    find "$mnt" -mindepth 1 -delete
    umount_pool
    check_pool
    remove_pool
    python3 "$here/posix_calls.py" --compare "$work/$1.json" "${natives[@]}" ||
        fail "$1: answers differ from those of every native filesystem"
}

if is_directory_pool; then
    # Not posix_data: where holes are is the host's answer here, 2 MiB at a time, and parts of huge
    # pages are zeroed rather than punched (rule B10), so that they stay whole.
    on_ingot directory '' posix_names posix_privileges posix_rules
    echo "posix: passed"
    exit
fi
on_ingot ingot ''
# Through the page cache the kernel clears privileges by other requests.
on_ingot cached ,cache=small posix_privileges
echo "posix: passed"
