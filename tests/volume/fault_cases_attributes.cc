// SPDX-License-Identifier: BSD-3-Clause
// Attributes and extended attributes, alone and where they pull each other along.
#include "fs/core/posix_acl.h"
#include "tests/volume/fault_cases.h"

namespace ingot::tests {
namespace {

FaultCase Set(std::string name, std::string path, void (*fill)(AttributeChange&)) {
  AttributeChange change;
  fill(change);
  return {std::move(name), [=](Volume& volume, Fault& fault, uint64_t) {
            const InodeNumber inode = InodeAt(volume, path);
            const Armed armed(fault);
            return Counted(NoThrow([&]() -> Result<void> {
              TRY(volume.attributes().Set(inode, change));
              return {};
            }));
          }};
}

FaultCase SetXattr(std::string name, std::string path, std::string_view attribute,
                   std::vector<std::byte> value) {
  return {std::move(name), [=](Volume& volume, Fault& fault, uint64_t) {
            const InodeNumber inode = InodeAt(volume, path);
            const Armed armed(fault);
            return Counted(NoThrow([&] {
              return volume.xattrs().Set(inode, attribute, value, XattrSetMode::kAny, false);
            }));
          }};
}

std::vector<std::byte> Value(uint64_t size_bytes) {
  const std::string bytes = MakeBytes(88, size_bytes);
  const auto view = std::as_bytes(std::span(bytes));
  return {view.begin(), view.end()};
}

void AddXattrCases(std::vector<FaultCase>& cases) {
  cases.push_back(SetXattr("setxattr_in_the_inode", "/d/inline", "user.x", Value(10)));
  cases.push_back(SetXattr("setxattr_beside_records", "/d/full", "user.x", Value(100)));
  cases.push_back(SetXattr("setxattr_of_a_head", "/d/inline", "user.x", Value(2000)));
  cases.push_back(SetXattr("setxattr_of_64_kib", "/d/whole", "user.x", Value(65'536)));
  cases.push_back(SetXattr("setxattr_beside_a_large_one", "/d/attributes", "user.x", Value(9000)));
  cases.push_back(SetXattr("setxattr_over_a_large_one", "/d/attributes", "user.large", Value(9)));
  cases.push_back(SetXattr("setxattr_of_an_access_acl", "/d/whole", kAccessAclName, SomeAcl()));
  cases.push_back(SetXattr("setxattr_of_a_default_acl", "/empty", kDefaultAclName, SomeAcl()));
  for (const std::string attribute : {"user.large", "user.small"}) {
    cases.push_back(OnInode("removexattr_" + attribute.substr(5), "/d/attributes",
                            [attribute](Volume& volume, InodeNumber inode) {
                              return volume.xattrs().Remove(inode, attribute);
                            }));
    cases.push_back(OnInode("getxattr_" + attribute.substr(5), "/d/attributes",
                            [attribute](Volume& volume, InodeNumber inode) {
                              return volume.xattrs().Get(inode, attribute);
                            }));
  }
  cases.push_back(OnInode("removexattr_of_an_acl", "/acl", [](Volume& volume, InodeNumber inode) {
    return volume.xattrs().Remove(inode, kDefaultAclName);
  }));
  cases.push_back(OnInode("listxattr", "/d/attributes", [](Volume& volume, InodeNumber inode) {
    return volume.xattrs().List(inode);
  }));
}

}  // namespace

void AddAttributeFaultCases(std::vector<FaultCase>& cases) {
  AddXattrCases(cases);
  using Change = AttributeChange;
  cases.push_back(Set("chmod", "/d/inline", [](Change& change) { change.mode = 0640; }));
  cases.push_back(Set("chmod_with_an_acl", "/d/listed", [](Change& change) {
    change.mode = 0640;
  }));
  cases.push_back(Set("chown", "/d/inline", [](Change& change) { change.uid = change.gid = 7; }));
  cases.push_back(Set("chown_that_kills_privileges", "/d/capable", [](Change& change) {
    change.uid = change.gid = 7;
    change.kill_privileges = true;
  }));
  cases.push_back(Set("utimens", "/d", [](Change& change) {
    change.atime = Time{5, 6};
    change.mtime = Time{7, 8};
  }));
  cases.push_back(Set("truncate_that_kills_privileges", "/d/capable", [](Change& change) {
    change.size_bytes = 100;
    change.kill_privileges = true;
  }));
  cases.push_back(OnInode("set_flags", "/d/inline", [](Volume& volume, InodeNumber inode) {
    return volume.attributes().SetFlags(inode, media::kInodeNoDump, media::kInodeNoDump);
  }));
  cases.push_back(OnInode("set_project", "/d", [](Volume& volume, InodeNumber inode) {
    return volume.attributes().SetProject(inode, 9, true);
  }));
  cases.push_back(OnInode("getattr", "/d/inline", [](Volume& volume, InodeNumber inode) {
    return volume.attributes().Get(inode);
  }));
  cases.push_back(OnInode("access_time", "/d/inline",
                          [](Volume& volume, InodeNumber inode) -> Result<void> {
                            volume.attributes().TouchAtime(inode);
                            return {};
                          }));
}

}  // namespace ingot::tests
