# SPDX-License-Identifier: BSD-3-Clause
#
# Cases of posix_calls.py about who may do what: owners, sticky and set-id bits, ACLs, extended
# attributes, locks, inode flags.
"""Rules."""
import errno
import fcntl
import mmap
import os
import struct
import time

from posix_support import (UTIME_NOW, UTIME_OMIT, answer, as_user, in_process, make_file, read_file,
                           rename2, utimensat, EXCHANGE)

USER, OTHER, GROUP = 2001, 2002, 3001
ACL_VERSION = 2
USER_OBJ, ACL_USER, GROUP_OBJ, ACL_GROUP, MASK, OTHERS = 1, 2, 4, 8, 16, 32


def acl(*entries):
    text = struct.pack("<I", ACL_VERSION)
    for tag, permissions, who in entries:
        text += struct.pack("<HHI", tag, permissions, who)
    return text


NOBODY = 0xFFFFFFFF
BASIC = ((USER_OBJ, 7, NOBODY), (ACL_USER, 6, USER), (GROUP_OBJ, 5, NOBODY), (ACL_GROUP, 7, GROUP),
         (MASK, 7, NOBODY), (OTHERS, 4, NOBODY))


def show(path):
    stat = os.lstat(path)
    return f"{stat.st_mode:o} {stat.st_uid} {stat.st_gid}"


def ownership(t):
    top = t.directory("ownership", 0o777)
    people = (("owner", USER, GROUP, []), ("in group", OTHER, OTHER, [GROUP]),
              ("other", OTHER, OTHER, []))
    calls = {
        "chmod": lambda f: os.chmod(f, 0o604), "chmod suid": lambda f: os.chmod(f, 0o4755),
        "chmod sgid": lambda f: os.chmod(f, 0o2755), "chmod sticky": lambda f: os.chmod(f, 0o1755),
        "chown away": lambda f: os.chown(f, OTHER, -1),
        "chown same": lambda f: os.chown(f, USER, -1),
        "chgrp own": lambda f: os.chown(f, -1, GROUP), "chgrp away": lambda f: os.chown(f, -1, 7),
        "chgrp to my group": lambda f: os.chown(f, -1, OTHER),
        "chown nothing": lambda f: os.chown(f, -1, -1),
        "utimes": lambda f: os.utime(f, (1, 1)),
        "touch": lambda f: utimensat(f, (0, UTIME_NOW), (0, UTIME_NOW)),
        "touch one": lambda f: utimensat(f, (0, UTIME_NOW), (0, UTIME_OMIT)),
        "omit": lambda f: utimensat(f, (0, UTIME_OMIT), (0, UTIME_OMIT)),
        "read": lambda f: os.close(os.open(f, os.O_RDONLY)),
        "write": lambda f: os.close(os.open(f, os.O_WRONLY)),
        "O_TRUNC": lambda f: os.close(os.open(f, os.O_RDONLY | os.O_TRUNC)),
        "O_NOATIME": lambda f: os.close(os.open(f, os.O_RDONLY | os.O_NOATIME)),
        "truncate": lambda f: os.truncate(f, 2), "access x": lambda f: os.access(f, os.X_OK),
        "access w": lambda f: os.access(f, os.W_OK),
        "setxattr": lambda f: os.setxattr(f, "user.x", b"1"),
        "trusted": lambda f: os.setxattr(f, "trusted.x", b"1"),
        "security": lambda f: os.setxattr(f, "security.x", b"1"),
        "get trusted": lambda f: os.getxattr(f, "trusted.x"),
        "set acl": lambda f: os.setxattr(f, "system.posix_acl_access", acl(*BASIC)),
        "link": lambda f: os.link(f, f + ".link"), "unlink": os.unlink,
        "rename": lambda f: os.rename(f, f + ".new"), "exec": lambda f: os.execv(f, [f]),
    }
    number = 0
    for mode in (0o644, 0o600, 0o660, 0o666, 0o6755, 0o2745, 0o000):
        for who, uid, gid, groups in people:
            for name, call in calls.items():
                number += 1
                path = make_file(f"{top}/{number}", b"12345")
                os.chown(path, USER, GROUP)
                os.chmod(path, mode)
                label = f"{mode:o} {who} {name}"
                t.note(label, as_user(uid, gid, groups, call, path))
                if os.path.exists(path):
                    t.note(label + " leaves", show(path))
    for mode in (0o6755, 0o2745, 0o4711):
        for uid, gid in ((1, -1), (-1, 1), (-1, -1), (0, 0)):
            path = make_file(f"{top}/root-{mode:o}-{uid}-{gid}", b"", mode)
            os.chown(path, uid, gid)
            t.note(f"chown by root of {mode:o} to {uid} {gid}", show(path))
            os.mkdir(path + "d")
            os.chmod(path + "d", mode)
            os.chown(path + "d", uid, gid)
            t.note(f"of a directory {mode:o} to {uid} {gid}", show(path + "d"))


