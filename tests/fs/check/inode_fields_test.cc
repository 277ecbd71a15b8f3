// SPDX-License-Identifier: BSD-3-Clause
// Every field of inodes of every kind, changed in every way, sealed and not: reported unless the
// field may say anything, then repaired, and all other files are as they were.
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "tests/fs/check/populated_pool.h"
#include "tests/support/field_mutations.h"

namespace ingot::tests {
namespace {

constexpr uint32_t kAllFlags = 0x3FF;

// Values that no checker can tell from the true one.
bool IsUndetectable(const Field& field, const media::Inode& good, const media::Inode& bad) {
  const std::string_view name = field.name;
  const bool is_backed = good.body_form == media::BodyForm::kBacked;
  const bool has_blocks = (good.body_form == media::BodyForm::kTree || is_backed) &&
                          (good.tree_height > 0 || S_ISDIR(good.mode));
  if (name == "uid" || name == "gid" || name == "project" || name.ends_with("_seconds"))
    return true;
  if (name.ends_with("_nanoseconds")) {
    const auto is_time = [](uint32_t value) { return value < 1'000'000'000; };
    return is_time(bad.atime_nanoseconds) && is_time(bad.mtime_nanoseconds) &&
           is_time(bad.ctime_nanoseconds) && is_time(bad.birth_nanoseconds);
  }
  if (name == "generation") {
    const bool root = good.number == media::kRootInode;
    return !root && bad.generation != 0 && !has_blocks && good.xattr_page == 0;
  }
  if (name == "mode") return (bad.mode & ~07777u) == (good.mode & ~07777u);
  if (name == "flags") {
    const bool same_orphan = ((bad.flags ^ good.flags) & media::kInodeOrphan) == 0;
    // With its links a file marked as orphan is one that is being truncated.
    const bool has_leftovers = is_backed && good.body_bytes != 0;
    const bool truncating = S_ISREG(good.mode) && good.links > 0 && !has_leftovers;
    const uint32_t known = kAllFlags | (is_backed ? uint32_t{media::kInodeMayDemote} : 0);
    return (bad.flags & ~known) == 0 && (same_orphan || truncating);
  }
  if (name == "size_bytes") {
    return (S_ISREG(good.mode) || S_ISLNK(good.mode)) && !is_backed &&
           good.body_form != media::BodyForm::kInline;
  }
  if (name == "device") return S_ISBLK(good.mode) || S_ISCHR(good.mode);
  if (name == "body_form") {
    return good.body_form == media::BodyForm::kEmpty && bad.body_form == media::BodyForm::kInline &&
           S_ISREG(good.mode);
  }
  if (name == "xattr_bytes") return bad.xattr_bytes == 0;
  return name == "tail";
}

std::vector<std::string> PathsOf(PoolKind kind, InodeNumber inode) {
  std::vector<std::string> paths;
  for (const auto& [path, number] : PopulatedPool::Get(kind).inodes()) {
    if (number == inode) paths.push_back(path);
  }
  return paths;
}

struct Victim {
  std::string path;
  PoolKind kind = PoolKind::kDevice;
};

class InodeFields : public ::testing::TestWithParam<Victim> {
 protected:
  void Run(bool sealed) {
    const std::string victim = GetParam().path;
    const PoolKind kind = GetParam().kind;
    const PopulatedPool& pool = PopulatedPool::Get(kind);
    const InodeNumber number = victim == "(orphan)" ? pool.orphan() : pool.Inode(victim);
    std::vector<std::string> paths = PathsOf(kind, number);
    // Another's backing file is the other's, or its own: who came first keeps it.
    if (kind == PoolKind::kDirectory) paths.insert(paths.end(), {"db", "db2", "leftovers"});
    const media::Inode good = PoolCopy(kind).Inode(number);
    int count = 0;
    ForEachMutation(good, [&](const Field& field, const media::Inode& bad) {
      if (sealed && field.kind == FieldKind::kChecksum) return;
      SCOPED_TRACE(fmt::format("{} of '{}', case {}", field.name, victim, count));
      PoolCopy copy(kind);
      copy.Inode(number) = bad;
      if (sealed) copy.Seal(number);
      const check::CheckReport report = copy.ExpectRepairable(paths, ++count % 16 == 0);
      if (!sealed || !IsUndetectable(field, good, bad)) {
        EXPECT_FALSE(report.clean()) << "not noticed";
      }
    });
    EXPECT_GT(count, 100 / kMutationStride);
  }
};

TEST_P(InodeFields, Sealed) {
  Run(true);
}
TEST_P(InodeFields, Unsealed) {
  Run(false);
}

INSTANTIATE_TEST_SUITE_P(All, InodeFields,
                         ::testing::Values(Victim{""}, Victim{"inline"}, Victim{"empty"},
                                           Victim{"fragmented"}, Victim{"huge"},
                                           Victim{"unwritten"}, Victim{"symlink"},
                                           Victim{"long_symlink"}, Victim{"fifo"}, Victim{"block"},
                                           Victim{"xattr_inline"}, Victim{"xattr_head"},
                                           Victim{"xattr_runs"}, Victim{"outer/inner"},
                                           Victim{"empty_directory"}, Victim{"big"},
                                           Victim{"(orphan)"}),
                         [](const auto& test) { return fmt::format("n{}", test.index); });

INSTANTIATE_TEST_SUITE_P(DirectoryPool, InodeFields,
                         ::testing::Values(Victim{"db", PoolKind::kDirectory},
                                           Victim{"db2", PoolKind::kDirectory},
                                           Victim{"leftovers", PoolKind::kDirectory},
                                           Victim{"empty", PoolKind::kDirectory}),
                         [](const auto& test) { return fmt::format("n{}", test.index); });

}  // namespace
}  // namespace ingot::tests
