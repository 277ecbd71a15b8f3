#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Programs that live on large files, on a directory pool: LMDB, SQLite, RocksDB, PostgreSQL, git,
# cp, rsync, readers of one large file. Results are verified by the programs' own means, and what
# they map is looked at in the living process: 2 MiB pages of the medium, or none of these with
# direct=never. Twice the daemon is killed under a database, which then recovers.
# usage: directory_programs_test.sh BUILD_DIR [PROGRAM...]
source "$(dirname "$0")/lib.sh"

INGOT_TEST_POOL=directory
here=$(cd "$(dirname "$0")" && pwd)
needed_kib=$((5 << 20))
lmdb_entries=${INGOT_TEST_SHORT:+8000}
lmdb_entries=${lmdb_entries:-35000} # some 33 KiB each: 1.1 GiB
postgres_bin=$(find /usr/lib/postgresql -name initdb -printf '%h\n' | sort -V | tail -n 1)

if (($(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo) < needed_kib)); then
    echo "SKIPPED: less than 5 GiB of memory are available"
    exit 77
fi

# Sums a field over all of a process's mappings of a file, in KiB.
mapped() {
    local smaps=$1 file=$2 field=$3
    awk -v file="$file" -v field="$field" '
        $1 ~ /^[0-9a-f]+-[0-9a-f]+$/ { here = substr($0, length($0) - length(file)) == " " file }
        here && $1 ~ "^(" field "):$" { sum += $2 }
        END { print sum + 0 }' "$smaps"
}
# False if the mount is not to map anything directly.
wants_direct() { [[ ,$mount_options, != *,direct=never,* ]]; }

# The file can be mapped directly once the daemon has heard of its writers' last close, or can't
# with direct=never.
answer_is() { # FILE ANSWER: kept in $answer
    answer=$("$ingot" map --json "$1" | jq -c '.[0] | [.direct, .why_not_direct]')
    [[ $answer == "[$2,"* ]]
}
expect_direct() {
    local answer wanted=true
    wants_direct || wanted=false
    eventually answer_is "$1" "$wanted" || fail "$1: direct is to be $wanted: $answer"
}
# By this smaps of a process at least so many KiB of the file are mapped, all by 2 MiB pages (but
# for a mapping's end, which is as long as the file).
expect_mapped() {
    local smaps=$1 file=$2 least=$3 present huge
    expect_direct "$file"
    present=$(mapped "$smaps" "$file" Rss)
    huge=$(mapped "$smaps" "$file" '(Shmem|File)PmdMapped')
    if wants_direct; then
        ((present >= least)) || fail "$file: only $present KiB of $least are mapped"
        ((present - huge < 2048)) || fail "$file: $huge of $present KiB are mapped by 2 MiB pages"
    else
        ((huge == 0)) || fail "$file: $huge KiB are mapped by 2 MiB pages with direct=never"
    fi
}

# The mount goes at once, what is open in it stays open. Whoever uses it has to end by himself.
kill_daemon() {
    local pid
    pid=$("$ingot" status --json "$mnt" | jq -er .mount.pid)
    kill -9 "$pid"
    umount -l "$mnt"
    while [[ -d /proc/$pid ]]; do sleep 0.01; done
}
# wait_for TEXT FILE PID: until the process has written it.
wait_for() {
    until grep -qs "$1" "$2"; do
        if ! kill -0 "$3" 2>/dev/null; then fail "no '$1': $(tail -n 5 "$2")"; fi
        sleep 0.02
    done
}

