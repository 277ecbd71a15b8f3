// SPDX-License-Identifier: BSD-3-Clause
// dump of what directory pools have besides: the ledger, and inodes with backing files.
#include "fs/admin/dump.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "fs/core/backing_ledger.h"
#include "tests/fs/check/populated_pool.h"

namespace ingot::tests {
namespace {

using admin::Json;
using admin::RawPool;

RawPool OpenRaw(int fd) {
  auto pool = RawPool::Open(fmt::format("/proc/self/fd/{}", fd));
  CHECK(pool.has_value(), "{}", Describe(pool.error()));
  return std::move(*pool);
}

TEST(Dump, TheLedgerOfADirectoryPool) {
  const PopulatedPool& directory = PopulatedPool::Get(PoolKind::kDirectory);
  RawPool pool = OpenRaw(directory.fd());
  const auto dumped = admin::DumpGroup(pool, GroupIndex(0));
  ASSERT_TRUE(dumped) << Describe(dumped.error());
  const Json& ledger = (*dumped)["ledger"];
  EXPECT_EQ(ledger["page"], 3);
  EXPECT_EQ(ledger["state"], "whole");
  PoolCopy copy(PoolKind::kDirectory);
  const auto& stored = copy.Block<media::BackingLedger>(BackingLedger::kPage);
  EXPECT_EQ(ledger["next_number"], stored.next_number);
  // Sixteen spares, of which three files have theirs.
  EXPECT_EQ(ledger["numbers"].size(), 13u);
  EXPECT_EQ(ledger["numbers"][0], stored.numbers[0]);
  EXPECT_TRUE((*dumped)["problems"].empty()) << admin::ToText(*dumped);
}

TEST(Dump, ADevicePoolHasNone) {
  RawPool pool = OpenRaw(PopulatedPool::Get().fd());
  const auto dumped = admin::DumpGroup(pool, GroupIndex(0));
  ASSERT_TRUE(dumped) << Describe(dumped.error());
  EXPECT_FALSE(dumped->contains("ledger"));
}

TEST(Dump, ADamagedLedgerIsShownAndSaid) {
  const int whole = PopulatedPool::Get(PoolKind::kDirectory).fd();
  PoolCopy copy(PoolKind::kDirectory);
  const std::unique_ptr<Mapping> mapping = copy.TakeMapping();
  std::string path = "/dev/shm/ingot-dump-XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  ASSERT_EQ(unlink(path.c_str()), 0);
  const auto size = static_cast<size_t>(lseek(whole, 0, SEEK_END));
  ASSERT_EQ(ftruncate(fd, static_cast<off_t>(size)), 0);
  for (size_t at = 0; at < size; at += 1 << 20) {
    ASSERT_EQ(pwrite(fd, mapping->base() + at, 1 << 20, static_cast<off_t>(at)), 1 << 20);
  }
  const uint64_t wrong = 99;
  const MediaOffset ledger = Geometry::ToMedia(BackingLedger::kPage);
  ASSERT_EQ(pwrite(fd, &wrong, sizeof(wrong),
                   static_cast<off_t>(ledger.value + offsetof(media::BackingLedger, numbers))),
            8);
  {
    RawPool pool = OpenRaw(fd);
    const auto dumped = admin::DumpGroup(pool, GroupIndex(0));
    ASSERT_TRUE(dumped) << Describe(dumped.error());
    EXPECT_EQ((*dumped)["ledger"]["state"], "damaged");
    EXPECT_EQ((*dumped)["ledger"]["numbers"][0], 99);
    EXPECT_EQ((*dumped)["problems"].size(), 1u) << admin::ToText(*dumped);
  }
  close(fd);
}

TEST(Dump, BackedInodes) {
  const PopulatedPool& directory = PopulatedPool::Get(PoolKind::kDirectory);
  PoolCopy copy(PoolKind::kDirectory);
  RawPool pool = OpenRaw(directory.fd());
  for (const char* path : {"db", "leftovers"}) {
    const InodeNumber number = directory.Inode(path);
    const auto dumped = admin::DumpInode(pool, number);
    ASSERT_TRUE(dumped) << Describe(dumped.error());
    const Json& body = (*dumped)["body"];
    EXPECT_EQ(body["form"], "backed") << path;
    EXPECT_EQ(body["backing_file"], copy.Inode(number).backing_file) << path;
    EXPECT_EQ(body.contains("to_be_freed"), std::string_view(path) == "leftovers");
    EXPECT_TRUE((*dumped)["problems"].empty()) << admin::ToText(*dumped);
  }
  const auto dumped = admin::DumpInode(pool, directory.Inode("leftovers"));
  EXPECT_EQ((*dumped)["body"]["to_be_freed"]["extents"].size(), 60u);
}

}  // namespace
}  // namespace ingot::tests
