// SPDX-License-Identifier: BSD-3-Clause
// mount(8)'s -N: working in another mount namespace.
//
// Changes the namespace of the calling thread for good; called before there is any other, so of the
// process.
#pragma once

#include <string>

#include "pmemdev/base/result.h"

namespace ingot::cli {

// Enters the namespace that `path` names (/proc/PID/ns/mnt); an empty path is this one. EPERM,
// ENOENT.
Result<void> EnterMountNamespace(const std::string& path);

}  // namespace ingot::cli
