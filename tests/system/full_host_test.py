#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Work in a pool that is larger than what its host has left: each call succeeds or says ENOSPC, and
# what succeeded stays. usage: full_host_test.py fill|verify|empty|overwrite DIRECTORY
"""Fills a pool until its host is full; verifies and empties it."""
import errno
import mmap
import os
import random
import signal
import sys

MIB = 1 << 20
MAPPED = 2 * MIB


def content(name, size):
    block = random.Random(name).randbytes(4099)
    return (block * (size // len(block) + 1))[:size]


def attempt(call, *arguments):
    """True if it worked, False if there was no space; anything else is a failure."""
    try:
        call(*arguments)
        return True
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False


def write_file(path, size):
    """A file that is whole or, without space, gone; in pieces, so that some succeed."""
    data = content(os.path.basename(path), size)
    with open(path, "wb", buffering=0) as file:
        done = 0
        while done < size:
            try:
                done += file.write(data[done:done + 300000])
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                os.unlink(path)
                raise


def fill(top):
    """Files of all sizes and much metadata until twenty files in turn don't fit."""
    open(f"{top}/mapped", "w").close()
    rng = random.Random(4)
    refused = number = 0
    while refused < 20:
        number += 1
        directory = f"{top}/d{number % 50}"
        attempt(lambda: os.path.isdir(directory) or os.mkdir(directory))
        size = rng.choice((10, 3000, 20000, 300000, 3 * MIB))
        path = f"{directory}/{number}-{size}"
        refused = 0 if os.path.isdir(directory) and attempt(write_file, path, size) else refused + 1
    # Metadata alone, on the full host.
    for number in range(300):
        path = f"{top}/d1/extra-{number}"
        attempt(lambda: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)))
        if os.path.exists(path):
            attempt(os.setxattr, path, "user.big", b"x" * 20000)
            attempt(os.rename, path, path + "-renamed")
            attempt(os.symlink, "target" * 100, path + "-link")
    store_mapped(f"{top}/mapped")


def store_mapped(path):
    """Stores to a hole find no room when they are written back: msync says so, nobody is killed;
    unless the mapping is direct: then the store is SIGBUS, as on the host itself."""
    pid = os.fork()
    if pid == 0:
        fd = os.open(path, os.O_RDWR)
        os.ftruncate(fd, MAPPED)
        area = mmap.mmap(fd, MAPPED)
        area[:] = b"m" * MAPPED
        try:
            area.flush()
        except OSError as error:
            os._exit(0 if error.errno in (errno.ENOSPC, errno.EIO) else 1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    direct = b'"direct":true' in os.getxattr(path, "user.ingot.map")
    assert status == 0 or (direct and status == signal.SIGBUS), f"a mapped store: {status:#x}"


def files(top):
    for directory, _, names in os.walk(top):
        for name in names:
            if name[0].isdigit():
                yield f"{directory}/{name}", int(name.split("-")[1])


def verify(top):
    count = 0
    for path, size in files(top):
        with open(path, "rb") as file:
            assert file.read() == content(os.path.basename(path), size), path
        count += 1
    assert count > 20, f"only {count} files fit"


def empty(top):
    """Removing never needs what the host has not."""
    for directory, directories, names in os.walk(top, topdown=False):
        for name in names:
            os.unlink(f"{directory}/{name}")
        for name in directories:
            os.rmdir(f"{directory}/{name}")
    assert not os.listdir(top)


def overwrite(top):
    """Half of it removed on the full host, the space is usable again; the rest can be changed."""
    removed = 0
    kept = []
    for number, (path, size) in enumerate(sorted(files(top))):
        if number % 2:
            removed += size
            os.unlink(path)
        else:
            kept.append((path, size))
    assert removed > 10 * MIB, removed
    for path, size in kept:
        with open(path, "r+b", buffering=0) as file:
            assert file.write(content(os.path.basename(path), size)) == size
    for number in range(removed * 8 // 10 // MIB):
        write_file(f"{top}/{number}-{MIB}", MIB)


if __name__ == "__main__":
    {"fill": fill, "verify": verify, "empty": empty, "overwrite": overwrite}[sys.argv[1]](
        sys.argv[2])
