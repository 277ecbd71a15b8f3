# SPDX-License-Identifier: BSD-3-Clause
"""The same workloads on ingot and its peers, in turns: A B C, B C A ... workload by workload.

Ratios are taken between figures of one round, a second or so apart, so that what else runs on the
machine touches both.
"""

import contextlib
import json
import re
import statistics

from bench_lib import filesystems, machine
from bench_lib.tables import Ratio, at_least, at_most, table, time_of

# How many times as fast as the best variant of passthrough_hp it is to be.
PEER_TARGETS = {
    "create_close": 1.8, "rename": 1.8, "rename_over": 1.8, "unlink": 1.8, "open_read_close": 1.8,
    "stat_cold": 1, "readdir": 1, "random_read_4k": 1, "random_write_4k": 1,
    "sequential_read_1m": 1, "sequential_write_1m": 1,
}
FUSE2FS_TARGET = 3
MEMCPY_TARGET = 0.4  # of memcpy's speed, for sequential_read_1m
FLOOR_TARGET = 1.3
WORKLOADS = [*PEER_TARGETS, "memcpy_1m"]
# What the bytes cost says nothing about round trips.
NOT_BY_ROUND_TRIPS = ("readdir", "sequential_read_1m", "sequential_write_1m", "memcpy_1m")
# How many are aimed at; the kernel may want more.
WANTED_ROUND_TRIPS = {
    "create_close": 2, "rename": 1, "rename_over": 1, "unlink": 1, "open_read_close": 2,
    "stat_cold": 1, "random_read_4k": 1, "random_write_4k": 1,
}
ONE_WAY = ("forget", "forget_multi", "release")  # nobody waits for them


def candidates(folder, programs, uring, huge, variants):
    """The filesystems of this run, by name, in the order of a round."""
    ingot = programs / "ingot"
    peer = programs.parent / "deps/libfuse/bin/passthrough_hp"
    result = {
        "ingot": filesystems.Ingot(folder / "ingot", ingot, "io_uring=off"),
        "ingot spin=0": filesystems.Ingot(folder / "asleep", ingot, "io_uring=off,spin=0"),
    }
    if uring:
        result["ingot io_uring"] = filesystems.Ingot(folder / "uring", ingot, "io_uring=on")
    if huge is not None:
        result["ingot 2 MiB pages"] = filesystems.Ingot(huge / "ingot", ingot, "io_uring=off")
    for number, options in enumerate(variants):
        result[f"ingot {options}"] = filesystems.Ingot(folder / f"variant-{number}", ingot, options)
    if peer.exists():
        result["passthrough_hp"] = filesystems.PassthroughHp(folder / "hp", peer)
        if uring:
            result["passthrough_hp io_uring"] = filesystems.PassthroughHp(
                folder / "hp_uring", peer, "-o", "io_uring")
    if machine.is_root():
        result["fuse2fs"] = filesystems.Fuse2fs(folder / "fuse2fs")
    result["tmpfs"] = filesystems.Native(folder / "tmpfs")
    return result


class Rounds:
    """Runs the rounds; figures[filesystem][workload] is a list with an entry a round."""

    def __init__(self, programs, options):
        self.driver = programs / "tests/bench/mount_bench"
        self.floor = programs / "tests/bench/fuse_floor"
        self.count = 2 if options.quick else 5
        self.files = 300 if options.quick else 2000
        self.entries = 10_000 if options.quick else 100_000
        self.workloads = [w for w in WORKLOADS if not options.only or re.search(options.only, w)]
        self.figures = {}
        self.floors = {}

    def run(self, systems, floor_folder):
        names = list(systems)
        for number in range(self.count):
            # Nobody is always the first: what the machine does meanwhile has an order, too.
            order = names[number % len(names):] + names[:number % len(names)]
            for workload in self.workloads:
                for name in order:
                    self.measure(name, systems[name].mountpoint, number, workload)
                if floor_folder is not None:
                    floor = machine.run(self.floor, floor_folder, 2 * self.files)
                    self.floors.setdefault(workload, []).append(
                        json.loads(floor)["floor"]["median_ns"])

    def measure(self, name, mountpoint, number, workload):
        output = machine.run(self.driver, "run", mountpoint, number, self.files, workload)
        entry = json.loads(output)[workload]
        entry["requests"] = requests_between(entry.pop("before"), entry.pop("after"))
        self.figures.setdefault(name, {}).setdefault(workload, []).append(entry)

    def times(self, name, workload):
        return [entry["median_ns"] for entry in self.figures.get(name, {}).get(workload, [])]

    def best_peer(self, workload):
        """The faster of passthrough_hp's variants, round by round."""
        variants = [self.times(name, workload) for name in self.figures
                    if name.startswith("passthrough_hp")]
        return [min(times) for times in zip(*variants)]

    def requests_per_operation(self, name, workload):
        """{request: how many an operation}, of all rounds; empty for others than ingot."""
        entries = self.figures[name][workload]
        if any(entry["requests"] is None for entry in entries):
            return {}
        operations = sum(entry["operations"] for entry in entries)
        kinds = sorted({kind for entry in entries for kind in entry["requests"]})
        return {kind: sum(entry["requests"].get(kind, 0) for entry in entries) / operations
                for kind in kinds}


def requests_between(before, after):
    """What ingot served for a workload; asking for the status is one request itself."""
    if before is None or after is None:
        return None
    first, last = before["requests"], after["requests"]
    taken = {kind: last[kind] - first.get(kind, 0) for kind in last}
    taken["getxattr"] -= 1
    return {kind: count for kind, count in taken.items() if count != 0}


