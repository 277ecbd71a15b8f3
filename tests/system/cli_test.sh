#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The program as people and mount(8) call it: bad input, exit codes, messages, fstab, remount, busy
# pools, unprivileged users. Needs root and /dev/fuse; links into /sbin are made where there are
# none and taken away again. usage: cli_test.sh BUILD_DIR
set -uo pipefail

readonly build=${1:?usage: cli_test.sh BUILD_DIR}
readonly ingot=$build/ingot
work=$(mktemp -d /dev/shm/ingot-cli-XXXXXX)
readonly work pool=$work/pool mnt=$work/mnt
failures=0
checks=0
links=()

# shellcheck disable=SC2317 # called by trap
clean_up() {
    local directory link
    for directory in "$mnt" "$work/mnt2" "$work/user/mnt" "$work/ramfs"; do
        while mountpoint -q "$directory" 2>/dev/null; do
            umount -i -l "$directory" || break
        done
    done
    for link in "${links[@]}"; do rm -f "$link"; done
    rm -rf "$work"
}
trap clean_up EXIT

# shellcheck source=tests/system/expect.sh
source "$(dirname "$0")/expect.sh"

make_pool() { expect 0 'uuid' "$ingot" mkfs --size "${1:-64M}" "$pool"; }
remake_pool() { rm -f "$pool"; make_pool "$@"; }
pool_is_free() { expect 0 '' flock -n "$pool" true; }
pool_gets_free() { expect 0 '' flock -w 90 "$pool" true; }

test_mkfs() {
    expect 1 'at least 16 MiB \(ENOSPC\)' "$ingot" mkfs --size 15M "$pool"
    [[ ! -e $pool ]] || fail "a pool that was refused exists"
    expect 1 'no size' "$ingot" mkfs --size 1Q "$pool"
    expect 1 '\(ENOENT\). Hint: mkdir .*directory pool.*--size 1G .*device pool' \
        "$ingot" mkfs "$pool"
    expect 1 'the directory holds .*ENOTEMPTY' "$ingot" mkfs --size 1G "$work"
    expect 1 '\(EFBIG\)' "$ingot" mkfs --size 2P "$pool"
    expect 2 "did you mean '--force'" "$ingot" mkfs --forse "$pool"
    make_pool
    expect 1 'holds the ingot pool.*\(EEXIST\). Hint: --force' "$ingot" mkfs "$pool"

    # Neither do bytes of a kind that nobody knows have to go.
    head -c 20M /dev/urandom >"$work/random"
    expect 1 'data of an unknown kind \(EEXIST\). Hint: --force' "$ingot" mkfs "$work/random"
    expect 0 'uuid' "$ingot" mkfs --force "$work/random"
    rm "$work/random"

    # Somebody else's filesystem stays as it is, byte for byte.
    truncate -s 32M "$work/ext4"
    mkfs.ext4 -q -L precious "$work/ext4"
    local before
    before=$(sha256sum <"$work/ext4")
    expect 1 "the ext4 filesystem 'precious' \(EEXIST\)" "$ingot" mkfs "$work/ext4"
    [[ $(sha256sum <"$work/ext4") == "$before" ]] || fail "mkfs changed what it refused"
    expect 0 'uuid' "$ingot" mkfs --force "$work/ext4"
    [[ -z $(blkid -p "$work/ext4") ]] || fail "the old signature is still there"
    rm "$work/ext4"

    # The host is full: nothing half-made is left.
    mkdir "$work/small"
    mount -t tmpfs -o size=1M none "$work/small"
    expect 1 '\(ENOSPC\)' "$ingot" mkfs --size 64M "$work/small/pool"
    [[ ! -e $work/small/pool ]] || fail "a half-made pool is left"
    umount "$work/small"
}

