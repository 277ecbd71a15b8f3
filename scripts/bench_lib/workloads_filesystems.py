# SPDX-License-Identifier: BSD-3-Clause
"""The filesystems that workloads are compared on: a set in memory, and a set on a DAX device.

Each is made and mounted by `start`, and leaves nothing after `close`, wherever it got to. `recipe`
says what made it; it is built of the words that the commands get.
"""

import contextlib
import os
import signal
import subprocess

from bench_lib import filesystems, machine
from bench_lib.machine import run

MEMORY_NATIVE = "tmpfs"
DEVICE_NATIVE = "ext4-dax"


def umount(mountpoint):
    """What the kernel mounted; lazily, if something holds it."""
    if os.path.ismount(mountpoint):
        if subprocess.run(["umount", mountpoint], capture_output=True, check=False).returncode:
            subprocess.run(["umount", "-l", mountpoint], check=False)


class Native(filesystems.Native):
    """A folder of the tmpfs that is there already."""

    def __init__(self, folder, is_huge):
        super().__init__(folder)
        self.recipe = f"mount -t tmpfs -o huge={'always' if is_huge else 'never'}"

    def start(self):
        pass


class SmallPages(Native):
    """The same with pages of 4 KiB: what it costs to have the large ones."""

    def __init__(self, folder, size):
        super().__init__(folder, False)
        self.size = size

    def start(self):
        run("mount", "-t", "tmpfs", "-o", f"huge=never,size={self.size}", "ingot-bench",
            self.mountpoint)

    def close(self):
        umount(self.mountpoint)


class Kernel(filesystems.Native):
    """One of the kernel's, on a block device or an image."""

    def __init__(self, folder, source, mkfs, options):
        super().__init__(folder)
        self.source, self.mkfs, self.options = source, mkfs, options
        self.recipe = f"{' '.join(mkfs)}; mount -o {options}"

    def start(self):
        run(*self.mkfs, self.source)
        run("mount", "-o", self.options, self.source, self.mountpoint)

    def close(self):
        umount(self.mountpoint)


class Image(Kernel):
    """On a loop device over a file in memory."""

    def __init__(self, folder, size, mkfs):
        super().__init__(folder, folder / "image", mkfs, "loop")
        self.size = size
        self.recipe += ", the image on the tmpfs"

    def start(self):
        run("truncate", f"--size={self.size}", self.source)
        super().start()

    def close(self):
        super().close()
        self.source.unlink(missing_ok=True)


class Passthrough(filesystems.PassthroughHp):
    """libfuse's example with all that it has on."""

    recipe = "passthrough_hp --foreground"

    def __init__(self, folder, program):
        super().__init__(folder, program, modes=())

    def start(self):
        source = self.folder / "source"
        source.mkdir()
        self.serve(*self.command, source, self.mountpoint)


class Fuse2fs(filesystems.Fuse2fs):
    """As a user mounts it: with the kernel's page cache over it."""

    MKFS = ("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=1")
    recipe = f"{' '.join(MKFS)}; fuse2fs -f, the image on the tmpfs"

    def __init__(self, folder, size):
        super().__init__(folder)
        self.size = size

    def start(self):
        image = self.folder / "image"
        run("truncate", f"--size={self.size}", image)
        run(*self.MKFS, image)
        self.serve("fuse2fs", image, self.mountpoint, "-f")

    def close(self):
        super().close()
        (self.folder / "image").unlink(missing_ok=True)