def sticky(t):
    for mode in (0o777, 0o1777, 0o755, 0o1775, 0o733):
        top = t.directory(f"{mode:o}", mode)
        for owner in (USER, OTHER):
            os.chown(top, owner, 0)
            for name, call in (
                    ("unlink", lambda: os.unlink(f"{top}/f")),
                    ("rename", lambda: os.rename(f"{top}/f", f"{top}/g")),
                    ("over", lambda: os.rename(f"{top}/mine", f"{top}/f")),
                    ("exchange", lambda: rename2(f"{top}/mine", f"{top}/f", EXCHANGE)),
                    ("rmdir", lambda: os.rmdir(f"{top}/d")),
                    ("create", lambda: os.close(os.open(f"{top}/n", os.O_CREAT | os.O_EXCL))),
                    ("list", lambda: len(os.listdir(top))),
                    ("enter", lambda: os.stat(f"{top}/f").st_size)):
                for each in os.listdir(top):
                    (os.rmdir if each == "d" else os.unlink)(f"{top}/{each}")
                make_file(f"{top}/f")
                make_file(f"{top}/mine")
                os.mkdir(f"{top}/d")
                os.chown(f"{top}/mine", OTHER, OTHER)
                t.note(f"{mode:o} of {owner}: {name}", as_user(OTHER, OTHER, [], call))


def set_group(t):
    for mode in (0o2777, 0o777):
        top = t.directory(f"{mode:o}", mode)
        os.chown(top, USER, GROUP)
        os.chmod(top, mode)
        for who, groups in (("member", [GROUP]), ("stranger", [])):
            path = f"{top}/{who}"
            makers = {
                "file": lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o2775)),
                "plain": lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o2765)),
                "directory": lambda p: os.mkdir(p, 0o755), "fifo": lambda p: os.mkfifo(p, 0o2770),
                "symlink": lambda p: os.symlink("x", p),
                "node": lambda p: os.mknod(p, 0o102755),
                "chmod": lambda p: (make_file(p), os.chmod(p, 0o2775)),
            }
            for name, make in makers.items():
                t.note(f"{mode:o} {who} {name}", as_user(OTHER, OTHER, groups, make, path + name))
                t.note(f"{mode:o} {who} {name} is", answer(show, path + name))


def acls(t):
    top = t.directory("acl")
    path = make_file(f"{top}/f")
    access, default = "system.posix_acl_access", "system.posix_acl_default"

    def put(label, where, name, value):
        t.call(label, os.setxattr, where, name, value)
        t.note(label + " leaves", (show(where), answer(os.getxattr, where, name)))

    put("plain", path, access, acl(*BASIC))
    for mode in (0o777, 0o640, 0o604, 0o070):
        os.chmod(path, mode)
        t.note(f"chmod {mode:o}", (show(path), os.getxattr(path, access)))
    put("same as a mode", path, access, acl(BASIC[0], BASIC[2], BASIC[5]))
    put("no mask", path, access, acl(*BASIC[:4], BASIC[5]))
    put("wrong order", path, access, acl(BASIC[1], BASIC[0], *BASIC[2:]))
    put("twice the same", path, access, acl(BASIC[0], BASIC[1], BASIC[1], *BASIC[2:]))
    put("wrong permission", path, access, acl((USER_OBJ, 8, NOBODY), *BASIC[1:]))
    put("wrong tag", path, access, acl((3, 7, NOBODY), *BASIC[1:]))
    put("wrong version", path, access, b"\3\0\0\0" + acl(*BASIC)[4:])
    put("cut off", path, access, acl(*BASIC)[:-1])
    put("nothing", path, access, b"")
    put("default of a file", path, default, acl(*BASIC))
    os.symlink("f", f"{top}/s")
    t.call("of a symlink", os.setxattr, f"{top}/s", access, acl(*BASIC), follow_symlinks=False)
    t.call("removing none", os.removexattr, path, access)
    many = [BASIC[0]] + [(ACL_USER, 4, i) for i in range(300)] + list(BASIC[2:])
    t.call("300 entries", os.setxattr, path, access, acl(*many))
    for umask in (0, 0o022, 0o077):
        for name, value in (("basic", acl(*BASIC)), ("short", acl(BASIC[0], BASIC[2], BASIC[5])),
                            ("closed", acl(*[(tag, 0, who) for tag, _, who in BASIC]))):
            inheritance(t, top, umask, name, value)
    permissions(t, top, access)


