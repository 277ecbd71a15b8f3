#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Processes that hold an unlinked file by a handle, by O_PATH, by a mapping, as working directory or
# by a file handle, while others create and remove all the time: each sees the old file or ESTALE,
# never another's attributes or bytes. usage: reuse_test.py DIRECTORY ROUNDS
"""Holders of what is gone, and creators who get its inode numbers."""
import ctypes
import errno
import mmap
import multiprocessing
import os
import random
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_EMPTY_PATH, AT_STATX_FORCE_SYNC = 0x1000, 0x2000
GONE = (errno.ESTALE, errno.ENOENT)
OLD_MODE, OLD_SIZE = 0o640, 12345
NEW_MODE, NEW_BYTE = 0o444, b"n"


class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]


def handle_of(path):
    handle, mount = Handle(128), ctypes.c_int()
    if libc.name_to_handle_at(-100, path.encode(), ctypes.byref(handle), ctypes.byref(mount), 0):
        raise OSError(ctypes.get_errno(), path)
    return handle


def read_by_handle(top, handle):
    directory = os.open(top, os.O_RDONLY)
    fd = libc.open_by_handle_at(directory, ctypes.byref(handle), os.O_RDONLY)
    code = ctypes.get_errno()
    os.close(directory)
    if fd < 0:
        raise OSError(code, "open_by_handle_at")
    try:
        return os.pread(fd, OLD_SIZE + 1, 0)
    finally:
        os.close(fd)


def ask_daemon(fd):
    """fstat that no cache answers."""
    buffer = ctypes.create_string_buffer(256)
    if libc.statx(fd, b"", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, 0x7FF, buffer):
        raise OSError(ctypes.get_errno(), "statx")
    return os.fstat(fd)


def create(directory, stop):
    """Files and directories that differ from what the holders had in everything."""
    os.mkdir(directory)
    seen = set()
    number = reused = 0
    while not stop.is_set():
        paths = []
        for _ in range(20):
            number += 1
            path = f"{directory}/{number}"
            if number % 3 == 0:
                os.mkdir(path, 0o711)
                open(f"{path}/entry", "w").close()
            else:
                with open(path, "wb") as file:
                    file.write(NEW_BYTE * random.choice((10, 300, 5000, 100000)))
                os.chmod(path, NEW_MODE)
                os.setxattr(path, "user.new", b"new")
            inode = os.stat(path).st_ino
            reused += inode in seen
            seen.add(inode)
            paths.append(path)
        for path in paths:
            if os.path.isdir(path):
                os.unlink(f"{path}/entry")
                os.rmdir(path)
            else:
                os.unlink(path)
    assert reused > 100, f"inode numbers were used again only {reused} times: nothing was tested"


def old_or_gone(call, expected, what):
    try:
        got = call()
    except OSError as error:
        assert error.errno in GONE, f"{what}: {error}"
        return
    assert got == expected, f"{what}: {got!r:.200}, not {expected!r:.200}"


def attributes(stat):
    return stat.st_ino, stat.st_mode & 0o7777, stat.st_size, stat.st_nlink, stat.st_uid


def reopened(fd):
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    try:
        return os.pread(again, OLD_SIZE + 1, 0)
    finally:
        os.close(again)


def hold_files(top, holder, rounds):
    rng = random.Random(holder)
    for number in range(rounds):
        path = f"{top}/held-{holder}-{number}"
        content = bytes([holder + 1]) * OLD_SIZE
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, OLD_MODE)
        os.write(fd, content)
        os.setxattr(path, "user.old", b"old")
        os.chown(path, 4321, 4321)
        handle = handle_of(path)
        o_path = os.open(path, os.O_PATH)
        mapping = mmap.mmap(fd, OLD_SIZE, mmap.MAP_SHARED) if number % 2 else None
        inode = os.stat(path).st_ino
        os.unlink(path)
        if number % 3 == 0:
            os.close(fd)
            fd = -1
        old = (inode, OLD_MODE, OLD_SIZE, 0, 4321)
        for _ in range(rng.randrange(1, 8)):
            os.sched_yield()
            old_or_gone(lambda: attributes(ask_daemon(o_path)), old, "O_PATH")
            old_or_gone(lambda: reopened(o_path), content, "O_PATH, opened again")
            if mapping:
                assert mapping[:] == content, "a mapping of an unlinked file"
            if fd >= 0:
                assert attributes(ask_daemon(fd)) == old, "an open file's attributes"
                assert os.pread(fd, OLD_SIZE + 1, 0) == content, "an open file's bytes"
                assert os.getxattr(fd, "user.old") == b"old"
                assert os.listxattr(fd) == ["user.old"]
            old_or_gone(lambda: read_by_handle(top, handle), content, "a file handle")
        if mapping:
            mapping.close()
        for each in (fd, o_path):
            if each >= 0:
                os.close(each)
        # Now nobody holds it; the kernel may not have said so yet.
        old_or_gone(lambda: read_by_handle(top, handle), content, "a file handle of nobody's file")


def hold_directories(top, holder, rounds):
    for number in range(rounds):
        path = f"{top}/cwd-{holder}-{number}"
        os.mkdir(path, 0o750)
        os.chdir(path)
        inode = os.stat(".").st_ino
        fd = os.open(".", os.O_PATH | os.O_DIRECTORY)
        os.rmdir(path)
        for _ in range(5):
            os.sched_yield()
            old_or_gone(lambda: (ask_daemon(fd).st_ino, os.fstat(fd).st_mode & 0o7777),
                        (inode, 0o750), "a removed directory")
            old_or_gone(lambda: os.listdir("."), [], "a listing of a removed directory")
            for call in (lambda: os.stat("entry"), lambda: os.mkdir("new"),
                         lambda: os.open("new", os.O_CREAT | os.O_WRONLY),
                         lambda: os.link("/proc/self/exe", "new"),
                         lambda: os.rename(top, "new")):
                try:
                    call()
                    raise AssertionError("a removed directory took or had an entry")
                except OSError as error:
                    assert error.errno in GONE + (errno.EXDEV,), error
        os.chdir(top)
        os.close(fd)


def main():
    top, rounds = sys.argv[1], int(sys.argv[2])
    stop = multiprocessing.Event()
    creators = [multiprocessing.Process(target=create, args=(f"{top}/new-{i}", stop))
                for i in range(2)]
    holders = [multiprocessing.Process(target=hold_files, args=(top, i, rounds)) for i in range(3)]
    holders.append(multiprocessing.Process(target=hold_directories, args=(top, 3, rounds)))
    for process in creators + holders:
        process.start()
    for process in holders:
        process.join()
    stop.set()
    for process in creators:
        process.join()
    failed = sum(process.exitcode != 0 for process in creators + holders)
    sys.exit(f"{failed} processes failed" if failed else 0)


if __name__ == "__main__":
    main()
