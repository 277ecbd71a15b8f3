#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Real programs on a mount: git, tar, SQLite, rsync, fio, a compiler, many files, many processes.
# Then unmounted, checked, mounted again: everything as it was.
# usage: programs_test.sh BUILD_DIR [PROGRAM...]
source "$(dirname "$0")/lib.sh"

source_dir=$(cd "$(dirname "$0")/../.." && pwd)

test_git() {
    git -c init.defaultBranch=main init -q "$mnt/git"
    git -C "$mnt/git" config user.name test
    git -C "$mnt/git" config user.email test@example.org
    git -C "$mnt/git" config gc.auto 0
    local i
    for i in $(seq 1000); do
        echo "line $i" >>"$mnt/git/file$((i % 10))"
        git -C "$mnt/git" add -A
        git -C "$mnt/git" commit -qm "Change $i"
    done
    git clone -q "$mnt/git" "$mnt/clone"
    git -C "$mnt/clone" gc -q
    git -C "$mnt/clone" fsck --full --strict
    (($(git -C "$mnt/clone" rev-list --count HEAD) == 1000)) || fail "commits are missing"
}

test_tar() {
    tar -C /usr -cf "$mnt/usr.tar" include share/doc 2>/dev/null
    mkdir "$mnt/in" "$work/out"
    tar -C "$mnt/in" -xf "$mnt/usr.tar"
    tar -C "$work/out" -xf "$mnt/usr.tar"
    diff -r --no-dereference "$work/out" "$mnt/in" || fail "tar: what came out differs"
    rm -rf "$work/out"
}

test_sqlite() {
    local mode rows
    for mode in delete wal; do
        sqlite3 "$mnt/$mode.db" >/dev/null <<SQL
PRAGMA journal_mode=$mode;
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER);
CREATE INDEX i ON t (b);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO t SELECT i, 'row number ' || i, i * 7919 % 100003 FROM n;
SQL
        # Two processes at once, each in many small transactions.
        local worker
        local -a workers=()
        for worker in 1 2; do
            for _ in $(seq 50); do
                echo "PRAGMA busy_timeout=200000; BEGIN IMMEDIATE;
                      INSERT INTO t (a, b) VALUES ('w$worker', 1); COMMIT;"
            done | sqlite3 "$mnt/$mode.db" >/dev/null &
            workers+=($!)
        done
        wait "${workers[@]}"
        rows=$(sqlite3 "$mnt/$mode.db" 'PRAGMA integrity_check; SELECT count(*) FROM t;')
        [[ $rows == $'ok\n100100' ]] || fail "SQLite in mode $mode: $rows"
    done
}

test_rsync() {
    mkdir "$work/source"
    cp -a /etc "$work/source/" 2>/dev/null
    ln "$work/source/etc/passwd" "$work/source/hard"
    ln -s etc/passwd "$work/source/soft"
    mkfifo "$work/source/fifo"
    mknod "$work/source/null" c 1 3
    setfattr -n user.colour -v blue "$work/source/etc/passwd"
    setfacl -m u:1234:rwx "$work/source/etc/passwd"
    truncate -s 64M "$work/source/sparse"
    rsync -aHAXS "$work/source/" "$mnt/rsync/"
    rsync -aHAXS "$mnt/rsync/" "$work/back/"
    local differences
    differences=$(rsync -aHAXSn --delete --itemize-changes "$work/source/" "$work/back/")
    [[ -z $differences ]] || fail "rsync there and back differs: $differences"
    (($(stat -c %b "$mnt/rsync/sparse") == 0)) || fail "a sparse file has blocks"
    rm -rf "$work/source" "$work/back"
    # cp looks for holes: a terabyte of them takes no time and no space.
    truncate -s 1T "$mnt/sparse"
    cp "$mnt/sparse" "$mnt/sparse2"
    (($(stat -c %b "$mnt/sparse2") == 0)) || fail "a copied hole has blocks"
    rm "$mnt/sparse" "$mnt/sparse2"  # summing a terabyte of zeros would take an hour
}

test_fio() {
    local pattern
    for pattern in randwrite write randrw; do
        fio --name="$pattern" --directory="$mnt" --size=128m --rw="$pattern" --bsrange=512-256k \
            --bs_unaligned=1 --verify=xxhash --verify_fatal=1 --do_verify=1 \
            --verify_state_save=0 --minimal >/dev/null
    done
    fio --name=mapped --directory="$mnt" --size=64m --rw=randrw --ioengine=mmap --verify=crc32c \
        --verify_fatal=1 --verify_state_save=0 --minimal >/dev/null
}

# This project's lowest library, with its tests, built and run on the mount.
test_compiler() {
    local -a parts=(CMakeLists.txt scripts pmemdev fs tests docs)
    mkdir "$mnt/project"
    (cd "$source_dir" && cp -r "${parts[@]}" "$mnt/project")
    mkdir "$mnt/project/build"
    ln -s "$source_dir/build/deps" "$mnt/project/build/deps"
    export CCACHE_DISABLE=1
    cmake -S "$mnt/project" -B "$mnt/project/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug >/dev/null
    cmake --build "$mnt/project/build" --target pmemdev_geometry_test pmemdev_superblock_test \
        pmemdev_device_test >/dev/null
    ctest --test-dir "$mnt/project/build/tests/pmemdev" --no-tests=error \
        -R '^pmemdev_(geometry|superblock|device)_test$' >/dev/null ||
        fail "tests that were built on the mount don't pass"
}

test_many_files() {
    mkdir "$mnt/many"
    python3 - "$mnt/many" <<'PY'
import os, sys
top = sys.argv[1]
for i in range(100_000):
    os.close(os.open(f"{top}/file-{i}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
names = os.listdir(top)
assert len(names) == len(set(names)) == 100_000, len(names)
for i in range(0, 100_000, 2):
    os.unlink(f"{top}/file-{i}")
assert sorted(os.listdir(top)) == sorted(f"file-{i}" for i in range(1, 100_000, 2))
PY
}

test_many_processes() {
    local p files=${INGOT_TEST_SHORT:+10}
    files=${files:-200}
    local -a workers=()
    for p in $(seq 8); do
        (
            mkdir "$mnt/process$p"
            for i in $(seq "$files"); do
                echo "$p $i" >"$mnt/process$p/a$i"
                mv "$mnt/process$p/a$i" "$mnt/process$p/b$i"
                echo "$p $i" >>"$mnt/shared"
            done
        ) &
        workers+=($!)
    done
    wait "${workers[@]}"
    (($(wc -l <"$mnt/shared") == 8 * files)) || fail "appends of several processes got lost"
    (($(find "$mnt"/process* -name 'b*' | wc -l) == 8 * files)) || fail "renames got lost"
}

make_pool 6G
mount_pool
steps=(git tar sqlite rsync fio compiler many_files many_processes)
(($# < 2)) || steps=("${@:2}")
for step in "${steps[@]}"; do
    echo "== $step"
    "test_$step"
done
manifest "$mnt" >"$work/before"
remount_pool
manifest "$mnt" >"$work/after"
cmp "$work/before" "$work/after" || fail "the tree differs after a remount"
find "$mnt" -mindepth 1 -delete
umount_pool
check_pool
echo "programs: passed"
