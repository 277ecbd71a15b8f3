# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# apt of another Debian suite, in folders of its own, so that the machine's configuration and choice
# of packages stay as they are. Debian 12's keyring verifies the newer suites' indexes.

readonly debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The archives this machine takes its own release from, whichever format its source list has.
archive_uris() {
    local codename
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016 # apt replaces these
    apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' |
        awk -v releases=" $codename oldstable stable testing unstable sid " \
            '$3 == "main" && index(releases, " " $2 " ") && !seen[$1]++ { print $1 }'
}

# open_suite WORK TYPE SUITE LOG: fetches the index of TYPE (deb, deb-src) into the folder WORK, and
# sets suite_options, for apt-get and apt-cache. Fails where no archive has that suite.
open_suite() {
    local work=$1 type=$2 suite=$3 log=$4 uri
    suite_options=(
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State="$work/state" -o Dir::State::lists="$work/lists"
        -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache"
        -o APT::Update::Error-Mode=any -o APT::Get::AllowUnauthenticated=false
        -o Acquire::AllowInsecureRepositories=false -o Acquire::AllowWeakRepositories=false
    )
    # Only root can lower itself to apt's own user, who could not write into a private folder.
    ((EUID != 0)) || suite_options+=(-o APT::Sandbox::User=root)
    mkdir -p "$work"/{lists,cache/archives,state}/partial
    : >"$work/status"
    for uri in $(archive_uris); do
        echo "$type [signed-by=$debian_keyring] $uri $suite main" >"$work/sources.list"
        apt-get -qq "${suite_options[@]}" update >>"$log" 2>&1 && return 0
    done
    return 1
}
