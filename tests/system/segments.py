#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: segments.py make FILE   data, holes and written zeros, 66 MiB and a bit
#        segments.py FILE...     where each has data, in 2 MiB pages, one line a file
"""A file with holes, and what is known of the holes in one."""
import errno
import os
import sys

MIB = 1 << 20
SIZE = 66 * MIB + 12345


def make(path):
    with open(path, "wb") as file:
        for first, end, byte in ((0, 5, b"a"), (8, 12, b"\0"), (20, 31, b"b"), (62, 64, b"c")):
            file.seek(first * MIB)
            for _ in range(first, end):
                file.write(byte * MIB)
        file.truncate(SIZE)


def segments(path):
    """[[first page, end page], ...], neighbours joined."""
    found, at = [], 0
    fd = os.open(path, os.O_RDONLY)
    while True:
        try:
            first = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            assert error.errno == errno.ENXIO, error
            break
        at = os.lseek(fd, first, os.SEEK_HOLE)
        page, end = first // (2 * MIB), -(-at // (2 * MIB))
        if found and found[-1][1] >= page:
            found[-1][1] = end
        else:
            found.append([page, end])
    os.close(fd)
    return found


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        for name in sys.argv[1:]:
            print(segments(name))
