# SPDX-License-Identifier: BSD-3-Clause
#
# Cases of posix_calls.py about names: open flags, links, rename, removal, directories.
"""Names."""
import os
import socket

from posix_support import (AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, EXCHANGE,
                           NOREPLACE, WHITEOUT, Directory, answer, linkat, make_file, read_file,
                           rename2, unlinkat)

ACCESS = {"RDONLY": os.O_RDONLY, "WRONLY": os.O_WRONLY, "RDWR": os.O_RDWR, "3": 3}
FLAGS = ("APPEND CREAT DIRECT DIRECTORY DSYNC EXCL NOATIME NOCTTY NOFOLLOW NONBLOCK PATH SYNC "
         "TMPFILE TRUNC").split()


def make_zoo(top):
    """One of each kind."""
    make_file(f"{top}/file", b"content")
    os.mkdir(f"{top}/dir")
    os.mkdir(f"{top}/full")
    make_file(f"{top}/full/entry")
    os.symlink("file", f"{top}/to_file")
    os.symlink("dir", f"{top}/to_dir")
    os.symlink("nothing", f"{top}/dangling")
    os.symlink("loop", f"{top}/loop")
    os.mkfifo(f"{top}/fifo")
    os.mknod(f"{top}/null", 0o20666, os.makedev(1, 3))
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(top)  # a socket's path is short
    server.bind("socket")
    os.chdir(here)
    server.close()


KINDS = ("file dir full to_file to_dir dangling loop null socket none "
         "file/ dir/ none/ to_file/ to_dir/ dangling/ file/x none/x").split()


def tree(top):
    """Everything below, as text."""
    found = []
    for entry in sorted(os.listdir(top)):
        path = f"{top}/{entry}"
        stat = os.lstat(path)
        found.append(f"{entry} {stat.st_mode:o} {stat.st_nlink}")
        if os.path.isdir(path) and not os.path.islink(path):
            found.append(tree(path))
        elif os.path.isfile(path) and not os.path.islink(path):
            found.append(repr(read_file(path)))
    return "; ".join(found)


def open_flags(t):
    combinations = [(name,) for name in FLAGS]
    combinations += [("CREAT", other) for other in FLAGS if other != "CREAT"]
    combinations += [("CREAT", "EXCL", "NOFOLLOW"), ("CREAT", "TRUNC", "EXCL"),
                     ("PATH", "NOFOLLOW"), ("PATH", "DIRECTORY"), ("DIRECTORY", "NOFOLLOW")]
    for kind in KINDS:
        top = t.directory("zoo-" + kind.replace("/", "-"))
        for access, base in ACCESS.items():
            for combination in combinations:
                if not os.path.lexists(f"{top}/file"):
                    make_zoo(top)
                flags = base
                for name in combination:
                    flags |= getattr(os, f"O_{name}")
                label = f"open {kind} {access}|{'|'.join(combination)}"
                t.open(label, f"{top}/{kind}", flags | os.O_CLOEXEC, 0o640)
                if "CREAT" in combination or "TRUNC" in combination:
                    t.note(label + " leaves", tree(top))
                    remove_all(top)
        remove_all(top)
    top = t.directory("fifo")
    make_zoo(top)
    t.open("fifo for writing, nobody reads", f"{top}/fifo", os.O_WRONLY | os.O_NONBLOCK)
    t.open("fifo for reading", f"{top}/fifo", os.O_RDONLY | os.O_NONBLOCK)
    t.open("a mode with more bits", f"{top}/bits", os.O_CREAT | os.O_WRONLY, 0o177777)
    t.note("mode", oct(os.stat(f"{top}/bits").st_mode))


def remove_all(top):
    for entry in os.listdir(top):
        path = f"{top}/{entry}"
        if os.path.isdir(path) and not os.path.islink(path):
            remove_all(path)
            os.rmdir(path)
        else:
            os.unlink(path)


def two_names(t):
    """rename, link, exchange of each kind onto each kind."""
    sources = "file dir full to_file dangling fifo none file/ dir/ .".split()
    targets = "file dir full to_file to_dir dangling fifo new new/ none/x file/x dir/x .".split()
    for name, flags in (("rename", 0), ("noreplace", NOREPLACE), ("exchange", EXCHANGE),
                        ("whiteout", WHITEOUT), ("both", NOREPLACE | EXCHANGE), ("8", 8),
                        ("whiteout+exchange", WHITEOUT | EXCHANGE)):
        for source in sources:
            for target in targets:
                top = t.directory("two")
                make_zoo(top)
                label = f"{name} {source} {target}"
                t.call(label, rename2, f"{top}/{source}", f"{top}/{target}", flags)
                t.note(label + " leaves", tree(top))
                remove_all(top)
                os.rmdir(top)
    for source in sources:
        for target in targets:
            for flags in (0, AT_SYMLINK_FOLLOW):
                top = t.directory("two")
                make_zoo(top)
                label = f"link {source} {target} {flags}"
                t.call(label, linkat, AT_FDCWD, f"{top}/{source}", f"{top}/{target}", flags)
                t.note(label + " leaves", tree(top))
                remove_all(top)
                os.rmdir(top)


