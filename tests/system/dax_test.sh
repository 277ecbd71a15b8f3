#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# On a device with DAX: what `ingot mkfs --format` made of it maps every 2 MiB page of its large
# files as such, from the first touch on, while small files come and go between them, and after
# that; and every report says so. All that was on INGOT_TEST_DEVICE is lost.
# usage: INGOT_TEST_DEVICE=/dev/pmem0 INGOT_TEST_POOL=ext4|xfs dax_test.sh BUILD_DIR
source "$(dirname "$0")/lib.sh"

[[ -n ${INGOT_TEST_DEVICE:-} ]] || { echo "SKIPPED: no INGOT_TEST_DEVICE"; exit 77; }
is_directory_pool || fail "INGOT_TEST_POOL is to be ext4 or xfs"
scripts=$(cd "$(dirname "$0")/../../scripts" && pwd)
share=$build/tests/bench/map_share
huge_bytes=$((2 << 20))

# expect_huge WHAT OPTION_OR_FILE...: all of it, and a fault for each 2 MiB page (and file) at most.
expect_huge() {
    local what=$1 answer
    shift
    answer=$("$share" "$@") || fail "$what: map_share"
    echo "dax: $what: $answer"
    jq -e --argjson huge $huge_bytes \
        '.bytes > 0 and .huge_bytes == .bytes and .faults <= .bytes / $huge + .files + 4' \
        <<<"$answer" >/dev/null || fail "$what: not all of it is mapped by 2 MiB pages: $answer"
}
large_files() { find "$mnt" -type f -size +2047k; }

make_pool
"$ingot" doctor "$pool" >"$work/said" || fail "doctor: $(<"$work/said")"
grep -q 'files will be mapped directly' "$work/said" || fail "doctor: $(<"$work/said")"
mount_options=direct=always mount_pool # where direct mapping can't be had it fails
umount_pool
mount_pool
"$ingot" status --json "$mnt" >"$work/status"
jq -e '.host.dax and .direct.possible and .host.lost == null' "$work/status" >/dev/null ||
    fail "status: $(<"$work/status")"

# A database's file, in the process that makes it; a copied one; an appended one.
python3 -c 'import os, sys; os.ftruncate(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), 256 << 20)' \
    "$mnt/created"
expect_huge created --store "$mnt/created"
"$ingot" map --json "$mnt/created" | jq -e --argjson bytes $((256 << 20)) \
    '.[0] | .direct and .huge_page_bytes == $bytes' >/dev/null ||
    fail "map: $("$ingot" map "$mnt/created")"
head -c 64M /dev/urandom >"$work/copied"
cp "$work/copied" "$mnt/copied"
dd if="$work/copied" of="$mnt/appended" bs=4k oflag=append conv=notrunc status=none
expect_huge copied "$mnt/copied"
expect_huge appended "$mnt/appended"
cmp "$work/copied" "$mnt/appended" || fail "what was appended"
cmp "$work/copied" "$mnt/copied" || fail "what was copied"
rm "$mnt"/*

# After a history, of files of ordinary sizes.
ageing=(--level 0.8 --churn 2)
if [[ -n ${INGOT_TEST_SHORT:-} ]]; then ageing=(--level 0.1 --churn 0.2); fi
"$scripts/ager" "$mnt" "${ageing[@]}" || fail "the ager"
large_files >"$work/large"
expect_huge "old files, aged" - <"$work/large"
head -c 96M /dev/zero >"$mnt/new"
expect_huge "a new file, aged" --store "$mnt/new"
manifest "$mnt" >"$work/before"
remount_pool
manifest "$mnt" >"$work/after"
cmp "$work/before" "$work/after" || fail "a remount changed something"
expect_huge "old files, remounted" - <"$work/large"
umount_pool
check_pool
remove_pool
echo "dax: passed"
