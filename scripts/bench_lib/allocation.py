# SPDX-License-Identifier: BSD-3-Clause
"""How the large files of a device pool lie after years of use, at 1 TiB: in process, simulated.

tests/bench/age_pool.cc ages the pool by the core's own operations; only data is left out. What the
pool stores is its memory (some 1.5 GiB for 2,000,000 files), the pool's file takes none.
"""

import json

from bench_lib.machine import run
from bench_lib.tables import at_least, table

GIBIBYTES = {False: 1024, True: 16}  # by --quick
LEVELS = (50, 75, 90)
CHURN = {False: 10, True: 1}
SHARE_TARGET = 0.99
PAGES = 512  # of 4 KiB in a huge page


def percent(part, whole):
    return f"{part / whole * 100:.1f} %" if whole else ""


def row_of(entry):
    old, new = entry["old"], entry["new"]
    verdicts = [at_least(sums["huge_bytes"] / sums["bytes"], SHARE_TARGET)
                for sums in (old, new) if sums["bytes"]]
    return (f"{entry['level']} %", old["files"], percent(old["huge_bytes"], old["bytes"]),
            percent(new["huge_bytes"], new["bytes"]), entry["free_huge_pages"],
            percent(entry["free_huge_pages"] * PAGES, entry["free_pages"]), entry["files_left"],
            entry["files_made"], ", ".join(verdicts))


def bench(programs, folder, options):
    """Prints the table; returns what goes into the JSON."""
    gibibytes = options.gibibytes or GIBIBYTES[options.quick]
    churn = options.churn or CHURN[options.quick]
    lines = run(programs / "tests/bench/age_pool", folder / "pool", gibibytes, churn,
                *LEVELS).splitlines()
    levels = [json.loads(line) for line in lines]
    print(table(f"Device pool of {gibibytes} GiB, {churn:g} x allocated: files of 2 MiB and more",
                ("in use", "old files", "old: in whole 2 MiB pages", "new", "free 2 MiB pages",
                 "of the possible", "files", "made", f"old, new: {SHARE_TARGET:.0%}"),
                [row_of(entry) for entry in levels]))
    return {"gibibytes": gibibytes, "churn": churn, "levels": levels}