def inheritance(t, top, umask, name, value):
    access, default = "system.posix_acl_access", "system.posix_acl_default"
    directory = f"{top}/{name}-{umask:o}"
    os.mkdir(directory)
    os.setxattr(directory, default, value)
    old = os.umask(umask)
    for mode in (0o666, 0o777, 0o640, 0o000):
        path = f"{directory}/{mode:o}"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, mode))
        os.mkdir(path + "d", mode)
        os.mkfifo(path + "p", mode)
        os.symlink("x", path + "s")
        fd = os.open(directory, os.O_TMPFILE | os.O_RDWR, mode)
        found = [show(path + kind) for kind in ("", "d", "p", "s")]
        found += [answer(os.getxattr, path + kind, which) for kind in ("", "d", "p")
                  for which in (access, default)]
        found += [oct(os.fstat(fd).st_mode), answer(os.getxattr, fd, access)]
        os.close(fd)
        t.note(f"inherited {name} umask {umask:o} mode {mode:o}", found)
    os.umask(old)


def permissions(t, top, access):
    path = make_file(f"{top}/guarded", b"x", 0o600)
    for label, entries in (("user rw", BASIC), ("user none", (BASIC[0], (ACL_USER, 0, USER),
                                                              *BASIC[2:])),
                           ("masked", (*BASIC[:4], (MASK, 0, NOBODY), BASIC[5]))):
        os.setxattr(path, access, acl(*entries))
        for who, uid, groups in (("user", USER, []), ("group", OTHER, [GROUP]),
                                 ("other", OTHER, [])):
            t.note(f"{label}: {who}", [
                as_user(uid, uid, groups, lambda flags=flags: os.open(path, flags) * 0)
                for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)])


def xattrs(t):
    top = t.directory("xattr")
    path = make_file(f"{top}/f")
    for size in (0, 1, 100, 200, 1000, 3000, 4000, 5000, 16384, 65535, 65536, 65537):
        label = f"value of {size}"
        t.call(label, os.setxattr, path, "user.v", b"v" * size)
        t.note(label + " kept", len(answer(os.getxattr, path, "user.v")))
    answer(os.removexattr, path, "user.v")
    for length in (0, 1, 250, 251, 256):
        t.call(f"name of {length}", os.setxattr, path, "user." + "n" * length, b"1")
        answer(os.removexattr, path, "user." + "n" * length)
    for name in ("user.a", "trusted.a", "security.a", "system.a", "nothing.a", "a", "", "user",
                 "system.posix_acl_x", "security.capability", "os2.a", "btrfs.a", "USER.a"):
        for call, arguments in ((os.setxattr, (b"value",)), (os.getxattr, ()),
                                (os.removexattr, ())):
            t.call(f"{call.__name__} {name!r}", call, path, name, *arguments)
    t.call("replace what isn't there", os.setxattr, path, "user.b", b"", os.XATTR_REPLACE)
    t.call("create", os.setxattr, path, "user.b", b"1", os.XATTR_CREATE)
    t.call("create again", os.setxattr, path, "user.b", b"2", os.XATTR_CREATE)
    t.call("replace", os.setxattr, path, "user.b", b"3", os.XATTR_REPLACE)
    t.call("both flags", os.setxattr, path, "user.b", b"4", 3)
    t.call("odd flags", os.setxattr, path, "user.b", b"4", 4)
    t.note("value", os.getxattr(path, "user.b"))
    for i in range(20):
        os.setxattr(path, f"user.many{i}", b"m" * i)
    t.note("list", sorted(os.listxattr(path)))
    t.note("values", [len(os.getxattr(path, f"user.many{i}")) for i in range(20)])
    for i in range(0, 20, 2):
        os.removexattr(path, f"user.many{i}")
    t.note("list", sorted(os.listxattr(path)))
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    t.call("capability", os.setxattr, path, "security.capability", capability)
    t.note("capability kept", os.getxattr(path, "security.capability"))
    os.chown(path, 1, 1)
    t.call("after chown", os.getxattr, path, "security.capability")
    other_kinds(t, top)


