# SPDX-License-Identifier: BSD-3-Clause
#
# Cases of posix_calls.py about contents: offsets, allocation, holes, copying, mappings, times.
"""Contents."""
import fcntl
import mmap
import os
import time

from posix_support import (COLLAPSE, INSERT, KEEP_SIZE, PUNCH_HOLE, STATX_BTIME, UNSHARE, UTIME_NOW,
                           UTIME_OMIT, ZERO_RANGE, AT_SYMLINK_NOFOLLOW, answer, fallocate,
                           in_process, make_file, read_file, statx, utimensat)

PAGE = 4096
MIB = 1 << 20
CLOCK_REALTIME_COARSE = 5


def handles(t):
    top = t.directory("handles")
    path = make_file(f"{top}/f", b"0123456789")
    for name, flags in (("rdonly", os.O_RDONLY), ("wronly", os.O_WRONLY), ("path", os.O_PATH),
                        ("3", 3), ("append", os.O_RDWR | os.O_APPEND), ("rdwr", os.O_RDWR)):
        fd = os.open(path, flags)
        for label, call in (
                ("read", lambda: os.pread(fd, 4, 2)), ("write", lambda: os.pwrite(fd, b"ab", 3)),
                ("append", lambda: os.write(fd, b"Z")), ("ftruncate", lambda: os.ftruncate(fd, 8)),
                ("fallocate", lambda: fallocate(fd, 0, 0, 100)), ("fsync", lambda: os.fsync(fd)),
                ("fdatasync", lambda: os.fdatasync(fd)), ("fchmod", lambda: os.fchmod(fd, 0o640)),
                ("fchown", lambda: os.fchown(fd, 0, 0)), ("lseek", lambda: os.lseek(fd, 3, 0)),
                ("SEEK_END", lambda: os.lseek(fd, -1, os.SEEK_END)),
                ("SEEK_CUR", lambda: os.lseek(fd, 0, os.SEEK_CUR)),
                ("negative seek", lambda: os.lseek(fd, -1, os.SEEK_SET)),
                ("negative read", lambda: os.pread(fd, 1, -1)),
                ("negative write", lambda: os.pwrite(fd, b"x", -1)),
                ("setxattr", lambda: os.setxattr(fd, "user.a", b"1")),
                ("mmap read", lambda: len(mmap.mmap(fd, 8, mmap.MAP_SHARED, mmap.PROT_READ))),
                ("mmap write", lambda: len(mmap.mmap(fd, 8, mmap.MAP_SHARED))),
                ("mmap private", lambda: len(mmap.mmap(fd, 8, mmap.MAP_PRIVATE))),
                ("empty write", lambda: os.pwrite(fd, b"", 3)),
                ("empty read", lambda: os.read(fd, 0)),
                ("fadvise", lambda: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)),
                ("RWF_APPEND", lambda: os.pwritev(fd, [b"R"], 1, 0x10)),
                ("RWF_DSYNC", lambda: os.pwritev(fd, [b"D"], 1, os.RWF_DSYNC)),
                ("odd RWF", lambda: os.pwritev(fd, [b"D"], 1, 0x10000)),
                ("size", lambda: os.fstat(fd).st_size)):
            t.call(f"{name} {label}", call)
        os.close(fd)
        t.note(f"{name} leaves", read_file(path))


def offsets(t):
    """Far away, and at what the filesystem calls its largest offset."""
    top = t.directory("offsets")
    path = make_file(f"{top}/f")
    fd = os.open(path, os.O_RDWR)
    for bits in (31, 32, 40, 43, 44, 52, 60, 61, 62):
        for delta in (-PAGE, -1, 0, 1):
            at = (1 << bits) + delta
            t.call(f"write at 2^{bits}{delta:+}", os.pwrite, fd, b"far", at)
            t.note(f"size after 2^{bits}{delta:+}", os.fstat(fd).st_size)
            t.call(f"read at 2^{bits}{delta:+}", os.pread, fd, 4, at)
            t.call(f"lseek to 2^{bits}{delta:+}", os.lseek, fd, at, os.SEEK_SET)
    os.ftruncate(fd, 0)
    for at in ((1 << 63) - 1, (1 << 63) - 2, (1 << 63) - PAGE):
        for label, call in (("write", lambda: os.pwrite(fd, b"ab", at)),
                            ("truncate", lambda: os.ftruncate(fd, at)),
                            ("read", lambda: os.pread(fd, 4, at)),
                            ("fallocate", lambda: fallocate(fd, 0, at, 4)),
                            ("seek data", lambda: os.lseek(fd, at, os.SEEK_DATA))):
            t.call(f"{label} at {at}", call)
    os.ftruncate(fd, 0)
    t.call("ftruncate negative", os.ftruncate, fd, -1)
    t.call("truncate negative", os.truncate, path, -1)
    os.ftruncate(fd, 1 << 41)
    os.pwrite(fd, b"x", 1 << 40)
    t.note("blocks of a sparse file are few", os.fstat(fd).st_blocks <= 64)
    t.note("data", os.lseek(fd, 0, os.SEEK_DATA))
    t.note("hole after it", os.lseek(fd, 1 << 40, os.SEEK_HOLE))
    os.close(fd)


