# SPDX-License-Identifier: BSD-3-Clause
"""The machine that is measured on: its facts, scratch space, and what has to be put back."""

import contextlib
import os
import pathlib
import platform
import re
import signal
import subprocess
import tempfile
import time

MEMORY = "/dev/shm"
URING_PARAMETER = pathlib.Path("/sys/module/fuse/parameters/enable_uring")


class Failed(SystemExit):
    """Ends the bench with its message, unless somebody goes on without what failed."""


def run(*command, **options):
    """The command's standard output; ends the bench if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise Failed(f"bench: {' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def is_root():
    return os.geteuid() == 0


def wait_until(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"bench: {what}: nothing after {seconds} s")
        time.sleep(0.005)


def is_gone(pid):
    """True once the process has ended, a zombie included."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return True
    return state.rsplit(")", 1)[1].split()[0] in "ZX"


def end_on_signals():
    """A signal unwinds like an error, so that everything is put back."""
    def end(number, _):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, end)


@contextlib.contextmanager
def scratch():
    """A folder in memory; gone at the end. Whoever mounts in there unmounts in there."""
    with tempfile.TemporaryDirectory(prefix="ingot-bench-", dir=MEMORY) as folder:
        yield pathlib.Path(folder)


@contextlib.contextmanager
def huge_tmpfs(folder, size="6G"):
    """A tmpfs of 2 MiB pages at `folder`, or None without the right to mount one."""
    folder.mkdir()
    if not is_root():
        yield None
        return
    run("mount", "-t", "tmpfs", "-o", f"huge=always,size={size}", "ingot-bench", folder)
    try:
        yield folder
    finally:
        # Whoever served files from there may take a while to end where much else runs.
        wait_until(lambda: subprocess.run(["umount", folder], capture_output=True,
                                          check=False).returncode == 0, f"umount {folder}", 60)


@contextlib.contextmanager
def io_uring():
    """Switches FUSE's io_uring on for new mounts; True if it is on."""
    before = URING_PARAMETER.read_text(encoding="utf-8").strip() if URING_PARAMETER.exists() else ""
    if before != "N" or not is_root():
        yield before == "Y"
        return
    URING_PARAMETER.write_text("Y", encoding="utf-8")
    try:
        yield True
    finally:
        URING_PARAMETER.write_text(before, encoding="utf-8")


def cpu_model():
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"model name\s*:\s*(.*)", text)
    return found.group(1) if found else platform.machine()


def is_emulated(model=None):
    """The processor of that name, this one by default, is a program: its times say nothing."""
    return "QEMU TCG" in (model or cpu_model())


def facts(ingot):
    """What a reader must know to make sense of the figures."""
    fuse2fs = subprocess.run(["fuse2fs", "-V"], capture_output=True, text=True, check=False)
    version = re.search(r"fuse2fs (\S+)", fuse2fs.stdout + fuse2fs.stderr)
    cmake_cache = ingot.parent / "CMakeCache.txt"
    libfuse = re.search(r"^fuse_VERSION:INTERNAL=(\S+)", cmake_cache.read_text(encoding="utf-8"),
                        re.MULTILINE)
    return {
        "kernel": f"{platform.release()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "ingot": run(ingot, "--version").strip(),
        "libfuse": libfuse.group(1) if libfuse else "unknown",
        "fuse2fs": version.group(1) if version else "not installed",
        "root": is_root(),
    }
