// SPDX-License-Identifier: BSD-3-Clause
// A directory pool for tests of the core: its region in memory, its backing files in a directory
// of tmpfs that goes with the test, after fsck has seen both. Reopen() is a killed daemon: the host
// keeps everything. Single-threaded.
#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/fs/core/volume_fixture.h"
#include "tests/support/fsck_assert.h"

namespace ingot::tests {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

// Bytes that differ from place to place and from seed to seed.
inline std::string Pattern(size_t size_bytes, unsigned seed = 1) {
  std::string text(size_bytes, '\0');
  uint64_t state = seed;
  for (char& c : text) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    c = static_cast<char>(state >> 56);
  }
  return text;
}

// Remembers what was done to the host, and refuses what it is told to.
class RecordingHost : public HostObserver {
 public:
  void OnChange(const HostChange& change) override {
    changes_.push_back({change.kind, change.number});
  }
  int FailureOf(const HostChange& change) override {
    if (!refused_ || change.kind != *refused_) return 0;
    if (allowed_ != 0) {
      --allowed_;
      return 0;
    }
    if (is_once_) refused_.reset();
    return code_;
  }
  // After `allowed` more of them.
  void Refuse(HostChange::Kind kind, int code, uint32_t allowed = 0) {
    refused_ = kind;
    code_ = code;
    allowed_ = allowed;
    is_once_ = false;
  }
  void RefuseOnce(HostChange::Kind kind, int code) {
    Refuse(kind, code);
    is_once_ = true;
  }
  void RefuseNothing() { refused_.reset(); }
  void Clear() { changes_.clear(); }
  [[nodiscard]] size_t Count(HostChange::Kind kind) const {
    return static_cast<size_t>(
        std::ranges::count(changes_, kind, [](const auto& change) { return change.first; }));
  }

 private:
  std::vector<std::pair<HostChange::Kind, uint64_t>> changes_;
  std::optional<HostChange::Kind> refused_;
  int code_ = 0;
  uint32_t allowed_ = 0;
  bool is_once_ = false;
};

class DirectoryPoolFixture : public VolumeFixture {
 protected:
  void SetUp() override {
    std::string pattern = "/dev/shm/ingot-backing-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    pool_ = pattern;
    MakePool();
  }
  void TearDown() override {
    if (is_to_be_clean_ && volume_ != nullptr) ExpectClean();
    volume_.reset();
    std::filesystem::remove_all(pool_);
  }

  void MakePool(const VolumeOptions& options = {}) {
    volume_.reset();
    DeviceFormatOptions format = TestFormatOptions();
    format.features_incompatible = media::kFeatureDirectoryPool;
    auto mapping = MemoryMapping(kDefaultSize);
    ASSERT_OK(BackingDirectory::Make(pool_, format.uuid, /*force=*/true));
    ASSERT_OK(Device::Format(*mapping, format));
    auto device = Device::Open(std::move(mapping), {});
    ASSERT_OK(device);
    ASSERT_OK(Volume::Format(**device, Caller{}));
    OpenVolume(std::move(*device), options);
  }
  void ReopenPool(const VolumeOptions& options = {}) {
    const int fd = fcntl(volume_->device().mapping().fd(), F_DUPFD_CLOEXEC, 0);
    ASSERT_GE(fd, 0);
    volume_.reset();
    auto mapping = Mapping::FromDescriptor(fd, TestMappingOptions());
    ASSERT_OK(mapping);
    auto device = Device::Open(std::move(*mapping), {});
    ASSERT_OK(device);
    OpenVolume(std::move(*device), options);
  }

  // What fsck says of region and files, with nobody inside the volume.
  void ExpectClean() {
    Device& device = volume_->device();
    auto directory = BackingDirectory::Open(pool_, device.superblock().uuid, /*read_only=*/true);
    ASSERT_OK(directory);
    EXPECT_FSCK_CLEAN(device, directory->get());
  }

  BackingFiles& backing() { return *core().backing; }

  // A file that is backed from its creation, with one lookup reference.
  InodeNumber MakeBacked(std::string_view name) {
    NewNode node;
    node.mode = S_IFREG | 0644;
    node.likely_mapped = true;
    const Result<Attributes> made = names().Create(kRoot, name, node, kOwner);
    EXPECT_TRUE(made) << name << ": " << Describe(made.error());
    EXPECT_TRUE(made && made->is_backed) << name;
    return made ? made->inode : InodeNumber(0);
  }
  media::Inode Inode(InodeNumber number) {
    const Result<media::Inode> inode = core().reader.ReadInode(number);
    EXPECT_TRUE(inode) << Describe(inode.error());
    return inode ? *inode : media::Inode{};
  }
  bool IsBacked(InodeNumber number) { return Inode(number).body_form == media::BodyForm::kBacked; }
  std::set<uint64_t> HostFiles() {
    const auto listing = backing().directory().List();
    EXPECT_TRUE(listing) << Describe(listing.error());
    if (!listing) return {};
    EXPECT_TRUE(listing->strangers.empty());
    return {listing->numbers.begin(), listing->numbers.end()};
  }
  std::set<uint64_t> Listed() {
    const std::vector<uint64_t> listed = backing().ledger().Listed();
    return {listed.begin(), listed.end()};
  }

  std::string pool_;
  RecordingHost host_;
  bool is_to_be_clean_ = true;  // at the test's end

 private:
  void OpenVolume(std::unique_ptr<Device> device, const VolumeOptions& options) {
    auto directory =
        BackingDirectory::Open(pool_, device->superblock().uuid, options.read_only, &host_);
    ASSERT_OK(directory);
    auto volume = Volume::Open(std::move(device), options, std::move(*directory));
    ASSERT_OK(volume);
    volume_ = std::move(*volume);
  }
};

}  // namespace ingot::tests