def allocation(t):
    top = t.directory("allocation")
    modes = (0, KEEP_SIZE, PUNCH_HOLE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE,
             ZERO_RANGE | PUNCH_HOLE, COLLAPSE | KEEP_SIZE, INSERT | KEEP_SIZE,
             UNSHARE | PUNCH_HOLE, 0x1000, 4)
    ranges = ((0, 10), (0, PAGE), (100, 1), (PAGE - 1, 2), (5000, 9000), (PAGE, 2 * PAGE),
              (3 * PAGE, 3 * PAGE), (100000, 5000), (0, 0), (0, -1), (-1, 10), (1 << 62, 1 << 62),
              ((1 << 63) - 10, 100))
    for mode in modes:
        for offset, size in ranges:
            path = make_file(f"{top}/f", bytes(range(1, 251)) * 70)
            fd = os.open(path, os.O_RDWR)
            label = f"mode {mode:#x} {offset}+{size}"
            t.call(label, fallocate, fd, mode, offset, size)
            content = read_file(path) if os.fstat(fd).st_size < MIB else b"far"
            t.note(label + " leaves", (len(content), hash_of(content)))
            os.close(fd)
            os.unlink(path)
    fd = os.open(top, os.O_RDONLY)
    t.call("of a directory", fallocate, fd, 0, 0, 10)
    os.close(fd)
    os.mkfifo(f"{top}/fifo")
    fd = os.open(f"{top}/fifo", os.O_RDWR)
    t.call("of a fifo", fallocate, fd, 0, 0, 10)
    os.close(fd)
    fd = os.open(make_file(f"{top}/big"), os.O_RDWR)
    fallocate(fd, KEEP_SIZE, 0, 3 * MIB)
    t.note("kept size", os.fstat(fd).st_size)
    t.note("has blocks", os.fstat(fd).st_blocks >= 6144)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 3 * MIB)
    t.note("punched beyond the end", os.fstat(fd).st_blocks < 6144)
    os.close(fd)


def hash_of(content):
    value = 0
    for byte in content:
        value = (value * 31 + byte) % (1 << 61)
    return value


def holes(t):
    top = t.directory("holes")
    fd = os.open(make_file(f"{top}/f"), os.O_RDWR)

    def note(label):
        size = os.fstat(fd).st_size
        map_, at = [], 0
        while at < size:
            data = answer(os.lseek, fd, at, os.SEEK_DATA)
            if data == "ENXIO":
                break
            at = os.lseek(fd, data, os.SEEK_HOLE)
            map_.append((data, at))
        t.note(label, map_)
        for whence in (os.SEEK_DATA, os.SEEK_HOLE):
            for at in (-1, 0, 1, size - 1, size, size + 1):
                t.call(f"{label}: seek {whence} from {at}", os.lseek, fd, at, whence)

    note("empty")
    os.pwrite(fd, b"x" * 3 * PAGE, 0)
    note("three pages")
    os.pwrite(fd, b"x" * PAGE, 20 * PAGE)
    note("a gap")
    os.ftruncate(fd, 40 * PAGE)
    note("a hole at the end")
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, PAGE, PAGE)
    note("punched")
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 3 * PAGE)
    note("punched more")
    os.pwrite(fd, b"x" * 3 * MIB, 4 * MIB)
    note("large")
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 5 * MIB, MIB)
    note("large, punched")
    os.ftruncate(fd, 100)
    note("small again")
    t.call("odd whence", os.lseek, fd, 0, 9)
    os.close(fd)
    fd = os.open(top, os.O_RDONLY)
    t.call("fifo", lambda: os.lseek(os.pipe()[0], 0, os.SEEK_DATA))
    os.close(fd)


