// SPDX-License-Identifier: BSD-3-Clause
// A formatted volume in memory, and short words for what tests of names and attributes do with it.
// What fails in here fails the test. Single-threaded but for what it hands out by reference;
// Reopen() is a crash: volatile state goes, the bytes stay.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "fs/core/volume.h"
#include "tests/fs/core/core_fixture.h"
#include "tests/support/test_region.h"

namespace ingot::tests {

// Counts transactions: lanes that logged anything before they were released. Must go before the
// journal does, so before Reopen(). For one thread.
class TransactionCounter : public JournalObserver {
 public:
  explicit TransactionCounter(Journal& journal) : journal_(journal) { journal.set_observer(this); }
  ~TransactionCounter() override { journal_.set_observer(nullptr); }
  void OnLog(uint32_t lane, MediaOffset, uint64_t) override { logged_ |= uint64_t{1} << lane; }
  void OnRelease(uint32_t lane) override {
    if ((logged_ & uint64_t{1} << lane) != 0) ++count_;
    logged_ &= ~(uint64_t{1} << lane);
  }
  uint32_t Take() { return std::exchange(count_, 0); }

 private:
  Journal& journal_;
  uint64_t logged_ = 0;
  uint32_t count_ = 0;
};

class VolumeFixture : public ::testing::Test {
 protected:
  static constexpr InodeNumber kRoot = Volume::kRoot;
  static constexpr uint64_t kDefaultSize = uint64_t{64} << 20;
  static constexpr Caller kOwner{.uid = 1000, .gid = 100};

  void SetUp() override { Make(kDefaultSize); }

  void Make(uint64_t size_bytes, const VolumeOptions& options = {}) {
    volume_.reset();
    std::unique_ptr<Device> device = FormattedDevice(size_bytes);
    ASSERT_OK(Volume::Format(*device, Caller{}));
    Open(std::move(device), options);
  }
  // As after a kill: nothing is released or forgotten before the same bytes are opened again.
  void Reopen(const VolumeOptions& options = {}) {
    const int fd = fcntl(volume_->device().mapping().fd(), F_DUPFD_CLOEXEC, 0);
    ASSERT_GE(fd, 0);
    volume_.reset();
    auto mapping = Mapping::FromDescriptor(fd, TestMappingOptions());
    ASSERT_OK(mapping);
    auto device = Device::Open(std::move(*mapping), {});
    ASSERT_OK(device);
    Open(std::move(*device), options);
  }

  Volume& volume() { return *volume_; }
  Names& names() { return volume_->names(); }
  Core& core() { return volume_->core(); }
  FileData& data() { return volume_->data(); }
  Xattrs& xattrs() { return volume_->xattrs(); }
  AttributeOperations& attributes() { return volume_->attributes(); }

  // Makes a file and keeps one lookup reference on it.
  InodeNumber MakeNode(InodeNumber parent, std::string_view name, uint32_t mode) {
    NewNode node;
    node.mode = mode;
    const Result<Attributes> made = names().Create(parent, name, node, kOwner);
    EXPECT_TRUE(made) << name << ": " << Describe(made.error());
    return made ? made->inode : InodeNumber(0);
  }
  InodeNumber MakeFile(InodeNumber parent, std::string_view name) {
    return MakeNode(parent, name, S_IFREG | 0644);
  }
  InodeNumber MakeDirectory(InodeNumber parent, std::string_view name) {
    return MakeNode(parent, name, S_IFDIR | 0755);
  }
  // The same without a reference.
  InodeNumber MakeForgotten(InodeNumber parent, std::string_view name, uint32_t mode) {
    const InodeNumber inode = MakeNode(parent, name, mode);
    names().Forget(inode, 1);
    return inode;
  }
  void WriteAll(InodeNumber inode, std::string_view text) {
    const Result<uint64_t> written =
        data().Write(inode, 0, std::as_bytes(std::span(text)), FileData::WriteOptions{});
    ASSERT_OK(written);
    ASSERT_EQ(*written, text.size());
  }
  std::string ReadAll(InodeNumber inode, size_t max_bytes = 1 << 20) {
    std::string text(max_bytes, '\0');
    const Result<uint64_t> size =
        data().ReadInto(inode, 0, std::as_writable_bytes(std::span(text)));
    EXPECT_TRUE(size) << Describe(size.error());
    text.resize(size ? *size : 0);
    return text;
  }
  Attributes Get(InodeNumber inode) {
    const Result<Attributes> got = attributes().Get(inode);
    EXPECT_TRUE(got) << Describe(got.error());
    return got ? *got : Attributes{};
  }
  // The inode that a name stands for, 0 if none; leaves no reference.
  InodeNumber Find(InodeNumber parent, std::string_view name) {
    const Result<Attributes> found = names().Lookup(parent, name);
    if (!found) {
      EXPECT_EQ(found.error_code(), ENOENT) << Describe(found.error());
      return InodeNumber(0);
    }
    names().Forget(found->inode, 1);
    return found->inode;
  }
  // Sets times to the past, so that an update within the same tick shows.
  void MakeOld(InodeNumber inode) {
    AttributeChange change;
    change.atime = change.mtime = change.ctime = Time{1000, 0};
    ASSERT_OK(attributes().Set(inode, change));
  }
  bool IsModified(InodeNumber inode) { return Get(inode).mtime.seconds != 1000; }
  bool IsChanged(InodeNumber inode) { return Get(inode).ctime.seconds != 1000; }

  std::unique_ptr<Volume> volume_;

 private:
  void Open(std::unique_ptr<Device> device, const VolumeOptions& options) {
    auto volume = Volume::Open(std::move(device), options);
    ASSERT_OK(volume);
    volume_ = std::move(*volume);
  }
};

inline std::vector<std::byte> Bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

}  // namespace ingot::tests
