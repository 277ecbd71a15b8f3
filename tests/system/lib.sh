# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the system tests share: a pool in a folder of its own, mounted, unmounted, checked; all is
# cleaned up whatever happens. Sourced with the build directory as the first argument. From the
# environment: INGOT_TEST_DIR (where the pool lies), INGOT_TEST_POOL (directory: a directory pool on
# a tmpfs of 2 MiB pages; ext4, xfs: one on a device prepared so), INGOT_TEST_DEVICE (of such pools,
# with DAX, else a loop device is made; or of a device pool), INGOT_TEST_OPTIONS (of each mount),
# INGOT_TEST_IO_URING (anything: requests come through it), INGOT_TEST_SHORT (anything: do less).
set -euo pipefail

build=${1:?the build directory is wanted}
ingot=$build/ingot
work=$(mktemp -d "${INGOT_TEST_DIR:-/dev/shm}/ingot-test-XXXXXX")
pool=$work/pool
mnt=$work/mnt
mkdir "$mnt"
mount_options=${INGOT_TEST_OPTIONS:-}
extra_mounts=() # what else a test mounted
loop=           # a device made of $work/image
io_uring_switch=/sys/module/fuse/parameters/enable_uring
io_uring_before= # how the switch stood before use_io_uring

# shellcheck source=tests/system/eventually.sh
source "$(dirname "${BASH_SOURCE[0]}")/eventually.sh"

fail() { echo "FAILED: $*" >&2; exit 1; }

clean_up() {
    local status=$?
    # (mountpoint(1) wants an answer, which a dead daemon doesn't give.)
    if grep -qF " $mnt " /proc/self/mounts; then
        fuser -km "$mnt" >/dev/null 2>&1 || true
        "$ingot" umount "$mnt" 2>/dev/null || umount -l "$mnt" || true
    fi
    local directory
    for directory in "${extra_mounts[@]}"; do
        while mountpoint -q "$directory"; do umount -l "$directory" || break; done
    done
    if [[ -n $loop ]]; then losetup -d "$loop" || true; fi
    if [[ -n $io_uring_before ]]; then echo "$io_uring_before" >"$io_uring_switch"; fi
    if ((status != 0)) && [[ -e $work/log ]]; then tail -n 20 "$work/log" >&2; fi
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT

is_directory_pool() { [[ ${INGOT_TEST_POOL:-} == @(directory|ext4|xfs) ]]; }
make_pool() {
    case ${INGOT_TEST_POOL:-} in
        directory)
            pool=$work/host
            mkdir "$pool"
            mount -t tmpfs -o "huge=always,mode=755,size=${1:-4G}" ingot-test "$pool"
            extra_mounts+=("$pool")
            "$ingot" mkfs "$pool" >/dev/null
            ;;
        ext4 | xfs)
            local dax=
            pool=${INGOT_TEST_DEVICE:-}
            if [[ -z $pool ]]; then
                truncate -s "${1:-4G}" "$work/image"
                pool=$(losetup -f --show "$work/image")
                loop=$pool
                dax=--no-dax
            fi
            "$ingot" mkfs --quiet --format --force --host="$INGOT_TEST_POOL" ${dax:+"$dax"} "$pool"
            ;;
        *)
            pool=${INGOT_TEST_DEVICE:-$pool}
            if [[ -e $pool ]]; then
                "$ingot" mkfs --force "$pool" >/dev/null
            else
                "$ingot" mkfs --size "${1:-4G}" "$pool" >/dev/null
            fi
            ;;
    esac
}
# Before another one is made.
remove_pool() {
    case ${INGOT_TEST_POOL:-} in
        directory)
            umount "$pool"
            rmdir "$pool"
            ;;
        ext4 | xfs)
            [[ -z $loop ]] || losetup -d "$loop"
            loop=
            rm -f "$work/image"
            ;;
        *) [[ -n ${INGOT_TEST_DEVICE:-} ]] || rm "$pool" ;;
    esac
}
mount_pool() {
    "$ingot" mount "$pool" "$mnt" -o "log=$work/log${mount_options:+,$mount_options}"
}
umount_pool() { "$ingot" umount "$mnt"; }
# From here on requests come through io_uring; fails where the kernel can't.
use_io_uring() {
    [[ -w $io_uring_switch ]] || return 1
    if [[ -z $io_uring_before ]]; then io_uring_before=$(<"$io_uring_switch"); fi
    echo Y >"$io_uring_switch"
    mount_options=${mount_options:+$mount_options,}io_uring=on
}
# A whole test over io_uring.
if [[ -n ${INGOT_TEST_IO_URING:-} ]] && ! use_io_uring; then
    echo "SKIPPED: the kernel offers no io_uring"
    exit 77
fi
# The pool is clean, or the test ends here with what is wrong.
check_pool() {
    local report
    report=$("$ingot" fsck -n "$pool" 2>&1) || fail "fsck: $report"
}
remount_pool() { umount_pool; check_pool; mount_pool; }

# Sums of all files and links below a folder, with modes, owners and times.
manifest() {
    (cd "$1" && find . -path ./lost+found -prune -o -printf '%p %y %m %U %G %n %l' \
        \( -type d -printf '\n' -o -printf ' %s %T@\n' \) | sort)
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum)
}
