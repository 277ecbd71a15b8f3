# SPDX-License-Identifier: BSD-3-Clause
"""Large files of a directory pool beside what they are on the host itself, on tmpfs of 2 MiB pages.

As in mounted.py, ratios are taken between figures of one round. Needs root for the tmpfs.
"""

import contextlib
import re
import sqlite3
import statistics
import time

from bench_lib import filesystems, machine
from bench_lib.mounted import Rounds, round_trips
from bench_lib.tables import Ratio, at_least, at_most, table, time_of

OWN = "ingot"
NATIVE = "tmpfs"
PEER = "passthrough_hp"
DEVICE = "device pool"
# Time over the host's own, at most; None: no target.
NATIVE_TARGETS = {
    "random_read_4k": 1.1, "random_write_4k": 1.1, "sequential_read_1m": 1 / 0.95,
    "sequential_write_1m": 1 / 0.95, "map_read_256m": 1.2, "map_store_256m": 1.2,
    "open_close": None, "create_4m": None, "create_rdwr_4m": None, "append_4k": 1.2,
    "o_append_4k": None, "write_fsync_4k": None, "small_create_4k": None,
}
OPEN_TARGET = 1.3  # of passthrough_hp's time
SMALL_TARGET = 5  # times as fast as the host
SPACE_TARGET = 100  # times as little space
SQLITE_TARGET = 1.2  # of the device pool's time
SQLITE = "sqlite_delete"


def candidates(folder, programs, variants):
    """The filesystems of this run, by name, all in one tmpfs of 2 MiB pages."""
    ingot = programs / "ingot"
    peer = programs.parent / "deps/libfuse/bin/passthrough_hp"
    result = {OWN: filesystems.Ingot(folder / "ingot", ingot, "io_uring=off", None)}
    for number, options in enumerate(variants):
        result[f"ingot {options}"] = filesystems.Ingot(folder / f"variant-{number}", ingot, options,
                                                       None)
    result["direct=never"] = filesystems.Ingot(folder / "never", ingot,
                                               "io_uring=off,direct=never", None)
    result[DEVICE] = filesystems.Ingot(folder / "device", ingot, "io_uring=off", "1536M")
    if peer.exists():
        result[PEER] = filesystems.PassthroughHp(folder / "hp", peer, modes=())
    result[NATIVE] = filesystems.Native(folder / "tmpfs")
    return result


class BackedRounds(Rounds):
    """The same rounds with the other program, and SQLite."""

    def __init__(self, programs, options):
        super().__init__(programs, options)
        self.driver = programs / "tests/bench/backed_bench"
        self.files = 300 if options.quick else 1000
        names = [*NATIVE_TARGETS, SQLITE]
        self.workloads = [name for name in names
                          if not options.only or re.search(options.only, name)]

    def measure(self, name, mountpoint, number, workload):
        if workload != SQLITE:
            super().measure(name, mountpoint, number, workload)
            return
        entry = measure_sqlite(mountpoint / f"database-{number}", self.files)
        self.figures.setdefault(name, {}).setdefault(workload, []).append(entry)

    def over(self, workload, name, peer):
        """Time of one over that of another, or nothing where one was not measured."""
        return Ratio(self.times(name, workload), self.times(peer, workload))

    def median(self, name, workload, what):
        return statistics.median(entry[what] for entry in self.figures[name][workload])


