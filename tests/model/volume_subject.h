// SPDX-License-Identifier: BSD-3-Clause
// A volume in process as the subject of a model test: paths walked by Lookup, each reference given
// back.
#pragma once

#include "fs/core/volume.h"
#include "tests/model/operation.h"

namespace ingot::tests {

class VolumeSubject : public Subject {
 public:
  // The volume may be exchanged for a reopened one between operations.
  explicit VolumeSubject(Volume& volume) : volume_(&volume) {}
  void Use(Volume& volume) { volume_ = &volume; }
  std::string Run(const Operation& operation) override;

 private:
  class Reference;
  struct Place;
  Result<Place> Parent(const std::string& path);
  Result<Reference> Node(const std::string& path);
  Result<std::string> Dispatch(const Operation& operation);
  Result<std::string> Make(const Operation& operation);
  Result<std::string> Names(const Operation& operation);
  Result<std::string> Data(const Operation& operation);
  Result<std::string> Read(InodeNumber inode, const Operation& operation);
  Result<std::string> ReadNames(InodeNumber inode);
  Result<std::string> Xattr(const Operation& operation);
  Result<std::string> Attribute(const Operation& operation);

  Volume* volume_;
};

}  // namespace ingot::tests
