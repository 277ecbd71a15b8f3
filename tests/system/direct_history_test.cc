// SPDX-License-Identifier: BSD-3-Clause
// What becomes of large files over time: cut and grown again, short by the next mount, written by
// who was there before it. And what `ingot map` says of them, held against /proc/self/smaps.
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <regex>
#include <thread>

#include "tests/support/eventually.h"
#include "tests/system/mounted_pool.h"

namespace ingot::tests {
namespace {

class DirectHistory : public testing::Test {
 protected:
  void SetUp() override {
    pool_ = std::make_unique<MountedPool>(768 * kMiB, "");
    if (!pool_->why_not().empty()) GTEST_SKIP() << pool_->why_not();
    ASSERT_TRUE(pool_->Mount());
  }
  void TearDown() override {
    if (pool_ == nullptr || !pool_->why_not().empty()) return;
    EXPECT_TRUE(pool_->Unmount());
    EXPECT_TRUE(pool_->IsClean());
  }
  [[nodiscard]] std::string Path(const std::string& name) const {
    return pool_->path() + "/" + name;
  }
  // A number in the daemon's report; -1: it isn't there.
  static int64_t Reported(const std::string& path, const char* attribute, const std::string& name) {
    std::string value(64 << 10, '\0');
    const ssize_t got = getxattr(path.c_str(), attribute, value.data(), value.size());
    EXPECT_GT(got, 0) << strerror(errno);
    std::smatch match;
    const std::regex field("\"" + name + "\":([0-9]+)");
    return std::regex_search(value, match, field) ? std::stoll(match[1]) : -1;
  }
  [[nodiscard]] int64_t HugeBytes(const std::string& name) const {
    return Reported(Path(name), "user.ingot.map", "huge_page_bytes");
  }
  // Without looking at any file, which would keep it where it is.
  [[nodiscard]] bool IsRecovered() const {
    return Reported(pool_->path(), "user.ingot.status", "orphans") == 0;
  }

  // xfs frees and allocates 4 KiB blocks, so that pieces don't stay where they can be mapped whole.
  static bool KeepsPieces() {
    const char* host = getenv("INGOT_TEST_POOL");
    return !TestHost::IsDax() || host == nullptr || std::string_view(host) != "xfs";
  }

