// SPDX-License-Identifier: BSD-3-Clause
//
// Where a test finds its data files and the program under test. One object file knows the
// absolute paths, so that all others come out of the compiler cache in every clone. Linked into
// every ingot_test(). Safe from any thread.

#pragma once

#include <filesystem>

namespace ingot::tests {

// The repository's root, for golden images and other committed data.
const std::filesystem::path& SourceDir();

// The build directory; the program is `ingot` in it.
const std::filesystem::path& BuildDir();

}  // namespace ingot::tests
