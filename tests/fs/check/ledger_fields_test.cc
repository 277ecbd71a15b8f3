// SPDX-License-Identifier: BSD-3-Clause
// The ledger of a directory pool: header, next_number and numbers changed in every way, sealed and
// not. Whatever it says, no file of an inode is lost, by the repair or by the mount behind it.
#include <gtest/gtest.h>

#include <set>

#include "fs/check/backing_pass.h"
#include "fs/core/backing_ledger.h"
#include "tests/fs/check/populated_pool.h"
#include "tests/support/field_mutations.h"

namespace ingot::tests {

// What is mutated of the block: the first number and the last, listed or not.
struct LedgerWords {
  uint64_t next_number;
  uint64_t first;
  uint64_t second;
  uint64_t last;
};

}  // namespace ingot::tests

namespace ingot::media {
template <>
inline constexpr auto kFieldsOf<tests::LedgerWords> = std::array{
    INGOT_FIELD(tests::LedgerWords, next_number, kUnsigned),
    INGOT_FIELD(tests::LedgerWords, first, kUnsigned),
    INGOT_FIELD(tests::LedgerWords, second, kUnsigned),
    INGOT_FIELD(tests::LedgerWords, last, kUnsigned),
};
}  // namespace ingot::media

namespace ingot::tests {
namespace {

using check::FindingKind;

media::BackingLedger& LedgerOf(PoolCopy& copy) {
  return copy.Block<media::BackingLedger>(BackingLedger::kPage);
}

LedgerWords Read(const media::BackingLedger& ledger) {
  return {ledger.next_number, ledger.numbers[0], ledger.numbers[1], ledger.numbers.back()};
}

void Write(media::BackingLedger& ledger, const LedgerWords& words) {
  ledger.next_number = words.next_number;
  ledger.numbers[0] = words.first;
  ledger.numbers[1] = words.second;
  ledger.numbers.back() = words.last;
}

TEST(LedgerFields, Header) {
  PoolCopy original(PoolKind::kDirectory);
  const media::BlockHeader good = LedgerOf(original).header;
  EXPECT_EQ(good.magic, media::kLedgerMagic);
  int count = 0;
  for (const bool sealed : {true, false}) {
    ForEachMutation(good, [&](const Field& field, const media::BlockHeader& bad) {
      if (sealed && field.kind == FieldKind::kChecksum) return;
      SCOPED_TRACE(fmt::format("{}, case {}, sealed {}", field.name, ++count, sealed));
      PoolCopy copy(PoolKind::kDirectory);
      LedgerOf(copy).header = bad;
      if (sealed) copy.Seal(BackingLedger::kPage);
      const check::CheckReport report = copy.ExpectRepairable({});
      EXPECT_TRUE(Has(report, FindingKind::kLedger)) << Summary(report);
    });
  }
  EXPECT_GT(count, 60 / kMutationStride);
}

TEST(LedgerFields, Words) {
  PoolCopy original(PoolKind::kDirectory);
  const LedgerWords good = Read(LedgerOf(original));
  ASSERT_NE(good.first, 0u) << "listed";
  ASSERT_EQ(good.last, 0u) << "a free place";
  int count = 0;
  for (const bool sealed : {true, false}) {
    ForEachMutation(good, [&](const Field& field, const LedgerWords& bad) {
      SCOPED_TRACE(fmt::format("{}, case {}, sealed {}", field.name, ++count, sealed));
      PoolCopy copy(PoolKind::kDirectory);
      Write(LedgerOf(copy), bad);
      if (sealed) copy.Seal(BackingLedger::kPage);
      const check::CheckReport report = copy.ExpectRepairable({});
      // Numbers may have been left out.
      const bool is_possible = bad.next_number > good.next_number &&
                               bad.next_number <= media::kMaxBackingNumber;
      EXPECT_EQ(report.clean(), sealed && is_possible) << Summary(report);
    });
  }
  EXPECT_GT(count, 50 / kMutationStride);
}

// Each number that anybody has, in each kind of place.
TEST(LedgerFields, NumbersOfOthers) {
  const PopulatedPool& pool = PopulatedPool::Get(PoolKind::kDirectory);
  PoolCopy original(PoolKind::kDirectory);
  const LedgerWords good = Read(LedgerOf(original));
  for (const char* path : {"db", "db2", "leftovers"}) {
    const uint64_t number = original.Inode(pool.Inode(path)).backing_file;
    for (uint64_t LedgerWords::* const place : {&LedgerWords::first, &LedgerWords::last}) {
      PoolCopy copy(PoolKind::kDirectory);
      LedgerWords bad = good;
      bad.*place = number;
      Write(LedgerOf(copy), bad);
      copy.Seal(BackingLedger::kPage);
      const check::CheckReport report = copy.ExpectRepairable({});
      EXPECT_TRUE(Has(report, FindingKind::kLedger)) << path << ": " << Summary(report);
    }
  }
}

}  // namespace
}  // namespace ingot::tests
