// SPDX-License-Identifier: BSD-3-Clause
// The ledger of backing files: one block, believed if its checksum is right, else written anew.
#include <algorithm>

#include <fmt/format.h>

#include "fs/check/backing_pass.h"
#include "fs/core/backing_ledger.h"

namespace ingot::check {
namespace {

class LedgerCheck {
 public:
  LedgerCheck(Context& context, uint64_t highest) : context_(context), highest_(highest) {}

  Result<std::vector<uint64_t>> Run() {
    const Result<void> read = Read();
    if (!read) {
      Wrong(Describe(read.error()));
      MakeAnew();
    } else {
      FixHeader();
      FixNextNumber();
      FixNumbers();
    }
    if (is_wrong_ && context_.repairing()) {
      ++context_.fixed;
      TRY(context_.writer->WriteBlock(BackingLedger::kPage, WritableBytesOf(ledger_)));
    }
    std::vector<uint64_t> listed;
    std::ranges::copy_if(ledger_.numbers, std::back_inserter(listed),
                         [this](uint64_t number) { return MayBe(number); });
    std::ranges::sort(listed);
    return listed;
  }

 private:
  [[nodiscard]] bool MayBe(uint64_t number) const {
    return number != 0 && number < context_.backing_limit;
  }
  Result<void> Read() {
    return context_.reader.Copy(BackingLedger::kPage, BackingLedger::kIdentity,
                                WritableBytesOf(ledger_));
  }
  void Wrong(std::string_view what) {
    is_wrong_ = true;
    context_.Report(FindingKind::kLedger, At(BackingLedger::kPage),
                    fmt::format("ledger of backing files: {}", what));
  }
  // What it listed is found in the directory, and listed or kept then.
  void MakeAnew() {
    ledger_ = {};
    ledger_.header.magic = media::kLedgerMagic;
    ledger_.header.page = BackingLedger::kPage.value;
    ledger_.next_number = highest_ + 1;
  }
  void FixHeader() {
    if (ledger_.header.level == 0 && ledger_.header.count == 0) return;
    Wrong("level or count");
    ledger_.header.level = ledger_.header.count = 0;
  }
  // Listed numbers count as used, too: their files may be there.
  void FixNextNumber() {
    uint64_t used = highest_;
    for (const uint64_t number : ledger_.numbers) {
      if (MayBe(number)) used = std::max(used, number);
    }
    if (ledger_.next_number > used && ledger_.next_number <= media::kMaxBackingNumber) return;
    Wrong(fmt::format("next_number {}, and {} is in use", ledger_.next_number, used));
    ledger_.next_number = used + 1;
  }
  void FixNumbers() {
    for (auto place = ledger_.numbers.begin(); place != ledger_.numbers.end(); ++place) {
      const uint64_t number = *place;
      if (number == 0) continue;
      const auto owner = context_.backing_owners.find(number);
      if (!MayBe(number)) {
        Wrong(fmt::format("{} is no file's number", number));
      } else if (owner != context_.backing_owners.end() && owner->second != 0) {
        Wrong(fmt::format("{} is to be deleted, but belongs to inode {}", number, owner->second));
      } else if (std::find(ledger_.numbers.begin(), place, number) != place) {
        Wrong(fmt::format("{} is listed twice", number));
      } else {
        continue;
      }
      *place = 0;
    }
  }

  Context& context_;
  const uint64_t highest_;
  media::BackingLedger ledger_{};
  bool is_wrong_ = false;
};

}  // namespace

void ClaimLedger(Context& context) {
  if (!context.is_directory_pool) return;
  context.ClaimMetadata(BackingLedger::kPage);
  ++context.counts.metadata_pages;
}

uint64_t HighestHandedOut(Context& context) {
  media::BackingLedger ledger{};
  const Result<void> read =
      context.reader.Copy(BackingLedger::kPage, BackingLedger::kIdentity, WritableBytesOf(ledger));
  const bool is_believed =
      read && ledger.next_number != 0 && ledger.next_number <= media::kMaxBackingNumber;
  return is_believed ? ledger.next_number - 1 : 0;
}

Result<std::vector<uint64_t>> CheckLedger(Context& context, uint64_t highest) {
  return LedgerCheck(context, highest).Run();
}

Result<void> ListEmptyFiles(Context& context) {
  if (context.empty_files.empty()) return {};
  media::BackingLedger ledger;
  TRY(context.reader.Copy(BackingLedger::kPage, BackingLedger::kIdentity,
                          WritableBytesOf(ledger)));
  BackingDirectory& directory = *context.options.directory;
  bool is_any_gone = false;
  for (const uint64_t number : context.empty_files) {
    const auto place = std::ranges::find(ledger.numbers, uint64_t{0});
    if (place != ledger.numbers.end()) {
      *place = number;
    } else {
      is_any_gone = true;
      TRY(directory.Unlink(number));
    }
    ++context.fixed;
  }
  TRY(context.writer->WriteBlock(BackingLedger::kPage, WritableBytesOf(ledger)));
  if (is_any_gone) TRY(directory.Sync());
  return {};
}

}  // namespace ingot::check