# start_lmdb DIRECTORY ENTRIES write|writemap: goes on until descriptor 5 is closed.
start_lmdb() {
    mkdir -p "$1"
    mkfifo "$work/release"
    "$build/tests/system/lmdb_worker" fill "$@" <"$work/release" >"$work/said" 2>&1 &
    lmdb_pid=$!
    exec 5>"$work/release"
    rm "$work/release"
}
finish_lmdb() {
    wait_for ready "$work/said" "$lmdb_pid"
    expect_mapped "/proc/$lmdb_pid/smaps" "$1/data.mdb" "$2"
    exec 5>&-
    wait "$lmdb_pid" || fail "lmdb_worker: $(tail -n 3 "$work/said")"
}
test_lmdb() {
    local mode entries
    for mode in write writemap; do
        entries=$lmdb_entries
        [[ $mode == write ]] || entries=$((lmdb_entries / 5))
        start_lmdb "$mnt/$mode" "$entries" "$mode"
        finish_lmdb "$mnt/$mode" "$((entries * 32))"
    done
    mkdir "$mnt/copy"
    mdb_copy -c "$mnt/write" "$mnt/copy"
    expect_direct "$mnt/copy/data.mdb"
    mdb_stat "$mnt/copy" | grep -q "Entries: $lmdb_entries\$" || fail "mdb_stat of the copy"
    remount_pool
    "$build/tests/system/lmdb_worker" verify "$mnt/copy" "$lmdb_entries" >/dev/null
    "$build/tests/system/lmdb_worker" verify "$mnt/write" "$lmdb_entries" >/dev/null
    rm -r "$mnt/write" "$mnt/writemap" "$mnt/copy"
}
test_lmdb_killed() {
    local acknowledged
    start_lmdb "$mnt/killed" "$lmdb_entries" write
    wait_for 'committed 2...$' "$work/said" "$lmdb_pid"
    kill_daemon
    if wait "$lmdb_pid"; then fail "LMDB commits without the daemon"; fi
    exec 5>&-
    acknowledged=$(sed -n 's/^committed //p' "$work/said" | tail -n 1)
    ((acknowledged < lmdb_entries)) || fail "LMDB was through before the daemon was killed"
    check_pool
    mount_pool
    "$build/tests/system/lmdb_worker" verify "$mnt/killed" "$acknowledged" >/dev/null
    start_lmdb "$mnt/killed" "$((acknowledged + 2000))" write
    finish_lmdb "$mnt/killed" "$((acknowledged * 32))"
    rm -r "$mnt/killed"
}

test_sqlite() {
    local file=$mnt/delete.db size
    # Mapped while it grows, bit by bit, and then at once, by the process that made it.
    sqlite3 "$file" >"$work/said" <<SQL
PRAGMA mmap_size=1073741824;
PRAGMA journal_mode=DELETE;
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER);
CREATE INDEX i ON t (b);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)
INSERT INTO t SELECT i, 'row number ' || i || hex(zeroblob(60)), i * 7919 % 400009 FROM n;
UPDATE t SET a = a || 'x' WHERE b % 3 = 0;
SELECT count(*), sum(length(a)) FROM t;
.shell cat /proc/\$PPID/smaps >$work/growing
.open $file
PRAGMA mmap_size=1073741824;
SELECT count(*), sum(length(a)) FROM t;
PRAGMA integrity_check;
.shell cat /proc/\$PPID/smaps >$work/opened
SQL
    grep -vE '^(1073741824|delete)$' "$work/said" | tr '\n' ' ' >"$work/answers"
    [[ $(<"$work/answers") == '400000|54822228 400000|54822228 ok ' ]] || fail "$(<"$work/said")"
    size=$(($(stat -c %s "$file") >> 10))
    expect_direct "$file"
    (($(mapped "$work/growing" "$file" Rss) > size * 9 / 10)) || fail "SQLite mapped too little"
    expect_mapped "$work/opened" "$file" "$size"
    [[ ! -e $file-journal ]] || fail "the journal is still there"
    # Many small transactions; the journal comes and goes with each.
    {
        echo 'PRAGMA mmap_size=1073741824;'
        seq -f 'UPDATE t SET b = -b WHERE id = %.0f;' 300
    } | sqlite3 "$file" >/dev/null
    remount_pool
    [[ $(sqlite3 "$file" 'PRAGMA integrity_check; SELECT count(*) FROM t WHERE b < 0;') == \
        $'ok\n300' ]] || fail "SQLite after a remount"
    rm "$file"
}

