#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Times: which way into a file moves which of them, by which rule, and from when to when they go.
# Small files and large ones, which a directory pool keeps apart. times_test.sh mounts.
# usage: times_test.py stores HOST|atime RULE|years set|years kept DIRECTORY
# HOST: tmpfs, if mappings of large files are mappings of files there
"""mtime and ctime after mapped stores, atime's rules, the years 1901 to 2446."""
import contextlib
import mmap
import os
import sys
import time

MIB = 1 << 20
SIZES = {"small": 10_000, "large": 5 * MIB}
OLD_NS = 10**18  # in 2001
DAY_SECONDS = 86_400
TICK_SECONDS = 0.02  # more than the kernel's coarse clock takes
# The first and the last second of 1901 to 2446 as ext4 has them, those around 1970 and 2038, and
# others.
SECONDS = (-2**31, -2**31 + 1, -1, 0, 2**31 - 1, 2**31, 2**32, 2**33 + 7, 15_032_385_535)

failures = 0


def expect(condition, *what):
    global failures
    if not condition:
        failures += 1
        print("FAILED:", *what)


def make(path, size):
    with open(path, "wb") as file:
        file.write(b"x" * size)
    return path


def age(path):
    """Old times; returns the ctime, after which there is a later one."""
    os.utime(path, ns=(OLD_NS, OLD_NS))
    time.sleep(TICK_SECONDS)
    return os.stat(path).st_ctime_ns


@contextlib.contextmanager
def mapped(path, size):
    with open(path, "r+b", buffering=0) as file, mmap.mmap(file.fileno(), size) as area:
        yield area


def expect_changed(path, ctime_before, what):
    after = os.stat(path)
    expect(after.st_mtime_ns > OLD_NS, what, "leaves mtime")
    expect(after.st_ctime_ns > ctime_before, what, "leaves ctime")


def stores(host, top):
    """By the end of the next msync or close at the latest they are seen, whoever stored."""
    for kind, size in SIZES.items():
        path = make(f"{top}/{kind}", size)
        for where, at in (("first page", 5), ("last page", size - 5)):
            what = f"{kind}, {where}:"
            with mapped(path, size) as area:
                before = age(path)
                area[at] = 1
                area.flush()
                expect_changed(path, before, f"{what} msync")
                # tmpfs sees the first store of a mapping to a page, and the kernel asks nobody else
                # about a mapping of its files: no vm_operations.page_mkwrite in mm/shmem.c, and
                # backing_file_mmap() in fs/backing-file.c gives the mapping to the host's file.
                if kind == "small" or host != "tmpfs":
                    before = age(path)
                    area[at] = 2
                    area.flush()
                    expect_changed(path, before, f"{what} msync after another store there")
            with mapped(path, size) as area:
                before = age(path)
                area[at] = 3
            expect_changed(path, before, f"{what} munmap and close")
            with mapped(path, size) as area:
                before = age(path)
                expect(area[at] == 3, what, "it isn't what was stored")
                area.flush()
            status = os.stat(path)
            expect(status.st_mtime_ns == OLD_NS, what, "a load changes mtime")
            expect(status.st_ctime_ns == before, what, "a load changes ctime")


def read_at(path, atime, mtime):
    """The atime in seconds after a read, of a file whose times were these."""
    os.utime(path, (atime, mtime))
    with open(path, "rb") as file:
        file.read(10)
    return os.stat(path).st_atime


def atime(rule, top):
    now = int(time.time())
    for kind, size in SIZES.items():
        path = make(f"{top}/{kind}", size)
        cases = {"older than mtime": (now - 500, now - 100),
                 "later than mtime": (now - 100, now - 500),
                 "of the day before yesterday": (now - 2 * DAY_SECONDS, now - 3 * DAY_SECONDS)}
        for what, (access, modified) in cases.items():
            # (ctime is that of utime itself: later than any of these; relatime goes by it, too.)
            got = read_at(path, access, modified)
            if rule == "noatime":
                expect(got == access, kind, "noatime: an atime", what, "moves")
            else:
                expect(got >= now, kind, f"{rule}: an atime", what, "stays")
        os.utime(path, (now + 1000, now))
        with open(path, "rb") as file:
            file.read(10)
        moved = os.stat(path).st_atime != now + 1000
        expect(moved == (rule == "strictatime"), kind, f"{rule}: an atime later than all", moved)
        fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
        os.utime(path, (now - 500, now))
        os.read(fd, 10)
        os.close(fd)
        expect(os.stat(path).st_atime == now - 500, kind, "O_NOATIME moves it")


def each_time(top):
    """(kind, path, atime in ns, mtime in ns)"""
    for number, seconds in enumerate(SECONDS):
        # (ext4 has the outermost seconds as whole ones.)
        is_outermost = seconds in (min(SECONDS), max(SECONDS))
        for kind in (*SIZES, "directory", "symlink", "fifo"):
            nanoseconds = 0 if is_outermost else (number * 123_456_789 + len(kind)) % 10**9
            moment = seconds * 10**9 + nanoseconds
            yield kind, f"{top}/{kind}{number}", moment, moment if number % 2 else 10**9


def years(what, top):
    for kind, path, access, modified in each_time(top):
        if what == "set":
            {"directory": os.mkdir, "fifo": os.mkfifo,
             "symlink": lambda p: os.symlink("nowhere", p)}.get(
                 kind, lambda p, k=kind: make(p, SIZES[k]))(path)
            os.utime(path, ns=(access, modified), follow_symlinks=False)
        status = os.lstat(path)
        expect((status.st_atime_ns, status.st_mtime_ns) == (access, modified), path, what,
               (status.st_atime_ns, status.st_mtime_ns), "not", (access, modified))


if __name__ == "__main__":
    {"stores": stores, "atime": atime, "years": years}[sys.argv[1]](*sys.argv[2:])
    sys.exit(failures != 0)
