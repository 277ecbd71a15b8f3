#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# One process of the kill test: random operations in a directory of its own, each written to a
# manifest outside the mount once it was acknowledged. The last line may be an operation that was
# under way.
# usage: kill_worker.py [--sync] DIRECTORY MANIFEST SEED
#          --sync: data is acknowledged once it was synced, as it must be where power fails
#        kill_worker.py --verify DIRECTORY MANIFEST
"""Mixed load with a manifest of what was acknowledged, and its verification."""
import copy
import json
import os
import random
import stat
import sys


def payload(seed, size):
    return random.Random(seed).randbytes(size)


def empty_file():
    return {"type": "file", "data": b"", "mode": 0o644, "xattr": None}


class Tree:
    """What the directory must hold: name -> file, directory or link. Hard links share theirs."""

    def __init__(self):
        self.files = {}

    def apply(self, step):
        kind, name = step["kind"], step["name"]
        if kind == "write":
            file = self.files.setdefault(name, empty_file())
            data = bytearray(file["data"])
            end = step["offset"] + step["size"]
            if end > len(data):
                data.extend(bytes(end - len(data)))
            data[step["offset"]:end] = payload(step["seed"], step["size"])
            file["data"] = bytes(data)
        elif kind == "truncate":
            data = self.files[name]["data"]
            self.files[name]["data"] = \
                data[:step["size"]] + bytes(max(0, step["size"] - len(data)))
        elif kind == "chmod":
            self.files[name]["mode"] = step["mode"]
        elif kind == "xattr":
            self.files[name]["xattr"] = payload(step["seed"], step["xattr_size"])
        elif kind == "link":
            self.files[step["to"]] = self.files[name]
        elif kind == "symlink":
            self.files[step["to"]] = {"type": "link", "target": name}
        elif kind == "mkdir":
            self.files[step["to"]] = {"type": "directory"}
        elif kind == "rename":
            self.files[step["to"]] = self.files.pop(name)
        else:  # unlink, rmdir
            del self.files[name]


