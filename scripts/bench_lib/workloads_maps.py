# SPDX-License-Identifier: BSD-3-Clause
"""Large mappings: how they are made of page faults, and the load of a model's weights."""

import json
import os

from bench_lib.workloads_kit import MIB, Measured, Workload


def touch(folder, kit):
    """The first store to each page, by the program that sees how the kernel maps it."""
    file = folder / "mapped"
    # As databases make theirs: others are told apart from these by their O_EXCL and O_TRUNC.
    made = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.ftruncate(made, kit.sizes.mapped)
    finally:
        os.close(made)
    seen = json.loads(kit.call(kit.programs / "tests/bench/map_share", "--store", file))
    huge_pages = seen["bytes"] / (2 * MIB)
    return Measured({"map_first_store": seen["touch_ns"] / huge_pages},
                    {"map_first_store_faults": seen["faults"] / huge_pages,
                     "map_first_store_pmd_share": seen["huge_bytes"] / seen["bytes"]})


def touch_again(folder, kit):
    """The first load of each page of a file that was written before."""
    file = folder / "mapped"
    kit.call("dd", "if=/dev/zero", f"of={file}", "bs=1M", f"count={kit.sizes.mapped // MIB}",
             "conv=fsync", "status=none")
    seen = json.loads(kit.call(kit.programs / "tests/bench/map_share", file))
    huge_pages = seen["bytes"] / (2 * MIB)
    return Measured({"map_first_load": seen["touch_ns"] / huge_pages},
                    {"map_first_load_faults": seen["faults"] / huge_pages,
                     "map_first_load_pmd_share": seen["huge_bytes"] / seen["bytes"]})


def weights(folder, kit):
    done = json.loads(kit.call(kit.programs / "tests/bench/weights_bench", folder / "weights",
                               kit.sizes.weights // MIB))
    huge_pages = kit.sizes.weights / (2 * MIB)
    return Measured({"weights_write": done["write"], "weights_load": done["load"]},
                    {"weights_load_faults": done["faults"] / huge_pages})


WORKLOADS = (
    Workload("map_first_store", "mappings", "the first store to each page of a shared mapping of "
             "a new file (O_RDWR, O_CREAT), one hole; cost, page faults, share of 2 MiB entries",
             ("map_first_store",), touch, ("map_first_store_faults", "map_first_store_pmd_share")),
    Workload("map_first_load", "mappings", "the first load from each page of a shared mapping of "
             "a file that dd wrote, 1 MiB a write",
             ("map_first_load",), touch_again,
             ("map_first_load_faults", "map_first_load_pmd_share")),
    Workload("weights", "mappings", "a file of weights, written front to back and synced, dropped "
             "from the page cache, then mapped and copied, 16 MiB at a time",
             ("weights_write", "weights_load"), weights, ("weights_load_faults",)),
)