def rename_more(t):
    top = t.directory("more")
    make_zoo(top)
    t.call("into itself", os.rename, f"{top}/dir", f"{top}/dir/below")
    os.makedirs(f"{top}/a/b/c")
    t.call("into a descendant", os.rename, f"{top}/a", f"{top}/a/b/c/d")
    t.call("onto an ancestor", os.rename, f"{top}/a/b/c", f"{top}/a")
    t.call("exchange with an ancestor", rename2, f"{top}/a", f"{top}/a/b/c", EXCHANGE)
    t.call("exchange with a descendant", rename2, f"{top}/a/b", f"{top}/a", EXCHANGE)
    os.link(f"{top}/file", f"{top}/file2")
    t.call("onto another link", os.rename, f"{top}/file", f"{top}/file2")
    t.note("both stay", os.path.exists(f"{top}/file") and os.path.exists(f"{top}/file2"))
    t.call("exchange links", rename2, f"{top}/file", f"{top}/file2", EXCHANGE)
    os.mkdir(f"{top}/other")
    os.rename(f"{top}/a/b", f"{top}/other/b")
    t.note("dot-dot follows", os.path.samefile(f"{top}/other/b/..", f"{top}/other"))
    t.note("links of directories", [os.stat(f"{top}/{n}").st_nlink for n in ("a", "other")])
    rename2(f"{top}/a", f"{top}/other/b", EXCHANGE)
    t.note("exchange keeps counts", tree(top))
    rename2(f"{top}/file", f"{top}/other/b", EXCHANGE)
    t.note("file and directory exchanged", tree(top))
    t.call("too long", os.rename, f"{top}/file2", f"{top}/{'n' * 256}")
    t.call("longest", os.rename, f"{top}/file2", f"{top}/{'n' * 255}")
    t.call("to nothing", os.rename, f"{top}/dir", "")
    t.call("the root of the mount", os.rename, f"{top}/..", f"{top}/x")


def removal(t):
    for kind in KINDS + ["fifo", ".", "dir/.", "dir/..", "full/..", ""]:
        for name, call in (("unlink", os.unlink), ("rmdir", os.rmdir),
                           ("mkdir", os.mkdir), ("readlink", os.readlink)):
            top = t.directory("removal")
            make_zoo(top)
            t.call(f"{name} {kind}", call, f"{top}/{kind}" if kind else "")
            t.note(f"{name} {kind} leaves", tree(top))
            remove_all(top)
            os.rmdir(top)
    top = t.directory("at")
    make_zoo(top)
    t.call("unlinkat with odd flags", unlinkat, f"{top}/file", 0x8000)
    t.call("unlinkat REMOVEDIR of a file", unlinkat, f"{top}/file", AT_REMOVEDIR)
    t.call("symlink of nothing", os.symlink, "", f"{top}/empty")
    for length in (59, 60, 200, 511, 1023, 4094, 4095, 4096):
        t.call(f"symlink of {length}", os.symlink, "s" * length, f"{top}/s{length}")
        if os.path.lexists(f"{top}/s{length}"):
            t.note(f"readlink of {length}", len(os.readlink(f"{top}/s{length}")))
            t.note(f"size of {length}", os.lstat(f"{top}/s{length}").st_size)


