# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# In the place of xfstests' common/dmflakey: its tests lose what a block device was not made to
# keep, this ends the daemon by SIGKILL at the same moment. What the kernel still held of mapped
# pages is lost with it; the pool is recovered by the next mount. scripts/xfstests puts it there.

FLAKEY_ALLOW_WRITES=0
FLAKEY_DROP_WRITES=1
FLAKEY_ERROR_WRITES=2
export FLAKEY_ALLOW_WRITES FLAKEY_DROP_WRITES FLAKEY_ERROR_WRITES

_init_flakey() {
    FLAKEY_DEV=$SCRATCH_DEV
    export FLAKEY_DEV
}

_mount_flakey() {
    _scratch_mount
}

_unmount_flakey() {
    _unmount "$SCRATCH_MNT"
}

_cleanup_flakey() {
    _unmount "$SCRATCH_MNT" >/dev/null 2>&1
}

# _load_flakey_table TABLE: an error of the medium is not what this can do.
_load_flakey_table() {
    case $1 in
        "$FLAKEY_DROP_WRITES") pkill -KILL -f "^/sbin/mount.fuse.ingot $SCRATCH_DEV " ;;
        "$FLAKEY_ERROR_WRITES") _notrun "no errors of the medium without a block device" ;;
    esac
}

# _flakey_drop_and_remount [yes]: yes checks the pool before it is mounted again.
_flakey_drop_and_remount() {
    _load_flakey_table "$FLAKEY_DROP_WRITES"
    _unmount_flakey
    [ "${1:-}" != yes ] || _check_scratch_fs
    _mount_flakey
}

_require_flakey_with_error_writes() {
    _notrun "no errors of the medium without a block device"
}
