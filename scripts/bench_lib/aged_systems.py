# SPDX-License-Identifier: BSD-3-Clause
"""Whole filesystems that age: each is made on a device, or in memory, and mounted in a folder.

`make` leaves it mounted and empty, `close` unmounted; a device keeps what was last on it.
"""

import os
import subprocess

from bench_lib import machine
from bench_lib.machine import run


class System:
    """A filesystem that the kernel mounts; `mountpoint` is where it is."""

    def __init__(self, folder):
        self.folder = folder
        self.mountpoint = folder / "mnt"
        self.mountpoint.mkdir(parents=True)

    def make(self):
        raise NotImplementedError

    def close(self):
        if os.path.ismount(self.mountpoint):
            if subprocess.run(["umount", self.mountpoint], check=False).returncode != 0:
                subprocess.run(["umount", "-l", self.mountpoint], check=False)


class HugeTmpfs(System):
    """tmpfs of 2 MiB pages, as long as `size_bytes`."""

    def __init__(self, folder, size_bytes):
        super().__init__(folder)
        self.size_bytes = size_bytes

    def make(self):
        run("mount", "-t", "tmpfs", "-o", f"huge=always,size={self.size_bytes}", "ingot-bench",
            self.mountpoint)


class DaxHost(System):
    """A kernel filesystem on a device, whose files are mapped without a page cache."""

    def __init__(self, folder, device, *mkfs):
        super().__init__(folder)
        self.device = device
        self.mkfs = mkfs

    def make(self):
        run("wipefs", "-qa", self.device)
        run(*self.mkfs, self.device)
        # Where the device has no DAX the kernel refuses, and it is left out.
        run("mount", "-o", "dax=always", self.device, self.mountpoint)


class IngotSystem(System):
    """A directory pool; `pool` is a device that gets prepared, or a folder in memory."""

    def __init__(self, folder, program):
        super().__init__(folder)
        self.program = program

    def mount(self, pool):
        # (io_uring=off: what is measured here are the files, not how requests come.)
        run(self.program, "mount", pool, self.mountpoint, "-o", "io_uring=off")

    def close(self):
        if not os.path.ismount(self.mountpoint):
            return
        if subprocess.run([self.program, "umount", self.mountpoint], check=False).returncode != 0:
            subprocess.run(["umount", "-l", self.mountpoint], check=False)


class PreparedIngot(IngotSystem):
    """On a device with DAX, as `ingot mkfs --format` prepares it."""

    def __init__(self, folder, device, program, host):
        super().__init__(folder, program)
        self.device = device
        self.host = host

    def make(self):
        run(self.program, "mkfs", "--quiet", "--format", "--force", f"--host={self.host}",
            self.device)
        self.mount(self.device)


class IngotInMemory(IngotSystem):
    """On a tmpfs of its own, of 2 MiB pages."""

    def __init__(self, folder, size_bytes, program):
        super().__init__(folder, program)
        self.host = HugeTmpfs(folder / "host", size_bytes)

    def make(self):
        self.host.make()
        pool = self.host.mountpoint / "pool"
        pool.mkdir()
        run(self.program, "mkfs", "--quiet", pool)
        self.mount(pool)

    def close(self):
        super().close()
        self.host.close()


def on_devices(program):
    """name -> function of (folder, device)."""
    def dax(*mkfs):
        return lambda folder, device: DaxHost(folder, device, *mkfs)

    def prepared(host):
        return lambda folder, device: PreparedIngot(folder, device, program, host)
    return {
        "ext4-DAX": dax("mkfs.ext4", "-q", "-F", "-b", "4096"),
        "ingot on ext4": prepared("ext4"),
        "ext4-DAX stride=512": dax("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "stride=512"),
        "ingot on xfs": prepared("xfs"),
        # (Shared blocks and DAX don't go together on partitions.)
        "xfs-DAX": dax("mkfs.xfs", "-q", "-f", "-m", "reflink=0"),
    }


def in_memory(program):
    """name -> function of (folder, bytes)."""
    return {
        "tmpfs huge=always": HugeTmpfs,
        "ingot on tmpfs": lambda folder, size: IngotInMemory(folder, size, program),
    }


def why_not(device):
    """Why this can't run here, or an empty string."""
    if not machine.is_root():
        return "needs root, for mounts"
    if device is not None and not device.is_block_device():
        return f"{device} is no block device"
    return ""
