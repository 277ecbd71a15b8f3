# SPDX-License-Identifier: BSD-3-Clause
"""Workloads x filesystems: round by round, each workload on each filesystem after the other.

Ratios are taken between figures of one round, against the native filesystem of the set: tmpfs of
2 MiB pages in memory, ext4-DAX on a device. What fails is a cell with its reason.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from bench_lib import (machine, workloads_databases, workloads_device, workloads_filesystems,
                       workloads_fio, workloads_kit, workloads_maps, workloads_names,
                       workloads_report, workloads_trees)
from bench_lib.workloads_kit import MIB, Failed

ALL = (*workloads_fio.WORKLOADS, *workloads_maps.WORKLOADS, *workloads_names.WORKLOADS,
       *workloads_databases.WORKLOADS, *workloads_trees.WORKLOADS)
QUICK_BYTES = 1024 * MIB
MOST_BYTES = 8192 * MIB
VERSIONS = {
    "fio": (("fio", "--version"), r"fio-(\S+)"),
    "sqlite": (("sqlite3", "--version"), r"(\S+)"),
    "rocksdb": (("db_bench", "--version"), r"version (\S+)"),
    "lmdb": (("mdb_stat", "-V"), r"LMDB (\S+):"),
    "git": (("git", "--version"), r"version (\S+)"),
    "e2fsprogs": (("mkfs.ext4", "-V"), r"mke2fs (\S+)"),
    "xfsprogs": (("mkfs.xfs", "-V"), r"version (\S+)"),
    "c++": (("c++", "--version"), r"\) (\S+)"),
}


def versions():
    """{program: its version, or that it isn't there}, and how requests come to daemons."""
    parameter = machine.URING_PARAMETER
    uring = parameter.read_text(encoding="utf-8").strip() if parameter.exists() else "N"
    result = {"FUSE over io_uring": "on" if uring == "Y" else "off"}
    for name, (command, pattern) in VERSIONS.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            found = re.search(pattern, done.stdout + done.stderr)
            result[name] = found.group(1) if found else "unknown"
        except FileNotFoundError:
            result[name] = "not installed"
    return result


def available_bytes():
    text = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    return int(re.search(r"MemAvailable:\s*(\d+)", text).group(1)) * 1024


def chosen_names(wanted, known, native):
    """Those of --filesystems; the native one is always among them."""
    if not wanted:
        return known
    names = wanted.split(",")
    for name in names:
        if name not in known:
            raise SystemExit(f"bench: no filesystem {name}; there are {', '.join(known)}")
    return [name for name in known if name == native or name in names]


@contextlib.contextmanager
def makers_of(programs, folder, options):
    """{name: how to make it}, how many bytes each holds, which one is native."""
    if options.device:
        device = options.device[0]
        names = chosen_names(options.filesystems, list(workloads_filesystems.ON_DEVICE),
                             workloads_filesystems.DEVICE_NATIVE)
        size = workloads_device.partition_size(device, len(names))
        with workloads_device.partitions(device, names) as partitions:
            makers = workloads_filesystems.on_device(folder, programs / "ingot", partitions, size)
            yield makers, size, workloads_filesystems.DEVICE_NATIVE
        return
    size = QUICK_BYTES if options.quick else min(MOST_BYTES, available_bytes() // 8)
    size = size // (2 * MIB) * 2 * MIB
    with machine.huge_tmpfs(folder / "huge", size * 6) as huge:
        peer = options.scripts.parent / "build/deps/libfuse/bin/passthrough_hp"
        makers = workloads_filesystems.in_memory(huge or folder, programs / "ingot", peer, size,
                                                 machine.is_root())
        native = workloads_filesystems.MEMORY_NATIVE
        names = chosen_names(options.filesystems, list(makers), native)
        yield {name: makers[name] for name in names}, size, native


class Rounds:
    """results[workload][filesystem] is a list of Measured, one a round, up to a failure."""

    def __init__(self, kit, workloads):
        self.kit, self.workloads = kit, workloads
        self.recipes = {}
        self.failures = {}  # of filesystems that couldn't be made
        self.results = {workload.name: {} for workload in workloads}
        self.failed = {workload.name: {} for workload in workloads}

    def start(self, makers, stack):
        """The filesystems that could be made, mounted."""
        systems = {}
        for name, make in makers.items():
            try:
                system = make()
                self.recipes[name] = system.recipe
                stack.callback(system.close)
                system.start()
                systems[name] = system
            except machine.Failed as failure:
                # "bench: COMMAND: what it said"
                self.failures[name] = self.tell(str(failure).split(": ", 2)[-1])
                say(f"{name}: {failure}")
        if not systems:
            raise machine.Failed("bench: none of the filesystems could be made")
        return systems

    def run(self, systems, save):
        names = list(systems)
        for number in range(self.kit.sizes.rounds):
            # Nobody is always the first: what the machine does meanwhile has an order, too.
            shift = number % len(names)
            for workload in self.workloads:
                begin = time.monotonic()
                for name in names[shift:] + names[:shift]:
                    if name not in self.failed[workload.name]:
                        self.measure(workload, name, systems[name].mountpoint)
                say(f"round {number + 1} of {self.kit.sizes.rounds}: {workload.name}, "
                    f"{time.monotonic() - begin:.1f} s")
                save()

    def measure(self, workload, name, mountpoint):
        folder = mountpoint / "work"
        try:
            folder.mkdir()
            measured = workload.run(folder, self.kit)
            self.results[workload.name].setdefault(name, []).append(measured)
        except (Failed, OSError, ValueError, LookupError, ArithmeticError) as failure:
            self.failed[workload.name][name] = self.tell(f"{failure}".replace(str(folder), "."))
            say(f"{workload.name} on {name}: {failure!r}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            # What it left to be written later is not to be written in the next one's time.
            subprocess.run(["sync", "-f", mountpoint], capture_output=True, check=False)

    def tell(self, reason):
        """A reason as it may be published: without this machine's folders."""
        for folder in (self.kit.scratch, self.kit.root):
            reason = reason.replace(str(folder), "...")
        return " ".join(reason.split())[:160]


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def bench(programs, folder, options):
    """Prints the tables; returns what goes into the JSON, which workloads_report renders."""
    chosen = [workload for workload in ALL
              if not options.only or re.search(options.only, f"{workload.group} {workload.name}")]
    if not chosen:
        return {}
    sizes = workloads_kit.sizes_of(options.quick, machine.is_emulated())
    begin, load = time.monotonic(), os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        makers, capacity, native = stack.enter_context(makers_of(programs, folder, options))
        kit = workloads_kit.Kit(programs, options.scripts.parent, folder,
                                workloads_kit.fit(sizes, capacity))
        rounds = Rounds(kit, chosen)
        facts = machine.facts(programs / "ingot") | versions()

        def report_now():
            return workloads_report.json_of(rounds, native) | {
                "machine": facts, "day": time.strftime("%Y-%m-%d", time.gmtime()),
                "sizes": vars(kit.sizes), "command": command_of(options),
                "filesystem_bytes": capacity, "seconds": round(time.monotonic() - begin),
                "load": [load, os.getloadavg()[0]]}
        rounds.run(rounds.start(makers, stack),
                   lambda: options.save("workloads", report_now()))
        report = report_now()
    print(workloads_report.tables(report))
    return report


def command_of(options):
    """What makes such a run again."""
    is_realtime = os.sched_getscheduler(0) == os.SCHED_RR
    words = ["chrt --rr 1"] if is_realtime else []
    words += ["scripts/bench", "--workloads"]
    words += ["--quick"] if options.quick else []
    words += ["--device", str(options.device[0])] if options.device else []
    words += ["--filesystems", options.filesystems] if options.filesystems else []
    words += ["--only", f"'{options.only}'"] if options.only else []
    return " ".join(words)
