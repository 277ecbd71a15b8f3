# SPDX-License-Identifier: BSD-3-Clause
"""The filesystems that are compared. Each is made, filled and mounted in a folder of its own.

`prepare` leaves it mounted so that no name in it has been looked up; `close` leaves nothing.
"""

import json
import os
import signal
import subprocess

from bench_lib import machine
from bench_lib.machine import run


class Native:
    """tmpfs itself: the bound."""

    def __init__(self, folder):
        self.folder = folder
        self.mountpoint = folder / "mnt"
        self.mountpoint.mkdir(parents=True)

    def prepare(self, driver, sizes):
        run(driver, "prepare", self.mountpoint, *sizes)

    def close(self):
        pass


class Served(Native):
    """A filesystem whose server stays in the foreground as a child of ours."""

    process = None

    def serve(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        machine.wait_until(
            lambda: os.path.ismount(self.mountpoint) or self.process.poll() is not None,
            f"{command[0]}: mount")
        if not os.path.ismount(self.mountpoint):
            raise machine.Failed(f"bench: {command[0]} ended with {self.process.returncode}")

    def close(self):
        if os.path.ismount(self.mountpoint):
            subprocess.run(["umount", "-l", self.mountpoint], check=False)
        if self.process is None:
            return
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class PassthroughHp(Served):
    """libfuse's example over tmpfs; by default without the kernel's passthrough and page cache."""

    def __init__(self, folder, program, *options, modes=("--nopassthrough", "--direct-io")):
        super().__init__(folder)
        self.command = [program, "--foreground", *modes, *options]

    def prepare(self, driver, sizes):
        source = self.folder / "source"
        source.mkdir()
        run(driver, "prepare", source, *sizes)
        self.serve(*self.command, source, self.mountpoint)


class Fuse2fs(Served):
    """Debian's ext4 in user space, on an image in tmpfs."""

    def prepare(self, driver, sizes):
        image = self.folder / "image"
        run("truncate", "--size=2G", image)
        run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1",
            "-N", "600000", image)
        # Directories take quadratic time to fill through fuse2fs; the kernel's ext4 is faster.
        run("mount", "-o", "loop", image, self.mountpoint)
        try:
            run(driver, "prepare", self.mountpoint, *sizes)
        finally:
            run("umount", self.mountpoint)
        self.serve("fuse2fs", image, self.mountpoint, "-f", "-o", "direct_io")


class Ingot(Native):
    """A pool in tmpfs, as `ingot mount` mounts it: a file, or a directory if it has no size."""

    def __init__(self, folder, program, options="", size="2G"):
        super().__init__(folder)
        self.program = program
        self.options = options
        self.pool = folder / "pool"
        self.size = size
        self.pid = None

    def mount(self):
        options = ["-o", self.options] if self.options else []
        run(self.program, "mount", self.pool, self.mountpoint, *options)
        self.pid = self.status()["mount"]["pid"]

    def umount(self):
        run(self.program, "umount", self.mountpoint)
        machine.wait_until(lambda: machine.is_gone(self.pid), "ingot: end of the daemon")
        self.pid = None

    def status(self):
        return json.loads(run(self.program, "status", "--json", self.mountpoint))

    def kill(self):
        """As by kill -9: the mount is cleared away, the pool stays as it is."""
        os.kill(self.pid, signal.SIGKILL)
        subprocess.run(["umount", "-l", self.mountpoint], check=False)
        machine.wait_until(lambda: machine.is_gone(self.pid), "ingot: end of the killed daemon")
        self.pid = None

    def prepare(self, driver, sizes):
        if self.size is None:
            self.pool.mkdir()
        run(self.program, "mkfs", *(["--size", self.size] if self.size else []), self.pool)
        self.mount()
        run(driver, "prepare", self.mountpoint, *sizes)
        self.umount()
        self.mount()

    def close(self):
        if not os.path.ismount(self.mountpoint):
            return
        if subprocess.run([self.program, "umount", self.mountpoint], check=False).returncode != 0:
            self.kill()
