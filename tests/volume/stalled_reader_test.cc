// SPDX-License-Identifier: BSD-3-Clause
// I4: a reply points at the medium while others truncate, punch, move, delete, reallocate and fill.
// Every byte of a file says whose it is, so a foreign one shows.
#include <linux/falloc.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = 48 << 20;
constexpr uint64_t kFileBytes = 3 << 20;

std::byte TagOf(size_t file) { return static_cast<std::byte>(file + 1); }

class StalledReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto volume = OpenPool(NewPool(kPoolBytes));
    ASSERT_OK(volume);
    volume_ = std::move(*volume);
  }
  void TearDown() override { EXPECT_FSCK_CLEAN(volume_->device()); }

  // A file whose lock is its own: the rest of its inode page is taken by others.
  InodeNumber Make(const std::string& name) {
    for (int i = 0; i < 7; ++i) MakeOne(fmt::format("{}.{}.{}", name, made_++, i));
    return MakeOne(name);
  }
  InodeNumber MakeOne(const std::string& name) {
    NewNode node;
    node.mode = S_IFREG | 0600;
    const auto made = volume_->names().Create(Volume::kRoot, name, node, Caller{});
    EXPECT_TRUE(made) << Describe(made.error());
    return made ? made->inode : InodeNumber(0);
  }
  Result<uint64_t> Fill(InodeNumber inode, uint64_t offset, uint64_t size, size_t file) {
    const std::vector<std::byte> bytes(size, TagOf(file));
    return volume_->data().Write(inode, offset, bytes, {});
  }
  // How many bytes are neither the file's nor zero.
  static uint64_t ForeignBytes(const ReadView& view, size_t file) {
    uint64_t foreign = 0;
    for (const iovec& piece : view.pieces) {
      const auto* bytes = static_cast<const std::byte*>(piece.iov_base);
      for (size_t i = 0; i < piece.iov_len; ++i) {
        if (bytes[i] != TagOf(file) && bytes[i] != std::byte{0}) ++foreign;
      }
    }
    return foreign;
  }
  // Takes all space there is.
  uint64_t FillUp(InodeNumber inode, size_t file) {
    uint64_t at = 0;
    for (;;) {
      const Result<uint64_t> written = Fill(inode, at, 1 << 20, file);
      if (!written) {
        EXPECT_EQ(written.error().code, ENOSPC) << Describe(written.error());
        return at;
      }
      at += *written;
    }
  }

  // Writes to a file three times in six, else takes some or all of it away.
  Result<void> ChangeSomething(const std::vector<InodeNumber>& files, std::mt19937_64& random) {
    const size_t file = random() % files.size();
    const uint64_t offset = random() % kFileBytes;
    const uint64_t size = 1 + random() % (600 << 10);
    switch (random() % 6) {
      case 0: return volume_->data().Truncate(files[file], offset, false);
      case 1: return volume_->data().Truncate(files[file], 0, false);
      case 2:
        return volume_->data().Fallocate(
            files[file], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
      default:
        TRY(Fill(files[file], offset, size, file));
        return {};
    }
  }

  std::unique_ptr<Volume> volume_;
  int made_ = 0;
};

