# SPDX-License-Identifier: BSD-3-Clause
"""What an operation costs as things grow: files, a directory, the pool, what is in use, threads.

In process, without FUSE, on pools whose stores stay in memory: tests/bench/scale_curve.cc.
"""

import json
import os

from bench_lib import pictures
from bench_lib.machine import run
from bench_lib.tables import table, time_of

MOST_FILES = {False: 1_000_000, True: 10_000}  # by --quick
SIZES_GIB = (1, 16, 256, 4096, 16384)
OPERATIONS = ("lookup", "create", "append_4k", "unlink")
# name -> what it grows by, and its words
CURVES = {
    "files": "files, 1000 a directory",
    "directory": "files in one directory",
    "size": "GiB of the pool",
    "full": "% in use",
}


def points(programs, folder, words):
    """The lines of one run, on a pool of its own."""
    pool = folder / "pool"
    try:
        lines = run(programs / "tests/bench/scale_curve", words[0], pool, *words[1:])
    finally:
        pool.unlink(missing_ok=True)
    return [json.loads(line) for line in lines.splitlines()]


def bench(programs, folder, options):
    """Prints the tables; returns what goes into the JSON."""
    most = options.files or MOST_FILES[options.quick]
    result = {"files": points(programs, folder, ("files", most)),
              "directory": points(programs, folder, ("directory", most)),
              "size": [point for size in SIZES_GIB
                       for point in points(programs, folder, ("size", size))],
              "full": points(programs, folder, ("full",)),
              "threads": points(programs, folder, ("threads",)),
              "cores": len(os.sched_getaffinity(0))}
    print(tables(result))
    return result


def tables(result):
    rows = [(CURVES[name], f"{point['at']:,}",
             *(time_of(point[operation]["median_ns"]) for operation in OPERATIONS))
            for name in CURVES for point in result[name]]
    text = table("As things grow: in process, median of 1000 operations",
                 ("what grows", "to", *OPERATIONS), rows)
    first = result["threads"][0]["creates_per_second"]
    rows = [(point["at"], f"{point['creates_per_second']:,.0f}",
             f"{point['creates_per_second'] / first:.2f}") for point in result["threads"]]
    return text + "\n" + table(f"Threads that create files, {result['cores']} cores",
                               ("threads", "creates a second", "of one thread's"), rows)


def picture(result):
    def figures(name):
        return {operation: [(point["at"], point[operation]["median_ns"] / 1e3)
                            for point in result[name]] for operation in OPERATIONS}
    return pictures.head(3) + "".join(
        pictures.curves(CURVES[name], figures(name), "", "microseconds, median")
        for name in ("files", "directory", "size"))


def write(folder, name, report, machine_facts):
    """name.md and name.svg."""
    facts = "".join(f"- {key}: {value}\n" for key, value in machine_facts.items()
                    if key not in ("root", "fuse2fs", "libfuse"))
    text = f"""# As things grow

Operations of the core in one process, without FUSE, on sparse pools whose stores stay in memory;
medians, for others were at work on the machine.

![Curves]({name}.svg)
{tables(report)}

`scripts/bench --curves`; all figures are in `{name}.json`.

{facts}"""
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    pictures.draw(folder / f"{name}.svg", picture(report))
