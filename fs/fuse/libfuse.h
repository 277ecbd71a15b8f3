// SPDX-License-Identifier: BSD-3-Clause
// libfuse's low-level interface at the version that this folder was written for.
//
// The only place that includes it, so that all files agree on FUSE_USE_VERSION. Static inline
// shims in there depend on it.
#pragma once

#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>