test_mount_refusals() {
    remake_pool
    expect 1 'POOL|pool' "$ingot" mount
    expect 32 '\(ENOENT\). Hint: ingot mkfs' "$ingot" mount "$work/nothing" "$mnt"
    expect 0 '' "$ingot" mount "$work/nothing" "$mnt" -o nofail
    expect 32 "\(ENOENT\)" "$ingot" mount "$pool" "$work/no-directory"
    expect 32 '\(ENOTDIR\)' "$ingot" mount "$pool" "$pool"
    touch "$mnt/file"
    expect 32 '\(ENOTEMPTY\). Hint: .*nonempty' "$ingot" mount "$pool" "$mnt"
    expect 0 '' "$ingot" mount "$pool" "$mnt" -o nonempty
    expect 0 '' "$ingot" umount "$mnt"
    rm "$mnt/file"
    expect 1 "unknown option 'noatim' .EINVAL.. Hint: did you mean 'noatime'" \
        "$ingot" mount "$pool" "$mnt" -o rw,noatim
    expect 1 "did you mean '--foreground'" "$ingot" mount "$pool" "$mnt" --forground
    expect 32 'direct=always' "$ingot" mount "$pool" "$mnt" -o direct=always
    expect 0 '' "$ingot" mount -f "$pool" "$mnt"
    expect 32 'smaller than a huge page' "$ingot" mount -f /etc/passwd "$mnt"
    ! mountpoint -q "$mnt" || fail "a fake mount mounted"

    head -c 8M /dev/urandom >"$work/noise"
    expect 32 'not an ingot pool \(EINVAL\). Hint: mkfs' "$ingot" mount "$work/noise" "$mnt"
    truncate -s 48M "$pool"
    expect 32 'the file only 50331648 \(ERANGE\). Hint: .*truncate' "$ingot" mount "$pool" "$mnt"
    truncate -s 64M "$pool"
    expect 1 'superblock copy 2: damaged: repaired' "$ingot" fsck -p "$pool"

    # shellcheck disable=SC2016 # for the inner shell
    expect 32 'no /dev/fuse \(ENODEV\). Hint: modprobe fuse' unshare -m \
        sh -ec 'mount --bind "$1" /mnt
                mount -t tmpfs none /dev
                "$2" mount /mnt/pool /mnt/mnt' sh "$work" "$ingot"
}

test_busy() {
    remake_pool
    expect 0 '' "$ingot" mount "$pool" "$mnt"
    expect 32 'in use.*mounted on .*mnt \(EBUSY\)' "$ingot" mount -r "$pool" "$work/mnt2"
    expect 32 'in use.*mounted on .*mnt \(EBUSY\)' "$ingot" mount "$pool" "$mnt"
    expect 1 '\(EBUSY\). Hint: ingot umount' "$ingot" mkfs --force "$pool"
    expect 8 '\(EBUSY\). Hint: ingot umount' "$ingot" fsck -y "$pool"
    expect 0 'checked read-only' "$ingot" fsck "$pool"
    expect 0 'mounted: yes' "$ingot" status "$pool"
    # As from another mount namespace: in use, but not seen to be mounted.
    expect 0 'checked read-only' unshare -m sh -c 'umount "$2" && "$1" fsck "$3"' sh \
        "$ingot" "$mnt" "$pool"
    exec 7>"$mnt/open"
    expect 32 'in use \(EBUSY\). Hint: fuser' "$ingot" umount "$mnt"
    exec 7>&-
    expect 0 '' "$ingot" umount "$mnt"
    # The daemon has ended when umount returns.
    pool_is_free
    expect 32 'no ingot pool is mounted there' "$ingot" umount "$mnt"
    # Unless another namespace has a copy of the mount.
    expect 0 '' "$ingot" mount "$pool" "$mnt"
    unshare -m sleep 1000 &
    local holder=$!
    until [[ $(readlink "/proc/$holder/ns/mnt") != "$(readlink /proc/self/ns/mnt)" ]]; do
        sleep 0.01
    done
    expect 32 'another mount namespace .*ETIMEDOUT.*Hint: grep' "$ingot" umount "$mnt"
    kill "$holder"
    until flock -n "$pool" true; do sleep 0.1; done
}

