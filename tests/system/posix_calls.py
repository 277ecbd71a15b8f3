#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# System calls with odd arguments; what each answered, as one line of text. Run in a directory of
# each of several filesystems; posix_test.sh compares.
# usage: posix_calls.py DIRECTORY >ANSWERS
#        posix_calls.py --compare ANSWERS NATIVE_ANSWERS...
"""Thousands of system calls and their answers; their comparison."""
import json
import os
import sys

import posix_data
import posix_names
import posix_rules
from posix_support import Recorder

# Where ingot answers otherwise than every native filesystem here, and why that is right.
FILE_END = "a file ends at 2^62: the write is cut there, as at any filesystem's largest size"
KERNEL_FIRST = "the kernel, which doesn't know the flag, says so before the daemon is asked"
KNOWN = {
    "removed_directory/O_TMPFILE in it": "as every other new entry of a removed directory",
    "offsets/write at 2^62-1": FILE_END,
    "offsets/size after 2^62-1": FILE_END,
    "offsets/read at 2^62-1": FILE_END,
    "offsets/size after 2^62+0": FILE_END,
    "offsets/size after 2^62+1": FILE_END,
    "inode_flags/append file write by an old handle":
        "a file that is append-only is not overwritten, by handles from before neither",
    "inode_flags/append file rmdir": KERNEL_FIRST,
    "inode_flags/append dir unlink": KERNEL_FIRST,
    "inode_flags/append dir rename over": KERNEL_FIRST,
    "inode_flags/immutable file rmdir": KERNEL_FIRST,
    "inode_flags/immutable dir unlink": KERNEL_FIRST,
    "inode_flags/immutable dir rename over": KERNEL_FIRST,
}


def record(top):
    recorder = Recorder(os.path.realpath(top))
    os.umask(0o022)
    for module in (posix_names, posix_data, posix_rules):
        for subject in module.SUBJECTS:
            recorder.subject = subject.__name__
            subject(recorder)
    json.dump(recorder.lines, sys.stdout, indent=0)


def compare(subject_path, native_paths):
    ours, *natives = [json.load(open(path)) for path in [subject_path] + native_paths]
    differences = 0
    unused = set(KNOWN)
    # Some calls are made only if an earlier one succeeded.
    for label in list(ours) + [label for label in natives[0] if label not in ours]:
        got, *wanted = [answers.get(label, "not asked") for answers in [ours] + natives]
        if got in wanted:
            continue
        if label in KNOWN:
            unused.discard(label)
            continue
        differences += 1
        print(f"{label}: {got}")
        for path, answer in zip(native_paths, wanted):
            print(f"    {os.path.basename(path)}: {answer}")
    assert not unused, f"no difference any more: {unused}"
    assert len(ours) >= 8000, f"only {len(ours)} cases"
    print(f"{len(ours)} answers, {differences} like no native filesystem's")
    return 1 if differences else 0


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(compare(sys.argv[2], sys.argv[3:]))
    record(sys.argv[1])