  std::unique_ptr<MountedPool> pool_;
};

TEST_F(DirectHistory, CutAndGrownFilesAreOfHugePagesAgain) {
  if (!KeepsPieces()) GTEST_SKIP() << "not on xfs";
  const Descriptor file(Path("file"), O_RDWR | O_CREAT);
  const std::string contents = Pattern(16 * kMiB, 1);
  ASSERT_EQ(pwrite(file.get(), contents.data(), contents.size(), 0), 16 * kMiB);
  EXPECT_EQ(HugeBytes("file"), int64_t{16 * kMiB});
  const Map map(file.get(), 16 * kMiB);
  ASSERT_EQ(std::string_view(map.data(), contents.size()), contents);
  for (const uint64_t cut : {9 * kMiB + 5000, 3 * kMiB, 2 * kMiB + 1}) {
    ASSERT_EQ(ftruncate(file.get(), static_cast<off_t>(cut)), 0);
    ASSERT_EQ(pwrite(file.get(), contents.data() + cut, 16 * kMiB - cut, static_cast<off_t>(cut)),
              static_cast<ssize_t>(16 * kMiB - cut));
    EXPECT_TRUE(Eventually([&] { return HugeBytes("file") == int64_t{16 * kMiB}; }))
        << HugeBytes("file") << " after a cut at " << cut;
    EXPECT_EQ(std::string_view(map.data(), contents.size()), contents);
    const Map fresh(file.get(), 16 * kMiB, PROT_READ);
    ASSERT_EQ(std::string_view(fresh.data(), contents.size()), contents);
    EXPECT_EQ(fresh.PmdMappedBytes(), 16 * kMiB);
  }
}

TEST_F(DirectHistory, TheReportIsWhatTheKernelMaps) {
  const Descriptor file(Path("sparse"), O_RDWR | O_CREAT);
  ASSERT_EQ(ftruncate(file.get(), 32 * kMiB), 0);
  EXPECT_EQ(HugeBytes("sparse"), 0) << "asking allocates nothing";
  struct stat status {};
  ASSERT_EQ(stat(Path("sparse").c_str(), &status), 0);
  EXPECT_EQ(status.st_blocks, 0);
  for (const uint64_t at : {0 * kMiB, 6 * kMiB + 77, 31 * kMiB}) {
    ASSERT_EQ(pwrite(file.get(), "x", 1, static_cast<off_t>(at)), 1);
  }
  const int64_t reported = HugeBytes("sparse");
  // (ext4 with DAX maps partly written pieces by small pages; what is reported must be so, too.)
  EXPECT_TRUE(reported == int64_t{6 * kMiB} || TestHost::IsDax()) << reported;
  const Map map(file.get(), 32 * kMiB, PROT_READ);
  for (const uint64_t at : {0 * kMiB, 6 * kMiB + 77, 31 * kMiB}) EXPECT_EQ(map.at()[at], 'x');
  EXPECT_EQ(map.PmdMappedBytes(), static_cast<uint64_t>(reported));
  EXPECT_EQ(Reported(pool_->path(), "user.ingot.status", "open_huge_page_bytes"), reported);
}

// Of a sparse file and of a preallocated one; what nobody looked at before is whole at once.
TEST_F(DirectHistory, PartlyWrittenPiecesAreCompletedOnceNobodyHasThemOpen) {
  if (!TestHost::IsDax()) GTEST_SKIP() << "only media that show through are completed";
  if (!KeepsPieces()) GTEST_SKIP() << "not on xfs";
  const std::string text = Pattern(10'000, 8);
  for (const bool is_preallocated : {false, true}) {
    const std::string name = is_preallocated ? "preallocated" : "sparse";
    struct stat before {};
    const int64_t completed = Reported(pool_->path(), "user.ingot.status", "completed_pieces");
    {
      const Descriptor file(Path(name), O_RDWR | O_CREAT);
      ASSERT_EQ(ftruncate(file.get(), 32 * kMiB), 0);
      ASSERT_TRUE(!is_preallocated || fallocate(file.get(), 0, 0, 32 * kMiB) == 0);
      for (const uint64_t at : {0 * kMiB, 6 * kMiB + 77, 22 * kMiB - 3000}) {
        ASSERT_EQ(pwrite(file.get(), text.data(), text.size(), static_cast<off_t>(at)), 10'000);
      }
      ASSERT_EQ(fstat(file.get(), &before), 0);
    }
    EXPECT_TRUE(Eventually([&] {
      return Reported(pool_->path(), "user.ingot.status", "completed_pieces") == completed + 4;
    }));
    EXPECT_EQ(HugeBytes(name), int64_t{8 * kMiB}) << name;
    const Descriptor file(Path(name), O_RDONLY);
    struct stat after {};
    ASSERT_EQ(fstat(file.get(), &after), 0);
    EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    EXPECT_EQ(after.st_blocks, before.st_blocks);
    const Map map(file.get(), 32 * kMiB, PROT_READ);
    for (const uint64_t at : {0 * kMiB, 6 * kMiB + 77, 22 * kMiB - 3000}) {
      EXPECT_EQ(std::string_view(map.data() + at, text.size()), text) << name << " at " << at;
    }
    EXPECT_EQ(map.PmdMappedBytes(), 8 * kMiB) << name;
  }
}

// As a database does: it grows by write(2) under a mapping that is read. What was mapped while it
// was partly written is mapped by small entries, which the host would keep.
TEST_F(DirectHistory, AFileThatGrewUnderAMappingIsOfHugePagesOnceNobodyHasItOpen) {
  if (!KeepsPieces()) GTEST_SKIP() << "not on xfs";
  const std::string page = Pattern(kSmallPage, 4);
  {
    const Descriptor file(Path("file"), O_RDWR | O_CREAT);
    const Map map(file.get(), 8 * kMiB, PROT_READ);
    for (uint64_t at = 0; at < 8 * kMiB; at += kSmallPage) {
      ASSERT_EQ(pwrite(file.get(), page.data(), page.size(), static_cast<off_t>(at)), 4096);
      ASSERT_EQ(map.at()[at + 77], page[77]);
    }
  }
  EXPECT_TRUE(Eventually([&] { return HugeBytes("file") == int64_t{8 * kMiB}; }))
      << HugeBytes("file");
  const Descriptor file(Path("file"), O_RDONLY);
  const Map map(file.get(), 8 * kMiB, PROT_READ);
  for (uint64_t at = 0; at < 8 * kMiB; at += kSmallPage) {
    ASSERT_EQ(std::string_view(map.data() + at, page.size()), page) << at;
  }
  EXPECT_EQ(map.PmdMappedBytes(), 8 * kMiB);
}

TEST_F(DirectHistory, ShortFilesAreInExtentsAtTheNextMount) {
  const std::string text = Pattern(300'000, 5);
  {
    const Descriptor small(Path("small"), O_RDWR | O_CREAT), large(Path("large"), O_RDWR | O_CREAT);
    ASSERT_EQ(write(small.get(), text.data(), text.size()), 300'000);
    ASSERT_EQ(pwrite(large.get(), text.data(), text.size(), 5 * kMiB), 300'000);
  }
  EXPECT_TRUE(IsDirect(Path("small")));
  ASSERT_TRUE(pool_->Unmount());
  ASSERT_TRUE(pool_->Mount());
  EXPECT_TRUE(Eventually([&] { return IsRecovered(); }));
  EXPECT_FALSE(IsDirect(Path("small")));
  EXPECT_TRUE(IsDirect(Path("large")));
  std::string got(text.size(), '\0');
  const Descriptor small(Path("small"), O_RDONLY);
  ASSERT_EQ(read(small.get(), got.data(), got.size()), 300'000);
  EXPECT_TRUE(got == text);
}

// Its handles and mappings work on: the file is neither moved under them, nor are its attributes
// kept by the next mount's kernel.
TEST_F(DirectHistory, WhoWasThereBeforeTheMountIsSeen) {
  const Descriptor file(Path("log"), O_RDWR | O_CREAT);
  ASSERT_EQ(write(file.get(), "before ", 7), 7);
  const Descriptor mapped(Path("mapped"), O_RDWR | O_CREAT);
  ASSERT_EQ(ftruncate(mapped.get(), kSmallPage), 0);
  const Map map(mapped.get(), kSmallPage);
  ASSERT_TRUE(pool_->KillDaemon());
  pool_->DropMount();
  ASSERT_TRUE(pool_->Mount());
  std::this_thread::sleep_for(std::chrono::milliseconds(700));  // recovery had its chance

  struct stat status {};
  for (int i = 1; i <= 20; ++i) {
    ASSERT_EQ(write(file.get(), "+", 1), 1) << strerror(errno);
    ASSERT_EQ(stat(Path("log").c_str(), &status), 0);
    ASSERT_EQ(status.st_size, 7 + i);
  }
  map.at()[0] = 'm';
  char got = 0;
  const Descriptor reader(Path("mapped"), O_RDONLY);
  ASSERT_EQ(pread(reader.get(), &got, 1, 0), 1);
  EXPECT_EQ(got, 'm');
  EXPECT_TRUE(IsDirect(Path("mapped")));
}

}  // namespace
}  // namespace ingot::tests