# backing/ or its mark is lost, or another pool's: each message leads out of it.
test_lost_backing() {
    local directory=$work/lost
    mkdir "$directory"
    expect 0 'uuid' "$ingot" mkfs "$directory"
    expect 0 '' "$ingot" mount "$directory" "$mnt"
    head -c 3M /dev/urandom >"$mnt/large"
    expect 0 '' "$ingot" umount "$mnt"
    # Mounted over itself it could not be reached any more, whatever it is called.
    ln -s "$directory" "$work/link"
    local point
    for point in "$directory" "$work/link" "$directory/backing" "$work"; do
        expect 32 'would hide the pool.*EINVAL.*Hint: mount it' "$ingot" mount "$directory" "$point"
        expect 32 'would hide the pool' "$ingot" mount "$work/link" "$point" -o nonempty
    done
    # shellcheck disable=SC2016 # for the inner shell
    expect 32 'would hide the pool' unshare -m \
        sh -ec 'mount --bind "$1" /mnt && "$2" mount "$1" /mnt -o nonempty' sh "$directory" "$ingot"
    rm "$work/link"
    touch "$directory/backing/README"
    expect 0 'README: is none of the pool' "$ingot" fsck "$directory"
    expect 0 'clean' "$ingot" fsck -y "$directory"
    rm "$directory/backing/README"

    rm "$directory/backing/uuid"
    expect 32 'Hint: ingot fsck -y' "$ingot" mount "$directory" "$mnt"
    expect 4 'uuid.*missing' "$ingot" fsck "$directory"
    expect 1 'all repaired' "$ingot" fsck -y "$directory"
    expect 0 'clean' "$ingot" fsck "$directory"

    mv "$directory/backing" "$work/aside"
    expect 32 'backing. is missing.*ENOENT.*fsck -y' "$ingot" mount "$directory" "$mnt"
    expect 4 'needs repair' "$ingot" fsck "$directory"
    expect 5 'Hint: put them back.*--empty-missing' "$ingot" fsck -y "$directory"
    rm -r "$directory/backing"
    mv "$work/aside" "$directory/backing"
    expect 0 'clean' "$ingot" fsck "$directory"

    echo d94b7b4e-0b6c-4d1c-9d3e-2f6a1c5b8e70 >"$directory/backing/uuid"
    expect 32 'another pool.*--adopt-backing' "$ingot" mount "$directory" "$mnt"
    expect 4 'another pool.*--adopt-backing' "$ingot" fsck -y "$directory"
    expect 1 'all repaired' "$ingot" fsck -y --adopt-backing "$directory"
    expect 0 '' "$ingot" mount "$directory" "$mnt"
    [[ $(stat -c %s "$mnt/large") == $((3 << 20)) ]] || fail "the large file is lost"
    expect 0 '' "$ingot" umount "$mnt"
    rm -r "$directory"
}

test_directory_pool() {
    local directory=$work/directory
    mkdir "$directory"
    expect 32 'no pool in this directory.*ENOENT.*ingot mkfs' "$ingot" mount "$directory" "$mnt"
    expect 0 'uuid' "$ingot" mkfs "$directory"
    expect 1 'EEXIST.*--force' "$ingot" mkfs "$directory"
    expect 32 'name the directory' "$ingot" mount "$directory/region" "$mnt"
    expect 0 'mounted: no' "$ingot" status "$directory"
    expect 0 '' "$ingot" mount "$directory" "$mnt"
    grep -q "^$directory $mnt fuse.ingot " /proc/mounts || fail "source or type in /proc/mounts"
    head -c 3M /dev/urandom >"$mnt/large"
    expect 0 'mounted: yes' "$ingot" status "$directory/"
    expect 0 'mounted: yes' "$ingot" status "$directory/region"
    expect 32 'mounted on .*mnt \(EBUSY\)' "$ingot" mount -r "$directory" "$work/mnt2"
    expect 1 '\(EBUSY\). Hint: ingot umount' "$ingot" mkfs --force "$directory"
    # The host's size is the pool's.
    [[ $(stat -f -c '%b' "$mnt") == "$(stat -f -c '%b' "$directory")" ]] || fail "another total"
    # Read-only, it leaves the host alone.
    rm "$mnt/large"
    expect 0 '' "$ingot" mount -o remount,ro "$directory" "$mnt"
    expect 0 '' "$ingot" umount "$directory"
    expect 0 '' "$ingot" mount -r "$directory" "$mnt"
    expect 0 '' "$ingot" umount "$directory/region"
    rm -r "$directory"

    # A host without holes is named, unless it is said how much of it to take.
    mkdir -p "$work/ramfs"
    mount -t ramfs none "$work/ramfs"
    mkdir "$work/ramfs/pool"
    expect 1 'sparse.*EOPNOTSUPP.*--size' "$ingot" mkfs "$work/ramfs/pool"
    [[ -z $(ls "$work/ramfs/pool") ]] || fail "a half-made pool is left"
    expect 0 'uuid' "$ingot" mkfs --size 64M "$work/ramfs/pool"
    umount "$work/ramfs"
}

