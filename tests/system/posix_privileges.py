# SPDX-License-Identifier: BSD-3-Clause
#
# Cases of posix_calls.py about set-id bits and file capabilities: who loses them by which change,
# in every order of opening, setting and changing, and what exec then grants.
"""Set-id bits and security.capability."""
import contextlib
import mmap
import os
import stat
import struct
import subprocess

from posix_support import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, answer, as_user, fallocate

OWNER, STRANGER, GROUP, THIRD = 2001, 2002, 3001, 2003
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # cap_net_raw+ep
MODES = {"suid": 0o4777, "sgid": 0o2777, "sgid, no x": 0o2767, "both": 0o6777,
         "capability": 0o777, "all": 0o6777}
PAGE = 4096


@contextlib.contextmanager
def acting(uid, gid):
    if uid:
        os.setgroups([])
        os.setegid(gid)
        os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def copy_into(fd):
    source = os.open("/proc/self/exe", os.O_RDONLY)
    try:
        return os.copy_file_range(source, fd, 1, 0, 20000)
    finally:
        os.close(source)


def splice_into(fd):
    ends = os.pipe()
    os.write(ends[1], b"s")
    try:
        return os.splice(ends[0], fd, 1, offset_dst=20000)
    finally:
        os.close(ends[0])
        os.close(ends[1])


def send_into(fd):
    source = os.open("/bin/cat", os.O_RDONLY)
    try:
        return os.sendfile(fd, source, 0, 1)
    finally:
        os.close(source)


def store(fd, area):
    area[100] = area[100]
    area.flush()


# By descriptor; the content of the program stays or grows beyond its end.
BY_HANDLE = {
    "write": lambda fd, _: os.pwrite(fd, b"\x7f", 0),
    "no bytes": lambda fd, _: os.pwrite(fd, b"", 0),
    "far write": lambda fd, _: os.pwrite(fd, b"far", 3 << 20),
    "RWF_APPEND": lambda fd, _: os.pwritev(fd, [b"a"], 0, 0x10),
    "ftruncate": lambda fd, _: os.ftruncate(fd, os.fstat(fd).st_size),
    "grow": lambda fd, _: os.ftruncate(fd, 2 << 20),
    "fallocate": lambda fd, _: fallocate(fd, 0, 0, 3 << 20),
    "fallocate KEEP_SIZE": lambda fd, _: fallocate(fd, KEEP_SIZE, 0, 10),
    "punch": lambda fd, _: fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 3 << 20, 10),
    "zero": lambda fd, _: fallocate(fd, ZERO_RANGE | KEEP_SIZE, 3 << 20, 10),
    "copy_file_range": lambda fd, _: copy_into(fd), "splice": lambda fd, _: splice_into(fd),
    "sendfile": lambda fd, _: send_into(fd), "mapped store": store,
    "fchmod": lambda fd, _: os.fchmod(fd, 0o6755), "fchown": lambda fd, _: os.fchown(fd, -1, -1),
    "fsync": lambda fd, _: os.fsync(fd),
}
BY_PATH = {
    "truncate": lambda path: os.truncate(path, os.stat(path).st_size),
    "truncate to less": lambda path: os.truncate(path, 10),
    "O_TRUNC": lambda path: os.close(os.open(path, os.O_RDONLY | os.O_TRUNC)),
    "O_WRONLY|O_TRUNC": lambda path: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)),
    "append": lambda path: os.write(os.open(path, os.O_WRONLY | os.O_APPEND), b"a"),
    "opened": lambda path: os.close(os.open(path, os.O_RDWR)),
    "chown nothing": lambda path: os.chown(path, -1, -1),
    "chgrp": lambda path: os.chown(path, -1, GROUP),
    "chown same": lambda path: os.chown(path, OWNER, -1),
    "chmod": lambda path: os.chmod(path, 0o2755), "chmod +s": lambda path: os.chmod(path, 0o6711),
    "setxattr": lambda path: os.setxattr(path, "user.x", b"1"),
    "set capability": lambda path: os.setxattr(path, "security.capability", CAPABILITY),
    "remove capability": lambda path: os.removexattr(path, "security.capability"),
    "touch": os.utime, "rename": lambda path: (os.rename(path, path + "2"),
                                               os.rename(path + "2", path))[0],
    "link": lambda path: os.unlink((os.link(path, path + "2"), path + "2")[1]),
}
PEOPLE = {"owner": (OWNER, GROUP), "stranger": (STRANGER, STRANGER), "group": (STRANGER, GROUP),
          "root": (0, 0)}