def copying(t):
    top = t.directory("copying")
    a, b = f"{top}/a", f"{top}/b"
    make_file(a, bytes(range(256)) * 100)
    for label, flags_in, flags_out, arguments in (
            ("whole", 0, 2, (25600, 0, 0)), ("part", 0, 2, (100, 50, 7)),
            ("beyond the end", 0, 2, (100, 25600, 0)), ("over the end", 0, 2, (100, 25550, 9)),
            ("nothing", 0, 2, (0, 0, 0)), ("far", 0, 2, (10, 0, 1 << 40)),
            ("to read-only", 0, 0, (10, 0, 0)), ("from write-only", 1, 2, (10, 0, 0)),
            ("to append", 0, 2 | os.O_APPEND, (10, 0, 0)), ("huge", 0, 2, (1 << 62, 0, 0))):
        make_file(b, b"b" * 1000)
        source, target = os.open(a, flags_in), os.open(b, flags_out)
        t.call(label, os.copy_file_range, source, target, *arguments)
        t.note(label + " size", os.fstat(target).st_size)
        if os.fstat(target).st_size < MIB:
            t.note(label + " leaves", hash_of(read_file(b)))
        os.close(source)
        os.close(target)
    fd = os.open(a, os.O_RDWR)
    t.call("overlapping", os.copy_file_range, fd, fd, 100, 0, 50)
    t.call("same place", os.copy_file_range, fd, fd, 100, 0, 0)
    t.call("same file", os.copy_file_range, fd, fd, 100, 0, 10000)
    t.note("same file leaves", hash_of(read_file(a)))
    directory = os.open(top, os.O_RDONLY)
    t.call("from a directory", os.copy_file_range, directory, fd, 10, 0, 0)
    t.call("to a directory", os.copy_file_range, fd, directory, 10, 0, 0)
    pipe = os.pipe()
    t.call("to a pipe", os.copy_file_range, fd, pipe[1], 10, 0)
    t.call("sendfile", os.sendfile, pipe[1], fd, 5, 100)
    t.note("sent", os.read(pipe[0], 100))
    t.call("splice out", os.splice, fd, pipe[1], 100, offset_src=30)
    t.note("spliced", os.read(pipe[0], 1000))
    os.write(pipe[1], b"through the pipe")
    t.call("splice in", os.splice, pipe[0], fd, 16, offset_dst=3)
    t.note("spliced in", os.pread(fd, 24, 0))
    os.close(directory)
    os.close(fd)


