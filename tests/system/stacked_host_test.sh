#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# A directory pool on a host whose files the kernel passes nothing through to (overlayfs): the same
# pool, served by the daemon, which says so; direct=always is refused at once.
source "$(dirname "$0")/lib.sh"

stack=$work/stack
mkdir "$stack"
mount -t tmpfs ingot-test "$stack"
extra_mounts+=("$stack")
mkdir "$stack"/{lower,upper,work,merged}
if ! mount -t overlay ingot-test -o \
    "lowerdir=$stack/lower,upperdir=$stack/upper,workdir=$stack/work" "$stack/merged"; then
    echo "SKIPPED: the kernel has no overlayfs"
    exit 77
fi
extra_mounts=("$stack/merged" "$stack")
pool=$stack/merged/pool
mkdir "$pool"
"$ingot" mkfs "$pool" >/dev/null

if refusal=$("$ingot" mount "$pool" "$mnt" -o direct=always 2>&1); then
    fail "direct=always was taken where nothing can be direct"
fi
[[ $refusal == *"direct=always: "*overlayfs*"Hint: use direct=auto"* ]] ||
    fail "it said: $refusal"
! mountpoint -q "$mnt" || fail "a mount was left behind"

mount_pool
[[ $("$ingot" status --json "$mnt" | jq -r .direct.possible) == false ]] ||
    fail "status says that files can be direct"
head -c 5M /dev/urandom >"$work/large"
cp "$work/large" "$mnt/large"
cmp "$work/large" "$mnt/large"
"$ingot" map "$mnt/large" | grep -q overlayfs || fail "map doesn't say why"
[[ $(find "$pool/backing" -name '[0-9]*' -size +0 | wc -l) == 0 ]] ||
    fail "a file got a backing file in vain"
remount_pool
cmp "$work/large" "$mnt/large"
umount_pool
check_pool
