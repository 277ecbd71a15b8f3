#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# ingot doctor: what it says of good and bad places, and that its commands mend what it names. Also
# direct=always, which fails a mount for the same reasons. usage: doctor_test.sh BUILD_DIR
set -uo pipefail

readonly build=${1:?usage: doctor_test.sh BUILD_DIR}
readonly ingot=$build/ingot
failures=0
checks=0
device=

skip() { echo "SKIPPED: $*"; exit 77; }
((EUID == 0)) || skip "needs root"

work=$(mktemp -d /dev/shm/ingot-doctor-XXXXXX)
readonly work host=$work/host mnt=$work/mnt layers=$work/layers
mkdir "$host" "$mnt" "$layers"
chmod 755 "$work"

# shellcheck disable=SC2317 # called by trap
clean_up() {
    local directory
    for directory in "$mnt" "$host" "$layers/merged" "$layers"; do
        while mountpoint -q "$directory" 2>/dev/null; do umount -i -l "$directory" || break; done
    done
    [[ -z $device ]] || losetup -d "$device"
    rm -rf "$work"
}
trap clean_up EXIT

# shellcheck source=tests/system/expect.sh
source "$(dirname "$0")/expect.sh"
# What the doctor prescribes for a subject that isn't well.
prescription() { # SUBJECT PATH
    "$ingot" doctor --json "$2" | python3 -c '
import json, sys
for finding in json.load(sys.stdin)["findings"]:
    if finding["subject"] == sys.argv[1] and finding["health"] != "ok":
        print(finding["command"])' "$1"
}
take() { # SUBJECT PATH: the medicine, as it is printed
    local command
    command=$(prescription "$1" "$2")
    [[ -n $command ]] || fail "nothing is prescribed for $1 of $2"
    PATH=$build:$PATH bash -c "$command" || fail "'$command' failed"
}

test_machine() {
    expect 0 'ok +kernel .*ok +/dev/fuse .*ok +libfuse .*mapped directly' "$ingot" doctor
    expect 2 "did you mean '--json'" "$ingot" doctor --jsn
    expect 3 'ENOENT' "$ingot" doctor "$work/none"
    # shellcheck disable=SC2016 # for the inner shell
    expect 3 'problem +/dev/fuse .*ENOENT.*modprobe fuse.*it doesn.t work' unshare -m \
        sh -ec 'mount --bind "$1" /mnt; mount -t tmpfs none /dev; exec /mnt/ingot doctor' \
        sh "$build"
}

test_tmpfs() {
    mount -t tmpfs -o size=512M,mode=755 ingot-test "$host"
    expect 1 'warning +mapping +tmpfs without huge=always' "$ingot" doctor "$host"
    take mapping "$host"
    expect 0 'ok +mapping +tmpfs with huge=always.*there is none here yet' "$ingot" doctor "$host"
    expect 0 'uuid' "$ingot" mkfs "$host"
    expect 0 'ok +pool +whole' "$ingot" doctor "$host"

    expect 0 '' "$ingot" mount "$host" "$mnt" -o direct=never
    expect 1 'warning +mount +mounted with direct=never' "$ingot" doctor "$mnt"
    take mount "$mnt"
    touch "$mnt/file"
    expect 0 "ok +pool +mounted on $mnt" "$ingot" doctor "$mnt/file"
    local pid
    pid=$("$ingot" status --json "$mnt" | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*')
    kill -9 "$pid"
    tail --pid="$pid" -f /dev/null
    expect 3 'problem +pool +.*ENOTCONN' "$ingot" doctor "$mnt"
    take pool "$mnt"
    expect 0 'mapped directly' "$ingot" doctor "$host"

    expect 1 'warning +passthrough +the daemon lacks CAP_SYS_ADMIN' \
        setpriv --bounding-set=-sys_admin "$ingot" doctor
    umount "$host"
}

test_overlay() {
    mount -t tmpfs -o size=512M none "$layers"
    mkdir "$layers"/{lower,upper,scratch,merged}
    mount -t overlay -o \
        "lowerdir=$layers/lower,upperdir=$layers/upper,workdir=$layers/scratch" none \
        "$layers/merged" || { echo "left out: the kernel has no overlayfs"; return; }
    expect 0 'uuid' "$ingot" mkfs --size 256M "$layers/merged"
    expect 1 'warning +passthrough +the host is stacked' "$ingot" doctor "$layers/merged"
    expect 32 'direct=always: .*overlayfs.*EOPNOTSUPP.*direct=auto' \
        "$ingot" mount "$layers/merged" "$mnt" -o direct=always
    ! mountpoint -q "$mnt" || fail "it is mounted all the same"
    expect 0 '' "$ingot" mount "$layers/merged" "$mnt"
    head -c 5M /dev/urandom >"$mnt/file" || fail "writing through the daemon"
    expect 0 '' "$ingot" umount "$mnt"
    expect 0 'clean' "$ingot" fsck -n "$layers/merged"
    umount "$layers/merged"
    # The same host without the layer above.
    mkdir "$layers/plain"
    expect 0 'uuid' "$ingot" mkfs --size 256M "$layers/plain"
    expect 0 '' "$ingot" mount "$layers/plain" "$mnt" -o direct=always
    expect 0 '' "$ingot" umount "$mnt"
    umount "$layers"
}

test_files_and_devices() {
    expect 0 'uuid' "$ingot" mkfs --size 64M "$work/pool"
    expect 1 'warning +kind +a pool in one file' "$ingot" doctor "$work/pool"
    dd if=/dev/zero of="$work/pool" bs=1M count=64 conv=notrunc status=none
    expect 3 'problem +pool' "$ingot" doctor "$work/pool"
    truncate -s 128M "$work/image"
    if ! device=$(losetup -f --show "$work/image" 2>/dev/null); then
        device=
        echo "left out: there is no loop device"
        return
    fi
    expect 3 'problem +device +not prepared.*Hint: ingot mkfs --format' "$ingot" doctor "$device"
    command -v mkfs.ext4 >/dev/null || return
    expect 0 'uuid' "$ingot" mkfs --format --no-dax "$device"
    expect 1 'ok +block layout .*bigalloc.*warning +mapping +the device has no DAX' \
        "$ingot" doctor "$device"
    expect 0 '' "$ingot" mount "$device" "$mnt"
    expect 1 "ok +pool +mounted on $mnt" "$ingot" doctor "$mnt"
    expect 0 '' "$ingot" umount "$mnt"
    expect 0 'clean' "$ingot" fsck -n "$device"
    # A host made without --format.
    mkfs.ext4 -q -F "$device"
    mount "$device" "$host"
    expect 1 'warning +block layout +ext4 allocates pieces of' "$ingot" doctor "$host"
    umount "$host"
}

test_machine
test_tmpfs
test_overlay
test_files_and_devices
echo "$checks checks, $failures failures"
((failures == 0))
