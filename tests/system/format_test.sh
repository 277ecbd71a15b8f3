#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Block devices: ingot mkfs --format, and everything else on what it made. On loop devices, which
# have no DAX: what the kernel then maps are the host's cached pages, all else is as on pmem.
# usage: format_test.sh BUILD_DIR ext4|xfs
set -uo pipefail

readonly build=${1:?usage: format_test.sh BUILD_DIR ext4|xfs}
readonly host=${2:?ext4 or xfs}
readonly ingot=$build/ingot
failures=0
checks=0
device=

skip() { echo "SKIPPED: $*"; exit 77; }
((EUID == 0)) || skip "needs root"
command -v "mkfs.$host" >/dev/null || skip "mkfs.$host is not installed"
grep -qw "$host" /proc/filesystems || modprobe "$host" 2>/dev/null || skip "the kernel has no $host"
losetup -f >/dev/null 2>&1 || skip "there is no free loop device"

work=$(mktemp -d /dev/shm/ingot-format-XXXXXX)
readonly work image=$work/image mnt=$work/mnt inner=$work/inner
mkdir "$mnt" "$inner"

detach() {
    [[ -z $device ]] || losetup -d "$device"
    device=
}
# shellcheck disable=SC2317 # called by trap
clean_up() {
    local directory
    for directory in "$mnt" "$inner"; do
        while mountpoint -q "$directory" 2>/dev/null; do umount -i -l "$directory" || break; done
    done
    detach
    rm -rf "$work"
}
trap clean_up EXIT