def other_kinds(t, top):
    os.symlink("f", f"{top}/s")
    os.mkfifo(f"{top}/p")
    os.mknod(f"{top}/n", 0o20666, os.makedev(1, 3))
    os.mkdir(f"{top}/d")
    os.mkdir(f"{top}/sticky")
    os.chmod(f"{top}/sticky", 0o1777)
    for name in ("s", "p", "n", "d", "sticky"):
        for attribute in ("user.a", "trusted.a", "security.a"):
            path = f"{top}/{name}"
            label = f"{attribute} of {name}"
            t.call(label, os.setxattr, path, attribute, b"1", follow_symlinks=False)
            t.call(label + " got", os.getxattr, path, attribute, follow_symlinks=False)
            t.note(label + " by a user", as_user(USER, USER, [], lambda: os.setxattr(
                path, attribute, b"2", follow_symlinks=False)))
        t.note(f"list of {name}", sorted(os.listxattr(path, follow_symlinks=False)))


FLAG_IOCTLS = (0x80086601, 0x40086602)


def inode_flags(t):
    """chattr +a, +i and what they forbid."""
    top = t.directory("flags")
    for name, bit in (("append", 0x20), ("immutable", 0x10)):
        for kind in ("file", "dir"):
            path = f"{top}/{name}-{kind}"
            if kind == "file":
                make_file(path, b"123")
            else:
                os.mkdir(path)
                make_file(f"{path}/old")
            fd = os.open(path, os.O_RDONLY)
            late = os.open(path if kind == "file" else f"{path}/old", os.O_WRONLY)
            flags = struct.unpack("i", fcntl.ioctl(fd, FLAG_IOCTLS[0], bytes(4)))[0]
            if t.call(f"{name} {kind} set", fcntl.ioctl, fd, FLAG_IOCTLS[1],
                      struct.pack("i", flags | bit)) == "ENOTTY":
                continue
            for label, call in (
                    ("write", lambda: os.close(os.open(path, os.O_WRONLY))),
                    ("append", lambda: os.write(os.open(path, os.O_WRONLY | os.O_APPEND), b"4")),
                    ("truncate", lambda: os.truncate(path, 1)),
                    ("O_TRUNC", lambda: os.open(path, os.O_WRONLY | os.O_APPEND | os.O_TRUNC)),
                    ("chmod", lambda: os.chmod(path, 0o600)),
                    ("chown", lambda: os.chown(path, 1, 1)),
                    ("utimes", lambda: os.utime(path, (1, 1))), ("touch", lambda: os.utime(path)),
                    ("setxattr", lambda: os.setxattr(path, "user.a", b"")),
                    ("removexattr", lambda: os.removexattr(path, "user.none")),
                    ("link", lambda: os.link(path, path + "2")),
                    ("rename", lambda: os.rename(path, path + "2")),
                    ("rename over", lambda: os.rename(make_file(f"{top}/x"), path)),
                    ("unlink", lambda: os.unlink(path)), ("rmdir", lambda: os.rmdir(path)),
                    ("create in", lambda: make_file(f"{path}/new") and 0),
                    ("remove in", lambda: os.unlink(f"{path}/old")),
                    ("rename in", lambda: os.rename(f"{path}/old", f"{path}/old2")),
                    ("write by an old handle", lambda: os.pwrite(late, b"x", 0)),
                    ("ftruncate by an old handle", lambda: os.ftruncate(late, 1)),
                    ("by a user", lambda: as_user(USER, USER, [], fcntl.ioctl, fd, FLAG_IOCTLS[1],
                                                  bytes(4)))):
                result = answer(call)
                t.note(f"{name} {kind} {label}", result if isinstance(result, str) else "ok")
            fcntl.ioctl(fd, FLAG_IOCTLS[1], struct.pack("i", flags))
            os.close(fd)
            os.close(late)


def record_lock(kind, start, length):
    return struct.pack("hhqqi4x", kind, 0, start, length, 0)