def sync_file(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def perform(top, step, sync):
    path = f"{top}/{step['name']}"
    to = f"{top}/{step['to']}"
    kind = step["kind"]
    if kind == "write":
        fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            data = payload(step["seed"], step["size"])
            if os.pwrite(fd, data, step["offset"]) != len(data):
                raise OSError("short write")
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
    elif kind == "truncate":
        os.truncate(path, step["size"])
        if sync:
            sync_file(path)
    elif kind == "chmod":
        os.chmod(path, step["mode"])
    elif kind == "xattr":
        os.setxattr(path, "user.kill", payload(step["seed"], step["xattr_size"]))
    elif kind == "link":
        os.link(path, to)
    elif kind == "symlink":
        os.symlink(step["name"], to)
    elif kind == "mkdir":
        os.mkdir(to, 0o755)
    elif kind == "rename":
        os.rename(path, to)
    elif kind == "rmdir":
        os.rmdir(path)
    else:
        os.unlink(path)


def choose(rng, tree):
    """A step that can only fail with the daemon."""
    name = f"f{rng.randrange(20)}"
    to = f"f{rng.randrange(20)}"
    large = rng.random() < 0.02
    step = {"name": name, "to": to, "kind": "write", "seed": rng.getrandbits(32),
            "size": rng.randrange(1, 1 << 20 if large else 20000),
            "offset": rng.randrange(0, 3 << 20 if large else 30000),
            "mode": rng.choice([0o600, 0o640, 0o755]),
            "xattr_size": rng.choice([5, 900, 9000])}
    here = tree.files.get(name)
    there = tree.files.get(to)
    if here is None:
        return step
    if here["type"] == "directory":
        step["kind"] = "rmdir"
    elif here["type"] == "link":
        step["kind"] = "unlink"
    elif rng.random() < 0.5:
        kinds = ["truncate", "chmod", "xattr", "unlink"]
        if there is None:
            kinds += ["link", "symlink", "mkdir", "rename"]
        elif there["type"] == "file" and there is not here:
            kinds += ["rename"]
        step["kind"] = rng.choice(kinds)
    return step


def run(top, manifest_path, seed, sync):
    os.umask(0o022)
    rng = random.Random(seed)
    tree = Tree()
    os.makedirs(top, exist_ok=True)
    # The manifest is appended to and never buffered: what was acknowledged is in it.
    with open(manifest_path, "ab", buffering=0) as manifest:
        while True:
            step = choose(rng, tree)
            manifest.write(json.dumps({"begin": step}).encode() + b"\n")
            try:
                perform(top, step, sync)
            except OSError:
                if sync:
                    raise
                return  # the daemon is gone
            manifest.write(b'{"done": true}\n')
            tree.apply(step)


def read_one(path):
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        return {"type": "directory"}
    if stat.S_ISLNK(status.st_mode):
        return {"type": "link", "target": os.readlink(path)}
    try:
        xattr = os.getxattr(path, "user.kill")
    except OSError:
        xattr = None
    with open(path, "rb") as file:
        data = file.read()
    return {"type": "file", "data": data, "mode": stat.S_IMODE(status.st_mode), "xattr": xattr,
            "links": status.st_nlink}


def read_tree(top):
    return {name: read_one(f"{top}/{name}") for name in os.listdir(top)}


def as_found(tree):
    """The model's files as read_tree shows them."""
    links = {}
    for file in tree.files.values():
        links[id(file)] = links.get(id(file), 0) + 1
    return {name: {**file, "links": links[id(file)]} if file["type"] == "file" else file
            for name, file in tree.files.items()}


def torn(expected, found, step):
    """None if the write under way, torn inside its range, explains the difference."""
    name = step["name"]
    old = expected.get(name, {**empty_file(), "links": 1})
    new = found.get(name)
    if new is None:
        return "a file is gone, or more than the write under way"
    end = step["offset"] + step["size"]
    data, was = new["data"], old["data"]
    if not len(was) <= len(data) <= max(len(was), end):
        return f"{name}: size {len(data)}"
    padded = was + bytes(max(0, len(data) - len(was)))
    written = payload(step["seed"], step["size"])
    for i, byte in enumerate(data):
        inside = step["offset"] <= i < end
        allowed = {padded[i], 0, written[i - step["offset"]]} if inside else {padded[i]}
        if byte not in allowed:
            return f"{name}: byte {i} is foreign"
    # All names of the file show the same; nothing else has changed.
    found[name] = {**new, "data": was}
    for other, file in found.items():
        if file["type"] == "file" and file["data"] == data and other in expected \
                and expected[other].get("data") == was:
            file["data"] = was
    patched = {**expected, name: old}
    return None if patched == found else "something else than the write under way has changed"


def torn_truncate(expected, found, step):
    """None if a cut under way on a host file explains it: it may have zeroed the last block, and
    all behind the new end, before the size changed."""
    name = step["name"]
    old, new = expected.get(name), found.get(name)
    if old is None or new is None or len(new["data"]) not in (len(old["data"]), step["size"]):
        return f"{name}: neither size"
    for i, byte in enumerate(new["data"]):
        if byte != old["data"][i] and (i < step["size"] or byte != 0):
            return f"{name}: byte {i} is foreign"
    for file in found.values():
        if file["type"] == "file" and file["data"] == new["data"] and file is not new:
            file["data"] = old["data"]
    found[name] = {**new, "data": old["data"]}
    return None if found == expected else "something else than the cut under way has changed"


def summary(files, name):
    file = files.get(name)
    if file is None:
        return None
    return {key: len(value) if isinstance(value, bytes) else value for key, value in file.items()}


def verify(top, manifest_path):
    tree, open_step = Tree(), None
    with open(manifest_path, "rb") as manifest:
        for line in manifest:
            record = json.loads(line)
            if "begin" in record:
                open_step = record["begin"]
            else:
                tree.apply(open_step)
                open_step = None
    found = read_tree(top) if os.path.isdir(top) else {}
    expected = as_found(tree)
    if expected == found:
        return
    difference = "names, attributes or contents"
    if open_step:
        tree.apply(open_step)
        if as_found(tree) == found:
            return
        explain = {"write": torn, "truncate": torn_truncate}.get(open_step["kind"])
        if explain is not None:
            difference = explain(expected, copy.deepcopy(found), open_step)
            if difference is None:
                return
    names = [name for name in sorted(set(expected) | set(found))
             if expected.get(name) != found.get(name)]
    sys.exit(f"{top}: acknowledged operations are missing: {difference}: " + str(
        {name: (summary(expected, name), summary(found, name)) for name in names}))


if __name__ == "__main__":
    options = [word for word in sys.argv[1:] if word.startswith("--")]
    if options not in ([], ["--verify"], ["--sync"]):
        sys.exit(__doc__)
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if options == ["--verify"]:
        verify(*words)
    else:
        run(words[0], words[1], int(words[2]), options == ["--sync"])
