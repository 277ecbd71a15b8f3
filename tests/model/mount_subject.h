// SPDX-License-Identifier: BSD-3-Clause
// A mounted filesystem as the subject of a model test: system calls below a directory, as root.
#pragma once

#include "tests/model/operation.h"

namespace ingot::tests {

class MountSubject : public Subject {
 public:
  explicit MountSubject(std::string root) : root_(std::move(root)) {}
  std::string Run(const Operation& operation) override;

 private:
  [[nodiscard]] std::string Full(const std::string& path) const { return root_ + path; }
  std::string Make(const Operation& operation);
  std::string Names(const Operation& operation);
  std::string Data(const Operation& operation);
  std::string OnDescriptor(const Operation& operation, int fd);
  std::string Xattr(const Operation& operation);
  std::string Attribute(const Operation& operation);
  std::string ReadNames(const std::string& path);

  std::string root_;
};

}  // namespace ingot::tests