def direct(t):
    top = t.directory("direct")
    fd = os.open(make_file(f"{top}/f", b"d" * 10000), os.O_RDWR | os.O_DIRECT)
    area = mmap.mmap(-1, 8 * PAGE)
    area[:] = b"m" * len(area)
    t.call("aligned write", os.pwritev, fd, [memoryview(area)[:PAGE]], PAGE)
    t.call("aligned read", os.preadv, fd, [memoryview(area)[:4 * PAGE]], 0)
    t.call("read at the end", os.preadv, fd, [memoryview(area)[:PAGE]], 2 * PAGE)
    t.call("read beyond", os.preadv, fd, [memoryview(area)[:PAGE]], 8 * PAGE)
    t.note("content", hash_of(read_file(f"{top}/f")))
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    t.call("F_SETFL", fcntl.fcntl, fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
    t.call("unaligned afterwards", os.pwrite, fd, b"x", 1)
    os.close(fd)


def mappings(t):
    top = t.directory("mappings")
    path = make_file(f"{top}/f", b"f" * (2 * PAGE + 100))
    fd = os.open(path, os.O_RDWR)
    os.ftruncate(fd, 3 * PAGE)  # Python maps no more than the file has
    shared = mmap.mmap(fd, 3 * PAGE, mmap.MAP_SHARED)
    private = mmap.mmap(fd, 3 * PAGE, mmap.MAP_PRIVATE)
    os.ftruncate(fd, 2 * PAGE + 100)
    private[0:5] = b"mine!"
    shared[10:16] = b"shared"
    t.note("read sees the mapping", os.pread(fd, 20, 0))
    os.pwrite(fd, b"WRITE", 100)
    t.note("the mapping sees writes", shared[95:110])
    t.note("private stays private", (private[0:5], os.pread(fd, 5, 0)))
    t.note("beyond the end is zero", shared[2 * PAGE + 100:3 * PAGE] == bytes(PAGE - 100))
    shared[2 * PAGE + 100:2 * PAGE + 110] = b"!" * 10
    os.ftruncate(fd, 3 * PAGE)
    t.note("nothing stored beyond the end shows",
           os.pread(fd, PAGE, 2 * PAGE) == b"f" * 100 + bytes(PAGE - 100))
    t.note("in the mapping either", shared[2 * PAGE:3 * PAGE] == b"f" * 100 + bytes(PAGE - 100))
    os.ftruncate(fd, 50)
    t.note("touched beyond the end", in_process(lambda: shared[PAGE]))
    t.note("stored beyond the end", in_process(lambda: shared.__setitem__(2 * PAGE, 1)))
    t.note("last page is there", shared[60])
    os.ftruncate(fd, 3 * PAGE)
    t.note("grown again", shared[:] == b"f" * 10 + b"shared" + b"f" * 34 + bytes(3 * PAGE - 50))
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, PAGE)
    t.note("punched", shared[:PAGE] == bytes(PAGE))
    shared[PAGE:2 * PAGE] = b"n" * PAGE
    t.note("copied range", os.copy_file_range(fd, fd, PAGE, PAGE, 2 * PAGE))
    t.note("copied what was stored", (shared[2 * PAGE:] == b"n" * PAGE,
                                     os.pread(fd, PAGE, 2 * PAGE) == b"n" * PAGE))
    shared[0:4] = b"kept"
    t.call("msync", shared.flush)
    t.note("another process sees it", in_process(lambda: read_file(path)[:4]))
    t.call("zeroing", fallocate, fd, ZERO_RANGE, 0, 2)
    t.note("zero range", shared[:4])
    appender = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(appender, b"appended")
    t.note("appended", (os.fstat(fd).st_size, os.pread(fd, 8, 3 * PAGE)))
    other = os.open(make_file(f"{top}/g"), os.O_RDWR)
    os.write(other, shared[:100])
    t.note("written from a mapping", os.pread(other, 4, 0))
    os.pwrite(fd, memoryview(shared)[PAGE:PAGE + 5000], 3)
    t.note("written from its own mapping", hash_of(read_file(path)))
    t.note("descriptor closed", (os.close(fd), shared[0:4])[1])
    t.note("mtime follows a store", mapped_store_changes_mtime(path))


def mapped_store_changes_mtime(path):
    os.utime(path, (1, 1))
    fd = os.open(path, os.O_RDWR)
    shared = mmap.mmap(fd, PAGE, mmap.MAP_SHARED)
    shared[0] = 7
    shared.flush()
    shared.close()
    os.close(fd)
    return os.stat(path).st_mtime > 1


def times(t):
    top = t.directory("times")
    path = make_file(f"{top}/f")
    for seconds in (0, -1, -2**31, -2**31 - 1, 2**31 - 1, 2**31, 2**32, 2**33, 15032385535,
                    15032385536, 2**40):
        for nanoseconds in (0, 1, 999999999):
            label = f"{seconds}.{nanoseconds:09}"
            t.call(label, utimensat, path, (seconds, nanoseconds), (seconds + 1, nanoseconds))
            stat = os.stat(path)
            t.note(label + " kept", (stat.st_atime_ns, stat.st_mtime_ns))
    for nanoseconds in (-1, 10**9, UTIME_NOW - 1, UTIME_NOW + 1, 1 << 40):
        t.call(f"nanoseconds {nanoseconds}", utimensat, path, (1, nanoseconds), (1, 0))
    utimensat(path, (5, 6), (7, 8))
    t.call("omit both", utimensat, path, (0, UTIME_OMIT), (0, UTIME_OMIT))
    t.note("omitted", (os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns))
    utimensat(path, (0, UTIME_OMIT), (9, 9))
    t.note("one omitted", (os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns))
    before = time.time() - 10
    utimensat(path, (0, UTIME_NOW), (0, UTIME_OMIT))
    t.note("now", (os.stat(path).st_atime > before, os.stat(path).st_mtime_ns))
    t.call("odd flags", utimensat, path, (1, 1), (1, 1), 0x4000)
    os.symlink("f", f"{top}/s")
    utimensat(f"{top}/s", (11, 11), (12, 12), AT_SYMLINK_NOFOLLOW)
    t.note("of a symlink", (os.lstat(f"{top}/s").st_mtime_ns, os.stat(path).st_mtime_ns))
    birth(t, top)


