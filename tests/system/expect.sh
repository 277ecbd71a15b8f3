# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What the tests of commands share: checks that are counted and go on. Sourced; adds to `checks` and
# `failures`, which the test sets and prints.

# shellcheck source=tests/system/eventually.sh
source "$(dirname "${BASH_SOURCE[0]}")/eventually.sh"

fail() {
    echo "FAILED line ${BASH_LINENO[1]}: $*"
    failures=$((failures + 1))
}

# expect CODE REGEX COMMAND...: exit code and output (both streams; '' wants none).
expect() {
    local code=$1 pattern=$2 output status
    shift 2
    output=$(timeout 300 "$@" 2>&1 </dev/null)
    status=$?
    checks=$((checks + 1))
    ((status == code)) || fail "'$*' ended with $status, want $code: $output"
    if [[ -z $pattern ]]; then
        [[ -z $output ]] || fail "'$*' was to be silent: $output"
    else
        [[ $output =~ $pattern ]] || fail "'$*' lacks '$pattern': $output"
    fi
}
