# SPDX-License-Identifier: BSD-3-Clause
"""Flame graphs: samples by perf, drawn by Brendan Gregg's flamegraph.pl as Debian has it."""

import collections
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

DRAW = pathlib.Path("/usr/share/perl5/Devel/NYTProf/flamegraph.pl")
HERTZ = 997  # not in step with anything


@contextlib.contextmanager
def drawing(pid, to, title):
    """Draws what that process did, kernel and all, while the block ran, into the file `to`."""
    if shutil.which("perf") is None or not DRAW.exists():
        raise SystemExit("profile: --flame needs linux-perf and libdevel-nytprof-perl")
    with tempfile.TemporaryDirectory(prefix="ingot-perf-") as folder:
        samples = pathlib.Path(folder) / "samples"
        told, tell = os.pipe()
        answered, answer = os.pipe()
        # By the stack itself: libraries keep no frame pointers.
        recorder = subprocess.Popen(
            ["perf", "record", "--quiet", "--call-graph", "dwarf,8192", "--freq", str(HERTZ),
             "--pid", str(pid), "--output", str(samples), "--control", f"fd:{told},{answer}"],
            stderr=subprocess.PIPE, text=True, pass_fds=(told, answer))
        os.close(told)
        os.close(answer)
        try:
            os.write(tell, b"ping\n")
            os.read(answered, 5)  # it records; nothing comes if it ended
            yield
        finally:
            recorder.send_signal(signal.SIGINT)
            _, said = recorder.communicate()
            os.close(tell)
            os.close(answered)
        if not samples.exists():
            raise SystemExit(f"profile: perf record: {said.strip()}")
        draw(samples, to, title)


def fold(script):
    """perf script's samples as `thread;outer;inner count`."""
    stacks = collections.Counter()
    frames = []
    for line in script.splitlines():
        if not line.strip():
            if frames:
                stacks[";".join(reversed(frames))] += 1
            frames = []
        elif not line[0].isspace():
            frames = [re.sub(r"\s+\d+\s.*", "", line).strip()]
        else:
            # "address function+0x12 (object)"
            name = re.sub(r"^\s*[0-9a-f]+\s", "", line).rsplit(" (", 1)[0]
            frames.insert(-1, re.sub(r"\+0x[0-9a-f]+$", "", name).replace(";", ":"))
    if frames:
        stacks[";".join(reversed(frames))] += 1
    return stacks


def draw(samples, to, title):
    script = subprocess.run(["perf", "script", "--no-inline", "--input", str(samples), "--fields",
                             "comm,pid,ip,sym,dso"], capture_output=True, text=True, check=False,
                            errors="replace")
    if script.returncode != 0 or not script.stdout:
        raise SystemExit(f"profile: no samples: {script.stderr.strip() or 'it was over too soon'}")
    folded = "".join(f"{stack} {count}\n" for stack, count in sorted(fold(script.stdout).items()))
    drawn = subprocess.run([DRAW, "--title", title, "--countname", "samples"], input=folded,
                           capture_output=True, text=True, check=True)
    to.write_text(drawn.stdout, encoding="utf-8")
