// SPDX-License-Identifier: BSD-3-Clause
// Extended attributes of all sizes, and POSIX ACLs as far as they are the filesystem's business.
#include "fs/core/xattrs.h"

#include <linux/posix_acl.h>

#include <map>
#include <random>

#include "fs/core/posix_acl.h"
#include "fs/core/xattr_blob.h"
#include "tests/fs/core/volume_fixture.h"
#include "tests/fs/core/volume_walk.h"

namespace ingot::tests {
namespace {

using Value = std::vector<std::byte>;

class XattrsTest : public VolumeFixture {
 protected:
  void SetUp() override {
    VolumeFixture::SetUp();
    file_ = MakeFile(kRoot, "file");
  }
  Result<void> Set(std::string_view name, const Value& value,
                   XattrSetMode mode = XattrSetMode::kAny) {
    return xattrs().Set(file_, name, value, mode, false);
  }
  media::Inode Inode(InodeNumber number) { return *core().reader.ReadInode(number); }
  InodeNumber file_;
};

TEST_F(XattrsTest, SetGetListRemove) {
  EXPECT_ERROR(ENODATA, xattrs().Get(file_, "user.a"));
  ASSERT_OK(Set("user.a", Bytes("one")));
  ASSERT_OK(Set("security.b", Bytes("")));
  ASSERT_OK(Set("trusted.c", Bytes("three")));
  EXPECT_EQ(*xattrs().Get(file_, "user.a"), Bytes("one"));
  EXPECT_EQ(*xattrs().Get(file_, "security.b"), Bytes(""));
  EXPECT_EQ(*xattrs().List(file_), std::string("user.a\0security.b\0trusted.c\0", 28));
  ASSERT_OK(Set("user.a", Bytes("other")));
  EXPECT_EQ(*xattrs().Get(file_, "user.a"), Bytes("other"));
  MakeOld(file_);
  ASSERT_OK(xattrs().Remove(file_, "security.b"));
  EXPECT_TRUE(IsChanged(file_));
  EXPECT_FALSE(IsModified(file_));
  EXPECT_ERROR(ENODATA, xattrs().Remove(file_, "security.b"));
  Reopen();
  EXPECT_EQ(*xattrs().List(file_), std::string("user.a\0trusted.c\0", 17));
}

TEST_F(XattrsTest, ModesNamesAndLimits) {
  EXPECT_ERROR(ENODATA, Set("user.a", {}, XattrSetMode::kReplace));
  ASSERT_OK(Set("user.a", {}, XattrSetMode::kCreate));
  EXPECT_ERROR(EEXIST, Set("user.a", {}, XattrSetMode::kCreate));
  ASSERT_OK(Set("user.a", {}, XattrSetMode::kReplace));
  EXPECT_ERROR(ERANGE, Set("", {}));
  EXPECT_ERROR(ERANGE, Set("user." + std::string(251, 'x'), {}));
  ASSERT_OK(Set("user." + std::string(250, 'x'), {}));
  EXPECT_ERROR(EINVAL, Set("user.", {}));
  EXPECT_ERROR(EOPNOTSUPP, Set("system.other", {}));
  EXPECT_ERROR(EOPNOTSUPP, Set("other.a", {}));
  EXPECT_ERROR(EOPNOTSUPP, xattrs().Get(file_, "system.other"));
  EXPECT_ERROR(EOPNOTSUPP, xattrs().Remove(file_, "system.other"));
  EXPECT_ERROR(ERANGE, Set("user.b", Value(65537)));
  for (const uint32_t flag : {media::kInodeImmutable, media::kInodeAppendOnly}) {
    ASSERT_OK(attributes().SetFlags(file_, flag, flag));
    EXPECT_ERROR(EPERM, Set("user.b", {}));
    EXPECT_ERROR(EPERM, xattrs().Remove(file_, "user.a"));
    ASSERT_OK(attributes().SetFlags(file_, flag, 0));
  }
  EXPECT_ERROR(ESTALE, xattrs().List(InodeNumber(7)));
}

TEST_F(XattrsTest, AllTogetherAreBounded) {
  for (int i = 0; i < 7; ++i) ASSERT_OK(Set("user." + std::to_string(i), Value(65536)));
  EXPECT_ERROR(E2BIG, Set("user.more", Value(65536)));
  EXPECT_EQ(xattrs().Get(file_, "user.6")->size(), 65536u);
  EXPECT_ERROR(ENODATA, xattrs().Get(file_, "user.more"));
}

TEST_F(XattrsTest, EachChangeIsOneTransaction) {
  TransactionCounter transactions(volume().device().journal());
  for (const size_t size : {10u, 200u, 4000u, 5000u, 65536u, 4000u, 10u}) {
    ASSERT_OK(Set("user.a", Value(size, std::byte{1})));
    EXPECT_EQ(transactions.Take(), 1u) << size;
  }
  ASSERT_OK(xattrs().Remove(file_, "user.a"));
  EXPECT_EQ(transactions.Take(), 1u);
}

TEST_F(XattrsTest, FormsFollowSizeAndRoom) {
  const uint64_t free_pages = core().allocator->Count().free_pages;
  ASSERT_OK(Set("user.a", Value(146)));  // 8 + 6 + 146 = 160
  EXPECT_EQ(Inode(file_).xattr_bytes, 160u);
  EXPECT_EQ(Inode(file_).xattr_page, 0u);
  ASSERT_OK(Set("user.a", Value(147)));
  EXPECT_EQ(Inode(file_).xattr_bytes, 0u);
  EXPECT_NE(Inode(file_).xattr_page, 0u);
  EXPECT_EQ(Inode(file_).page_count, 1u);
  ASSERT_OK(Set("user.a", Value(media::kXattrInHeadBytes - 14)));
  EXPECT_EQ(Inode(file_).page_count, 1u);
  ASSERT_OK(Set("user.a", Value(media::kXattrInHeadBytes - 13)));
  EXPECT_EQ(Inode(file_).page_count, 2u);
  EXPECT_EQ(xattrs().Pages(Inode(file_))->size(), 2u);
  ASSERT_OK(Set("user.a", Value(65536)));
  EXPECT_EQ(Inode(file_).page_count, 18u);
  ASSERT_OK(Set("user.a", Value(1)));
  EXPECT_EQ(Inode(file_).page_count, 0u);
  EXPECT_EQ(core().allocator->Count().free_pages, free_pages);
  // Beside a full body even a small blob goes to a page, and the contents stay.
  const InodeNumber full = MakeFile(kRoot, "full");
  WriteAll(full, std::string(300, 'x'));
  ASSERT_OK(xattrs().Set(full, "user.a", Bytes("0123456789012345678901234567"),
                         XattrSetMode::kAny, false));
  EXPECT_EQ(ReadAll(full), std::string(300, 'x'));
  EXPECT_EQ(xattrs().Get(full, "user.a")->size(), 28u);
  EXPECT_NE(Inode(full).xattr_page, 0u);
  // And a body that grows beside inline attributes leaves them alone.
  ASSERT_OK(Set("user.a", Value(146, std::byte{9})));
  WriteAll(file_, std::string(5000, 'y'));
  EXPECT_EQ(*xattrs().Get(file_, "user.a"), Value(146, std::byte{9}));
}

// In a pool of many inodes and directories the homes of groups have a free page here and there.
// That a transaction can take only a few groups is no lack of space.
TEST_F(XattrsTest, ScatteredFreePagesAreNoLimit) {
  Make(uint64_t{1} << 30);
  file_ = MakeFile(kRoot, "file");
  std::vector<Claim> homes;
  for (;;) {
    auto claim = core().allocator->Take({.purpose = ClaimPurpose::kMetadata});
    ASSERT_OK(claim);
    if (IndexInGroup(claim->first()) >= kPagesPerHugePage) break;
    homes.push_back(std::move(*claim));
  }
  ASSERT_GT(homes.size(), 7u * 400);
  for (size_t i = 0; i < homes.size(); i += 100) homes[i] = {};
  ASSERT_OK(Set("user.a", Value(65536, std::byte{1})));
  ASSERT_OK(Set("user.a", Value(65536, std::byte{2}), XattrSetMode::kReplace));
  EXPECT_EQ(*xattrs().Get(file_, "user.a"), Value(65536, std::byte{2}));
}

TEST_F(XattrsTest, AgainstAModel) {
  std::map<std::string, Value> model;
  std::mt19937_64 random(7);
  for (int i = 0; i < 400; ++i) {
    const std::string name = "user.n" + std::to_string(random() % 12);
    if (random() % 3 == 0) {
      const auto removed = xattrs().Remove(file_, name);
      EXPECT_EQ(removed.error_code(), model.erase(name) == 1 ? 0 : ENODATA);
    } else {
      const uint64_t limit = uint64_t{1} << (random() % 15);
      const Value value(random() % limit, static_cast<std::byte>(random()));
      ASSERT_OK(Set(name, value));
      model[name] = value;
    }
    if (i % 100 == 99) Reopen();
    for (const auto& [key, value] : model) EXPECT_EQ(*xattrs().Get(file_, key), value);
  }
}

TEST_F(XattrsTest, DamagedBlobsAreRefused) {
  ASSERT_OK(Set("user.a", Value(1000)));
  ASSERT_OK(Set("user.b", Value(9000)));
  const auto pages = xattrs().Pages(Inode(file_));
  ASSERT_OK(pages);
  const std::vector<std::byte> noise(64, std::byte{0xAB});
  PersistStream stream = volume().device().persist().NewStream();
  ASSERT_OK(stream.CopyUnfenced(Geometry::ToMedia(pages->front().start), noise));
  ASSERT_OK(stream.Fence());
  EXPECT_ERROR(EUCLEAN, xattrs().Get(file_, "user.a"));
  EXPECT_ERROR(EUCLEAN, xattrs().List(file_));
  EXPECT_ERROR(EUCLEAN, Set("user.a", {}));
}

TEST(XattrBlobTest, ParsesOnlyWhatFits) {
  const Value value(5);
  const XattrView entries[] = {{"user.a", value}, {"user.bb", {}}};
  const Value blob = EncodeXattrs(entries);
  EXPECT_EQ(blob.size(), 24u + 16u);
  const auto parsed = ParseXattrs(blob);
  ASSERT_OK(parsed);
  ASSERT_EQ(parsed->size(), 2u);
  EXPECT_EQ((*parsed)[1].name, "user.bb");
  for (size_t length = 1; length < blob.size(); ++length) {
    if (length == 24) continue;  // the first entry alone
    EXPECT_ERROR(EUCLEAN, ParseXattrs(std::span(blob).first(length)));
  }
  for (size_t at = 0; at < blob.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Value damaged = blob;
      damaged[at] ^= static_cast<std::byte>(1 << bit);
      const auto result = ParseXattrs(damaged);  // never reads outside; the sanitizer sees to it
      EXPECT_TRUE(result || result.error_code() == EUCLEAN);
    }
  }
}

// --- ACLs ----------------------------------------------------------------------------------------

struct AclEntry {
  uint16_t tag;
  uint16_t permissions;
  uint32_t id = static_cast<uint32_t>(ACL_UNDEFINED_ID);
};
Value Acl(std::initializer_list<AclEntry> entries, uint32_t version = POSIX_ACL_XATTR_VERSION) {
  Value value(4 + entries.size() * 8);
  std::memcpy(value.data(), &version, 4);
  std::byte* to = value.data() + 4;
  for (const AclEntry& entry : entries) {
    std::memcpy(to, &entry.tag, 2);
    std::memcpy(to + 2, &entry.permissions, 2);
    std::memcpy(to + 4, &entry.id, 4);
    to += 8;
  }
  return value;
}
Value FullAcl(uint16_t mask = 5) {
  return Acl({{ACL_USER_OBJ, 7}, {ACL_USER, 6, 500}, {ACL_GROUP_OBJ, 4}, {ACL_GROUP, 7, 600},
              {ACL_MASK, mask}, {ACL_OTHER, 1}});
}

TEST_F(XattrsTest, AccessAclSetsTheMode) {
  ASSERT_OK(Set(kAccessAclName, FullAcl()));
  EXPECT_EQ(Get(file_).mode, S_IFREG | 0751u);
  EXPECT_EQ(*xattrs().Get(file_, kAccessAclName), FullAcl());
  // chmod changes owner, mask and others, and leaves the owning group.
  AttributeChange change;
  change.mode = 0624;
  ASSERT_OK(attributes().Set(file_, change));
  EXPECT_EQ(*xattrs().Get(file_, kAccessAclName),
            Acl({{ACL_USER_OBJ, 6}, {ACL_USER, 6, 500}, {ACL_GROUP_OBJ, 4}, {ACL_GROUP, 7, 600},
                 {ACL_MASK, 2}, {ACL_OTHER, 4}}));
  // Equivalent to a mode: dropped.
  ASSERT_OK(Set(kAccessAclName, Acl({{ACL_USER_OBJ, 6}, {ACL_GROUP_OBJ, 0}, {ACL_OTHER, 0}})));
  EXPECT_EQ(Get(file_).mode, S_IFREG | 0600u);
  EXPECT_ERROR(ENODATA, xattrs().Get(file_, kAccessAclName));
  ASSERT_OK(xattrs().Remove(file_, kAccessAclName));
  ASSERT_OK(Set(kAccessAclName, FullAcl()));
  ASSERT_OK(Set(kAccessAclName, {}));
  EXPECT_ERROR(ENODATA, xattrs().Get(file_, kAccessAclName));
  EXPECT_EQ(Get(file_).mode, S_IFREG | 0751u);
}

TEST_F(XattrsTest, SetGidGoesWhenToldTo) {
  AttributeChange change;
  change.mode = 02755;
  ASSERT_OK(attributes().Set(file_, change));
  ASSERT_OK(xattrs().Set(file_, kAccessAclName, FullAcl(), XattrSetMode::kAny, false));
  EXPECT_EQ(Get(file_).mode, S_IFREG | 02751u);
  ASSERT_OK(xattrs().Set(file_, kAccessAclName, FullAcl(), XattrSetMode::kAny, true));
  EXPECT_EQ(Get(file_).mode, S_IFREG | 0751u);
}

TEST_F(XattrsTest, InvalidAclsAreRefused) {
  const uint32_t mode = Get(file_).mode;
  EXPECT_ERROR(EINVAL, Set(kAccessAclName, Value(3)));
  Value cut = FullAcl();
  cut.resize(11);
  EXPECT_ERROR(EINVAL, Set(kAccessAclName, cut));
  EXPECT_ERROR(EOPNOTSUPP, Set(kAccessAclName, Acl({{ACL_USER_OBJ, 7}}, 1)));
  for (const Value& acl :
       {Acl({{ACL_USER_OBJ, 7}}), Acl({{ACL_GROUP_OBJ, 7}, {ACL_USER_OBJ, 7}, {ACL_OTHER, 7}}),
        Acl({{ACL_USER_OBJ, 8}, {ACL_GROUP_OBJ, 7}, {ACL_OTHER, 7}}),
        Acl({{ACL_USER_OBJ, 7}, {ACL_USER, 7, 1}, {ACL_GROUP_OBJ, 7}, {ACL_OTHER, 7}}),
        Acl({{ACL_USER_OBJ, 7}, {ACL_USER, 7}, {ACL_GROUP_OBJ, 7}, {ACL_MASK, 7}, {ACL_OTHER, 7}}),
        Acl({{ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 7}, {ACL_OTHER, 7}, {ACL_OTHER, 7}}),
        Acl({{ACL_USER_OBJ, 7}, {3, 7}, {ACL_GROUP_OBJ, 7}, {ACL_OTHER, 7}})}) {
    EXPECT_ERROR(EINVAL, Set(kAccessAclName, acl));
  }
  EXPECT_EQ(Get(file_).mode, mode);
  EXPECT_ERROR(EACCES, Set(kDefaultAclName, FullAcl()));
  ASSERT_OK(xattrs().Remove(file_, kDefaultAclName));
  NewNode node;
  node.mode = S_IFLNK | 0777;
  node.symlink_target = "x";
  const auto link = names().Create(kRoot, "link", node, kOwner);
  ASSERT_OK(link);
  EXPECT_ERROR(EOPNOTSUPP, xattrs().Set(link->inode, kAccessAclName, FullAcl(),
                                        XattrSetMode::kAny, false));
}

TEST_F(XattrsTest, DefaultAclIsInherited) {
  const InodeNumber directory = MakeDirectory(kRoot, "d");
  ASSERT_OK(xattrs().Set(directory, kDefaultAclName, FullAcl(7), XattrSetMode::kAny, false));
  EXPECT_EQ(Get(directory).mode, S_IFDIR | 0755u);

  TransactionCounter transactions(volume().device().journal());
  NewNode node;
  node.mode = S_IFREG | 0666;
  node.umask = 077;  // doesn't count here
  const auto file = names().Create(directory, "file", node, kOwner);
  ASSERT_OK(file);
  EXPECT_EQ(transactions.Take(), 1u);
  EXPECT_EQ(file->mode, S_IFREG | 0660u);
  EXPECT_EQ(*xattrs().Get(file->inode, kAccessAclName),
            Acl({{ACL_USER_OBJ, 6}, {ACL_USER, 6, 500}, {ACL_GROUP_OBJ, 4}, {ACL_GROUP, 7, 600},
                 {ACL_MASK, 6}, {ACL_OTHER, 0}}));
  EXPECT_ERROR(ENODATA, xattrs().Get(file->inode, kDefaultAclName));

  const InodeNumber sub = MakeDirectory(directory, "sub");
  EXPECT_EQ(*xattrs().Get(sub, kDefaultAclName), FullAcl(7));
  EXPECT_EQ(Get(sub).mode, S_IFDIR | 0751u);
  // One that says no more than a mode leaves no access list behind.
  const Value plain = Acl({{ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 5}, {ACL_OTHER, 0}});
  ASSERT_OK(xattrs().Set(directory, kDefaultAclName, plain, XattrSetMode::kAny, false));
  const InodeNumber other = MakeNode(directory, "other", S_IFREG | 0666);
  EXPECT_EQ(Get(other).mode, S_IFREG | 0640u);
  EXPECT_EQ(*xattrs().List(other), "");
  const auto unnamed = names().CreateUnnamed(directory, node, kOwner);
  ASSERT_OK(unnamed);
  EXPECT_EQ(unnamed->mode, S_IFREG | 0640u);
}

}  // namespace
}  // namespace ingot::tests
