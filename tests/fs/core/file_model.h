// SPDX-License-Identifier: BSD-3-Clause
// A file as plain bytes in memory, sparse, and the comparison of FileData's files with it.
#pragma once

#include <array>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "tests/fs/core/volume_fixture.h"

namespace ingot::tests {

// Bytes that differ everywhere, so that a piece in the wrong place shows.
inline std::vector<std::byte> Noise(uint64_t size_bytes, uint64_t seed) {
  std::vector<std::byte> bytes(RoundUp(size_bytes, sizeof(uint64_t)));
  std::mt19937_64 random(seed);
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, sizeof(word));
  }
  bytes.resize(size_bytes);
  return bytes;
}

class FileModel {
 public:
  [[nodiscard]] uint64_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] const auto& pages() const { return pages_; }

  void Write(uint64_t offset, std::span<const std::byte> from) {
    if (from.empty()) return;
    ForPages(offset, offset + from.size(), [&](uint64_t page, uint64_t at, uint64_t count) {
      std::memcpy(pages_[page].data() + at, from.data() + (page * kPageSize + at - offset), count);
    });
    size_bytes_ = std::max(size_bytes_, offset + from.size());
  }
  void Zero(uint64_t offset, uint64_t end) {
    end = std::min(end, size_bytes_);
    if (offset >= end) return;
    auto found = pages_.lower_bound(offset / kPageSize);
    while (found != pages_.end() && found->first * kPageSize < end) {
      const uint64_t begin = std::max(offset, found->first * kPageSize);
      const uint64_t stop = std::min(end, (found->first + 1) * kPageSize);
      std::memset(found->second.data() + begin % kPageSize, 0, stop - begin);
      ++found;
    }
  }
  void Truncate(uint64_t size_bytes) {
    if (size_bytes < size_bytes_) {
      Zero(size_bytes, size_bytes_);
      pages_.erase(pages_.lower_bound((size_bytes + kPageSize - 1) / kPageSize), pages_.end());
    }
    size_bytes_ = size_bytes;
  }
  [[nodiscard]] std::vector<std::byte> Read(uint64_t offset, uint64_t size_bytes) const {
    if (offset >= size_bytes_) return {};
    std::vector<std::byte> bytes(std::min(size_bytes, size_bytes_ - offset));
    ForPages(offset, offset + bytes.size(), [&](uint64_t page, uint64_t at, uint64_t count) {
      const auto found = pages_.find(page);
      if (found == pages_.end()) return;
      std::memcpy(bytes.data() + (page * kPageSize + at - offset), found->second.data() + at,
                  count);
    });
    return bytes;
  }

 private:
  template <typename Visit>
  static void ForPages(uint64_t offset, uint64_t end, Visit&& visit) {
    while (offset < end) {
      const uint64_t at = offset % kPageSize;
      const uint64_t count = std::min(end - offset, kPageSize - at);
      visit(offset / kPageSize, at, count);
      offset += count;
    }
  }

  uint64_t size_bytes_ = 0;
  std::map<uint64_t, std::array<std::byte, kPageSize>> pages_;
};

class FileDataFixture : public VolumeFixture {
 protected:
  static constexpr uint64_t kMiB = 1 << 20;

  // A killed daemon; the next one has its page array in memory.
  void OpenInDram(uint64_t budget_bytes) {
    const int fd = fcntl(volume_->device().mapping().fd(), F_DUPFD_CLOEXEC, 0);
    volume_.reset();
    auto mapping = Mapping::FromDescriptor(fd, TestMappingOptions());
    ASSERT_OK(mapping);
    DeviceOptions options;
    options.page_array = PageArrayChoice::kDram;
    options.page_array_budget_bytes = budget_bytes;
    auto device = Device::Open(std::move(*mapping), options);
    ASSERT_OK(device);
    auto volume = Volume::Open(std::move(*device), {});
    ASSERT_OK(volume);
    volume_ = std::move(*volume);
  }