TEST_F(StalledReaderTest, WhatIsBeingReadIsNeitherFreedNorFilled) {
  struct Way {
    const char* name;
    Result<void> (*remove)(Volume&, InodeNumber);
  };
  const Way ways[] = {
      {"truncate", [](Volume& volume, InodeNumber inode) {
         return volume.data().Truncate(inode, 0, false);
       }},
      {"punch", [](Volume& volume, InodeNumber inode) {
         return volume.data().Fallocate(inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                        kFileBytes);
       }},
      {"unlink", [](Volume& volume, InodeNumber inode) {
         Result<void> removed = volume.names().Unlink(Volume::kRoot, "read");
         volume.names().Forget(inode, 1);
         return removed;
       }},
  };
  for (const Way& way : ways) {
    SCOPED_TRACE(way.name);
    const InodeNumber read = Make("read");
    const InodeNumber filler = Make("filler");
    ASSERT_NE(volume_->core().locks.StripeOf(read), volume_->core().locks.StripeOf(filler));
    ASSERT_OK(Fill(read, 0, kFileBytes, 1));
    uint64_t filled_before = 0;
    std::atomic<bool> started{false};
    std::thread remover;
    {
      ReadView view;
      ASSERT_OK(volume_->data().Read(read, 0, kFileBytes, view));
      ASSERT_EQ(view.size_bytes, kFileBytes);
      remover = std::thread([&] {
        started = true;
        const Result<void> removed = way.remove(*volume_, read);
        EXPECT_TRUE(removed) << Describe(removed.error());
      });
      while (!started) std::this_thread::yield();
      // All that others can get is taken and written, whether the remover waits yet or not.
      filled_before = FillUp(filler, 2);
      EXPECT_EQ(ForeignBytes(view, 1), 0u);
      std::byte first{};
      std::memcpy(&first, view.pieces[0].iov_base, 1);
      EXPECT_EQ(first, TagOf(1)) << "the page is still there";
    }
    remover.join();
    // With the reply gone the pages are free, and used.
    ASSERT_OK(volume_->data().Truncate(filler, 0, false));
    EXPECT_GT(FillUp(filler, 2), filled_before + kFileBytes / 2);
    if (std::string_view(way.name) != "unlink") {
      ASSERT_OK(volume_->names().Unlink(Volume::kRoot, "read"));
      volume_->names().Forget(read, 1);
    }
    ASSERT_OK(volume_->names().Unlink(Volume::kRoot, "filler"));
    volume_->names().Forget(filler, 1);
  }
}

// Readers hold views of files that others change in every way that frees or moves pages.
TEST_F(StalledReaderTest, AStormShowsNoForeignByte) {
  constexpr size_t kFiles = 6;
  constexpr uint64_t kChanges = 50;  // a busy machine may start the writers late
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr int kReads = 60;
#else
  constexpr int kReads = 200;
#endif
  std::vector<InodeNumber> files;
  for (size_t i = 0; i < kFiles; ++i) {
    files.push_back(Make(fmt::format("f{}", i)));
    ASSERT_OK(Fill(files[i], 0, kFileBytes, i));
  }
  ASSERT_OK(volume_->attributes().SetFlags(files[0], media::kInodeAtomic, media::kInodeAtomic));
  std::atomic<bool> stop{false}, has_failed{false};
  std::atomic<uint64_t> changes{0}, bytes_read{0}, foreign{0};
  std::vector<std::thread> writers, readers;
  for (uint32_t t = 0; t < 3; ++t) {
    writers.emplace_back([&, t] {
      std::mt19937_64 random(t);
      while (!stop) {
        const Result<void> result = ChangeSomething(files, random);
        if (result) ++changes;
        if (!result && result.error().code != ENOSPC) {
          ADD_FAILURE() << Describe(result.error());
          has_failed = true;
          return;
        }
      }
    });
  }
  for (uint32_t t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      std::mt19937_64 random(t + 10);
      auto view = std::make_unique<ReadView>();
      for (int i = 0; i < kReads || (changes < kChanges && !has_failed); ++i) {
        const size_t file = random() % kFiles;
        const Result<void> read =
            volume_->data().Read(files[file], random() % kFileBytes, 1 << 20, *view);
        EXPECT_TRUE(read) << Describe(read.error());
        for (int stall = 0; stall < 3; ++stall) {
          foreign += ForeignBytes(*view, file);
          std::this_thread::yield();
        }
        bytes_read += view->size_bytes;
        view = std::make_unique<ReadView>();
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  stop = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(foreign, 0u);
  EXPECT_GT(bytes_read, uint64_t{1} << 20);
  EXPECT_GE(changes, kChanges);
}

}  // namespace
}  // namespace ingot::tests
