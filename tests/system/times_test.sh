#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Times after mapped stores, by each rule for atime, from 1901 to 2446, before and after a remount.
# usage: times_test.sh BUILD_DIR
source "$(dirname "$0")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
times() { python3 "$here/times_test.py" "$@" "$mnt" || fail "times: $*"; }
common_options=$mount_options

make_pool 1G
mount_pool
host=none
[[ ${INGOT_TEST_POOL:-} != directory || $mount_options == *direct=never* ]] || host=tmpfs
times stores "$host"
times years set
remount_pool
times years kept
find "$mnt" -mindepth 1 -delete
for rule in relatime noatime strictatime; do
    umount_pool
    mount_options=${common_options:+$common_options,}$rule
    mount_pool
    times atime "$rule"
done
# A pool that is mounted read-only stays as it is.
touch -a -d 2001-01-01 "$mnt"/{small,large}
umount_pool
mount_options=${common_options:+$common_options,}ro
mount_pool
cat "$mnt"/{small,large} >/dev/null
umount_pool
mount_pool
[[ $(stat -c %x "$mnt"/{small,large} | grep -c ^2001) == 2 ]] || fail "reading changes a ro pool"
umount_pool
check_pool
echo "times: passed"