def locks(t):
    top = t.directory("locks")
    path = make_file(f"{top}/f", b"x" * 100)
    fd = os.open(path, os.O_RDWR)

    def try_lock(command, *arguments):
        return in_process(lambda: command(os.open(path, os.O_RDWR), *arguments))

    for mine in (fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN):
        fcntl.flock(fd, mine)
        for theirs in (fcntl.LOCK_SH, fcntl.LOCK_EX):
            t.note(f"flock {mine} against {theirs}", try_lock(fcntl.flock, theirs | fcntl.LOCK_NB))
    for mine in (fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK):
        t.call(f"lock {mine}", fcntl.fcntl, fd, fcntl.F_SETLK, record_lock(mine, 10, 10))
        for theirs in (fcntl.F_RDLCK, fcntl.F_WRLCK):
            for start, length in ((0, 10), (0, 11), (15, 1), (19, 5), (20, 0), (0, 0)):
                for name, command in (("posix", fcntl.F_SETLK), ("ofd", fcntl.F_OFD_SETLK)):
                    result = try_lock(fcntl.fcntl, command, record_lock(theirs, start, length))
                    t.note(f"{name} {mine} against {theirs} {start}+{length}",
                           result[:30] if "E" in result else "ok")
    t.call("wrong kind", fcntl.fcntl, fd, fcntl.F_SETLK, record_lock(9, 0, 1))
    t.call("before the start", fcntl.fcntl, fd, fcntl.F_SETLK, record_lock(fcntl.F_WRLCK, -1, 1))
    reader = os.open(path, os.O_RDONLY)
    t.call("write lock on a reader", fcntl.fcntl, reader, fcntl.F_SETLK,
           record_lock(fcntl.F_WRLCK, 0, 1))
    fcntl.fcntl(fd, fcntl.F_SETLK, record_lock(fcntl.F_WRLCK, 0, 0))
    os.close(reader)  # POSIX: closing any descriptor of the file drops the process's locks
    t.note("gone with another descriptor", try_lock(fcntl.fcntl, fcntl.F_SETLK,
                                                   record_lock(fcntl.F_WRLCK, 0, 1))[:2] == "b'")
    waiting(t, path, fd)
    deadlock(t, path)
    leases(t, path, fd)


def waiting(t, path, fd):
    """A waiter gets the lock when the holder lets go, not before."""
    for name, hold, release, wait in (
            ("flock", lambda: fcntl.flock(fd, fcntl.LOCK_EX),
             lambda: fcntl.flock(fd, fcntl.LOCK_UN),
             lambda other: fcntl.flock(other, fcntl.LOCK_EX)),
            ("posix", lambda: fcntl.lockf(fd, fcntl.LOCK_EX),
             lambda: fcntl.lockf(fd, fcntl.LOCK_UN),
             lambda other: fcntl.lockf(other, fcntl.LOCK_EX))):
        hold()
        shared = mmap.mmap(-1, 1)
        pid = os.fork()
        if pid == 0:
            other = os.open(path, os.O_RDWR)
            wait(other)
            os._exit(shared[0])
        time.sleep(0.1)
        shared[0] = 42
        release()
        t.note(f"{name} waits", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def deadlock(t, path):
    """Each of two holds what the other wants: exactly one is told."""
    ready_read, ready_write = os.pipe()
    pids = []
    go = mmap.mmap(-1, 1)
    for own, wanted in ((0, 1), (1, 0)):
        pid = os.fork()
        if pid == 0:
            fd = os.open(path, os.O_RDWR)
            fcntl.lockf(fd, fcntl.LOCK_EX, 1, own)
            os.write(ready_write, b"r")
            while not go[0]:
                time.sleep(0.001)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX, 1, wanted)
                os._exit(0)
            except OSError as error:
                os._exit(error.errno)
        pids.append(pid)
    for _ in pids:
        os.read(ready_read, 1)
    go[0] = 1
    results = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
    t.note("deadlock", [errno.errorcode.get(code, code) for code in results])


def leases(t, path, fd):
    alone = os.open(path, os.O_RDONLY)
    t.call("read lease beside a writer", fcntl.fcntl, alone, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    os.close(fd)
    t.call("lease kind", fcntl.fcntl, alone, fcntl.F_GETLEASE)
    os.close(alone)
    t.note("content", read_file(path) == b"x" * 100)


SUBJECTS = (ownership, sticky, set_group, acls, xattrs, inode_flags, locks)
