# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What xfstests' common/rc does nothing for, or refuses, when the filesystem is a FUSE one: made
# anew, of a given size, and checked. scripts/xfstests adds this to the end of its own view of
# common/rc; the variables INGOT_* are exported there, all others are the suite's.
# shellcheck disable=SC2154

# "fuse", of which ingot is a subtype to the suite; df says fuse.ingot.
eval "_ingot_suite$(declare -f _fs_type)"
_fs_type() {
    _ingot_suite_fs_type "$@" | sed -e 's/fuse\.ingot/fuse/'
}

# umount(8), given a directory pool, looks for a mount on it, not of it.
_scratch_unmount() {
    _unmount "$SCRATCH_MNT"
}

_test_unmount() {
    _unmount "$TEST_DIR"
}

# _ingot_make POOL [BYTES]: an empty pool, of the kind that is tested. A directory pool is as large
# as its host, which is a tmpfs of that size on the directory above it.
_ingot_make() {
    local pool=$1 bytes=${2:-$INGOT_BYTES}
    umount "$SCRATCH_MNT" 2>/dev/null || true
    if [ "$INGOT_KIND" = directory ]; then
        ! mountpoint -q "${pool%/*}" || umount "${pool%/*}" || return 1
        mount -t tmpfs -o "huge=always,size=$bytes" ingot_host "${pool%/*}" || return 1
        mkdir "$pool"
        "$INGOT" mkfs --quiet "$pool"
    else
        rm -f "$pool"
        "$INGOT" mkfs --quiet --size "$bytes" "$pool"
    fi
}

# Options that a test gives are other filesystems'.
_scratch_mkfs() {
    _ingot_make "$SCRATCH_DEV"
}

_try_scratch_mkfs_sized() {
    local bytes=$1 blocksize=${2:-4096}
    [[ $bytes =~ ^[0-9]+$ ]] || _notrun "a size that is none: $bytes"
    [ "$blocksize" = 4096 ] || _notrun "a page is the block: 4096 bytes, not $blocksize"
    _check_minimal_fs_size "$bytes"
    _ingot_make "$SCRATCH_DEV" "$bytes"
}

# _ingot_check POOL MOUNTPOINT: fsck, and full, of a pool that may be mounted, and is afterwards
# what it was.
_ingot_check() {
    local pool=$1 mountpoint=$2 options
    options=$(findmnt -rncv -S "$pool" -M "$mountpoint" -o OPTIONS)
    if [ -n "$options" ] && ! umount "$mountpoint"; then
        _log_err "_ingot_check: $mountpoint can't be unmounted"
        return 1
    fi
    if ! "$INGOT" fsck -n -f "$pool" >"$tmp.fsck" 2>&1; then
        _log_err "_ingot_check: $pool is inconsistent"
        { echo '*** ingot fsck ***'; cat "$tmp.fsck"; } >>"$seqres.full"
        rm -f "$tmp.fsck"
        return 1
    fi
    rm -f "$tmp.fsck"
    [ -n "$options" ] || return 0
    mount -t fuse.ingot -o "${options%%,*},$INGOT_OPTIONS" "$pool" "$mountpoint"
}

_check_test_fs() {
    _ingot_check "$TEST_DEV" "$TEST_DIR"
}

_check_scratch_fs() {
    _ingot_check "${1:-$SCRATCH_DEV}" "$SCRATCH_MNT"
}

_check_dev_fs() {
    _ingot_check "$1" "$SCRATCH_MNT"
}

# Of device-mapper only what xfstests_flakey.sh does in another way.
_require_dm_target() {
    [ "$1" = flakey ] || _notrun "no block device for dm-$1"
}

# Most that ask for it mount, and need no block device for that.
_require_local_device() {
    case $seq in
    042) _notrun "mount(8) without a type knows no pool in a file" ;;
    050 | 076) _notrun "a block device is set read-only, or read past the filesystem" ;;
    esac
}

_require_names_are_bytes() {
    :
}

# Signed seconds of 64 bits.
_filesystem_timestamp_range() {
    echo "$((1 << 63)) $(((1 << 63) - 1))"
}