test_rocksdb() {
    local keys=50000 file
    local reads=$((keys * 10)) # enough for it to be looked at meanwhile
    local -a bench=(db_bench --db="$mnt/rocks" --num="$keys" --value_size=400 --mmap_read=1
        --mmap_write=1 --compression_type=none --verify_checksum=1 --disable_wal=0)
    "${bench[@]}" --benchmarks=fillseq,overwrite,compact,readseq,readrandom >"$work/said" 2>&1 ||
        fail "db_bench: $(tail -n 5 "$work/said")"
    grep -q "readrandom .*($keys of $keys found)" "$work/said" ||
        fail "db_bench lost keys: $(grep -o 'readrandom .*' "$work/said")"
    # (It opens a table right after having closed it; the daemon may hear of the close a moment
    # later, and then that handle maps through the page cache.)
    for file in "$mnt"/rocks/*.sst; do expect_direct "$file"; done
    remount_pool
    # Stopped between its parts, to be looked at.
    stdbuf -oL "${bench[@]}" --use_existing_db=1 --reads="$reads" \
        --benchmarks=verifychecksum,readseq,readrandom >"$work/said" 2>&1 &
    wait_for 'readseq  ' "$work/said" $!
    kill -STOP $!
    cp "/proc/$!/smaps" "$work/opened"
    local mapped_files=0
    for file in "$mnt"/rocks/*.sst; do
        (($(mapped "$work/opened" "$file" Rss) >= 2048)) || continue
        expect_mapped "$work/opened" "$file" 2048
        mapped_files=$((mapped_files + 1))
    done
    kill -CONT $!
    wait $! || fail "db_bench after a remount: $(tail -n 5 "$work/said")"
    ((mapped_files > 0)) || fail "db_bench maps no table"
    grep -q "($reads of $reads found)" "$work/said" || fail "RocksDB lost keys in a remount"
    for file in "$mnt"/rocks/*.sst; do
        sst_dump --file="$file" --command=verify >"$work/said" 2>&1 || fail "$(<"$work/said")"
    done
    rm -r "$mnt/rocks"
}

as_postgres() { runuser -u postgres -- env -C / PATH="$postgres_bin:$PATH" "$@"; }
start_postgres() {
    local options="-h '' -k $mnt/pg -c max_wal_size=128MB -c dynamic_shared_memory_type=mmap"
    as_postgres pg_ctl -D "$mnt/pg/data" -l "$mnt/pg/log-$1" -w -s -o "$options" start \
        2>/dev/null || fail "PostgreSQL: $(tail "$mnt/pg/log-$1")"
}
sql() { as_postgres psql -h "$mnt/pg" -d postgres -qAtX -v ON_ERROR_STOP=1 -c "$1"; }
# All of pgbench's sums agree, tables and indexes are sound, so many transactions are there.
check_postgres() {
    local sums count
    sums=$(sql "SELECT (SELECT sum(abalance) FROM pgbench_accounts) =
        ALL (ARRAY[(SELECT sum(tbalance) FROM pgbench_tellers),
        (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)])")
    [[ $sums == t ]] || fail "pgbench's sums differ"
    count=$(sql 'SELECT count(*) FROM pgbench_history')
    ((count >= $1)) || fail "PostgreSQL has $count transactions of $1"
    as_postgres pg_amcheck -h "$mnt/pg" -d postgres --install-missing >"$work/said" 2>&1 ||
        fail "pg_amcheck: $(<"$work/said")"
}
test_postgres() {
    local accounts acknowledged postmaster bench
    if [[ -z $postgres_bin ]] || ! id postgres >/dev/null 2>&1; then
        fail "PostgreSQL isn't installed: scripts/setup"
    fi
    install -d -o postgres "$mnt/pg"
    as_postgres initdb -k -A trust -D "$mnt/pg/data" >/dev/null
    start_postgres 1
    as_postgres pgbench -h "$mnt/pg" -i -q -s 4 postgres >/dev/null 2>&1
    as_postgres pgbench -h "$mnt/pg" -n -c 4 -t 250 postgres >"$work/said" 2>&1 ||
        fail "pgbench: $(<"$work/said")"
    check_postgres 1000
    accounts=$mnt/pg/data/$(sql "SELECT pg_relation_filepath('pgbench_accounts')")
    as_postgres pg_ctl -D "$mnt/pg/data" -w -s stop
    expect_direct "$accounts"
    as_postgres pg_checksums --check -D "$mnt/pg/data" >/dev/null || fail "pg_checksums"

    # The daemon dies under it; then PostgreSQL recovers by its log.
    start_postgres 2
    postmaster=$(head -n 1 "$mnt/pg/data/postmaster.pid")
    as_postgres pgbench -h "$mnt/pg" -n -c 4 -T 60 -P 1 postgres >"$work/said" 2>&1 &
    bench=$!
    wait_for '^progress: 2' "$work/said" "$bench"
    kill_daemon
    wait "$bench" && fail "pgbench goes on without the daemon"
    kill -QUIT "$postmaster" 2>/dev/null || true # most likely it has ended by itself
    while [[ -d /proc/$postmaster ]]; do sleep 0.01; done
    check_pool
    mount_pool
    start_postgres 3
    grep -q 'redo done' "$mnt/pg/log-3" || fail "PostgreSQL didn't recover"
    acknowledged=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' \
        "$work/said")
    ((acknowledged > 0)) || fail "pgbench: $(<"$work/said")"
    check_postgres "$((1000 + acknowledged))"
    as_postgres pg_ctl -D "$mnt/pg/data" -w -s stop
    rm -r "$mnt/pg"
}

test_git() {
    local commit pack
    git -c init.defaultBranch=main init -q "$mnt/git"
    git -C "$mnt/git" config user.name test
    git -C "$mnt/git" config user.email test@example.org
    git -C "$mnt/git" config gc.auto 0
    for commit in $(seq 8); do
        head -c 3M /dev/urandom >"$mnt/git/large$((commit % 3))"
        seq "$commit" 20000 >"$mnt/git/lines"
        git -C "$mnt/git" add -A
        git -C "$mnt/git" commit -qm "Change $commit"
    done
    git -C "$mnt/git" gc -q --aggressive --prune=now
    git -C "$mnt/git" fsck --full --strict
    for pack in "$mnt"/git/.git/objects/pack/*.pack; do expect_direct "$pack"; done
    (($(find "$mnt/git/.git/objects" -type f -path '*/??/*' | wc -l) == 0)) || fail "loose objects"
    git clone -q --no-local "$mnt/git" "$mnt/clone"
    git -C "$mnt/clone" fsck --full --strict
    diff -r -x .git "$mnt/git" "$mnt/clone" || fail "a clone differs"
    rm -r "$mnt/git" "$mnt/clone"
}

test_sparse() {
    local how full segments
    "$here/segments.py" make "$work/made"
    full=$((($(stat -c %s "$work/made") + 4095) / 4096 * 8))
    for how in never auto always; do
        cp --sparse="$how" "$work/made" "$mnt/$how"    # from the host
        cp --sparse="$how" "$mnt/$how" "$mnt/$how-too" # inside the pool
        cmp "$work/made" "$mnt/$how"
        cmp "$work/made" "$mnt/$how-too"
        expect_direct "$mnt/$how"
    done
    # Holes stay, or are filled, and zeros that were written go or stay (auto: as cp's version likes
    # it). A piece of 2 MiB is all there or not at all.
    declare -A expected=([never]='[[0, 34]]' [always]='[[0, 3], [10, 16], [31, 32]]'
        [auto]='[[0, 3], [10, 16], [31, 32]] or [[0, 3], [4, 6], [10, 16], [31, 32]]')
    for how in never auto always; do
        segments=$("$here/segments.py" "$mnt/$how" "$mnt/$how-too" | sort -u)
        [[ " or ${expected[$how]} or " == *" or $segments or "* ]] ||
            fail "cp --sparse=$how: data at $segments"
    done
    (($(stat -c %b "$mnt/never") >= full)) || fail "cp --sparse=never left holes"
    (($(stat -c %b "$mnt/always") <= 20 * 2048)) || fail "cp --sparse=always fills holes"
    rm "$work/made" "$mnt"/{never,auto,always}*
}

test_rsync() {
    local file differences
    mkdir "$work/source"
    for file in one two; do head -c 40M /dev/urandom >"$work/source/$file"; done
    "$here/segments.py" make "$work/source/holes"
    rsync -aS "$work/source/" "$mnt/rsync/"
    # Changes in the middle, at the end, and of the length, sent as such.
    head -c 100k /dev/urandom | dd of="$work/source/one" bs=1k seek=20001 conv=notrunc status=none
    head -c 5M /dev/urandom >>"$work/source/two"
    truncate -s 35M "$work/source/holes"
    # (A change within the second of the last one is none to it, if the length is the same.)
    rsync -a --ignore-times --no-whole-file --inplace "$work/source/" "$mnt/rsync/"
    truncate -s 3M "$work/source/two"
    rsync -aS --no-whole-file "$work/source/" "$mnt/rsync/"
    rsync -a "$mnt/rsync/" "$mnt/rsync2/"
    for file in "$mnt"/rsync/* "$mnt"/rsync2/*; do expect_direct "$file"; done
    differences=$(rsync -anc --delete --itemize-changes "$work/source/" "$mnt/rsync2/")
    [[ -z $differences ]] || fail "rsync: $differences"
    rm -r "$work/source" "$mnt/rsync" "$mnt/rsync2"
}

test_weights() {
    local file=$mnt/model.safetensors reader
    local -a readers=()
    python3 "$here/weights_worker.py" write "$file" 200
    mkfifo "$work/release"
    for reader in 1 2 3; do
        python3 "$here/weights_worker.py" read "$file" <"$work/release" >"$work/said-$reader" &
        readers+=($!)
    done
    exec 5>"$work/release" # which waits for one of them only
    for reader in 1 2 3; do
        wait_for ready "$work/said-$reader" "${readers[reader - 1]}"
        expect_mapped "/proc/${readers[reader - 1]}/smaps" "$file" "$((200 << 10))"
    done
    exec 5>&-
    wait "${readers[@]}"
    rm "$file" "$work/release"
}

make_pool 4G
chmod 711 "$work"
mount_pool
steps=(lmdb lmdb_killed sqlite rocksdb postgres git sparse rsync weights)
(($# < 2)) || steps=("${@:2}")
for step in "${steps[@]}"; do
    begin=$SECONDS
    "test_$step"
    echo "== $step: $((SECONDS - begin)) s"
done
umount_pool
check_pool
echo "directory programs: passed"
