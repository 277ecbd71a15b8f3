# SPDX-License-Identifier: BSD-3-Clause
"""What workloads have in common: their description, their sizes, and programs that may fail.

A workload that fails is a cell of a table, never the end of the run: it raises Failed.
"""

import dataclasses
import os
import pathlib
import subprocess
import time
import typing

MIB = 1 << 20
BUFFER = os.urandom(MIB)


class Failed(Exception):
    """The workload doesn't run there, and why: in a few words."""


@dataclasses.dataclass
class Measured:
    """Of one run. Costs are less-is-better, and become ratios; counts are told as they are."""

    costs: dict  # figure: nanoseconds
    counts: dict = dataclasses.field(default_factory=dict)
    missing: dict = dataclasses.field(default_factory=dict)  # figure: why


@dataclasses.dataclass(frozen=True)
class Workload:
    """Something that is done in an empty folder of each filesystem."""

    name: str
    group: str
    shape: str  # what it does, for the page
    figures: tuple
    run: typing.Callable  # (folder, kit) -> Measured
    counts: tuple = ()


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of everything, the same for all filesystems of a run."""

    rounds: int
    fio_ms: int
    data: int  # bytes, as all without a unit
    appended: int
    mapped: int
    weights: int
    files: int
    mix_files: int
    mix_loops: int
    lmdb_entries: int
    sqlite_inserts: int
    sqlite_rows: int
    rocksdb_keys: int
    timeout_s: int
    whole_tree: bool = True


QUICK = Sizes(rounds=3, fio_ms=500, data=64 * MIB, appended=16 * MIB, mapped=128 * MIB,
              weights=256 * MIB, files=3_000, mix_files=100, mix_loops=400, lmdb_entries=50_000,
              sqlite_inserts=300, sqlite_rows=10_000, rocksdb_keys=20_000, timeout_s=60)
FULL = Sizes(rounds=5, fio_ms=3000, data=512 * MIB, appended=128 * MIB, mapped=1024 * MIB,
             weights=4096 * MIB, files=100_000, mix_files=400, mix_loops=8_000,
             lmdb_entries=1_000_000, sqlite_inserts=5_000, sqlite_rows=200_000,
             rocksdb_keys=500_000, timeout_s=900)

# For a processor that is a program: everything takes tens of times as long.
TINY = Sizes(rounds=2, fio_ms=300, data=16 * MIB, appended=1 * MIB, mapped=64 * MIB,
             weights=32 * MIB, files=500, mix_files=40, mix_loops=80, lmdb_entries=5_000,
             sqlite_inserts=40, sqlite_rows=1_000, rocksdb_keys=2_000, timeout_s=300,
             whole_tree=False)


def sizes_of(is_quick, is_emulated):
    if not is_quick:
        return FULL
    return TINY if is_emulated else QUICK


def fit(sizes, capacity):
    """The same, where the smallest filesystem holds only so many bytes."""
    def huge(size, share):
        return min(size, max(int(capacity * share) // (2 * MIB), 1) * 2 * MIB)
    return dataclasses.replace(sizes, data=huge(sizes.data, 1 / 8),
                               appended=huge(sizes.appended, 1 / 8),
                               mapped=huge(sizes.mapped, 1 / 4),
                               weights=huge(sizes.weights, 1 / 2))


@dataclasses.dataclass
class Kit:
    """What a workload finds beside its folder."""

    programs: pathlib.Path  # of the build
    root: pathlib.Path  # of the checkout
    scratch: pathlib.Path  # in memory, outside of all filesystems that are measured
    sizes: Sizes

    def call(self, *command, **options):
        """The program's standard output."""
        words = [str(word) for word in command]
        try:
            done = subprocess.run(words, capture_output=True, text=True, errors="replace",
                                  check=False, timeout=self.sizes.timeout_s,
                                  stdin=subprocess.DEVNULL, **options)
        except FileNotFoundError:
            raise Failed(f"no {words[0]} here") from None
        except subprocess.TimeoutExpired:
            raise Failed(f"no end after {self.sizes.timeout_s} s") from None
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise Failed(said[-1] if said else f"{words[0]} ended with {done.returncode}")
        return done.stdout

    def timed(self, *command, **options):
        """Nanoseconds of a program, with its start."""
        begin = time.perf_counter_ns()
        self.call(*command, **options)
        return time.perf_counter_ns() - begin


def write_file(path, size):
    """A new file, written front to back, 1 MiB at a time."""
    with open(path, "xb", buffering=0) as file:
        for at in range(0, size, MIB):
            file.write(BUFFER[:min(MIB, size - at)])