test_introspection() {
    remake_pool 128M
    expect 0 '' "$ingot" mount "$pool" "$mnt" -o noatime,threads=2
    grep -q "^$pool $mnt fuse.ingot " /proc/mounts || fail "source or type in /proc/mounts"
    head -c 8M /dev/urandom >"$mnt/big"
    mkdir "$mnt/dir"
    echo small >"$mnt/dir/small"
    local share
    share=$("$ingot" map --json "$mnt/big" | jq '.[0].huge_page_share')
    [[ $share == 1 || $share == 1.0 ]] || fail "huge page share of an 8 MiB file: $share"
    expect 0 'why not direct' "$ingot" map "$mnt/big" "$mnt/dir/small"
    expect 1 'no ingot mount \(EOPNOTSUPP\)' "$ingot" map /bin/sh
    "$ingot" status --json "$mnt/dir" | jq -e '.mounted and .space.free_bytes > 0' >/dev/null ||
        fail "status of a directory inside the mount"
    "$ingot" status --json "$mnt" |
        jq -e '.persist.bytes >= 8388608 and .persist.fences > 3 and
            .mount.user_us + .mount.system_us > 0' >/dev/null ||
        fail "status: what went to the medium"
    "$ingot" status --json | jq -e 'length >= 1' >/dev/null || fail "status of all mounts"
    expect 0 '' "$ingot" umount "$mnt"
    "$ingot" status --json "$pool" | jq -e '.mounted == false' >/dev/null || fail "unmounted status"
    expect 0 'name=small' "$ingot" dump dir /dir "$pool"
    local inode
    inode=$("$ingot" dump dir --json / "$pool" | jq '.entries[] | select(.name == "big").inode')
    expect 0 'extents' "$ingot" dump inode "$inode" "$pool"
    expect 1 'no group 99' "$ingot" dump group 99 "$pool"
    expect 1 'ENOENT' "$ingot" dump dir /nowhere "$pool"

    # A damaged root: refused with a hint, still dumped, repaired.
    local offset
    offset=$("$ingot" dump inode --json 1 "$pool" | jq .offset)
    printf 'x' | dd of="$pool" bs=1 seek=$((offset + 30)) conv=notrunc status=none
    expect 32 '\(EUCLEAN\). Hint: ingot fsck' "$ingot" mount "$pool" "$mnt"
    expect 1 'checksum' "$ingot" dump inode 1 "$pool"
    expect 4 'Hint: ingot fsck -y' "$ingot" fsck "$pool"
    expect 1 'repaired' "$ingot" fsck -y "$pool"
    expect 0 'clean' "$ingot" fsck "$pool"
}