def removed_directory(t):
    top = t.directory("gone")
    os.mkdir(f"{top}/d")
    fd = os.open(f"{top}/d", os.O_RDONLY)
    here = os.getcwd()
    os.chdir(f"{top}/d")
    os.rmdir(f"{top}/d")
    t.call("create in it", os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    t.call("mkdir in it", os.mkdir, "x", dir_fd=fd)
    t.call("symlink in it", os.symlink, "x", "y", dir_fd=fd)
    t.call("rename into it", os.rename, top, "x", dst_dir_fd=fd)
    t.call("link into it", os.link, make_file(f"{top}/f"), "x", dst_dir_fd=fd)
    t.call("list it", os.listdir, fd)
    t.call("lookup in it", os.stat, "x", dir_fd=fd)
    t.call("getcwd", os.getcwd)
    t.note("links", os.fstat(fd).st_nlink)
    t.call("fsync", os.fsync, fd)
    t.call("chmod", os.fchmod, fd, 0o700)
    t.call("dot-dot", lambda: os.path.samestat(os.stat(".."), os.stat(top)))
    t.open("O_TMPFILE in it", ".", os.O_TMPFILE | os.O_RDWR)
    os.chdir(here)
    os.close(fd)


def temporary_files(t):
    top = t.directory("tmpfile")
    umask = os.umask(0o027)
    fd = t.open("make", top, os.O_TMPFILE | os.O_RDWR, 0o666, keep=True)
    os.umask(umask)
    t.note("mode", oct(os.fstat(fd).st_mode))
    t.note("links", os.fstat(fd).st_nlink)
    os.write(fd, b"temporary")
    t.call("link it in", linkat, AT_FDCWD, f"/proc/self/fd/{fd}", f"{top}/in", AT_SYMLINK_FOLLOW)
    t.note("links", os.fstat(fd).st_nlink)
    t.call("once more", linkat, fd, "", f"{top}/in2", AT_EMPTY_PATH)
    t.call("onto itself", linkat, fd, "", f"{top}/in2", AT_EMPTY_PATH)
    t.note("content", read_file(f"{top}/in"))
    os.unlink(f"{top}/in")
    os.unlink(f"{top}/in2")
    t.note("links", os.fstat(fd).st_nlink)
    t.call("link it in again", linkat, fd, "", f"{top}/in3", AT_EMPTY_PATH)
    os.close(fd)
    fd = os.open(top, os.O_TMPFILE | os.O_RDWR | os.O_EXCL)
    t.call("O_EXCL can't be linked", linkat, fd, "", f"{top}/never", AT_EMPTY_PATH)
    os.close(fd)
    fd = os.open(f"{top}/plain", os.O_CREAT | os.O_RDWR)
    os.unlink(f"{top}/plain")
    t.call("an unlinked file can't be linked", linkat, fd, "", f"{top}/never", AT_EMPTY_PATH)
    os.close(fd)
    t.note("left", tree(top))


def listing(t):
    top = t.directory("listing")
    names = [f"name-{i:04}" for i in range(1500)]
    for name in names:
        make_file(f"{top}/{name}")
    d = Directory(top)
    seen = [d.next() for _ in range(400)]
    cookie = d.tell()
    rest = d.rest()
    t.note("all, once", sorted(seen + rest) == sorted(names + [".", ".."]))
    d.seek(cookie)
    t.note("seekdir", d.rest() == rest)
    for name in rest[1::2]:
        os.unlink(f"{top}/{name}")
    d.seek(cookie)

    def rest_there():  # whether removed names still come is unspecified (POSIX)
        return [name for name in d.rest() if os.path.exists(f"{top}/{name}")]

    t.note("after deletes", rest_there() == rest[0::2])
    for name in [n for n in seen if n.startswith("name")]:
        os.unlink(f"{top}/{name}")
    d.seek(cookie)
    t.note("after deleting what came before", rest_there() == rest[0::2])
    for i in range(1000):
        make_file(f"{top}/more-{i}")
    d.seek(cookie)
    t.note("what was there comes once", sorted(rest[0::2]) ==
           sorted(n for n in rest_there() if n.startswith("name")))
    d.rewind()
    t.note("rewinddir", sorted(d.rest()) == sorted(os.listdir(top) + [".", ".."]))
    d.close()
    # rm -r reads and deletes in turns.
    d = Directory(top)
    while (name := d.next()) is not None:
        if name not in (".", ".."):
            os.unlink(f"{top}/{name}")
    d.close()
    t.note("deleted while reading", os.listdir(top))
    t.call("opendir of a file", Directory, make_file(f"{top}/f"))
    fd = os.open(top, os.O_RDONLY)
    t.call("read of a directory", os.read, fd, 10)
    t.call("pwrite of a directory", os.pwrite, fd, b"x", 0)
    t.call("ftruncate of a directory", os.ftruncate, fd, 0)
    t.call("truncate of a directory", os.truncate, top, 0)
    os.close(fd)


def types(t):
    top = t.directory("types")
    make_zoo(top)
    with os.scandir(top) as entries:
        t.note("d_type", sorted((e.name, e.is_file(follow_symlinks=False), e.is_symlink(),
                                 e.is_dir(follow_symlinks=False)) for e in entries))
    for name, mode in (("regular", 0o100644), ("fifo2", 0o10644), ("socket2", 0o140644),
                       ("block", 0o60644), ("zero", 0o644), ("directory", 0o40755),
                       ("symlink", 0o120777), ("odd", 0o30644)):
        t.call(f"mknod {name}", os.mknod, f"{top}/{name}", mode, os.makedev(1, 5))
        t.note(f"mknod {name} made", answer(lambda p: (oct(os.lstat(p).st_mode),
                                                       os.lstat(p).st_rdev), f"{top}/{name}"))
    t.call("big device number", os.mknod, f"{top}/big", 0o20600, os.makedev(4095, 1048575))
    t.note("kept", answer(lambda: os.stat(f"{top}/big").st_rdev))


SUBJECTS = (open_flags, two_names, rename_more, removal, removed_directory, temporary_files,
            listing, types)
