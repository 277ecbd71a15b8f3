// SPDX-License-Identifier: BSD-3-Clause
// Going into the background without losing the error: the child works, the parent waits for its
// word, so that mount(8) returns only when the mount answers.
//
// Owns nothing. To be called before any thread was made: only the calling one lives on in the
// child.
#pragma once

#include <functional>

#include "pmemdev/base/result.h"

namespace ingot {

// Forks. In the parent: returns when the child calls the callback that `work` was given, or the
// Error that `work` returned before, or EIO if the child died. In the child: runs `work` in a
// session of its own, and exits. Standard descriptors go to /dev/null once ready.
Result<void> RunInBackground(const std::function<Result<void>(const std::function<void()>&)>& work);

}  // namespace ingot
