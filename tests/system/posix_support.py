# SPDX-License-Identifier: BSD-3-Clause
#
# What the cases of posix_calls.py share: system calls that Python lacks, a recorder that turns each
# answer into a line, and calls made as another user or in another process.
"""Recorder and system calls for posix_calls.py."""
import ctypes
import errno
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
libc.opendir.restype = ctypes.c_void_p
libc.readdir64.restype = ctypes.c_void_p
libc.readdir64.argtypes = (ctypes.c_void_p,)
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = (ctypes.c_void_p,)
libc.seekdir.argtypes = (ctypes.c_void_p, ctypes.c_long)
libc.rewinddir.argtypes = (ctypes.c_void_p,)
libc.closedir.argtypes = (ctypes.c_void_p,)

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = 0x100, 0x200, 0x400, 0x1000
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
STATX_BTIME = 0x800


def check(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def rename2(source, target, flags=0):
    check(libc.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags))


def unlinkat(path, flags):
    check(libc.unlinkat(AT_FDCWD, os.fsencode(path), flags))


def linkat(source_fd, source, target, flags=0):
    check(libc.linkat(source_fd, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags))


def fallocate(fd, mode, offset, size):
    check(libc.fallocate(fd, mode, offset, size))


def utimensat(path, atime, mtime, flags=0):
    """atime and mtime: (seconds, nanoseconds), nanoseconds unchecked."""
    times = struct.pack("qqqq", *atime, *mtime)
    check(libc.utimensat(AT_FDCWD, os.fsencode(path), times, flags))


def statx(path, mask=0xFFF):
    """(mask answered, birth time in ns)"""
    buffer = ctypes.create_string_buffer(256)
    check(libc.statx(AT_FDCWD, os.fsencode(path), AT_SYMLINK_NOFOLLOW, mask, buffer))
    seconds, nanoseconds = struct.unpack_from("qI", buffer, 80)
    return struct.unpack_from("I", buffer, 0)[0], seconds * 10**9 + nanoseconds


class Directory:
    """A DIR of libc, for telldir and seekdir."""

    def __init__(self, path):
        self.handle = libc.opendir(os.fsencode(path))
        if not self.handle:
            check(-1)

    def next(self):
        entry = libc.readdir64(self.handle)
        return os.fsdecode(ctypes.string_at(entry + 19)) if entry else None

    def rest(self):
        return list(iter(self.next, None))

    def tell(self):
        return libc.telldir(self.handle)

    def seek(self, cookie):
        libc.seekdir(self.handle, cookie)

    def rewind(self):
        libc.rewinddir(self.handle)

    def close(self):
        libc.closedir(self.handle)


def answer(call, *arguments, **named):
    """The result, or the error's name."""
    try:
        return call(*arguments, **named)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def in_process(call, *arguments):
    """Answer of a call made in a process of its own; 'signal N' if that died."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        try:
            os.write(write_end, repr(answer(call, *arguments)).encode())
        except BaseException as error:  # the parent is to see it, whatever it is
            os.write(write_end, repr(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        text = stream.read().decode()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return text


def as_user(uid, gid, groups, call, *arguments):
    def lowered():
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
        return answer(call, *arguments)

    return in_process(lowered)


class Recorder:
    """Lines of 'subject/label: answer' in the order of the calls."""

    def __init__(self, top):
        self.top = top
        self.subject = ""
        self.lines = {}

    def directory(self, name, mode=0o755):
        path = f"{self.top}/{self.subject}-{name}"
        os.mkdir(path)
        os.chmod(path, mode)
        return path

    def note(self, label, value):
        key = f"{self.subject}/{label}"
        number = 2
        while key in self.lines:
            key = f"{self.subject}/{label} ({number})"
            number += 1
        text = value if isinstance(value, str) else repr(value)
        self.lines[key] = text.replace(self.top, "TOP")

    def call(self, label, call, *arguments, **named):
        result = answer(call, *arguments, **named)
        self.note(label, result)
        return result

    def open(self, label, path, flags, mode=0o644, keep=False, dir_fd=None):
        """Notes 'ok' or the error; returns the descriptor if it is to be kept."""
        fd = answer(os.open, path, flags, mode, dir_fd=dir_fd)
        self.note(label, "ok" if isinstance(fd, int) else fd)
        if isinstance(fd, int) and not keep:
            os.close(fd)
        return fd


def make_file(path, content=b"", mode=0o644):
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)
    return path


def read_file(path):
    with open(path, "rb") as file:
        return file.read()
