// SPDX-License-Identifier: BSD-3-Clause
// Mounting a pool and serving it, for fs/cli: MountPool() does all, RunDaemon() serves an open
// volume.
//
// One daemon a process. There is nothing to be written at the end, so a killed daemon leaves what
// an unmount leaves, but for the dead mount itself.
#pragma once

#include <functional>

#include "fs/core/volume.h"
#include "fs/fuse/mount_options.h"

namespace ingot {

using ReadyCallback = std::function<void()>;

// Mounts `volume` and serves it on this process until it is unmounted or SIGTERM or SIGINT comes,
// which unmounts. `ready` is called once the mount answers. Signals of the whole process are set
// up for a daemon. Errors: those of mounting; EIO if the connection breaks. A crash loses nothing
// that was answered.
Result<void> RunDaemon(Volume& volume, const MountOptions& options, const ReadyCallback& ready);

// Checks the options, opens the pool and runs the daemon: in this process if `foreground`,
// returning after the unmount; else in a new one, returning when the mount answers or with the
// error that kept it from that. In the new process it does not return. Not to be called with
// threads running.
Result<void> MountPool(const MountOptions& options);

}  // namespace ingot
