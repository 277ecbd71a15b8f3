# SPDX-License-Identifier: BSD-3-Clause
"""A block device in equal partitions, one for each filesystem, so that all are there at once.

Each begins and ends on a boundary of 2 MiB, which DAX wants for its large pages.
"""

import contextlib
import pathlib
import re
import subprocess

from bench_lib import machine
from bench_lib.machine import run

ALIGNMENT = 2 << 20
EDGE = 4 << 20  # left free at each end
SECTOR = 512


def size_of(device):
    return int(run("blockdev", "--getsize64", device))


def partition_path(device, number):
    separator = "p" if re.search(r"\d$", str(device)) else ""
    return pathlib.Path(f"{device}{separator}{number}")


def partition_size(device, count):
    return (size_of(device) - 2 * EDGE) // count // ALIGNMENT * ALIGNMENT


def clear(device):
    """No signature, no partitions. Refused while something on it is mounted."""
    run("wipefs", "--quiet", "--all", device)
    run("blockdev", "--rereadpt", device)


@contextlib.contextmanager
def partitions(device, names):
    """{name: path}; the device is empty afterwards. All that was on it is lost.

    The kernel is told of them, the device isn't: there is no table that could be left behind.
    """
    size = partition_size(device, len(names))
    clear(device)
    paths = {}
    try:
        for number, name in enumerate(names):
            run("addpart", device, number + 1, (EDGE + number * size) // SECTOR, size // SECTOR)
            paths[name] = partition_path(device, number + 1)
            machine.wait_until(paths[name].exists, f"{paths[name]}: a partition of {device}")
        yield paths
    finally:
        for number, path in enumerate(paths.values(), start=1):
            subprocess.run(["wipefs", "--quiet", "--all", path], check=False)
            run("delpart", device, number)