def birth(t, top):
    path = f"{top}/born"
    before = time.time_ns() - 10**10  # the clock of files is coarse, and late on a busy machine
    make_file(path)
    mask, born = statx(path)
    t.note("btime", (bool(mask & STATX_BTIME), before <= born <= time.time_ns()))
    os.rename(path, path + "2")
    make_file(path + "3")
    os.chmod(path + "2", 0o600)
    with open(path + "2", "ab") as file:
        file.write(b"x" * 100000)
    os.utime(path + "2", (1, 1))
    t.note("btime stays", statx(path + "2")[1] == born)
    t.call("statx with a reserved bit", statx, path + "2", 0x80000000)


def wait_for_tick(times):
    """Until the kernel's coarse clock, by which files' times go, has passed them."""
    while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) <= max(times):
        time.sleep(0.001)


def changed_times(t):
    """Which times of the file and of its directory each operation changes."""
    top = t.directory("changed")
    operations = {
        "write": lambda f: os.pwrite(os.open(f, os.O_WRONLY), b"x", 0),
        "empty write": lambda f: os.pwrite(os.open(f, os.O_WRONLY), b"", 0),
        "same size": lambda f: os.truncate(f, 4), "shrink": lambda f: os.truncate(f, 1),
        "ftruncate": lambda f: os.ftruncate(os.open(f, os.O_WRONLY), 4),
        "grow": lambda f: os.truncate(f, 9), "chmod": lambda f: os.chmod(f, 0o600),
        "same mode": lambda f: os.chmod(f, 0o644), "chown": lambda f: os.chown(f, 1, 1),
        "same owner": lambda f: os.chown(f, 0, 0), "chown to -1": lambda f: os.chown(f, -1, -1),
        "rename": lambda f: os.rename(f, f + "2"), "link": lambda f: os.link(f, f + "2"),
        "unlink": os.unlink, "setxattr": lambda f: os.setxattr(f, "user.x", b"1"),
        "open": lambda f: os.open(f, os.O_RDWR), "O_TRUNC": lambda f: os.open(f, os.O_TRUNC),
        "O_CREAT": lambda f: os.open(f, os.O_CREAT), "utimes": lambda f: os.utime(f, (3, 3)),
        "create beside": lambda f: make_file(f + "2"), "mkdir beside": lambda f: os.mkdir(f + "2"),
        "symlink beside": lambda f: os.symlink("x", f + "2"),
        "fallocate": lambda f: fallocate(os.open(f, os.O_WRONLY), 0, 0, 100),
        "fallocate KEEP_SIZE": lambda f: fallocate(os.open(f, os.O_WRONLY), KEEP_SIZE, 0, 100),
        "punch": lambda f: fallocate(os.open(f, os.O_WRONLY), PUNCH_HOLE | KEEP_SIZE, 0, 2),
        "zero": lambda f: fallocate(os.open(f, os.O_WRONLY), ZERO_RANGE, 0, 2),
        "fsync": lambda f: os.fsync(os.open(f, os.O_WRONLY)),
        "copy": lambda f: os.copy_file_range(os.open("/proc/self/exe", 0), os.open(f, 2), 2, 0, 0),
    }
    for name, operation in operations.items():
        directory = f"{top}/{name.replace(' ', '-')}"
        os.mkdir(directory)
        path = make_file(f"{directory}/f", b"1234")
        keep = os.open(path, os.O_RDONLY)
        for each in (path, directory):
            os.utime(each, (1, 1))
        before = [os.stat(each).st_ctime_ns for each in (keep, directory)]
        wait_for_tick(before)
        t.note(f"{name} says", type(answer(in_process, operation, path)).__name__)
        after = [os.stat(each) for each in (keep, directory)]
        t.note(f"{name}: mtime, ctime of file, directory",
               [(s.st_mtime_ns == 10**9, s.st_ctime_ns == b) for s, b in zip(after, before)])
        os.close(keep)


SUBJECTS = (handles, offsets, allocation, holes, copying, direct, mappings, times, changed_times)
