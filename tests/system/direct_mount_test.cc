// SPDX-License-Identifier: BSD-3-Clause
// A directory pool on tmpfs of 2 MiB pages, through a real mount: large files are mapped straight
// from the host's pages, reads and writes go past the daemon, and every order of opens works.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/eventually.h"
#include "tests/support/fsck_assert.h"
#include "tests/support/test_region.h"
#include "tests/system/hosted_mount.h"
#include "tests/system/mapped_file.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kRegionSize = 256 * kMiB;

class DirectMount : public testing::Test {
 protected:
  void SetUp() override {
    if (!host_.is_mounted()) GTEST_SKIP() << "no tmpfs can be mounted: " << strerror(errno);
    DeviceFormatOptions format = TestFormatOptions();
    format.features_incompatible = media::kFeatureDirectoryPool;
    auto mapping = MemoryMapping(kRegionSize);
    ASSERT_TRUE(BackingDirectory::Make(host_.path(), format.uuid, false));
    ASSERT_TRUE(Device::Format(*mapping, format));
    auto device = Device::Open(std::move(mapping), {});
    ASSERT_TRUE(device) << Describe(device.error());
    ASSERT_TRUE(Volume::Format(**device, Caller{}));
    auto directory = BackingDirectory::Open(host_.path(), format.uuid, false);
    ASSERT_TRUE(directory) << Describe(directory.error());
    auto volume = Volume::Open(std::move(*device), {}, std::move(*directory));
    ASSERT_TRUE(volume) << Describe(volume.error());
    auto mount = HostedMount::Start(std::move(*volume), false);
    if (mount.error_code() == EPERM) GTEST_SKIP() << "mounts are not allowed here";
    ASSERT_TRUE(mount) << Describe(mount.error());
    mount_ = std::move(*mount);
    const std::string why_not = mount_->session().passthrough()->WhyNot();
    if (!why_not.empty()) GTEST_SKIP() << why_not;
  }

  void TearDown() override {
    if (mount_ == nullptr) return;
    mount_->Unmount();
    auto directory = BackingDirectory::Open(host_.path(), TestFormatOptions().uuid, true);
    ASSERT_TRUE(directory) << Describe(directory.error());
    EXPECT_FSCK_CLEAN(mount_->volume().device(), directory->get());
  }

  std::string Path(const std::string& name) { return mount_->path() + "/" + name; }
  uint64_t Requests(Operation operation) {
    return mount_->session().activity().Counts()[static_cast<size_t>(operation)];
  }

  HugeTmpfs host_;
  std::unique_ptr<HostedMount> mount_;
};

// Not by the address sanitizer's leave: its shadow of the mapping has page faults of its own.
__attribute__((no_sanitize("address"))) void StoreToEachPage(volatile char* to, uint64_t size) {
  for (uint64_t at = 0; at < size; at += kPageSize) to[at] = static_cast<char>(at >> 12);
}

TEST_F(DirectMount, ANewDatabaseIsMappedByHugePagesInTheProcessThatMakesIt) {
  constexpr uint64_t kSize = 64 * kMiB;
  const Descriptor file(Path("db"), O_RDWR | O_CREAT);
  ASSERT_GE(file.get(), 0) << strerror(file.code());
  ASSERT_EQ(ftruncate(file.get(), kSize), 0);
  const Map map(file.get(), kSize);
  ASSERT_NE(map.at(), nullptr);
  const uint64_t before = MinorFaults();
  StoreToEachPage(map.at(), kSize);
  EXPECT_LE(MinorFaults() - before, kSize / (2 * kMiB) + 8);
  EXPECT_EQ(map.PmdMappedBytes(), kSize);
  EXPECT_TRUE(IsDirect(Path("db")));

  // One and the same bytes, past the daemon.
  const uint64_t reads = Requests(Operation::kRead), writes = Requests(Operation::kWrite);
  char got = 0;
  for (uint64_t at = 0; at < kSize; at += 97 * kPageSize) {
    ASSERT_EQ(pread(file.get(), &got, 1, static_cast<off_t>(at)), 1);
    ASSERT_EQ(got, static_cast<char>(at >> 12));
    ASSERT_EQ(pwrite(file.get(), "w", 1, static_cast<off_t>(at + 1)), 1);
    ASSERT_EQ(map.at()[at + 1], 'w');
  }
  EXPECT_EQ(Requests(Operation::kRead), reads);
  EXPECT_EQ(Requests(Operation::kWrite), writes);
  EXPECT_EQ(fsync(file.get()), 0);
}