def make(path, program):
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "wb") as file:
        file.write(program)
    os.chmod(path, 0o777)
    os.chown(path, OWNER, GROUP)


def grant(path, what):
    os.chmod(path, MODES[what])
    if what in ("capability", "all"):
        os.setxattr(path, "security.capability", CAPABILITY)


def state(path):
    return f"{os.stat(path).st_mode:o} {answer(os.getxattr, path, 'security.capability')!r:.30}"


def granted(path):
    """What a third user becomes by running it: cat shows its own ids and capabilities."""
    result = subprocess.run([path, "/proc/self/status"], user=THIRD, group=THIRD, extra_groups=[],
                            capture_output=True, check=False)
    lines = [line for line in result.stdout.decode().splitlines()
             if line.startswith(("Uid:", "Gid:", "CapEff:"))]
    return result.returncode, lines


def read_program():
    with open("/bin/cat", "rb") as file:
        return file.read()


def orders(t):
    """open, set, change; set, open, change; changed before; twice."""
    top = t.directory("orders", 0o777)
    path = f"{top}/program"
    program = read_program()
    for what in MODES:
        for who, (uid, gid) in PEOPLE.items():
            for name, change in BY_HANDLE.items():
                for order in ("open-set-change", "set-open-change", "open-change-set-change"):
                    make(path, program)
                    if order.startswith("set"):
                        grant(path, what)
                    with acting(uid, gid):
                        fd = os.open(path, os.O_RDWR)
                        area = mmap.mmap(fd, PAGE)
                    if order == "open-change-set-change":
                        with acting(uid, gid):
                            answer(change, fd, area)
                    if not order.startswith("set"):
                        grant(path, what)
                    label = f"{what}, {who}, {order}: {name}"
                    with acting(uid, gid):
                        result = answer(change, fd, area)
                    t.note(label, result if isinstance(result, str) else "ok")
                    area.close()
                    os.close(fd)
                    t.note(label + " leaves", state(path))


def by_path(t):
    top = t.directory("path", 0o777)
    path = f"{top}/program"
    program = read_program()
    for what in MODES:
        for who, (uid, gid) in PEOPLE.items():
            for name, change in BY_PATH.items():
                make(path, program)
                grant(path, what)
                label = f"{what}, {who}: {name}"
                with acting(uid, gid):
                    result = answer(change, path)
                t.note(label, result if isinstance(result, str) else "ok")
                t.note(label + " leaves", state(path))


def executed(t):
    """What is gone grants nothing, what is left grants what it says, whoever looked before."""
    top = t.directory("executed", 0o755)
    program = read_program()
    for number, what in enumerate(MODES):
        path = f"{top}/program-{number}"
        make(path, program)
        t.note(f"{what}: not yet", granted(path))
        grant(path, what)
        t.note(f"{what}: granted", granted(path))
        fd = os.open(path, os.O_RDWR)
        with acting(STRANGER, STRANGER):
            os.pwrite(fd, b"\x7f", 0)
        os.close(fd)
        t.note(f"{what}: written", granted(path))
        grant(path, what)
        t.note(f"{what}: granted again", granted(path))
        os.chown(path, 0, 0)
        t.note(f"{what}: another's", granted(path))
        grant(path, what)
        t.note(f"{what}: granted by root", granted(path))
        with acting(STRANGER, STRANGER):
            os.truncate(path, os.stat(path).st_size)
        t.note(f"{what}: truncated", granted(path))


def special(t):
    """The bits mean nothing on what can't be executed, and go with its owner all the same."""
    top = t.directory("special", 0o777)
    path = f"{top}/special"
    for kind, type_bits in (("fifo", stat.S_IFIFO), ("character", stat.S_IFCHR),
                            ("block", stat.S_IFBLK), ("socket", stat.S_IFSOCK)):
        for mode in (0o6555, 0o6755, 0o4644, 0o2771, 0o6601):
            for who, uid in (("owner", OWNER), ("root", 0)):
                for owner in ((OWNER, GROUP), (-1, GROUP), (OWNER, -1), (-1, -1), (7, 7)):
                    os.mknod(path, type_bits | 0o600, os.makedev(1, 2))
                    os.chown(path, OWNER, OWNER)
                    os.chmod(path, mode)
                    label = f"{kind} {mode:o}, {who}: chown to {owner}"
                    t.note(label, as_user(uid, uid, [GROUP], os.chown, path, *owner))
                    t.note(label + " leaves", f"{os.stat(path).st_mode:o}")
                    os.unlink(path)


SUBJECTS = (orders, by_path, executed, special)
