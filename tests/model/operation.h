// SPDX-License-Identifier: BSD-3-Clause
// One step of a model test, and what can perform it: the plain model, a volume in process, a mount.
//
// Results are short texts, so that any two subjects can be compared and a difference can be read.
#pragma once

#include <cstdint>
#include <string>

namespace ingot::tests {

enum class Kind : uint8_t {
  kCreate,  // O_CREAT | O_EXCL
  kMkdir,
  kMknod,    // a fifo
  kSymlink,  // path -> name
  kLink,     // path is given the second name path2
  kUnlink,
  kRmdir,
  kRename,  // path -> path2; flags as renameat2(2)
  kWrite,   // size bytes made from seed, at offset
  kAppend,
  kRead,
  kTruncate,   // to size
  kFallocate,  // flags as fallocate(2), offset, size
  kSeek,       // flags: 0 = data, 1 = hole; only where the model can know
  kCopyRange,  // path, offset -> path2, offset2, size
  kSetXattr,   // name = size bytes made from seed; flags as setxattr(2)
  kGetXattr,
  kRemoveXattr,
  kListXattr,
  kChmod,     // mode
  kChown,     // flags = uid and gid
  kSetTimes,  // mtime = offset seconds, size nanoseconds
  kStat,
  kReadLink,
  kReadDirectory,
};

struct Operation {
  Kind kind = Kind::kStat;
  std::string path{};
  std::string path2{};
  std::string name{};
  uint64_t offset = 0;
  uint64_t offset2 = 0;
  uint64_t size = 0;
  uint64_t seed = 0;
  uint32_t mode = 0;
  uint32_t flags = 0;
};

// One line that names the operation and all its arguments.
[[nodiscard]] std::string Describe(const Operation& operation);

// The bytes that an operation writes.
[[nodiscard]] std::string MakeBytes(uint64_t seed, uint64_t size_bytes);

// "ok ..." or "E:ENOENT".
[[nodiscard]] std::string ErrorText(int code);
[[nodiscard]] std::string BytesText(const std::string& bytes);

class Subject {
 public:
  virtual ~Subject() = default;
  virtual std::string Run(const Operation& operation) = 0;
};

// True if the subject's answer fits the model's: equal word by word, "*" of the model fits
// anything.
[[nodiscard]] bool Fits(const std::string& model, const std::string& subject);

// Everything below "/": names, attributes, contents, attributes' values; one line a thing, sorted.
[[nodiscard]] std::string DumpTree(Subject& subject);
// The first line of the trees in which the subject doesn't fit the model; "" if there is none.
[[nodiscard]] std::string TreeDifference(Subject& model, Subject& subject);
[[nodiscard]] std::string TreeDifference(const std::string& expected, const std::string& got);

}  // namespace ingot::tests
