// SPDX-License-Identifier: BSD-3-Clause
// What a mapping of a backed file is: 2 MiB pages of the medium, and none of the page cache;
// shared, private, locked, advised, moved, cut short. Each answer is the bare host's.
#include "tests/system/mounted_pool.h"

#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace ingot::tests {
namespace {

constexpr uint64_t kLarge = 256 * kMiB;

class DirectMapping : public OnHostAndMount {};
INSTANTIATE_TEST_SUITE_P(Places, DirectMapping,
                         testing::Values(Place::kHost, Place::kAuto, Place::kAlways), NameOf);

// All of the file is mapped by 2 MiB entries, each of which cost one fault; the kernel keeps
// nothing of it beside the medium.
void ExpectHugePagesOnly(int fd, uint64_t size_bytes, bool is_mount, bool store) {
  const Map map(fd, size_bytes);
  ASSERT_NE(map.data(), nullptr) << strerror(map.code());
  const uint64_t before = MinorFaults();
  char sum = 0;
  for (uint64_t at = 0; at < size_bytes; at += kSmallPage) {
    if (store) map.at()[at] = 's';
    sum = static_cast<char>(sum ^ map.at()[at]);
  }
  EXPECT_LE(MinorFaults() - before, size_bytes / kHugePage + 4) << "sum " << int{sum};
  EXPECT_EQ(map.PmdMappedBytes(), size_bytes / kHugePage * kHugePage);
  std::vector<unsigned char> resident(size_bytes / kSmallPage);
  ASSERT_EQ(mincore(map.data(), size_bytes, resident.data()), 0);
  EXPECT_TRUE(std::all_of(resident.begin(), resident.end(), [](auto c) { return (c & 1) != 0; }));
  const int64_t cached = is_mount ? CachedPages(fd) : 0;
  EXPECT_LE(cached, 0) << cached << " pages beside the medium's own";
}

uint64_t AllocatedBytes(int fd) {
  struct stat status {};
  EXPECT_EQ(fstat(fd, &status), 0);
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

TEST_P(DirectMapping, FirstTouchIsOneFaultAHugePage) {
  const Descriptor file(Create("file", kLarge));
  ExpectHugePagesOnly(file.get(), kLarge, is_mount(), /*store=*/true);
  EXPECT_EQ(AllocatedBytes(file.get()), kLarge);
  // Another mapping, whose pages are there.
  ExpectHugePagesOnly(file.get(), kLarge, is_mount(), /*store=*/false);
}

void MakeByAppends(const std::string& path, uint64_t size_bytes) {
  const Descriptor appender(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND);
  ASSERT_GE(appender.get(), 0) << strerror(appender.code());
  for (uint64_t at = 0; at < size_bytes; at += kSmallPage) {
    const std::string page = Pattern(kSmallPage, 3, at);
    ASSERT_EQ(write(appender.get(), page.data(), page.size()), kSmallPage) << strerror(errno);
  }
}

bool IsOfHugePages(const std::string& path, uint64_t size_bytes) {
  const Descriptor file(path, O_RDONLY);
  const Map map(file.get(), size_bytes, PROT_READ);
  for (uint64_t at = 0; at < size_bytes; at += kSmallPage) (void)map.at()[at];
  return map.PmdMappedBytes() == size_bytes;
}

// Made of small appends; on direct=auto it begins in extents and is promoted on its way.
TEST_P(DirectMapping, AppendsOfOnePageGrowHugePages) {
  const uint64_t large = getenv("INGOT_TEST_SHORT") == nullptr ? 64 * kMiB : 32 * kMiB;
  // When memory is short, or somebody has the kernel drop its caches, tmpfs splits the page that a
  // file ends in (shmem_unused_huge_scan in mm/shmem.c). So it may take more than one file.
  std::string path;
  for (int attempt = 0; attempt < 5; ++attempt) {
    path = Path("log" + std::to_string(attempt));
    ASSERT_NO_FATAL_FAILURE(MakeByAppends(path, large));
    if (IsOfHugePages(path, large)) break;
  }
  EXPECT_TRUE(!is_mount() || IsDirect(path));
  const Descriptor file(path, O_RDWR);
  ExpectHugePagesOnly(file.get(), large, is_mount(), /*store=*/false);
  const Map map(file.get(), large, PROT_READ);
  for (uint64_t at = 0; at < large; at += kHugePage) {
    ASSERT_EQ(std::string_view(map.data() + at, kHugePage), Pattern(kHugePage, 3, at)) << at;
  }
}

TEST_P(DirectMapping, SharedStoresAndWritesAreOneThing) {
  const Descriptor file(Create("file", 8 * kMiB)), other(Path("file"), O_RDWR);
  const Map map(file.get(), 8 * kMiB), second(other.get(), 8 * kMiB);
  ASSERT_NE(second.data(), nullptr);
  for (uint64_t at = 5; at < 8 * kMiB - 100; at += 123'457) {
    const std::string stored = Pattern(77, 1, at), written = Pattern(66, 2, at);
    std::string got(77, '\0');
    memcpy(map.data() + at, stored.data(), stored.size());
    ASSERT_EQ(pread(other.get(), got.data(), 77, static_cast<off_t>(at)), 77);
    ASSERT_EQ(got, stored);
    ASSERT_EQ(pwrite(other.get(), written.data(), 66, static_cast<off_t>(at)), 66);
    ASSERT_EQ(std::string_view(map.data() + at, 66), written);
    ASSERT_EQ(std::string_view(second.data() + at, 66), written);
  }
}

TEST_P(DirectMapping, PrivateStoresLeaveTheMediumAlone) {
  const Descriptor file(Create("file", 4 * kMiB));
  const std::string contents = Pattern(4 * kMiB, 7);
  ASSERT_EQ(pwrite(file.get(), contents.data(), contents.size(), 0), 4 * kMiB);
  const uint64_t allocated = AllocatedBytes(file.get());
  const Map copy(file.get(), 4 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  ASSERT_EQ(std::string_view(copy.data(), contents.size()), contents);
  for (uint64_t at = 0; at < 4 * kMiB; at += 3 * kSmallPage) copy.data()[at] = 'p';
  const Map shared(file.get(), 4 * kMiB, PROT_READ);
  EXPECT_EQ(std::string_view(shared.data(), contents.size()), contents);
  std::string got(contents.size(), '\0');
  ASSERT_EQ(pread(file.get(), got.data(), got.size(), 0), 4 * kMiB);
  EXPECT_TRUE(got == contents);
  EXPECT_EQ(AllocatedBytes(file.get()), allocated);
  for (uint64_t at = 0; at < 4 * kMiB; at += 3 * kSmallPage) ASSERT_EQ(copy.data()[at], 'p');
}

TEST_P(DirectMapping, LockedAndPopulatedMappings) {
  const Descriptor file(Create("file", 8 * kMiB));
  for (const int flags : {MAP_SHARED | MAP_LOCKED, MAP_SHARED | MAP_POPULATE, MAP_SHARED}) {
    const Map map(file.get(), 8 * kMiB, PROT_READ | PROT_WRITE, flags);
    ASSERT_NE(map.data(), nullptr) << strerror(map.code());
    if (flags == MAP_SHARED) {
      ASSERT_EQ(mlock(map.data(), 8 * kMiB), 0) << strerror(errno);
    }
    const uint64_t before = MinorFaults();
    for (uint64_t at = 0; at < 8 * kMiB; at += kSmallPage) map.at()[at] = 'l';
    // Populating a shared mapping only reads (populate_vma_page_range in mm/gup.c), and DAX is told
    // of the first store to each huge page.
    const uint64_t first_stores = TestHost::IsDax() ? 8 * kMiB / kHugePage : 0;
    EXPECT_EQ(MinorFaults(), before + first_stores) << "all of it is there, flags " << flags;
    // What can't be reclaimed isn't counted as locked (mlock_fixup in mm/mlock.c).
    const bool is_counted = (flags & MAP_POPULATE) == 0 && !TestHost::IsDax();
    EXPECT_EQ(map.SmapsBytes("Locked"), is_counted ? 8 * kMiB : 0);
    EXPECT_EQ(munlock(map.data(), 8 * kMiB), 0);
    EXPECT_EQ(map.SmapsBytes("Locked"), 0u);
  }
  const Map map(file.get(), 8 * kMiB);
  ASSERT_EQ(mlock2(map.data(), 8 * kMiB, MLOCK_ONFAULT), 0) << strerror(errno);
  EXPECT_EQ(map.SmapsBytes("Locked"), 0u);
  map.at()[0] = 'l';
  EXPECT_EQ(map.SmapsBytes("Locked"), TestHost::IsDax() ? 0 : kHugePage);
}

TEST_P(DirectMapping, AdviceLosesNothingAndRemovePunches) {
  const Descriptor file(Create("file", 8 * kMiB));
  const Map map(file.get(), 8 * kMiB);
  const std::string contents = Pattern(8 * kMiB, 9);
  memcpy(map.data(), contents.data(), contents.size());
  // DONTNEED drops the page table's entries only; PAGEOUT may find nowhere to put them.
  constexpr int kPopulateWrite = 23;
  for (const int advice :
       {MADV_DONTNEED, MADV_WILLNEED, MADV_HUGEPAGE, MADV_COLD, MADV_PAGEOUT, MADV_SEQUENTIAL,
        MADV_RANDOM, MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP, MADV_DODUMP, kPopulateWrite}) {
    ASSERT_EQ(madvise(map.data(), 8 * kMiB, advice), 0) << advice << ": " << strerror(errno);
    ASSERT_EQ(std::string_view(map.data(), contents.size()), contents) << advice;
  }
  for (const int flags : {MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE}) {
    ASSERT_EQ(msync(map.data(), 8 * kMiB, flags), 0) << flags << ": " << strerror(errno);
  }
  ASSERT_EQ(AllocatedBytes(file.get()), 8 * kMiB);
  ASSERT_EQ(madvise(map.data() + kHugePage, kHugePage, MADV_REMOVE), 0) << strerror(errno);
  EXPECT_EQ(AllocatedBytes(file.get()), 6 * kMiB);
  std::string expected = contents, got(contents.size(), '\0');
  std::fill_n(expected.begin() + kHugePage, kHugePage, '\0');
  ASSERT_EQ(pread(file.get(), got.data(), got.size(), 0), 8 * kMiB);
  EXPECT_TRUE(got == expected);
  EXPECT_TRUE(std::string_view(map.data(), expected.size()) == expected);
}

TEST_P(DirectMapping, MovedAndGrownMappings) {
  const Descriptor file(Create("file", 2 * kMiB));
  void* at = mmap(nullptr, 2 * kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(at, MAP_FAILED);
  memcpy(at, "first", 6);
  ASSERT_EQ(ftruncate(file.get(), 4 * kMiB), 0);
  at = mremap(at, 2 * kMiB, 4 * kMiB, MREMAP_MAYMOVE);
  ASSERT_NE(at, MAP_FAILED) << strerror(errno);
  memcpy(static_cast<char*>(at) + 3 * kMiB, "later", 6);
  char got[8] = {};
  ASSERT_EQ(pread(file.get(), got, 6, 3 * kMiB), 6);
  EXPECT_STREQ(got, "later");
  // The same pages once more, elsewhere.
  void* again = mremap(at, 0, 4 * kMiB, MREMAP_MAYMOVE);
  ASSERT_NE(again, MAP_FAILED) << strerror(errno);
  EXPECT_STREQ(static_cast<char*>(again), "first");
  memcpy(again, "both!", 6);
  EXPECT_STREQ(static_cast<char*>(at), "both!");
  munmap(again, 4 * kMiB);
  munmap(at, 4 * kMiB);
}

sigjmp_buf g_fault;
void OnFault(int /*signal*/) {
  siglongjmp(g_fault, 1);
}

// Whether a load from the end of that small page, or a store there, is SIGBUS.
bool Faults(const Map& map, size_t page, bool store) {
  if (sigsetjmp(g_fault, 1) != 0) return true;
  volatile char* last = map.at() + page * kSmallPage + kSmallPage - 1;
  const char byte = *last;
  if (store) *last = byte;
  return false;
}

// The same of each page of the mapping.
std::vector<bool> Faults(const Map& map, bool store) {
  struct sigaction action {
  }, before{};
  action.sa_handler = OnFault;
  sigaction(SIGBUS, &action, &before);
  std::vector<bool> faults(map.bytes().size() / kSmallPage);
  for (size_t page = 0; page < faults.size(); ++page) faults[page] = Faults(map, page, store);
  sigaction(SIGBUS, &before, nullptr);
  return faults;
}

TEST_P(DirectMapping, PastTheEndIsSigbusAndNowhereElse) {
  // On tmpfs a 2 MiB page is mapped as such also if the file ends in it; of what a cut has split,
  // the daemon makes one again, or khugepaged does, at any moment.
  const auto may_be_either = [](uint64_t at, uint64_t end) {
    return !TestHost::IsDax() && at >= end && at / kHugePage == (end - 1) / kHugePage;
  };
  const Descriptor file(Create("file", 8 * kMiB));
  const Map map(file.get(), 8 * kMiB);
  const std::string contents = Pattern(8 * kMiB, 4);
  memcpy(map.data(), contents.data(), contents.size());
  for (const uint64_t end : {8 * kMiB, 6 * kMiB + 5 * kSmallPage + 17, 6 * kMiB, 5 * kMiB,
                             4 * kMiB + 1, kSmallPage, uint64_t{1}}) {
    ASSERT_EQ(ftruncate(file.get(), static_cast<off_t>(end)), 0);
    for (const bool store : {false, true}) {
      const std::vector<bool> faults = Faults(map, store);
      for (size_t page = 0; page < faults.size(); ++page) {
        if (may_be_either(page * kSmallPage, end)) continue;
        ASSERT_EQ(faults[page], page * kSmallPage >= end) << page << " of a file of " << end;
      }
    }
    ASSERT_TRUE(std::equal(map.data(), map.data() + end, contents.begin())) << end;
    ASSERT_TRUE(end % kSmallPage == 0 || map.data()[end] == 0) << "behind the end of " << end;
  }
  // Grown again: zeros, and no more signals.
  ASSERT_EQ(ftruncate(file.get(), 8 * kMiB), 0);
  const std::vector<bool> faults = Faults(map, true);
  EXPECT_EQ(std::count(faults.begin(), faults.end(), true), 0);
  EXPECT_EQ(map.data()[0], contents[0]);
  EXPECT_TRUE(std::all_of(map.data() + 1, map.data() + 8 * kMiB, [](char c) { return c == 0; }));
}

// On no DAX filesystem is anybody told that stores are durable once they are flushed; and the
// kernel's FUSE tells nobody (MAP_SYNC is not among the flags that its files say they know).
TEST_P(DirectMapping, SynchronousMappingsAreRefused) {
  const Descriptor file(Create("file", 2 * kMiB));
  const Map map(file.get(), 2 * kMiB, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC);
  if (!is_mount() && TestHost::IsDax()) {
    EXPECT_NE(map.data(), nullptr) << strerror(map.code());
    return;
  }
  EXPECT_EQ(map.data(), nullptr);
  EXPECT_EQ(map.code(), EOPNOTSUPP);
}

// Whoever migrates or snapshots memory wants to see first touches of it.
TEST_P(DirectMapping, UserfaultfdFillsMissingPages) {
  if (TestHost::IsDax()) GTEST_SKIP() << "the kernel has it for shared memory only";
  const Descriptor user(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  if (user.get() < 0) GTEST_SKIP() << "userfaultfd: " << strerror(user.code());
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_MISSING_SHMEM;
  ASSERT_EQ(ioctl(user.get(), UFFDIO_API, &api), 0) << strerror(errno);
  const Descriptor file(Create("file", 4 * kMiB));
  const Map map(file.get(), 4 * kMiB);
  uffdio_register range{};
  range.range = {reinterpret_cast<uintptr_t>(map.data()), 4 * kMiB};
  range.mode = UFFDIO_REGISTER_MODE_MISSING;
  ASSERT_EQ(ioctl(user.get(), UFFDIO_REGISTER, &range), 0) << strerror(errno);
  const std::string page = Pattern(kSmallPage, 5);
  uffdio_copy copy{};
  copy.dst = reinterpret_cast<uintptr_t>(map.data()) + 7 * kSmallPage;
  copy.src = reinterpret_cast<uintptr_t>(page.data());
  copy.len = kSmallPage;
  ASSERT_EQ(ioctl(user.get(), UFFDIO_COPY, &copy), 0) << strerror(errno);
  EXPECT_EQ(std::string_view(map.data() + 7 * kSmallPage, kSmallPage), page);
  std::string got(kSmallPage, '\0');
  ASSERT_EQ(pread(file.get(), got.data(), kSmallPage, 7 * kSmallPage), kSmallPage);
  EXPECT_EQ(got, page);
  ASSERT_EQ(ioctl(user.get(), UFFDIO_UNREGISTER, &range.range), 0) << strerror(errno);
  EXPECT_EQ(map.data()[0], 0);
}

}  // namespace
}  // namespace ingot::tests