class Ingot(filesystems.Ingot):
    """A pool: a directory without a size, a file with one, a prepared device with a host."""

    def __init__(self, folder, program, pool=None, size=None, host=None, options=""):
        super().__init__(folder, program, options, size)
        self.pool = pool or self.pool
        words = ["--size", str(size)] if size else []
        if host:
            words = ["--format", f"--host={host}", "--force"]
        self.words = words
        self.is_directory = not size and not host
        self.recipe = " ".join(["ingot mkfs", *words, "POOL; ingot mount",
                                *([f"-o {options}"] if options else [])])

    def start(self):
        if self.is_directory:
            self.pool.mkdir()
        run(self.program, "mkfs", *self.words, self.pool)
        self.mount()

    def close(self):
        """Also of a mount whose daemon is gone: that is no mount point to those who ask."""
        ended = subprocess.run([self.program, "umount", self.mountpoint], capture_output=True,
                               check=False)
        if ended.returncode != 0:
            subprocess.run(["umount", "-l", self.mountpoint], capture_output=True, check=False)
        if self.pid is None:
            return
        try:
            machine.wait_until(lambda: machine.is_gone(self.pid), "ingot: end of the daemon", 30)
        except machine.Failed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            machine.wait_until(lambda: machine.is_gone(self.pid), "ingot: end of the daemon", 30)
        self.pid = None


class OnHost(Ingot):
    """A device pool in one file of another filesystem, which is made for it."""

    def __init__(self, folder, program, host, size):
        super().__init__(folder, program, host.mountpoint / "pool", size)
        self.host = host
        self.recipe = f"{host.recipe}; {self.recipe}"

    def start(self):
        self.host.start()
        super().start()

    def close(self):
        super().close()
        self.host.close()


def in_memory(folder, ingot, peer, size, is_root):
    """{name: how to make it}, all in `folder`, a tmpfs of 2 MiB pages for root; of `size` bytes."""
    makers = {
        MEMORY_NATIVE: lambda: Native(folder / "tmpfs", is_root),
        "tmpfs-4k": lambda: SmallPages(folder / "small", size),
        "ext4": lambda: Image(folder / "ext4", size, ("mkfs.ext4", "-q")),
        "ingot": lambda: Ingot(folder / "ingot", ingot),
        "ingot-device": lambda: Ingot(folder / "device", ingot, size=size),
        "ingot-never": lambda: Ingot(folder / "never", ingot, options="direct=never"),
        "passthrough_hp": lambda: Passthrough(folder / "hp", peer),
        "fuse2fs": lambda: Fuse2fs(folder / "fuse2fs", size),
    }
    if not peer.exists():
        del makers["passthrough_hp"]  # the system's libfuse is recent enough, and has no examples
    if not is_root:
        for name in ("tmpfs-4k", "ext4", "fuse2fs", "passthrough_hp"):
            makers.pop(name, None)
    return makers


EXT4 = ("mkfs.ext4", "-q", "-F", "-b", "4096")
EXT4_STRIDE = (*EXT4, "-E", "stride=512")
# As is advised for large pages: all files of it are allocated by 2 MiB.
XFS = ("mkfs.xfs", "-q", "-f", "-d", "su=2m,sw=1,extszinherit=512", "-l", "su=32k", "-m",
       "reflink=0")
DAX = "dax=always"
# Each has a partition of its own.
ON_DEVICE = (DEVICE_NATIVE, "ext4-dax-stride", "xfs-dax", "ingot-ext4", "ingot-xfs",
             "ingot-device")


def on_device(folder, ingot, partitions, size):
    """{name: how to make it}, each on one of the partitions, in their order."""
    def kernel(name, mkfs):
        return Kernel(folder / name, partitions[name], mkfs, DAX)
    makers = {
        DEVICE_NATIVE: lambda: kernel(DEVICE_NATIVE, EXT4),
        "ext4-dax-stride": lambda: kernel("ext4-dax-stride", EXT4_STRIDE),
        "xfs-dax": lambda: kernel("xfs-dax", XFS),
        "ingot-ext4": lambda: Ingot(folder / "ingot-ext4", ingot, partitions["ingot-ext4"],
                                    host="ext4"),
        "ingot-xfs": lambda: Ingot(folder / "ingot-xfs", ingot, partitions["ingot-xfs"],
                                   host="xfs"),
        "ingot-device": lambda: OnHost(
            folder / "ingot-device", ingot,
            Kernel(folder / "device-host", partitions["ingot-device"], EXT4_STRIDE, DAX),
            size * 7 // 8),
    }
    return {name: makers[name] for name in partitions}
