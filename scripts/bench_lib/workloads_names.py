# SPDX-License-Identifier: BSD-3-Clause
"""Many small files: their names alone, and the mixes of a mail server and a file server."""

import json

from bench_lib.workloads_kit import Measured, Workload


def mix_bench(kit, *words):
    return json.loads(kit.call(kit.programs / "tests/bench/mix_bench", *words))


def names(folder, kit):
    done = mix_bench(kit, "files", folder, kit.sizes.files)
    return Measured({f"files_{name}": cost for name, cost in done.items()})


def mix(name, folder, kit):
    return Measured(mix_bench(kit, name, folder, kit.sizes.mix_files, kit.sizes.mix_loops))


WORKLOADS = (
    Workload("files", "small files", "empty files in 100 directories: create and close, stat just "
             "after that, list, unlink; the cost of a file",
             ("files_create", "files_stat", "files_readdir", "files_unlink"), names),
    Workload("varmail", "small files", "4 threads, files of 16 KiB on average in one directory: "
             "delete; create, write, fsync; read, append, fsync; read", ("varmail",),
             lambda folder, kit: mix("varmail", folder, kit)),
    Workload("fileserver", "small files", "4 threads, files of 128 KiB on average, 20 in a "
             "directory: create and write; append 16 KiB; read; delete; stat", ("fileserver",),
             lambda folder, kit: mix("fileserver", folder, kit)),
)
