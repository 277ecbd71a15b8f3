# SPDX-License-Identifier: BSD-3-Clause
"""LMDB, SQLite and RocksDB, each by the ways in which it likes to be measured."""

import json
import re

from bench_lib.workloads_kit import Failed, Measured, Workload

# As SQLite's speedtest1 goes about it, at a smaller size.
SQLITE_BATCH = """
BEGIN;
CREATE TABLE t1 (a INTEGER, b INTEGER, c TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO t1 SELECT i, i * 7919 % 1000003, 'row ' || i || hex(zeroblob(40)) FROM n;
COMMIT;
BEGIN;
CREATE TABLE t2 (a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
CREATE INDEX t2b ON t2 (b);
INSERT INTO t2 SELECT * FROM t1 ORDER BY b;
COMMIT;
CREATE INDEX t1b ON t1 (b);
SELECT count(*), sum(length(c)) FROM t1 WHERE b BETWEEN 1000 AND 400000;
BEGIN;
UPDATE t2 SET c = c || 'x' WHERE b % 3 = 0;
DELETE FROM t1 WHERE a % 5 = 0;
COMMIT;
SELECT count(*) FROM t2;
PRAGMA integrity_check;
"""
SQLITE_PRAGMAS = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA mmap_size=268435456;
"""


def lmdb(folder, kit):
    done = json.loads(kit.call(kit.programs / "tests/bench/lmdb_bench", folder,
                               kit.sizes.lmdb_entries))
    return Measured({f"lmdb_{name}": cost for name, cost in done.items()})


def sqlite(kit, folder, text):
    """Nanoseconds of it all, and the last line that it answered."""
    script = kit.scratch / "script.sql"
    script.write_text(SQLITE_PRAGMAS + text, encoding="utf-8")
    database = folder / "database"
    cost = kit.timed("sqlite3", "-bail", database, f".read {script}")
    return cost, kit.call("sqlite3", database, "PRAGMA journal_mode;").strip()


def sqlite_inserts(folder, kit):
    count = kit.sizes.sqlite_inserts
    rows = "".join(f"INSERT INTO t (a) VALUES ('{number} {'y' * 300}');\n"
                   for number in range(count))
    cost, mode = sqlite(kit, folder, f"CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);\n{rows}")
    if mode != "wal":
        raise Failed(f"the journal is {mode}, not wal")
    found = int(kit.call("sqlite3", folder / "database", "SELECT count(*) FROM t;"))
    if found != count:
        raise Failed(f"{found} rows of {count}")
    return Measured({"sqlite_insert": cost / count})


def sqlite_batch(folder, kit):
    rows = kit.sizes.sqlite_rows
    cost, _ = sqlite(kit, folder, SQLITE_BATCH.format(rows=rows))
    found = int(kit.call("sqlite3", folder / "database", "SELECT count(*) FROM t2;"))
    if found != rows:
        raise Failed(f"{found} rows of {rows}")
    return Measured({"sqlite_batch": cost / rows})


def rocksdb(folder, kit):
    keys = kit.sizes.rocksdb_keys
    output = kit.call("db_bench", f"--db={folder}", "--benchmarks=fillseq,readrandom",
                      f"--num={keys}", "--value_size=400", "--mmap_read=1", "--mmap_write=1",
                      "--compression_type=none", f"--write_buffer_size={1 << 20}", "--threads=1")
    costs = {f"rocksdb_{name}": float(micros) * 1e3 for name, micros
             in re.findall(r"^(\w+) +: +([\d.]+) micros/op", output, re.MULTILINE)}
    if f"({keys} of {keys} found)" not in output:
        raise Failed("RocksDB doesn't find all keys")
    return Measured(costs)


WORKLOADS = (
    Workload("lmdb", "databases", "keys of 16 bytes, values of 100: 1,000 a transaction in order, "
             "stored through the mapping and synced at each commit; then reads at random",
             ("lmdb_fillseqbatch", "lmdb_readrandom"), lmdb),
    Workload("sqlite_insert", "databases", "sqlite3, WAL, synchronous=FULL, mmap_size=256 MiB: a "
             "transaction for each row of 300 bytes", ("sqlite_insert",), sqlite_inserts),
    Workload("sqlite_batch", "databases", "the same settings: two tables filled in a transaction "
             "each, one of them indexed before, one after, a range, an update, a deletion, a check",
             ("sqlite_batch",), sqlite_batch),
    Workload("rocksdb", "databases", "db_bench fillseq, then readrandom: keys of 16 bytes, values "
             "of 400, mmap_read, mmap_write, no compression, tables of 1 MiB",
             ("rocksdb_fillseq", "rocksdb_readrandom"), rocksdb),
)
