// SPDX-License-Identifier: BSD-3-Clause
// The one question that every mutating operation begins with.
#include "fs/core/core.h"

namespace ingot {

Result<void> Core::CheckWritable() const {
  if (options.read_only || device.mapping().read_only() || !device.writable()) {
    return Failure(EROFS);
  }
  return {};
}

}  // namespace ingot
