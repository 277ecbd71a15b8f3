// SPDX-License-Identifier: BSD-3-Clause
// A pool for measuring: made, opened and filled through fs/core, without FUSE.
//
// A benchmark can do nothing about an error: all functions here end the program with a message. The
// pool's file is the caller's to remove. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "fs/core/volume.h"

namespace ingot::bench {

[[noreturn]] void Fail(const std::string& message);

// The value of a result, or the end.
template <typename T>
T Require(Result<T> result) {
  if (!result.has_value()) Fail(Describe(result.error()));
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// A new pool file at `path`, sparse.
[[nodiscard]] std::unique_ptr<Volume> MakeVolume(const std::string& path, uint64_t size_bytes);

// The same, but what is stored stays in this process, and nothing is asked of the file's host: a
// pool of any size for what its metadata takes.
[[nodiscard]] std::unique_ptr<Volume> MakePrivateVolume(const std::string& path,
                                                        uint64_t size_bytes);

// Both without a lookup reference left.
InodeNumber MakeFile(Volume& volume, InodeNumber parent, const std::string& name);
InodeNumber MakeDirectory(Volume& volume, InodeNumber parent, const std::string& name);

// "file-00000042": of one length for all numbers below 10^8, so that names cost the same.
[[nodiscard]] std::string FileName(uint64_t number);
// Makes files of those names, [0, count), empty.
void Fill(Volume& volume, InodeNumber directory, uint64_t count);

}  // namespace ingot::bench
