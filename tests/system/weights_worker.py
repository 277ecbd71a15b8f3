#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# A file as models' weights are kept in: a length, a header in JSON, tensors one after the other.
# usage: weights_worker.py write FILE MEBIBYTES   as a trainer does: front to back, once
#        weights_worker.py read FILE              as a server does: mapped, shared, read-only
#   read compares each tensor with its sum, says "ready" and waits for the end of its input.
"""Writes or maps a file of tensors."""
import hashlib
import json
import mmap
import os
import random
import struct
import sys

MIB = 1 << 20


def write(path, mebibytes):
    source = random.Random(7)
    tensors, header, at = [], {}, 0
    while at < mebibytes * MIB:
        tensors.append(source.randbytes(source.choice((4096, 3 * MIB + 512, 8 * MIB))))
        end = at + len(tensors[-1])
        header[f"layer.{len(tensors)}.weight"] = {
            "dtype": "F32", "shape": [len(tensors[-1]) // 4], "data_offsets": [at, end],
            "sha256": hashlib.sha256(tensors[-1]).hexdigest()}
        at = end
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            file.write(tensor)


def read(path):
    fd = os.open(path, os.O_RDONLY)
    area = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ)
    os.close(fd)
    data = 8 + struct.unpack("<Q", area[:8])[0]
    header = json.loads(area[8:data])
    view = memoryview(area)
    for name, tensor in header.items():
        first, end = (data + offset for offset in tensor["data_offsets"])
        assert hashlib.sha256(view[first:end]).hexdigest() == tensor["sha256"], name
    assert len(header) > 10 and end == len(area), (len(header), end, len(area))
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], int(sys.argv[3]))
    else:
        read(sys.argv[2])