def round_trips(requests):
    return sum(count for kind, count in requests.items() if kind not in ONE_WAY)


def times_table(rounds):
    names = list(rounds.figures)
    rows = []
    for workload in rounds.workloads:
        cells = [time_of(statistics.median(rounds.times(name, workload))) for name in names]
        floor = rounds.floors.get(workload)
        rows.append((workload, *cells, time_of(statistics.median(floor)) if floor else ""))
    return table("Mounted: time of one operation, median of rounds",
                 ("workload", *names, "bare round trip"), rows)


def ratios_of(rounds, name):
    """{against whom: {workload: (Ratio, target)}} of one variant of ingot."""
    result = {peer: {} for peer in ("the best passthrough_hp", "fuse2fs", "tmpfs", "memcpy")}
    for workload in rounds.workloads:
        own = rounds.times(name, workload)
        if workload in PEER_TARGETS:
            result["the best passthrough_hp"][workload] = (
                Ratio(rounds.best_peer(workload), own), PEER_TARGETS[workload])
            result["fuse2fs"][workload] = (Ratio(rounds.times("fuse2fs", workload), own),
                                           FUSE2FS_TARGET)
            result["tmpfs"][workload] = (Ratio(rounds.times("tmpfs", workload), own), None)
        if workload.startswith("sequential"):
            target = MEMCPY_TARGET if workload == "sequential_read_1m" else None
            result["memcpy"][workload] = (Ratio(rounds.times(name, "memcpy_1m"), own), target)
    return {peer: {workload: entry for workload, entry in entries.items() if entry[0]}
            for peer, entries in result.items()}


def ratios_table(ratios, peer):
    """The verdict is on the first variant, which is the default one."""
    names = list(ratios)
    rows = []
    for workload, (ratio, target) in ratios[names[0]][peer].items():
        cells = [ratios[name][peer][workload][0] for name in names]
        verdict = at_least(ratio.median, target) if target else ""
        rows.append((workload, *cells, target or "", verdict))
    return table(f"Mounted: how many times as fast as {peer}, median (least..most) of rounds",
                 ("workload", *names, "target", names[0]), rows)


def floor_entries(rounds, name):
    """{workload: requests, round trips, and time over what those cost}."""
    result = {}
    for workload in rounds.workloads:
        requests = rounds.requests_per_operation(name, workload)
        trips = round_trips(requests)
        if trips == 0:
            continue
        entry = {"requests": requests, "round_trips": trips}
        if workload not in NOT_BY_ROUND_TRIPS and workload in rounds.floors:
            floors = [trips * floor for floor in rounds.floors[workload]]
            entry["ratio"] = Ratio(rounds.times(name, workload), floors)
        result[workload] = entry
    return result


def requests_table(entries):
    rows = []
    for workload, entry in entries.items():
        kinds = ", ".join(f"{kind} {count:.2f}" for kind, count in entry["requests"].items()
                          if count >= 0.005)
        rows.append((workload, kinds, f"{entry['round_trips']:.2f}",
                     WANTED_ROUND_TRIPS.get(workload, "")))
    return table("Mounted: requests of an operation; round trips are those somebody waits for",
                 ("workload", "requests", "round trips", "wanted"), rows)


def floor_table(floors):
    names = list(floors)
    rows = []
    for workload, entry in floors[names[0]].items():
        if "ratio" not in entry:
            continue
        cells = [floors[name][workload]["ratio"] for name in names]
        rows.append((workload, *cells, at_most(entry["ratio"].median, FLOOR_TARGET)))
    return table("Mounted: time over (round trips x bare round trip), median (least..most), "
                 f"target {FLOOR_TARGET}", ("workload", *names, names[0]), rows)


def json_of(rounds, ratios, floors):
    return {
        "rounds": rounds.figures,
        "floor_ns": rounds.floors,
        "ratios": {name: {peer: {workload: {**ratio.json(), "target": target}
                                 for workload, (ratio, target) in entries.items()}
                          for peer, entries in by_peer.items()}
                   for name, by_peer in ratios.items()},
        "over_floor": {name: {workload: {**entry, "ratio": entry["ratio"].json()}
                              if "ratio" in entry else entry
                              for workload, entry in by_workload.items()}
                       for name, by_workload in floors.items()},
    }


def bench(programs, folder, options):
    """Prints the tables; returns what goes into the JSON."""
    rounds = Rounds(programs, options)
    if not rounds.workloads:
        return {}
    floor_folder = folder / "floor" if machine.is_root() else None
    with contextlib.ExitStack() as stack:
        uring = stack.enter_context(machine.io_uring())
        if floor_folder is not None:
            floor_folder.mkdir()
        huge = stack.enter_context(machine.huge_tmpfs(folder / "huge"))
        systems = candidates(folder, programs, uring, huge, options.variant)
        for system in systems.values():
            stack.callback(system.close)
            system.prepare(rounds.driver, (rounds.count, rounds.files, rounds.entries))
        rounds.run(systems, floor_folder)
    own = [name for name in rounds.figures if name.startswith("ingot")]
    ratios = {name: ratios_of(rounds, name) for name in own}
    floors = {name: floor_entries(rounds, name) for name in own}
    print(times_table(rounds))
    for peer in ratios[own[0]]:
        print(ratios_table(ratios, peer))
    print(requests_table(floors[own[0]]))
    print(floor_table(floors))
    return json_of(rounds, ratios, floors)