TEST_F(DirectMount, ACopiedFileIsMappedDirectlyOnceItsWriterHasClosedIt) {
  std::string contents(5 * kMiB, '\0');
  std::mt19937_64 random(1);
  for (char& c : contents) c = static_cast<char>(random());
  {
    const Descriptor file(Path("weights"), O_WRONLY | O_CREAT | O_EXCL);
    for (size_t at = 0; at < contents.size(); at += 128 << 10) {
      ASSERT_EQ(write(file.get(), contents.data() + at, 128 << 10), 128 << 10);
    }
  }
  const Descriptor file(Path("weights"), O_RDONLY);
  const uint64_t reads = Requests(Operation::kRead);
  const Map map(file.get(), contents.size(), PROT_READ);
  ASSERT_NE(map.at(), nullptr);
  EXPECT_TRUE(std::equal(contents.begin(), contents.end(), map.at()));
  EXPECT_EQ(map.PmdMappedBytes(), 4 * kMiB) << "the last one is not whole";
  std::string got(contents.size(), '\0');
  ASSERT_EQ(pread(file.get(), got.data(), got.size(), 0), static_cast<ssize_t>(got.size()));
  EXPECT_TRUE(got == contents);
  EXPECT_EQ(Requests(Operation::kRead), reads);
}

// A log that is written by one process for long, and mapped by another: by the medium's pages, once
// the writer has written what made it a host file.
TEST_F(DirectMount, AWriterThatCannotMapHoldsNobodyBack) {
  const std::string contents = Pattern(6 * kMiB, 4);
  const Descriptor writer(Path("log"), O_WRONLY | O_CREAT | O_EXCL | O_APPEND);
  const Descriptor other_writer(Path("log"), O_WRONLY);
  ASSERT_EQ(write(writer.get(), contents.data(), 3 * kMiB), static_cast<ssize_t>(3 * kMiB));
  {
    // The other one has sent nothing: for all that the daemon knows, its open isn't over.
    const Descriptor reader(Path("log"), O_RDONLY);
    ASSERT_GE(reader.get(), 0) << strerror(reader.code());
    EXPECT_FALSE(IsDirect(Path("log")));
  }
  ASSERT_EQ(pwrite(other_writer.get(), contents.data() + 2 * kMiB, kMiB, 2 * kMiB),
            static_cast<ssize_t>(kMiB));
  ASSERT_TRUE(BecomesDirect(Path("log"))) << "the first reader is gone";
  const Descriptor reader(Path("log"), O_RDONLY);
  const uint64_t reads = Requests(Operation::kRead);
  const Map map(reader.get(), contents.size(), PROT_READ);
  ASSERT_NE(map.data(), nullptr) << strerror(map.code());
  EXPECT_TRUE(IsDirect(Path("log")));
  EXPECT_EQ(std::string_view(map.data(), 3 * kMiB), std::string_view(contents).substr(0, 3 * kMiB));
  // What is appended meanwhile is there at once, in the mapping, by read and by stat.
  for (size_t at = 3 * kMiB; at < contents.size(); at += 64 << 10) {
    ASSERT_EQ(write(writer.get(), contents.data() + at, 64 << 10), 64 << 10) << strerror(errno);
    ASSERT_EQ(std::string_view(map.data() + at, 64 << 10),
              std::string_view(contents).substr(at, 64 << 10));
    struct stat status {};
    ASSERT_EQ(fstat(reader.get(), &status), 0);
    ASSERT_EQ(status.st_size, static_cast<off_t>(at + (64 << 10)));
  }
  EXPECT_EQ(map.PmdMappedBytes(), contents.size());
  EXPECT_EQ(Requests(Operation::kRead), reads);
  // The next writer has the host file itself; when all with it are gone, the first one is there.
  { const Descriptor third(Path("log"), O_RDWR); }
  ASSERT_EQ(ftruncate(writer.get(), 5 * kMiB), 0);
  ASSERT_EQ(write(writer.get(), "end", 3), 3);
  char end[4] = {};
  ASSERT_EQ(pread(reader.get(), end, 3, 5 * kMiB), 3);
  EXPECT_STREQ(end, "end");
}

