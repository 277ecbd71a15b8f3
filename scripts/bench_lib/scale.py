# SPDX-License-Identifier: BSD-3-Clause
"""Does size matter: mount time and the daemon's memory, with a large sparse pool and a small one.

Mount time is from the start of `ingot mount` to its return, when the mount answers.
"""

import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import time

from bench_lib import filesystems
from bench_lib.machine import run
from bench_lib.tables import at_most, table

CLEAN_TARGET_MS = 50
KILLED_TARGET_MS = 100
MEMORY_TARGET_MIB = 64


def anonymous_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"RssAnon:\s*(\d+) kB", status).group(1)) / 1024


def timed_mount(system):
    start = time.monotonic()
    system.mount_only()
    return (time.monotonic() - start) * 1e3


class Pool(filesystems.Ingot):
    """A pool whose mount is timed: without the status that follows it elsewhere."""

    def mount_only(self):
        run(self.program, "mount", self.pool, self.mountpoint)

    def find_pid(self):
        self.pid = self.status()["mount"]["pid"]


def mount_clean(pool, repetitions):
    times, memory = [], []
    for _ in range(repetitions):
        times.append(timed_mount(pool))
        pool.find_pid()
        memory.append(anonymous_mib(pool.pid))
        pool.umount()
    return times, memory


def mount_killed(pool, driver, repetitions):
    """Each time the daemon dies while files are being made."""
    times = []
    for number in range(repetitions):
        pool.mount()
        load = subprocess.Popen([driver, "run", pool.mountpoint, str(number), "1000000",
                                 "create_close"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            pool.kill()
        finally:
            load.kill()
            load.wait()
        times.append(timed_mount(pool))
        pool.find_pid()
        pool.umount()
    return times


def memory_after_walk(pool):
    """The daemon's memory when the kernel has asked for each file there is."""
    pool.mount()
    seen = 0
    for folder, _, names in os.walk(pool.mountpoint):
        seen += len(names)
        for name in names:
            os.lstat(os.path.join(folder, name))
    memory = anonymous_mib(pool.pid)
    pool.umount()
    return memory, seen


def measure(programs, folder, gibibytes, files, repetitions):
    pool = Pool(folder, programs / "ingot")
    try:
        made = json.loads(run(programs / "tests/bench/bench_populate", pool.pool, gibibytes, files))
        clean, memory = mount_clean(pool, repetitions)
        after_walk, seen = memory_after_walk(pool)
        killed = mount_killed(pool, programs / "tests/bench/mount_bench", repetitions)
        return {
            "gibibytes": gibibytes, "files": made["files"], "files_seen": seen,
            "mkfs_ms": made["mkfs_s"] * 1e3,
            "create_and_write_us": made["populate_s"] / made["files"] * 1e6,
            "host_mib": pool.pool.stat().st_blocks / 2048,
            "mount_clean_ms": clean, "mount_killed_ms": killed,
            "anonymous_mib": statistics.median(memory), "anonymous_mib_after_walk": after_walk,
        }
    finally:
        pool.close()
        shutil.rmtree(folder)


def rows_of(entry):
    size = f"{entry['gibibytes']} GiB, {entry['files']:,} files"
    for key, name, target, unit in (
            ("mount_clean_ms", "mount after umount", CLEAN_TARGET_MS, "ms"),
            ("mount_killed_ms", "mount after kill -9", KILLED_TARGET_MS, "ms"),
            ("anonymous_mib", "memory, mounted", MEMORY_TARGET_MIB, "MiB"),
            ("anonymous_mib_after_walk", "memory, all files seen", MEMORY_TARGET_MIB, "MiB"),
            ("mkfs_ms", "mkfs in process", None, "ms"),
            ("host_mib", "space that the pool's file takes", None, "MiB")):
        values = entry[key] if isinstance(entry[key], list) else [entry[key]]
        median = statistics.median(values)
        spread = f"{min(values):.1f} .. {max(values):.1f}" if len(values) > 1 else ""
        yield (size, name, f"{median:.1f} {unit}", spread, f"{target} {unit}" if target else "",
               at_most(median, target) if target else "")


def bench(programs, folder, options):
    """Prints the table; returns what goes into the JSON."""
    if options.only and not re.search(options.only, "scale"):
        return []
    files = 20_000 if options.quick else 1_000_000
    # What a pool of 1 GiB holds for certain.
    sizes = ((1024, files), (1, min(files, 500_000)))
    results = [measure(programs, folder / f"scale-{gibibytes}", gibibytes, count,
                       3 if options.quick else 5)
               for gibibytes, count in sizes]
    rows = [row for entry in results for row in rows_of(entry)]
    print(table("Scale", ("pool", "what", "median", "least .. most", "target", ""), rows))
    return results
