#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Shared mappings whose descriptor is closed, of living and of unlinked files.
# usage: mapping_test.py store|hold|verify DIRECTORY
#   store   maps, closes, stores, some with msync, some without; checks what others see
#   hold    holds a mapping and says so, until its standard input ends; then checks it
#   verify  what store left is there
"""Stores through mappings, before and after a remount."""
import mmap
import os
import sys
import time

MIB = 1 << 20
SIZE = 5 * MIB + 1234
NAMES = ("synced", "unsynced", "sparse")


def pattern(name, size=SIZE):
    word = (name * 5).encode()[:31]
    return (word * (size // len(word) + 1))[:size]


def map_and_close(path, size, flags=os.O_CREAT | os.O_RDWR):
    fd = os.open(path, flags, 0o644)
    os.ftruncate(fd, size)
    area = mmap.mmap(fd, size, mmap.MAP_SHARED)
    os.close(fd)
    return area


def read(path):
    with open(path, "rb") as file:
        return file.read()


def free_bytes(top):
    status = os.statvfs(top)
    return status.f_bfree * status.f_frsize


def settled_free_bytes(top, least=0):
    """Once it stays the same and is `least`, or after 100 s."""
    free = 0
    for _ in range(200):
        before, free = free, free_bytes(top)
        if free == before and free >= least:
            break
        time.sleep(0.5)
    return free


def store(top):
    for name in NAMES:
        area = map_and_close(f"{top}/{name}", SIZE)
        if name == "sparse":
            area[3 * MIB:3 * MIB + 5] = b"alone"
        else:
            area[:] = pattern(name)
        assert os.stat(f"{top}/{name}").st_size == SIZE
        if name != "unsynced":
            area.flush()
            # What was synced is the file's, whoever reads it.
            expected = pattern(name) if name == "synced" else sparse()
            assert read(f"{top}/{name}") == expected, name
    unlinked(top)
    others_see_it(top)


def sparse():
    content = bytearray(SIZE)
    content[3 * MIB:3 * MIB + 5] = b"alone"
    return bytes(content)


def unlinked(top):
    """The space of a mapped file is its own until nobody maps it."""
    area = map_and_close(f"{top}/gone", SIZE)
    area[:] = pattern("gone")
    area.flush()
    os.unlink(f"{top}/gone")
    # Others take all there is.
    taken = []
    try:
        for number in range(10000):
            taken.append(f"{top}/taken-{number}")
            with open(taken[-1], "wb", buffering=0) as file:
                for _ in range(8):
                    file.write(b"t" * MIB)
    except OSError:
        pass
    assert len(taken) > 3, "the pool was full before"
    assert area[:] == pattern("gone"), "an unlinked file's mapping has changed"
    area[MIB:2 * MIB] = b"u" * MIB
    area.flush()
    assert area[:MIB] == pattern("gone")[:MIB] and area[MIB:2 * MIB] == b"u" * MIB
    for path in taken:
        with open(path, "rb") as file:
            while chunk := file.read(MIB):
                assert chunk == b"t" * len(chunk), f"{path} holds foreign bytes"
        os.unlink(path)
    # Only now is there more of it; others' is given back in the background, so wait for that first.
    held = settled_free_bytes(top)
    area.close()
    freed = settled_free_bytes(top, held + 4 * MIB) - held
    assert freed >= 4 * MIB, f"{freed} bytes were freed with the last mapping"


def others_see_it(top):
    path = f"{top}/shared"
    area = map_and_close(path, SIZE)
    area[:9] = b"by parent"
    pid = os.fork()
    if pid == 0:
        other = map_and_close(path, SIZE)
        assert other[:9] == b"by parent"
        other[SIZE - 8:] = b"by child"
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert area[SIZE - 8:] == b"by child"
    with open(path, "r+b", buffering=0) as file:
        file.seek(2 * MIB)
        file.write(b"by write")
    assert area[2 * MIB:2 * MIB + 8] == b"by write"


def hold(top):
    area = map_and_close(f"{top}/held", SIZE)
    area[:] = pattern("held")
    area.flush()
    print("holding", flush=True)
    sys.stdin.read()
    assert area[:] == pattern("held")
    area[:6] = b"later!"
    area.flush()


def verify(top):
    for name in NAMES[:2]:
        assert read(f"{top}/{name}") == pattern(name), name
    assert read(f"{top}/sparse") == sparse()
    assert os.stat(f"{top}/sparse").st_blocks * 512 < 3 * MIB, "holes were filled"
    shared = read(f"{top}/shared")
    assert (shared[:9], shared[2 * MIB:2 * MIB + 8], shared[SIZE - 8:]) == (
        b"by parent", b"by write", b"by child")
    held = f"{top}/held"
    if os.path.exists(held):
        assert read(held) == b"later!" + pattern("held")[6:]
    # Mapped again, the same bytes; a private mapping changes nothing.
    area = map_and_close(f"{top}/synced", SIZE, os.O_RDWR)
    assert area[:] == pattern("synced")
    with open(f"{top}/synced", "rb") as file:
        private = mmap.mmap(file.fileno(), SIZE, mmap.MAP_PRIVATE)
    private[:100] = b"p" * 100
    assert area[:] == pattern("synced")


if __name__ == "__main__":
    {"store": store, "hold": hold, "verify": verify}[sys.argv[1]](sys.argv[2])