// In place, which the kernel lets threads do side by side: opens meanwhile are of either kind.
TEST_F(DirectMount, OpensBesideWritersInPlaceNeverFail) {
  const Descriptor writer(Path("file"), O_WRONLY | O_CREAT | O_EXCL);
  const std::string contents = Pattern(4 * kMiB, 3);
  ASSERT_EQ(write(writer.get(), contents.data(), contents.size()),
            static_cast<ssize_t>(contents.size()));
  std::atomic<bool> stop = false;
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      for (size_t at = 0; !stop; at = (at + kMiB) % contents.size()) {
        const auto offset = static_cast<off_t>(at);
        if (pwrite(writer.get(), contents.data() + at, kMiB, offset) !=
            static_cast<ssize_t>(kMiB)) {
          ++failures;
        }
        if (i == 1) std::this_thread::yield();
      }
    });
  }
  int direct = 0;
  // (No ASSERT while threads go on.)
  for (int i = 0; i < 2000 && !HasFailure(); ++i) {
    const Descriptor reader(Path("file"), O_RDONLY);
    EXPECT_GE(reader.get(), 0) << strerror(reader.code()) << " at open " << i;
    char byte = 0;
    EXPECT_EQ(pread(reader.get(), &byte, 1, 77), 1);
    EXPECT_EQ(byte, contents[77]);
    if (i % 100 == 0 && IsDirect(Path("file"))) ++direct;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_GT(direct, 0);
}

TEST_F(DirectMount, StatSeesWhatMappingsAndOtherHandlesChange) {
  const Descriptor file(Path("db"), O_RDWR | O_CREAT);
  ASSERT_EQ(ftruncate(file.get(), 4 * kMiB), 0);
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(Path("db").c_str(), &before), 0);
  EXPECT_EQ(before.st_size, static_cast<off_t>(4 * kMiB));
  const Map map(file.get(), 4 * kMiB);
  map.at()[0] = 'x';
  ASSERT_EQ(stat(Path("db").c_str(), &after), 0);
  EXPECT_GT(after.st_blocks, before.st_blocks);
  ASSERT_EQ(pwrite(file.get(), "end", 3, 6 * kMiB), 3);
  ASSERT_EQ(stat(Path("db").c_str(), &after), 0);
  EXPECT_EQ(after.st_size, static_cast<off_t>(6 * kMiB + 3));
  EXPECT_GE(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
}

TEST_F(DirectMount, AppendersAndTruncatersBesideMappings) {
  const Descriptor file(Path("log"), O_RDWR | O_CREAT);
  ASSERT_EQ(write(file.get(), "begin", 5), 5);
  const Descriptor appender(Path("log"), O_WRONLY | O_APPEND);
  ASSERT_GE(appender.get(), 0) << strerror(appender.code());
  ASSERT_EQ(write(appender.get(), " middle", 7), 7);
  ASSERT_EQ(pwrite(file.get(), " end", 4, 12), 4);
  ASSERT_EQ(write(appender.get(), "!", 1), 1);
  char got[32] = {};
  ASSERT_EQ(pread(file.get(), got, sizeof(got), 0), 17);
  EXPECT_STREQ(got, "begin middle end!");
  const Descriptor truncated(Path("log"), O_WRONLY | O_TRUNC);
  ASSERT_GE(truncated.get(), 0) << strerror(truncated.code());
  EXPECT_EQ(pread(file.get(), got, sizeof(got), 0), 0);
  ASSERT_EQ(write(appender.get(), "new", 3), 3);
  ASSERT_EQ(pread(file.get(), got, sizeof(got), 0), 3) << "no zeros before it";
}

TEST_F(DirectMount, MappingsOutliveHandleAndName) {
  auto file = std::make_unique<Descriptor>(Path("gone"), O_RDWR | O_CREAT);
  ASSERT_EQ(ftruncate(file->get(), 2 * kMiB), 0);
  const Map map(file->get(), 2 * kMiB);
  map.at()[12345] = 'k';
  ASSERT_EQ(unlink(Path("gone").c_str()), 0);
  file.reset();
  ASSERT_TRUE(mount_->volume().core().backing->Upkeep());
  EXPECT_EQ(map.at()[12345], 'k');
  map.at()[12346] = 'l';
  EXPECT_EQ(map.at()[12346], 'l');
}

TEST_F(DirectMount, ChattrMakesAFileDirect) {
  {
    const Descriptor file(Path("small"), O_WRONLY | O_CREAT | O_EXCL);
    ASSERT_EQ(write(file.get(), "text", 4), 4);
  }
  EXPECT_FALSE(IsDirect(Path("small")));
  {
    const Descriptor file(Path("small"), O_RDONLY);
    constexpr int kDaxFlag = 0x02000000;
    int flags = kDaxFlag;
    ASSERT_EQ(ioctl(file.get(), _IOW('f', 2, long), &flags), 0) << strerror(errno);
  }
  ASSERT_TRUE(BecomesDirect(Path("small")));
  const Descriptor file(Path("small"), O_RDONLY);
  char got[8] = {};
  ASSERT_EQ(read(file.get(), got, sizeof(got)), 4);
  EXPECT_STREQ(got, "text");
}

