# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Waiting for what the kernel and the daemon do at their own pace (tests/support/eventually.h says
# what that is). Sourced.

# eventually COMMAND...: until it succeeds; fails if it still doesn't after 100 s.
eventually() {
    local end=$((SECONDS + 100))
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}