  Result<uint64_t> Write(InodeNumber inode, uint64_t offset, std::span<const std::byte> from) {
    return data().Write(inode, offset, from, FileData::WriteOptions{});
  }
  Result<uint64_t> Append(InodeNumber inode, std::span<const std::byte> from) {
    FileData::WriteOptions options;
    options.append = true;
    return data().Write(inode, 0, from, options);
  }
  // Both ways of reading, which must agree.
  std::vector<std::byte> ReadBytes(InodeNumber inode, uint64_t offset, uint64_t size_bytes) {
    std::vector<std::byte> copied(size_bytes);
    const Result<uint64_t> count = data().ReadInto(inode, offset, copied);
    EXPECT_TRUE(count) << Describe(count.error());
    copied.resize(count ? *count : 0);

    ReadView view;
    const Result<void> viewed = data().Read(inode, offset, size_bytes, view);
    EXPECT_TRUE(viewed) << Describe(viewed.error());
    std::vector<std::byte> gathered;
    for (const struct iovec& piece : view.pieces) {
      const auto* begin = static_cast<const std::byte*>(piece.iov_base);
      gathered.insert(gathered.end(), begin, begin + piece.iov_len);
    }
    EXPECT_EQ(gathered.size(), view.size_bytes);
    EXPECT_TRUE(gathered == copied) << "two ways of reading differ at " << offset;
    return copied;
  }
  void ExpectRange(InodeNumber inode, const FileModel& model, uint64_t offset, uint64_t end) {
    const std::vector<std::byte> expected = model.Read(offset, end - offset);
    const std::vector<std::byte> found = ReadBytes(inode, offset, end - offset);
    ASSERT_EQ(found.size(), expected.size()) << "at " << offset;
    const auto differs = std::mismatch(found.begin(), found.end(), expected.begin());
    ASSERT_TRUE(differs.first == found.end())
        << "first difference at " << offset + static_cast<uint64_t>(differs.first - found.begin());
  }
  // The whole file: what the model or the file has, and size, counts and extents.
  void ExpectSame(InodeNumber number, const FileModel& model) {
    const Result<media::Inode> inode = core().reader.ReadInode(number);
    ASSERT_OK(inode);
    ASSERT_EQ(inode->size_bytes, model.size_bytes());
    EXPECT_EQ(inode->flags & media::kInodeOrphan, 0u);
    for (const auto& [page, bytes] : model.pages()) {
      const uint64_t offset = page * kPageSize;
      ASSERT_NO_FATAL_FAILURE(ExpectRange(number, model, offset, offset + kPageSize));
    }
    const auto extents = data().Extents(number, FilePage(0), SIZE_MAX);
    ASSERT_OK(extents);
    uint64_t pages = 0;
    for (const Extent& extent : *extents) {
      pages += extent.pages;
      if (extent.unwritten) continue;
      ASSERT_LT(OffsetOf(extent.file_page), model.size_bytes()) << "data behind the end";
      const uint64_t offset = OffsetOf(extent.file_page);
      ASSERT_NO_FATAL_FAILURE(
          ExpectRange(number, model, offset, offset + extent.pages * kPageSize));
    }
    EXPECT_GE(inode->page_count, pages);
    EXPECT_LE(inode->page_count, pages + 1 + pages / 50) << "tree nodes";
  }
  static uint64_t OffsetOf(FilePage page) { return page.value * kPageSize; }

  uint64_t FreePages() { return core().allocator->Count().free_pages; }
  uint64_t PagesOf(InodeNumber number) { return Get(number).page_count; }
  // Bytes of the file in extents that are congruent and cover whole huge pages of file and medium.
  uint64_t HugeBytes(InodeNumber number) {
    const auto extents = data().Extents(number, FilePage(0), SIZE_MAX);
    EXPECT_TRUE(extents);
    uint64_t bytes = 0;
    for (const Extent& extent : *extents) {
      if (extent.file_page.value % kPagesPerHugePage != extent.start.value % kPagesPerHugePage) {
        continue;
      }
      const uint64_t begin = RoundUp(extent.file_page.value, kPagesPerHugePage);
      const uint64_t end = RoundDown(extent.end().value, kPagesPerHugePage);
      if (begin < end) bytes += (end - begin) * kPageSize;
    }
    return bytes;
  }
};

}  // namespace ingot::tests