TEST_F(DirectMount, FsyncReachesTheHostThoughOnlyAMappingIsLeft) {
  auto writer = std::make_unique<Descriptor>(Path("db"), O_RDWR | O_CREAT);
  ASSERT_EQ(ftruncate(writer->get(), 2 * kMiB), 0);
  const Map map(writer->get(), 2 * kMiB);
  writer.reset();
  const Descriptor reader(Path("db"), O_RDONLY);
  const uint64_t before = Requests(Operation::kFsync);
  for (int i = 0; i < 2; ++i) {
    map.at()[i] = 'x';
    ASSERT_EQ(fsync(reader.get()), 0);
  }
  EXPECT_EQ(Requests(Operation::kFsync), before + 2);
}

TEST_F(DirectMount, WritesTakeSetIdBitsAndCapabilities) {
  constexpr char kCapability[] =
      "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00";
  const Descriptor file(Path("tool"), O_RDWR | O_CREAT, 0755);
  ASSERT_EQ(write(file.get(), "#!", 2), 2);
  ASSERT_TRUE(IsDirect(Path("tool")));
  ASSERT_EQ(setxattr(Path("tool").c_str(), "security.capability", kCapability, 20, 0), 0);
  ASSERT_EQ(pwrite(file.get(), "##", 2, 0), 2);
  EXPECT_LT(getxattr(Path("tool").c_str(), "security.capability", nullptr, 0), 0);
}

TEST_F(DirectMount, AppendOnlyFilesAreNotOpenedToBeMapped) {
  const Descriptor file(Path("log"), O_RDWR | O_CREAT);
  ASSERT_EQ(write(file.get(), "line", 4), 4);
  constexpr int kAppendFlag = 0x20;
  int flags = kAppendFlag;
  EXPECT_EQ(ioctl(file.get(), _IOW('f', 2, long), &flags), -1) << "a writer goes past the daemon";
  EXPECT_EQ(errno, EBUSY);
}

// Rule B4: the kernel refuses a mixture of handles with EIO; nobody may ever see that.
TEST_F(DirectMount, OpensInEveryOrderNeverFail) {
  constexpr int kThreads = 4, kRounds = 400, kFiles = 3;
  std::atomic<int> failures{0};
  const auto run = [&](int seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    const std::string large(kMiB + 4096, static_cast<char>('a' + seed));
    for (int round = 0; round < kRounds; ++round) {
      const std::string path = Path("f" + std::to_string(random() % kFiles));
      static constexpr int kFlags[] = {O_RDONLY,
                                       O_RDWR | O_CREAT,
                                       O_WRONLY | O_CREAT,
                                       O_WRONLY | O_CREAT | O_TRUNC,
                                       O_RDWR | O_CREAT | O_TRUNC,
                                       O_WRONLY | O_CREAT | O_APPEND,
                                       O_RDWR | O_APPEND};
      const int flags = kFlags[random() % std::size(kFlags)];
      const Descriptor file(path, flags);
      if (file.get() < 0) {
        if (file.code() != ENOENT) ++failures, ADD_FAILURE() << strerror(file.code()) << flags;
        continue;
      }
      char byte = 0;
      const bool may_write = (flags & O_ACCMODE) != O_RDONLY;
      const bool may_read = (flags & O_ACCMODE) != O_WRONLY;
      if (may_write && random() % 2 == 0 && write(file.get(), large.data(), large.size()) < 0) {
        ++failures, ADD_FAILURE() << "write: " << strerror(errno);
      }
      if (may_read && pread(file.get(), &byte, 1, 100) < 0) {
        ++failures, ADD_FAILURE() << "read: " << strerror(errno);
      }
      if (may_read && byte != 0 && (byte < 'a' || byte >= 'a' + kThreads)) {
        ++failures, ADD_FAILURE() << "a byte that nobody wrote: " << int{byte};
      }
      if (random() % 8 == 0) (void)unlink(path.c_str());
      if (random() % 8 == 0 && may_write && ftruncate(file.get(), 100) != 0) {
        ++failures, ADD_FAILURE() << "truncate: " << strerror(errno);
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(run, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures.load(), 0);
  // RELEASE comes some time after close.
  EXPECT_TRUE(Eventually([&] { return mount_->session().passthrough()->handles() == 0; }))
      << mount_->session().passthrough()->handles() << " handles are left";
}

}  // namespace
}  // namespace ingot::tests
