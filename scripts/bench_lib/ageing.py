# SPDX-License-Identifier: BSD-3-Clause
"""What years of use leave: filesystems are aged by scripts/ager, and looked at.

Each is filled to the first level and churned there, then to the next, so that each level has all
the history of those below it. At each: how the files of 2 MiB and more are mapped that are there,
how those are that are made in what is left free, and how long LMDB takes to fill a new file,
beside what it takes in a fresh filesystem of the same kind.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

from bench_lib import ageing_report, aged_systems
from bench_lib.machine import run

MIB = 1 << 20
HUGE = 2 * MIB
LEVELS = (50, 75, 90)  # percent
IN_MEMORY_BYTES = {False: 1 << 30, True: 512 << 20}  # by --quick
CHURN = {False: 10, True: 3}  # times the capacity before the first level
MORE_CHURN = 0.25  # of that, before each of the others
ROUNDS = {False: 5, True: 3}  # of LMDB
NEW_FILES = 6
MOST_NEW_BYTES = 8 * MIB
MOST_MAP_BYTES = 32 * MIB


class Tools:
    """The programs that age and look."""

    def __init__(self, programs, options):
        self.ager = options.scripts / "ager"
        self.ager_options = ["--allocate"] if options.allocate else []
        self.share = programs / "tests/bench/map_share"
        self.lmdb = programs / "tests/bench/lmdb_fill"

    def age(self, mountpoint, level, churn):
        return json.loads(run(self.ager, mountpoint, "--level", level / 100, "--churn", churn,
                              *self.ager_options))

    def look(self, paths):
        """Sums over files: how many bytes are mapped by 2 MiB entries, and how many faults.

        By stores: a load from space that is only preallocated maps zeros, wherever that lies.
        """
        return json.loads(run(self.share, "--store", "-",
                              input="".join(f"{path}\n" for path in paths)))

    def fill(self, mountpoint, map_bytes):
        folder = mountpoint / "lmdb"
        folder.mkdir()
        free = free_bytes(mountpoint)
        try:
            return json.loads(run(self.lmdb, folder, map_bytes // MIB))
        finally:
            shutil.rmtree(folder)
            settle(mountpoint, free)


def free_bytes(mountpoint):
    status = os.statvfs(mountpoint)
    return status.f_bavail * status.f_frsize


def settle(mountpoint, free):
    """Waits until what was deleted is free again, which may be some time later."""
    for _ in range(50):
        if free_bytes(mountpoint) >= free - HUGE:
            return
        time.sleep(0.1)


def large_files(mountpoint):
    found = []
    for folder, _, names in os.walk(mountpoint):
        for name in names:
            path = os.path.join(folder, name)
            if os.lstat(path).st_size >= HUGE:
                found.append(path)
    return sorted(found)


def make_written(path, size):
    block = b"n" * (64 << 10)
    with open(path, "xb", buffering=0) as file:
        for _ in range(0, size, len(block)):
            file.write(block)


def look_at_new(tools, mountpoint):
    """Files that are made now: every other one written front to back, or stored through a map.

    Ends early where there is less room than the filesystem says, and tells of it.
    """
    free = free_bytes(mountpoint)
    size = max(min(free // (2 * NEW_FILES) // HUGE * HUGE, MOST_NEW_BYTES), HUGE)
    folder = mountpoint / "new"
    folder.mkdir()
    kinds = {"written": [], "stored": []}
    refused = None
    try:
        for number in range(NEW_FILES):
            path = folder / str(number)
            kind = "stored" if number % 2 else "written"
            if kind == "written":
                make_written(path, size)
            else:
                fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                os.ftruncate(fd, size)
                os.close(fd)
            kinds[kind].append(tools.look([path]))
    except (OSError, SystemExit) as error:
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            raise
        refused = f"{error} of {size >> 20} MiB, {free >> 20} MiB free before"
        print(f"ageing: a new file: {refused}", file=sys.stderr)
    finally:
        shutil.rmtree(folder)
        settle(mountpoint, free)
    sums = {kind: add(looks) for kind, looks in kinds.items() if looks}
    return {**add(sums.values()), **sums, "refused": refused}


def add(sums):
    sums = list(sums)
    return {key: sum(entry[key] for entry in sums)
            for key in ("files", "bytes", "huge_bytes", "faults")}


def map_bytes_for(mountpoint, options):
    """Of LMDB's map: a quarter of what is free at the highest level; the same at all levels."""
    status = os.statvfs(mountpoint)
    free = status.f_blocks * status.f_frsize * (100 - max(options.levels)) // 100
    return max(min(free // 4 // HUGE * HUGE, MOST_MAP_BYTES), HUGE)


class Fresh:
    """LMDB in a fresh filesystem of the kind: on a device of its own, in turns with the aged one;
    or, if there is but one device, before that one is aged."""

    def __init__(self, tools, system, rounds, in_turns):
        self.tools = tools
        self.system = system
        self.map_bytes = 0
        self.earlier = []
        self.rounds = rounds
        self.in_turns = in_turns

    def prepare(self, map_bytes):
        self.map_bytes = map_bytes
        if not self.in_turns:
            self.earlier = [self.take() for _ in range(self.rounds)]

    def take(self):
        return self.tools.fill(self.system.mountpoint, self.map_bytes)

    def turn(self, number):
        return self.take() if self.in_turns else self.earlier[number]


def look_at_level(tools, aged, fresh, level, options):
    mountpoint = aged.mountpoint
    churn = options.churn or CHURN[options.quick]
    if level != options.levels[0]:
        churn *= MORE_CHURN
    entry = {"ager": tools.age(mountpoint, level, churn)}
    entry["used"] = 1 - free_bytes(mountpoint) / entry["ager"]["capacity_bytes"]
    entry["old"] = tools.look(large_files(mountpoint))
    entry["new"] = look_at_new(tools, mountpoint)
    entry["lmdb"] = {"map_bytes": fresh.map_bytes, "aged": [], "clean": []}
    for number in range(fresh.rounds):
        if number % 2 == 0:
            entry["lmdb"]["clean"].append(fresh.turn(number))
        entry["lmdb"]["aged"].append(tools.fill(mountpoint, fresh.map_bytes))
        if number % 2 == 1:
            entry["lmdb"]["clean"].append(fresh.turn(number))
    return entry


def measure(make, tools, folder, places, options, result):
    """One filesystem: ages on the first place, is fresh on the second, if there is one.

    Yields after each level."""
    with contextlib.ExitStack() as stack:
        systems = []
        for number, place in enumerate(places):
            systems.append(make(folder / str(number), place))
            stack.callback(systems[-1].close)
            systems[-1].make()
        fresh = Fresh(tools, systems[-1], ROUNDS[options.quick],
                      in_turns=len(systems) > 1)
        fresh.prepare(map_bytes_for(systems[0].mountpoint, options))
        new = look_at_new(tools, systems[0].mountpoint)
        result["0"] = {"used": 0, "old": None, "new": new, "lmdb": None, "ager": None}
        for level in options.levels:
            entry = look_at_level(tools, systems[0], fresh, level, options)
            result[str(level)] = entry
            print(f"ageing: {folder.name}: {ageing_report.line_of(level, entry)}",
                  file=sys.stderr, flush=True)
            yield


def facts(options, places):
    def version(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"\d+\.\d+(\.\d+)*", done.stdout + done.stderr)
        return found.group(0) if found else "unknown"
    return {"more_churn": MORE_CHURN, "places": [str(place) for place in places],
            "levels": list(options.levels),
            "churn": options.churn or CHURN[options.quick], "allocate": options.allocate,
            "command": " ".join(["scripts/bench", *sys.argv[1:]]),
            "e2fsprogs": version("mkfs.ext4", "-V"), "xfsprogs": version("mkfs.xfs", "-V")}


@contextlib.contextmanager
def part_of(device, capacity_bytes):
    """The device, or so much of it: a partition of the kernel's alone, gone afterwards."""
    if capacity_bytes is None:
        yield device
        return
    # From 2 MiB on, so that what is aligned in it is on the device.
    run("addpart", device, 1, HUGE // 512, capacity_bytes // 512)
    try:
        yield device.with_name(f"{device.name}{'p' if device.name[-1].isdigit() else ''}1")
    finally:
        run("delpart", device, 1)


def bench(programs, folder, options):
    """Prints the table; returns what goes into the JSON."""
    reason = "".join(aged_systems.why_not(device) for device in options.device or [None])
    if reason:
        print(f"\nageing: left out: {reason}")
        return {}
    capacity = options.capacity and options.capacity * MIB
    with contextlib.ExitStack() as stack:
        if options.device:
            kinds = aged_systems.on_devices(programs / "ingot")
            places = [stack.enter_context(part_of(device, capacity))
                      for device in options.device[:2]]
        else:
            kinds = aged_systems.in_memory(programs / "ingot")
            places = [capacity or IN_MEMORY_BYTES[options.quick]] * 2
        report = {**facts(options, places), "systems": {}, "left_out": {}}
        measure_all(kinds, places, Tools(programs, options), folder, options, report)
    print(ageing_report.tables(report))
    return report


def measure_all(kinds, places, tools, folder, options, report):
    """What can't be measured to its end keeps the levels that it came to, and says why."""
    for name, make in kinds.items():
        if options.only and not re.search(options.only, name):
            continue
        try:
            for _ in measure(make, tools, folder / name.replace(" ", "_"), places, options,
                             report["systems"].setdefault(name, {})):
                options.save("ageing", report)
        except SystemExit as end:
            if isinstance(end.code, int):  # a signal
                raise
            # (Where the checkout lies says nothing.)
            reason = str(end.code).replace(f"{options.scripts.parent}/", "")
            report["left_out"][name] = reason
            print(f"ageing: {name}: left out: {reason}", file=sys.stderr, flush=True)
