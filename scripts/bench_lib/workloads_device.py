# SPDX-License-Identifier: BSD-3-Clause
"""A block device in equal partitions, one for each filesystem, so that all are there at once.

Each begins and ends on a boundary of 2 MiB, which DAX wants for its large pages.
"""

import contextlib
import pathlib
import re

from bench_lib import machine
from bench_lib.machine import run

ALIGNMENT = 2 << 20
EDGE = 4 << 20  # left to the partition table at each end
SECTOR = 512


def size_of(device):
    return int(run("blockdev", "--getsize64", device))


def partition_path(device, number):
    separator = "p" if re.search(r"\d$", str(device)) else ""
    return pathlib.Path(f"{device}{separator}{number}")


def partition_size(device, count):
    return (size_of(device) - 2 * EDGE) // count // ALIGNMENT * ALIGNMENT


@contextlib.contextmanager
def partitions(device, names):
    """{name: path}; the device is empty afterwards. All that was on it is lost."""
    size = partition_size(device, len(names))
    lines = ["label: gpt"]
    lines += [f"start={(EDGE + number * size) // SECTOR}, size={size // SECTOR}"
              for number in range(len(names))]
    run("wipefs", "--quiet", "--all", device)
    run("sfdisk", "--quiet", "--wipe=always", "--wipe-partitions=always", device,
        input="\n".join(lines) + "\n")
    try:
        paths = {name: partition_path(device, number)
                 for number, name in enumerate(names, start=1)}
        for path in paths.values():
            machine.wait_until(path.exists, f"{path}: a partition of {device}")
        yield paths
    finally:
        run("wipefs", "--quiet", "--all", "--force", device)
        run("blockdev", "--rereadpt", device)
