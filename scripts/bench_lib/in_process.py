# SPDX-License-Identifier: BSD-3-Clause
"""Operations of fs/core in process: no FUSE, one thread, processor time."""

import json
import statistics

from bench_lib import machine
from bench_lib.tables import at_most, table, time_of

# Targets, ns. Times of names are judged in the small directory unless they say other.
TARGETS = {
    "create_in_small": 3000,
    "unlink_in_small": 3000,
    "rename_in_small": 4000,
    "append_4k": 2500,
    "overwrite_4k": 1000,
    "lookup_in_large": 1000,
}


# What the program counts beside the time, an operation.
COUNTERS = ("fences", "flushed_lines", "stored_bytes")


def measure(program, folder, options):
    """{name: [processor time of each repetition, ns]}, {name: {counter: value}}."""
    report = folder / "core.json"
    machine.run(program, f"--pool={folder / 'pool'}",
                f"--entries={100_000 if options.quick else 1_000_000}",
                f"--benchmark_repetitions={3 if options.quick else 7}",
                f"--benchmark_min_time={0.05 if options.quick else 0.1}",
                "--benchmark_enable_random_interleaving=true",
                f"--benchmark_filter={options.only or '.'}",
                f"--benchmark_out={report}", "--benchmark_out_format=json")
    figures, counts = {}, {}
    for entry in json.loads(report.read_text(encoding="utf-8"))["benchmarks"]:
        if entry.get("run_type") == "iteration":
            name = entry["run_name"].split("/")[0]
            figures.setdefault(name, []).append(entry["cpu_time"])
            counts[name] = {counter: entry[counter] for counter in COUNTERS if counter in entry}
    report.unlink()
    return figures, counts


def targets_of(medians):
    """The targets that can be judged with these figures."""
    targets = dict(TARGETS)
    if "memcpy_4k" in medians:
        targets["read_4k"] = 1.2 * medians["memcpy_4k"] + 200
    if "create_in_small" in medians:
        targets["create_in_large"] = 2 * medians["create_in_small"]
    return targets


def judge(figures, counts):
    medians = {name: statistics.median(times) for name, times in figures.items()}
    targets = targets_of(medians)
    result = {}
    for name, times in sorted(figures.items()):
        result[name] = {"median_ns": medians[name], "min_ns": min(times), "max_ns": max(times),
                        **counts[name]}
        if name in targets:
            result[name]["target_ns"] = targets[name]
            result[name]["verdict"] = at_most(medians[name], targets[name])
    return result


def rows_of(result):
    for name, entry in result.items():
        spread = f"{time_of(entry['min_ns'])} .. {time_of(entry['max_ns'])}"
        target = time_of(entry["target_ns"]) if "target_ns" in entry else ""
        counters = [f"{entry[counter]:.1f}" if counter in entry else "" for counter in COUNTERS]
        yield (name, time_of(entry["median_ns"]), spread, *counters, target,
               entry.get("verdict", ""))


def bench(programs, folder, options):
    """Prints the tables; returns what goes into the JSON."""
    program = programs / "tests/bench/core_bench"
    names = machine.run(program, "--benchmark_list_tests",
                        f"--benchmark_filter={options.only or '.'}").split()
    results = {}
    if not names:
        return results
    with machine.huge_tmpfs(folder / "huge") as huge:
        for pages, place in (("4 KiB", folder), ("2 MiB", huge)):
            if place is None:
                continue
            results[pages] = judge(*measure(program, place, options))
            print(table(f"In process, pool in tmpfs with {pages} pages, processor time",
                        ("operation", "median", "least .. most", "fences", "lines flushed",
                         "bytes stored", "target", ""),
                        list(rows_of(results[pages]))))
    return results
