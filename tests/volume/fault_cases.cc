// SPDX-License-Identifier: BSD-3-Clause
// The pool on which space and memory run out.
#include "tests/volume/fault_cases.h"

#include <linux/falloc.h>
#include <linux/posix_acl.h>

#include "fs/core/posix_acl.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = 48 << 20;

void AddWrites(std::vector<Operation>& made, const char* path, uint64_t count, uint64_t stride) {
  for (uint64_t i = 0; i < count; ++i) {
    made.push_back(
        {.kind = Kind::kWrite, .path = path, .offset = i * stride, .size = 4096, .seed = i});
  }
}

// Inode pages and leaves are full, so that the next entry needs new ones; a file's tree has nodes,
// and another fills the tail's records to the last.
std::vector<Operation> History() {
  std::vector<Operation> made;
  for (const char* path : {"/d", "/empty", "/gone", "/d/sub", "/sparse", "/acl"}) {
    made.push_back({.kind = Kind::kMkdir, .path = path, .mode = 0700});
  }
  for (const char* path : {"/d/many", "/d/whole", "/d/inline", "/d/full", "/d/atomic", "/d/huge",
                           "/d/reserved", "/d/attributes", "/d/capable", "/d/listed"}) {
    made.push_back({.kind = Kind::kCreate, .path = path, .mode = 0600});
  }
  AddWrites(made, "/d/many", 100, 12'288);
  AddWrites(made, "/d/full", 21, 12'288);
  made.push_back({.kind = Kind::kWrite, .path = "/d/whole", .size = 900'000, .seed = 1});
  made.push_back({.kind = Kind::kWrite, .path = "/d/inline", .size = 300, .seed = 2});
  made.push_back({.kind = Kind::kWrite, .path = "/d/atomic", .size = 300'000, .seed = 3});
  made.push_back({.kind = Kind::kWrite, .path = "/d/huge", .size = 2 << 20, .seed = 4});
  made.push_back({.kind = Kind::kFallocate, .path = "/d/reserved", .size = 400'000});
  made.push_back({.kind = Kind::kWrite, .path = "/d/capable", .size = 9000, .seed = 5});
  made.push_back({.kind = Kind::kSetXattr, .path = "/d/attributes", .name = "user.large",
                  .size = 60'000, .seed = 6});
  made.push_back({.kind = Kind::kSetXattr, .path = "/d/attributes", .name = "user.small",
                  .size = 20, .seed = 7});
  made.push_back({.kind = Kind::kSymlink, .path = "/long", .name = std::string(3000, 't')});
  // Names so long that a leaf holds few: the next one splits it. Two leaves that are nearly empty:
  // the next that goes merges them.
  for (int i = 0; i < 14; ++i) {
    made.push_back({.kind = Kind::kCreate, .path = fmt::format("/d/{:0>250}", i), .mode = 0600});
    made.push_back(
        {.kind = Kind::kCreate, .path = fmt::format("/sparse/{:0>250}", i), .mode = 0600});
  }
  for (int i = 0; i < 14; ++i) {
    if (i % 4 == 0) continue;
    made.push_back({.kind = Kind::kUnlink, .path = fmt::format("/sparse/{:0>250}", i)});
  }
  return made;
}

void Must(const Result<void>& result) {
  CHECK(result.has_value(), "{}", Describe(result.error()));
}

// What the model knows nothing of: flags, capabilities, access lists, a large file in 2,200 pieces,
// and a file that has lost its name while somebody held it, until the kill.
void AddSpecialThings(Volume& volume) {
  const InodeNumber atomic = InodeAt(volume, "/d/atomic");
  Must(volume.attributes().SetFlags(atomic, media::kInodeAtomic, media::kInodeAtomic));
  Must(volume.attributes().SetFlags(InodeAt(volume, "/d/huge"), media::kInodeAtomic,
                                    media::kInodeAtomic));
  const std::vector<std::byte> acl = SomeAcl();
  Must(volume.xattrs().Set(InodeAt(volume, "/acl"), kDefaultAclName, acl, XattrSetMode::kAny,
                           false));
  Must(volume.xattrs().Set(InodeAt(volume, "/d/listed"), kAccessAclName, acl, XattrSetMode::kAny,
                           false));
  const std::vector<std::byte> capability(20, std::byte{1});
  Must(volume.xattrs().Set(InodeAt(volume, "/d/capable"), kCapabilityName, capability,
                           XattrSetMode::kAny, false));

  const std::vector<std::byte> page(kPageSize, std::byte{7});
  for (const char* name : {"pieces", "orphan"}) {
    NewNode node;
    node.mode = S_IFREG | 0600;
    const InodeNumber file = volume.names().Create(Volume::kRoot, name, node, {}).value().inode;
    const uint64_t pieces = name[0] == 'p' ? 2200 : 30;
    for (uint64_t i = 0; i < pieces; ++i) {
      CHECK(volume.data().Write(file, i * 2 * kPageSize, page, {}).has_value(), "{}", i);
    }
    if (name[0] == 'p') volume.names().Forget(file, 1);
  }
  Must(volume.names().Unlink(Volume::kRoot, "orphan"));
}

}  // namespace

std::vector<std::byte> SomeAcl() {
  const auto entry = [](uint16_t tag, uint16_t permissions, uint32_t id) {
    return posix_acl_xattr_entry{tag, permissions, id};
  };
  const std::array entries = {
      entry(ACL_USER_OBJ, 7, UINT32_MAX), entry(ACL_USER, 6, 500),
      entry(ACL_GROUP_OBJ, 4, UINT32_MAX), entry(ACL_MASK, 5, UINT32_MAX),
      entry(ACL_OTHER, 0, UINT32_MAX)};
  const posix_acl_xattr_header header{POSIX_ACL_XATTR_VERSION};
  std::vector<std::byte> value(sizeof(header) + sizeof(entries));
  std::memcpy(value.data(), &header, sizeof(header));
  std::memcpy(value.data() + sizeof(header), entries.data(), sizeof(entries));
  return value;
}

int FaultCasePool() {
  static const int image = [] {
    ModelledPool pool(kPoolBytes);
    for (const Operation& operation : History()) pool.Run(operation);
    pool.ExpectWhole();
    AddSpecialThings(pool.volume());
    EXPECT_FSCK_CLEAN(pool.device());
    return CopyOfPool(pool.fd());
  }();
  return image;
}

const std::vector<FaultCase>& FaultCases() {
  static const std::vector<FaultCase> all = [] {
    std::vector<FaultCase> cases;
    AddNameFaultCases(cases);
    AddDataFaultCases(cases);
    AddAttributeFaultCases(cases);
    return cases;
  }();
  return all;
}

}  // namespace ingot::tests
