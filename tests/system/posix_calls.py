#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# System calls with odd arguments; what each answered, as one line of text. Run in a directory of
# each of several filesystems; posix_test.sh compares.
# usage: posix_calls.py DIRECTORY [MODULE] >ANSWERS
#        posix_calls.py --compare ANSWERS NATIVE_ANSWERS...
"""Thousands of system calls and their answers; their comparison."""
import json
import os
import re
import sys

import posix_data
import posix_names
import posix_privileges
import posix_rules
from posix_support import Recorder

# Where ingot answers otherwise than every native filesystem here, and why that is right.
FILE_END = "a file ends at 2^62: the write is cut there, as at any filesystem's largest size"
KERNEL_FIRST = "the kernel, which doesn't know the flag, says so before the daemon is asked"
KNOWN = (
    ("removed_directory/O_TMPFILE in it", "as every other new entry of a removed directory"),
    (r"offsets/(write|read|size).* 2\^62.*", FILE_END),
    ("inode_flags/append file write by an old handle",
     "a file that is append-only is not overwritten, by handles from before neither"),
    (r"inode_flags/\w+ (file rmdir|dir unlink|dir rename over)", KERNEL_FIRST),
    (r"(orders|by_path)/sgid, no x, .*: (?!fallocate|punch|zero).* leaves",
     "KILLPRIV_V2: without group execution, which alone gives the bit a meaning, it stays"),
    (r"(orders|by_path)/.*, (stranger|group).*: (fchown|chown nothing)( leaves)?",
     "the kernel sends it unchecked; it must not fail, and changes nothing: privileges.h"),
    (r"ownership/.* chown nothing", "the same"),
    (r"(orders|by_path)/all, root.* leaves",
     "where there are capabilities to lose, the kernel sends what looks like root's empty chown"),
)


MODULES = (posix_names, posix_data, posix_rules, posix_privileges)


def record(top, only):
    recorder = Recorder(os.path.realpath(top))
    os.umask(0o022)
    for module in MODULES:
        for subject in module.SUBJECTS if only in ("", module.__name__) else ():
            recorder.subject = subject.__name__
            subject(recorder)
    json.dump(recorder.lines, sys.stdout, indent=0)


def compare(subject_path, native_paths):
    ours, *natives = [json.load(open(path)) for path in [subject_path] + native_paths]
    # Of a single module, only what it asked is compared.
    subjects = {label.split("/")[0] for label in ours}
    complete = subjects == {subject.__name__ for m in MODULES for subject in m.SUBJECTS}
    natives = [{label: answer for label, answer in native.items()
                if label.split("/")[0] in subjects} for native in natives]
    differences = 0
    unused = set(KNOWN)
    # Some calls are made only if an earlier one succeeded.
    for label in list(ours) + [label for label in natives[0] if label not in ours]:
        got, *wanted = [answers.get(label, "not asked") for answers in [ours] + natives]
        if got in wanted:
            continue
        known = {entry for entry in KNOWN if re.fullmatch(entry[0], label)}
        unused -= known
        if known:
            continue
        differences += 1
        print(f"{label}: {got}")
        for path, answer in zip(native_paths, wanted):
            print(f"    {os.path.basename(path)}: {answer}")
    if complete:
        assert not unused, f"no difference any more: {unused}"
    assert len(ours) >= (9000 if complete else 1000), f"only {len(ours)} cases"
    print(f"{len(ours)} answers, {differences} like no native filesystem's")
    return 1 if differences else 0


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(compare(sys.argv[2], sys.argv[3:]))
    record(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
