# SPDX-License-Identifier: BSD-3-Clause
"""Reads, writes and mapped loads and stores of one large file, by fio.

The cost of an operation is fio's mean latency, and that of its fdatasync where there is one. One
thread, one request at a time. What is cached stays cached: of these filesystems only those with a
page cache of their own gain by it.
"""

import json

from bench_lib.workloads_kit import Measured, Workload, write_file

# What fio is told beside what is common; each runs for a fixed time on a file that is there.
JOBS = {
    "random_read_4k": ("--rw=randread", "--bs=4k"),
    "sequential_read_4k": ("--rw=read", "--bs=4k"),
    "random_write_4k": ("--rw=randwrite", "--bs=4k"),
    "sequential_write_4k": ("--rw=write", "--bs=4k"),
    "write_fdatasync_4k": ("--rw=randwrite", "--bs=4k", "--fdatasync=1"),
    "sequential_read_1m": ("--rw=read", "--bs=1m"),
    "sequential_write_1m": ("--rw=write", "--bs=1m"),
    "mapped_random_read_4k": ("--rw=randread", "--bs=4k", "--ioengine=mmap"),
    "mapped_random_write_4k": ("--rw=randwrite", "--bs=4k", "--ioengine=mmap"),
}
APPEND = "append_4k"


def fio(kit, file, *words):
    """Nanoseconds of an operation."""
    # A later --ioengine overrides the first.
    output = kit.call("fio", "--name=job", f"--filename={file}", "--ioengine=psync", "--thread",
                      "--invalidate=0", "--fallocate=none", "--output-format=json", *words,
                      cwd=kit.scratch)
    job = json.loads(output[output.index("{"):])["jobs"][0]
    done = max((job["read"], job["write"]), key=lambda side: side["total_ios"])
    cost = done["lat_ns"]["mean"]
    if "--fdatasync=1" in words:
        cost += job["sync"]["lat_ns"]["mean"]
    return cost


def run_job(name, folder, kit):
    file = folder / "data"
    write_file(file, kit.sizes.data)
    cost = fio(kit, file, f"--size={kit.sizes.data}", "--time_based",
               f"--runtime={kit.sizes.fio_ms}ms", *JOBS[name])
    return Measured({name: cost})


def run_append(folder, kit):
    """To a new file, which fio opens O_RDWR and O_CREAT."""
    cost = fio(kit, folder / "appended", f"--size={kit.sizes.appended}", "--rw=write", "--bs=4k",
               "--create_on_open=1", f"--runtime={4 * kit.sizes.fio_ms}ms")
    return Measured({APPEND: cost})


def workload_of(name, words):
    said = " ".join(word for word in ("--ioengine=psync", *words)
                    if word != "--ioengine=psync" or "--ioengine=mmap" not in words)
    return Workload(name, "data", f"fio {said} --time_based, one thread, on a file that was "
                    "written before", (name,), lambda folder, kit: run_job(name, folder, kit))


WORKLOADS = (
    *(workload_of(name, words) for name, words in JOBS.items()),
    Workload(APPEND, "data", "fio --ioengine=psync --rw=write --bs=4k --create_on_open=1, a new "
             "file", (APPEND,), run_append),
)
