#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# One process of the kill test: random operations in a directory of its own, each written to a
# manifest outside the mount once it was acknowledged. The last line may be an operation that was
# under way.
# usage: kill_worker.py DIRECTORY MANIFEST SEED
#        kill_worker.py --verify DIRECTORY MANIFEST
"""Mixed load with a manifest of what was acknowledged, and its verification."""
import json
import os
import random
import sys


def payload(seed, size):
    return random.Random(seed).randbytes(size)


class Tree:
    """What the directory must hold: name -> contents, or None for a directory."""

    def __init__(self):
        self.files = {}

    def apply(self, step):
        kind, name = step["kind"], step["name"]
        if kind == "write":
            data = bytearray(self.files.get(name, b""))
            end = step["offset"] + step["size"]
            if end > len(data):
                data.extend(bytes(end - len(data)))
            data[step["offset"]:end] = payload(step["seed"], step["size"])
            self.files[name] = bytes(data)
        elif kind == "truncate":
            data = self.files[name]
            self.files[name] = data[:step["size"]] + bytes(max(0, step["size"] - len(data)))
        elif kind == "rename":
            self.files[step["to"]] = self.files.pop(name)
        elif kind == "unlink":
            del self.files[name]


def perform(top, step):
    path = f"{top}/{step['name']}"
    kind = step["kind"]
    if kind == "write":
        fd = os.open(path, os.O_CREAT | os.O_WRONLY)
        try:
            data = payload(step["seed"], step["size"])
            if os.pwrite(fd, data, step["offset"]) != len(data):
                raise OSError("short write")
        finally:
            os.close(fd)
    elif kind == "truncate":
        os.truncate(path, step["size"])
    elif kind == "rename":
        os.rename(path, f"{top}/{step['to']}")
    elif kind == "unlink":
        os.unlink(path)


def choose(rng, tree):
    name = f"f{rng.randrange(20)}"
    step = {"name": name, "kind": "write", "seed": rng.getrandbits(32)}
    if name in tree.files and rng.random() < 0.35:
        step["kind"] = rng.choice(["truncate", "rename", "unlink"])
    large = rng.random() < 0.02
    step["size"] = rng.randrange(1, 1 << 20 if large else 20000)
    step["offset"] = rng.randrange(0, 3 << 20 if large else 30000)
    step["to"] = f"f{rng.randrange(20)}"
    if step["kind"] == "rename" and step["to"] == name:
        step["kind"] = "unlink"
    return step


def run(top, manifest_path, seed):
    rng = random.Random(seed)
    tree = Tree()
    os.makedirs(top, exist_ok=True)
    # The manifest is appended to and never buffered: what was acknowledged is in it.
    with open(manifest_path, "ab", buffering=0) as manifest:
        while True:
            step = choose(rng, tree)
            manifest.write(json.dumps({"begin": step}).encode() + b"\n")
            try:
                perform(top, step)
            except OSError:
                return  # the daemon is gone
            manifest.write(b'{"done": true}\n')
            tree.apply(step)


def read_tree(top):
    return {name: open(f"{top}/{name}", "rb").read() for name in os.listdir(top)}


def differs(expected, found, step):
    """None if what was found fits; a write under way may be torn inside its range."""
    if expected == found:
        return None
    if step and step["kind"] == "write":
        name = step["name"]
        rest = {k: v for k, v in expected.items() if k != name}
        if rest == {k: v for k, v in found.items() if k != name}:
            old, new = expected.get(name, b""), found.get(name)
            if new is None:
                return "file is gone" if name in expected else None
            end = step["offset"] + step["size"]
            if not len(old) <= len(new) <= max(len(old), end):
                return f"{name}: size {len(new)}"
            padded = old + bytes(max(0, len(new) - len(old)))
            written = payload(step["seed"], step["size"])
            for i, byte in enumerate(new):
                inside = step["offset"] <= i < end
                allowed = {padded[i], 0, written[i - step["offset"]]} if inside else {padded[i]}
                if byte not in allowed:
                    return f"{name}: byte {i} is foreign"
            return None
    return "names or contents: " + str({
        k: (len(expected.get(k, b"")), len(found.get(k, b"")))
        for k in set(expected) | set(found) if expected.get(k) != found.get(k)})


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
    before = differs(tree.files, found, open_step)
    if before is None:
        return
    if open_step:
        tree.apply(open_step)
        if differs(tree.files, found, None) is None:
            return
    sys.exit(f"{top}: acknowledged operations are missing: {before}")


if __name__ == "__main__":
    if sys.argv[1] == "--verify":
        verify(sys.argv[2], sys.argv[3])
    else:
        run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