# What the filesystem itself has to refuse, through the mount.
test_limits() {
    remake_pool 32M
    expect 0 '' "$ingot" mount "$pool" "$mnt"
    cat >"$work/limits.py" <<'PYTHON'
import ctypes, errno, os, sys, time

mnt = sys.argv[1]


def refused(code, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == code, error
        return
    raise AssertionError(f"{call} was not refused")


open(f"{mnt}/{'n' * 255}", "w").close()
refused(errno.ENAMETOOLONG, os.mkdir, f"{mnt}/{'n' * 256}")

def free_bytes():
    status = os.statvfs(mnt)
    return status.f_bavail * status.f_frsize


# A full pool, in which deleting works and gives the space back, once the daemon has heard that the
# file was closed.
free_before = free_bytes()
for path in ("one", "two"):
    with open(f"{mnt}/{path}", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
        os.unlink(f"{mnt}/{path}")
    end = time.monotonic() + 60
    while free_bytes() < free_before - (1 << 20) and time.monotonic() < end:
        time.sleep(0.01)
    assert free_bytes() >= free_before - (1 << 20), (free_before, free_bytes())
os.mkdir(f"{mnt}/links")

open(f"{mnt}/many", "w").close()
for number in range(65000):
    os.link(f"{mnt}/many", f"{mnt}/links/{number}")
assert os.stat(f"{mnt}/many").st_nlink == 65001

libc = ctypes.CDLL(None, use_errno=True)


class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]


def open_handle(handle):
    directory = os.open(mnt, os.O_RDONLY)
    fd = libc.open_by_handle_at(directory, ctypes.byref(handle), os.O_RDONLY)
    code = ctypes.get_errno()
    os.close(directory)
    if fd >= 0:
        os.close(fd)
        return 0
    return code


handle, mount_id = Handle(128), ctypes.c_int()
path = f"{mnt}/many".encode()
assert libc.name_to_handle_at(-100, path, ctypes.byref(handle), ctypes.byref(mount_id), 0) == 0
assert open_handle(handle) == 0
for place in range(handle.size):
    handle.bytes[place] ^= 0xFF
    assert open_handle(handle) == errno.ESTALE, place
    handle.bytes[place] ^= 0xFF
os.unlink(f"{mnt}/{'n' * 255}")
print("refused as it must be")
PYTHON
    expect 0 'refused as it must be' python3 "$work/limits.py" "$mnt"
    expect 0 '' "$ingot" umount "$mnt"
    expect 0 'clean' "$ingot" fsck "$pool"
}

# What users, their namespaces and an odd parent process may try.
test_hostile() {
    remake_pool
    local python=/usr/bin/python3  # what others may run; the one in PATH may be root's own
    local -a as_user=(setpriv --reuid 1000 --regid 1000 --clear-groups)
    local shutdown="import fcntl, os
fcntl.ioctl(os.open('$mnt', os.O_RDONLY), 0x8004587d, bytes(4))"
    local list="import os; print(os.listxattr('$mnt/file'))"
    expect 0 '' "$ingot" mount "$pool" "$mnt"
    chmod 755 "$work"
    chmod 777 "$mnt"
    expect 1 'Operation not permitted' "${as_user[@]}" "$python" -c "$shutdown"
    # In a user namespace of one's own one has every capability, over nothing of ours.
    expect 1 'Operation not permitted' "${as_user[@]}" unshare -Ur "$python" -c "$shutdown"
    touch "$mnt/file"
    setfattr -n trusted.secret -v x "$mnt/file"
    setfattr -n user.open -v x "$mnt/file"
    expect 0 "^\['user.open'\]" "${as_user[@]}" "$python" -c "$list"
    expect 0 'trusted.secret' python3 -c "$list"

    local pid
    pid=$("$ingot" status --json "$mnt" | jq .mount.pid)
    kill -USR2 "$pid"
    kill -TERM "$pid"
    expect 0 '' tail --pid="$pid" -f /dev/null
    pool_is_free

    # Started without standard descriptors.
    expect 0 '' sh -c '"$1" mount "$2" "$3" <&- >&-' sh "$ingot" "$pool" "$mnt"
    expect 0 '' "$ingot" umount "$mnt"
    expect 0 'clean' "$ingot" fsck "$pool"
}

make_links() {
    local name
    for name in mount.ingot mount.fuse.ingot umount.fuse.ingot fsck.ingot; do
        [[ ! -e /sbin/$name && ! -L /sbin/$name ]] || continue
        ln -s "$build/$name" "/sbin/$name" && links+=("/sbin/$name")
    done
}

test_mount8() {
    remake_pool
    make_links
    local type
    for type in ingot fuse.ingot; do
        expect 0 '' mount -t "$type" "$pool" "$mnt" -o rw,noatime,suid,dev,allow_other,x-test=1
        expect 0 '^rw,noatime' findmnt -n -o OPTIONS "$mnt"
        ! findmnt -n -o OPTIONS "$mnt" | grep -Eq 'nosuid|nodev' || fail "suid, dev were asked for"
        expect 0 '' umount "$mnt"
        pool_is_free
    done
    expect 1 "did you mean 'noatime'" mount -t ingot "$pool" "$mnt" -o noatme
    expect 32 'not an ingot pool' mount -t ingot "$work/noise" "$mnt"

    expect 0 '' mount -t ingot "$pool" "$mnt"
    echo one >"$mnt/file"
    expect 0 '' mount -o remount,ro "$mnt"
    expect 2 'Read-only' sh -c "echo two >'$mnt/file'"
    expect 0 '' mount -o remount,rw "$mnt"
    expect 0 '' sh -c "echo three >'$mnt/file'"
    expect 0 '' umount "$mnt"
    expect 0 '' mount -t ingot -o ro "$pool" "$mnt"
    expect 2 'Read-only' sh -c "echo four >'$mnt/file'"
    expect 32 'opened read-only \(EROFS\). Hint: ingot umount' mount -o remount,rw "$mnt"
    expect 0 '' umount "$mnt"

    # Read-only stops the daemon's own stores as well; what can't be changed isn't swallowed.
    expect 0 '' mount -t ingot -o strictatime "$pool" "$mnt"
    expect 32 "option 'atomic' can't be changed" mount -o remount,atomic "$mnt"
    touch -a -d 2001-01-01 "$mnt/file"
    expect 0 '' mount -o remount,ro "$mnt"
    expect 0 'three' cat "$mnt/file"
    expect 0 '' mount -o remount,rw "$mnt"
    expect 0 '' umount "$mnt"
    expect 0 '' mount -t ingot -o ro "$pool" "$mnt"
    expect 0 '^2001' stat -c %x "$mnt/file"
    expect 0 '' umount "$mnt"

    local options=nofail,_netdev,noauto,x-systemd.automount,comment=x,nosuid,nodev
    echo "$pool $mnt ingot $options 0 2" >"$work/fstab"
    expect 0 '' mount --fstab "$work/fstab" "$mnt"
    expect 0 'nosuid,nodev' findmnt -n -o OPTIONS "$mnt"
    expect 0 'three' cat "$mnt/file"
    expect 0 '' umount "$mnt"
    expect 0 'clean' fsck -T -t ingot "$pool" -a
}

# One filesystem at two places, as the kernel's own are; and bound to a third.
test_mounted_twice() {
    local kind
    for kind in "$pool" "$work/twice"; do
        rm -rf "$work/twice" "$pool"
        [[ $kind == "$pool" ]] || mkdir "$kind"
        expect 0 'uuid' "$ingot" mkfs --size 64M "$kind"
        mkdir -p "$work/mnt2" "$work/mnt3"
        expect 0 '' "$ingot" mount "$kind" "$mnt"
        expect 0 '' "$ingot" mount -o nosuid,noexec "$kind" "$work/mnt2"
        echo one >"$mnt/file"
        expect 0 '^one$' cat "$work/mnt2/file"
        expect 0 '(nosuid.*noexec|noexec.*nosuid)' findmnt -no VFS-OPTIONS "$work/mnt2"
        expect 0 "fuse.ingot $kind" findmnt -rno FSTYPE,SOURCE "$work/mnt2"
        # Not what lies above the first; not into what isn't there; by its own rules.
        expect 0 '' umount "$work/mnt2"
        mount -t tmpfs none "$mnt"
        expect 32 '\(EBUSY\)' "$ingot" mount "$kind" "$work/mnt2"
        umount "$mnt"
        ln -sfn "$work/mnt2" "$work/link"
        expect 0 '' "$ingot" mount -o suid,dev "$kind" "$work/link"
        expect 1 '' grep -E 'nosuid|nodev|noexec' <(findmnt -no VFS-OPTIONS "$work/mnt2")
        expect 0 '' umount "$work/mnt2"
        expect 0 '' "$ingot" mount "$kind" "$work/mnt2"
        expect 0 '(nosuid.*nodev|nodev.*nosuid)' findmnt -no VFS-OPTIONS "$work/mnt2"
        mkdir "$mnt/inner"
        mount --bind "$mnt/inner" "$work/mnt3"
        # Neither waits for the daemon, which goes on.
        expect 0 '' timeout 20 umount "$work/mnt3"
        expect 0 '' timeout 20 "$ingot" umount "$mnt"
        echo two >"$work/mnt2/file"
        expect 0 '' "$ingot" umount "$work/mnt2"
        [[ $kind != "$pool" ]] || pool_is_free
        expect 0 'clean' "$ingot" fsck "$kind"
        expect 0 '' "$ingot" mount "$kind" "$mnt"
        expect 0 '^two$' cat "$mnt/file"
        expect 0 '' "$ingot" umount "$mnt"
    done
}

test_daemon_dies() {
    remake_pool
    expect 0 '' "$ingot" mount "$pool" "$mnt"
    echo kept >"$mnt/file"
    local pid
    pid=$("$ingot" status --json "$mnt" | jq .mount.pid)
    kill -9 "$pid"
    expect 1 '\(E' "$ingot" status "$mnt"
    expect 0 '' "$ingot" umount -l "$mnt"
    pool_gets_free # a killed process takes a while to end
    expect 0 '' "$ingot" mount "$pool" "$mnt"
    expect 0 '^kept$' cat "$mnt/file"
    expect 0 '' "$ingot" umount "$mnt"
    expect 0 'clean' "$ingot" fsck "$pool"
}

# Works through fusermount3 where /dev/fuse may be used, and says so where it may not.
test_unprivileged() {
    local -a as_nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    mkdir -p "$work/user/mnt"
    chmod 755 "$work"
    chown -R 65534:65534 "$work/user"
    if ! "${as_nobody[@]}" test -x "$ingot"; then
        echo "SKIPPED unprivileged mount: user 65534 can't reach $ingot"
        return
    fi
    expect 0 'uuid' "${as_nobody[@]}" "$ingot" mkfs --size 32M "$work/user/pool"
    remake_pool
    chmod 600 "$pool"
    expect 1 '\(EACCES\). Hint: ' "${as_nobody[@]}" "$ingot" mount "$pool" "$work/user/mnt"
    if ! "${as_nobody[@]}" test -w /dev/fuse; then
        expect 1 'may not use /dev/fuse \(EACCES\). Hint: ' \
            "${as_nobody[@]}" "$ingot" mount "$work/user/pool" "$work/user/mnt"
    fi
    # A /dev/fuse for everybody, in a namespace of its own.
    cat >"$work/as_nobody.sh" <<'SCRIPT'
set -e
"$2" mount "$1/pool" "$1/mnt"
grep -q "^$1/pool $1/mnt fuse.ingot .*nosuid,nodev.*user_id=65534" /proc/mounts
echo x >"$1/mnt/file"
"$2" umount "$1/mnt"
flock -n "$1/pool" echo works without privileges
SCRIPT
    mkdir "$work/dev"
    # shellcheck disable=SC2016 # for the inner shell
    expect 0 'works without privileges' unshare -m sh -ec '
        mount -t tmpfs none "$1/dev"
        mknod -m 666 "$1/dev/fuse" c 10 229
        mount --bind "$1/dev/fuse" /dev/fuse
        shift
        exec "$@"' sh "$work" "${as_nobody[@]}" sh "$work/as_nobody.sh" "$work/user" "$ingot"
}

if ((EUID != 0)) || [[ ! -c /dev/fuse ]]; then
    echo "SKIPPED: needs root and /dev/fuse"
    exit 77
fi
mkdir "$mnt" "$work/mnt2"
tests=(test_mkfs test_mount_refusals test_busy test_directory_pool test_lost_backing
    test_introspection test_limits test_hostile test_mount8 test_mounted_twice test_daemon_dies
    test_unprivileged)
(($# < 2)) || tests=("${@:2}")
for test in "${tests[@]}"; do
    echo "== $test"
    "$test"
done
echo "$checks checks, $failures failed"
((failures == 0))
