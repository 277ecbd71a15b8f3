# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# A test of xfstests with a time limit. scripts/xfstests puts this before its own view of
# common/preamble, which each test reads first. A test that took too long has failed; the daemons
# end with it, as what hangs may wait for them where no signal reaches it.
if [ -z "${INGOT_LIMITED:-}" ]; then
    export INGOT_LIMITED=1
    status=0
    timeout --kill-after=20 "$INGOT_SECONDS" "$0" "$@" || status=$?
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then
        echo "longer than $INGOT_SECONDS seconds"
        # All of this process namespace's, which is the run's own.
        pkill -KILL -f "^/sbin/mount.fuse.ingot "
    fi
    exit "$status"
fi