# shellcheck source=tests/system/expect.sh
source "$(dirname "$0")/expect.sh"
is() { # WHAT GOT WANTED
    checks=$((checks + 1))
    [[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"
}

attach() { # SIZE of a new image; none: the one that is there
    detach
    if (($#)); then
        rm -f "$image"
        truncate -s "$1" "$image"
    fi
    device=$(losetup -f --show "$image") || { echo "no loop device"; exit 1; }
}
mkfs() { # CODE PATTERN OPTION...
    expect "$1" "$2" "$ingot" mkfs --format --host="$host" --no-dax "${@:3}" "$device"
}
format() { mkfs 0 "on $host without DAX" "$@"; }
is_no_pool() {
    expect 1 '(no filesystem|labelled).*.EINVAL.. Hint: .*mkfs --format' "$ingot" info "$device"
    expect 32 '(no filesystem|labelled).*pool' "$ingot" mount "$device" "$mnt"
}
is_clean() { expect 0 'clean' "$ingot" fsck -n "$device"; }
# Nobody holds the device: detaching it is done at once, not when the last user goes; or soon after
# one who was killed, whose mounts the kernel ends in the background.
is_detached() { [[ -z $(losetup -j "$image") ]]; }
is_free() {
    losetup -d "$device"
    [[ $1 != *kill* ]] || eventually is_detached
    is "the device is free after $1" "$(losetup -j "$image")" ''
    device=
    attach
}

test_refusals() {
    attach 48M
    mkfs 1 "a pool on $host has at least [0-9]+ MiB.*ENOSPC"
    attach 1G
    expect 1 'no DAX.*Hint: ndctl .*--no-dax' "$ingot" mkfs --format --host="$host" "$device"
    expect 1 'no block device' "$ingot" mkfs --format --no-dax "$work"
    expect 1 '\(ENOENT\)' "$ingot" mkfs --format --no-dax "$work/none"
    expect 1 'belong to --format' "$ingot" mkfs --host=ext4 "$work/file"
    expect 2 'host' "$ingot" mkfs --format --host=btrfs "$device"
    expect 1 'Hint: ingot mkfs --format' "$ingot" mkfs "$device"
    mkfs 1 'at most 31 bytes' -L "$(printf 'x%.0s' {1..40})"
    is "what was refused is untouched" "$(stat -c %b "$image")" 0
    is_no_pool

    # Somebody else's filesystem, mounted and not.
    mkfs.ext4 -q -L precious "$device"
    local before
    before=$(head -c 8M "$image" | sha256sum)
    mkfs 1 "holds the ext4 filesystem 'precious' \(EEXIST\). Hint: --force"
    is "what was refused is as it was" "$(head -c 8M "$image" | sha256sum)" "$before"
    is_no_pool
    mount "$device" "$inner"
    mkfs 1 "mounted at $inner \(EBUSY\)" --force
    umount "$inner"
    attach 1G
    head -c 1M /dev/urandom >"$device"
    mkfs 1 'data of an unknown kind'
    format --force
    mkfs 1 'holds an ingot pool'
}

# What a mkfs that ends in the middle leaves is nobody's pool, also where there was one.
test_half_made() {
    mkdir -p "$work/bin"
    local real
    real=$(command -v "mkfs.$host")
    printf '#!/bin/sh\necho the medium is on fire >&2\nexit 1\n' >"$work/bin/mkfs.$host"
    chmod +x "$work/bin/mkfs.$host"
    expect 1 'failed: the medium is on fire \(EIO\)' env PATH="$work/bin:$PATH" \
        "$ingot" mkfs --format --force --host="$host" --no-dax "$device"
    is_no_pool
    # It dies when the host filesystem is there, and its pool isn't.
    # shellcheck disable=SC2016 # for the inner shell
    printf '#!/bin/sh\n%s "$@" && kill -9 "$PPID"\n' "$real" >"$work/bin/mkfs.$host"
    # shellcheck disable=SC2016
    expect 137 '' env PATH="$work/bin:$PATH" \
        "$ingot" mkfs --format --force --host="$host" --no-dax "$device"
    is_no_pool
    mkfs 1 "holds the $host filesystem"
    is_free "a mkfs that was killed"
    format --force
    is_clean
}

# All extents of all files below a folder begin and end at 2 MiB on the device.
misaligned() {
    find "$1" -type f -size +1M -print0 | xargs -0 -r filefrag -b4096 -v |
        awk '/^ *[0-9]+:/ { gsub(/[:.]+/, " "); if ($4 % 512 != 0) print }'
}

look_into_host() {
    if [[ $host == ext4 ]]; then
        local layout
        layout=$(dumpe2fs -h "$device" 2>/dev/null)
        is "cluster size" "$(awk '/^Cluster size:/ {print $3}' <<<"$layout")" 2097152
        is "nothing reserved" "$(awk '/^Reserved block count:/ {print $4}' <<<"$layout")" 0
    fi
    mount -o ro "$device" "$inner"
    is "files that lie askew" "$(misaligned "$inner")" ''
    if [[ $host == xfs ]]; then
        is "allocation hint" "$(xfs_io -r -c extsize "$inner/backing" | cut -d' ' -f1)" '[2097152]'
        is "reflink" "$(xfs_info "$inner" | grep -o 'reflink=[01]')" 'reflink=0'
    fi
    is "large files of the host" "$(find "$inner/backing" -size +1M | wc -l)" 6
    umount "$inner"
}

test_use() {
    format --force --label shelf
    is "label" "$(blkid -o value -s LABEL "$device")" ingot-pool
    expect 0 "uuid: $(blkid -o value -s UUID "$device")" "$ingot" info "$device"
    expect 0 'label: shelf' "$ingot" info "$device"
    expect 0 'dax: no.*lost: the device has no DAX' "$ingot" status "$device"
    expect 0 '' "$ingot" mount "$device" "$mnt"
    is "source" "$(awk -v d="$mnt" '$2 == d {print $1, $3}' /proc/mounts)" "$device fuse.ingot"
    is "no other mount" "$(grep -c "^$device " /proc/mounts)" 1
    expect 0 'dax: no.*lost: the device has no DAX' "$ingot" status "$mnt"
    local i
    for i in {1..6}; do
        head -c $((i * 3000001)) /dev/urandom >"$mnt/large$i"
        # Small files between the large ones: they must not make the host's space ragged.
        local j
        for j in {1..50}; do echo "$i $j" >"$mnt/small$i.$j"; done
    done
    expect 0 'direct: no.*no DAX' "$ingot" map "$mnt/large3"
    local sums
    sums=$(cd "$mnt" && sha256sum ./*)
    expect 0 "uuid" "$ingot" info "$device"
    expect 0 'state: whole' "$ingot" dump superblock "$device"
    expect 0 'mounted at .*clean' "$ingot" fsck -n "$device"
    expect 8 'mounted at .*EBUSY' "$ingot" fsck -y "$device"
    # At a second place, too.
    expect 0 '' "$ingot" mount "$device" "$inner"
    is "what is at the second place" "$(cd "$inner" && sha256sum ./*)" "$sums"
    expect 0 '' "$ingot" umount "$inner"
    expect 1 "mounted at $mnt .EBUSY." "$ingot" mkfs --format --force --no-dax "$device"
    expect 0 '' "$ingot" umount "$device"
    is_free "an unmount"
    is_clean
    look_into_host
    expect 0 '' "$build/mount.ingot" "$device" "$mnt" -o ro
    is "what was written" "$(cd "$mnt" && sha256sum ./*)" "$sums"
    umount -i "$mnt" # its daemon may still be there: the next one waits for it
    expect 0 '' "$build/mount.fuse.ingot" "$device" "$mnt" -o rw,noatime
    rm "$mnt"/large[1-5]
    expect 0 '' "$ingot" umount "$mnt"
    is_clean
}

daemon_of() { "$ingot" status --json "$mnt" | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*'; }

test_kill() {
    expect 0 '' "$ingot" mount "$device" "$mnt"
    head -c 5M /dev/urandom >"$mnt/kept"
    sync "$mnt/kept"
    local sum pid
    sum=$(sha256sum <"$mnt/kept")
    pid=$(daemon_of)
    kill -9 "$pid"
    tail --pid="$pid" -f /dev/null
    umount -i -l "$mnt"
    is_free "kill -9"
    expect 0 'clean' "$ingot" fsck -p "$device"
    expect 0 '' "$ingot" mount "$device" "$mnt"
    is "after kill -9" "$(sha256sum <"$mnt/kept")" "$sum"
    expect 0 '' "$ingot" umount "$mnt"
    is_clean
}

# The machine ends: a copy of the device as it is while all is mounted.
test_host_crash() {
    expect 0 '' "$ingot" mount "$device" "$mnt"
    head -c 7M /dev/urandom >"$mnt/synced"
    sync "$mnt/synced"
    local sum sum_before
    sum=$(sha256sum <"$mnt/synced")
    cp --sparse=always "$image" "$work/crashed"
    expect 0 '' "$ingot" umount "$mnt"
    detach
    mv "$work/crashed" "$image"
    attach
    if [[ $host == ext4 ]]; then
        # Even a read-only mount would change it: who only looks must not.
        sum_before=$(sha256sum <"$device")
        expect 1 'journal .*waits.*fsck -p' "$ingot" info "$device"
        expect 1 'journal .*waits' "$ingot" dump superblock "$device"
        is "who only looked" "$(sha256sum <"$device")" "$sum_before"
    fi
    # fsck's bit 1: e2fsck replays the journal and says that it did.
    "$ingot" fsck -p "$device" >"$work/out" 2>&1 || is "fsck -p after a crash" $? 1
    is_clean
    expect 0 '' "$ingot" mount "$device" "$mnt"
    is "after a crash" "$(sha256sum <"$mnt/synced")" "$sum"
    expect 0 '' "$ingot" umount "$mnt"
    is_clean
}

test_damaged_host() {
    if [[ $host == ext4 ]]; then
        debugfs -w -R 'set_inode_field / links_count 9' "$device" >/dev/null 2>&1
        expect 4 'e2fsck: .*ref count is 9' "$ingot" fsck -n "$device"
        expect 4 'host filesystem is damaged; the pool in it: clean' "$ingot" fsck -n "$device"
        expect 4 'needs repair. Hint: ingot fsck -y' "$ingot" fsck -n "$device"
        expect 1 'e2fsck: .*FIXED' "$ingot" fsck -p "$device"
    else
        xfs_db -x -c 'agf 0' -c 'write -d freeblks 1' "$device" >/dev/null
        expect 4 'xfs_repair: .*freeblks' "$ingot" fsck -n "$device"
        expect 4 'xfs_repair left errors' "$ingot" fsck -p "$device"
        expect 1 'xfs_repair: ' "$ingot" fsck -y "$device"
    fi
    is_clean
    expect 0 '"program": "?(e2fsck|xfs_repair)' "$ingot" fsck -n --json "$device"
}

test_full() {
    attach 1G
    [[ $host == xfs ]] || attach 64M
    format
    expect 0 '' "$ingot" mount "$device" "$mnt"
    dd if=/dev/zero of="$mnt/first" bs=1M count=4 status=none
    dd if=/dev/zero of="$mnt/fill" bs=1M status=none 2>"$work/out"
    is "a full host" "$(grep -c 'No space left' "$work/out")" 1
    is "what fitted" "$(stat -c %s "$mnt/first")" 4194304
    rm "$mnt/fill" || fail "unlink on a full host"
    # Once the daemon has heard that nobody has it open.
    eventually dd if=/dev/zero of="$mnt/again" bs=1M count=4 status=none 2>"$work/out" ||
        fail "space that was freed: $(<"$work/out")"
    expect 0 '' "$ingot" umount "$mnt"
    is_clean
    is_free "a full host"
}

test_refusals
test_half_made
test_use
test_kill
test_host_crash
test_damaged_host
test_full
echo "$checks checks on $host, $failures failures"
((failures == 0))