def measure_sqlite(path, count):
    """Transactions of one row each, with a journal that is made and deleted for each."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=DELETE", "synchronous=FULL", "mmap_size=268435456"):
        database.execute(f"PRAGMA {pragma}").fetchall()
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    database.execute("BEGIN")
    database.executemany("INSERT INTO t (a) VALUES (?)", (("x" * 400,) for _ in range(20_000)))
    database.execute("COMMIT")
    times = []
    for number in range(count + 20):
        begin = time.perf_counter_ns()
        database.execute("UPDATE t SET a = ? WHERE id = ?", ("y" * 400, 1 + number * 7919 % 20_000))
        times.append(time.perf_counter_ns() - begin)
    changed = database.execute("SELECT count(*) FROM t WHERE a = ?", ("y" * 400,)).fetchone()[0]
    if changed != len(times):
        raise SystemExit(f"bench: SQLite changed {changed} rows of {len(times)}")
    database.close()
    path.unlink()
    # The first ones are not what it is like afterwards: which files are small is yet to be learned.
    settled = times[20:]
    return {"median_ns": statistics.median(settled), "mean_ns": statistics.mean(settled),
            "operations": len(settled), "requests": None}


def times_table(rounds):
    names = list(rounds.figures)
    rows = [(workload, *(time_of(statistics.median(rounds.times(name, workload)))
                         for name in names), time_of(statistics.median(rounds.floors[workload])))
            for workload in rounds.workloads]
    return table("Large files: time of one operation, median of rounds",
                 ("workload", *names, "bare round trip"), rows)


def verdict(rounds, workload):
    """What the figure is to be, and whether it is."""
    if workload == "open_close" and PEER in rounds.figures:
        ratio = rounds.over(workload, OWN, PEER)
        return f"{OPEN_TARGET} x {PEER}", at_most(ratio.median, OPEN_TARGET)
    if workload == "small_create_4k":
        ratio = rounds.over(workload, NATIVE, OWN)
        return f"1/{SMALL_TARGET} of {NATIVE}", at_least(ratio.median, SMALL_TARGET)
    if workload == "write_fsync_4k":
        ratio = over_native_and_round_trip(rounds)
        return f"{NATIVE} + a round trip", at_most(ratio.median, 1)
    if workload == SQLITE:
        ratio = rounds.over(workload, OWN, DEVICE)
        return f"{SQLITE_TARGET} x {DEVICE}", at_most(ratio.median, SQLITE_TARGET)
    target = NATIVE_TARGETS[workload]
    if target is None:
        return "", ""
    ratio = rounds.over(workload, OWN, NATIVE)
    return f"{target:.2f} x {NATIVE}", at_most(ratio.median, target)


def over_native_and_round_trip(rounds):
    """An fsync is the daemon's: time over the host's own and one bare round trip."""
    bounds = [native + floor for native, floor in zip(rounds.times(NATIVE, "write_fsync_4k"),
                                                      rounds.floors["write_fsync_4k"])]
    return Ratio(rounds.times(OWN, "write_fsync_4k"), bounds)


def ratios_table(rounds):
    peers = [name for name in rounds.figures if name not in (OWN, NATIVE)]
    rows = [(workload, rounds.over(workload, OWN, NATIVE),
             *(rounds.over(workload, OWN, peer) for peer in peers), *verdict(rounds, workload))
            for workload in rounds.workloads]
    return table("Large files: ingot's time over that of others, median (least..most) of rounds",
                 ("workload", NATIVE, *peers, "target", ""), rows)


def counts_table(rounds):
    """Page faults, space and requests of an operation."""
    rows = []
    for workload in rounds.workloads:
        if workload == SQLITE:
            continue
        requests = rounds.requests_per_operation(OWN, workload)
        kinds = ", ".join(f"{kind} {count:.3f}" for kind, count in requests.items()
                          if count >= 0.0005)
        faults = [f"{rounds.median(name, workload, 'faults'):.0f}" for name in (OWN, NATIVE)]
        space = [f"{rounds.median(name, workload, 'space_bytes') / 1024:.0f}"
                 for name in (OWN, NATIVE)]
        rows.append((workload, *faults, *space, kinds or "none",
                     f"{round_trips(requests):.2f}"))
    return table("Large files: what an operation takes",
                 ("workload", "page faults", "on tmpfs", "KiB of space", "on tmpfs", "requests",
                  "round trips"), rows)


def space_line(rounds):
    """How much less space small files take; empty if that was not measured."""
    if "small_create_4k" not in rounds.workloads:
        return ""
    own = rounds.median(OWN, "small_create_4k", "space_bytes")
    native = rounds.median(NATIVE, "small_create_4k", "space_bytes")
    ratio = native / max(own, 1)
    return (f"\nA file of 4 KiB takes 1/{ratio:.0f} of the host's space: "
            f"{at_least(ratio, SPACE_TARGET)} (1/{SPACE_TARGET})")


def json_of(rounds):
    peers = [name for name in rounds.figures if name != OWN]
    return {"rounds": rounds.figures, "floor_ns": rounds.floors,
            "ratios": {peer: {workload: rounds.over(workload, OWN, peer).json()
                              for workload in rounds.workloads} for peer in peers}}


def bench(programs, folder, options):
    """Prints the tables; returns what goes into the JSON."""
    rounds = BackedRounds(programs, options)
    if not rounds.workloads:
        return {}
    with contextlib.ExitStack() as stack:
        huge = stack.enter_context(machine.huge_tmpfs(folder / "huge"))
        if huge is None:
            return {}
        systems = candidates(huge, programs, options.variant)
        for system in systems.values():
            stack.callback(system.close)
            system.prepare(rounds.driver, (rounds.count, rounds.files, rounds.entries))
        floor_folder = folder / "floor"
        floor_folder.mkdir()
        rounds.run(systems, floor_folder)
    for text in (times_table(rounds), ratios_table(rounds), counts_table(rounds),
                 space_line(rounds)):
        if text:
            print(text)
    return json_of(rounds)
