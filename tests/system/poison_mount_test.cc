// SPDX-License-Identifier: BSD-3-Clause
// One bad page under a mounted pool, in each place that there is: EIO for what needs that page, and
// for nothing else; the daemon lives, names the page in its status, and serves everybody else.
//
// The daemon's session runs in this process, because the poison (userfaultfd) is on its mapping.
// Over /dev/fuse and over io_uring. Needs root and Linux 6.6.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>

#include "fs/check/check.h"
#include "pmemdev/base/log.h"
#include "tests/support/eventually.h"
#include "tests/system/hosted_mount.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = uint64_t{300} << 20;  // three groups
constexpr size_t kDataBytes = 100'000;

// What a system call on the mount answered: 0 or its errno.
using Call = std::function<int(const std::string& mount)>;
using Places = std::function<std::vector<MediaOffset>(Volume&)>;

int Answer(bool good) {
  return good ? 0 : errno;
}

int ReadAt(const std::string& path, uint64_t offset, size_t size_bytes, std::string* to = nullptr) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  std::string bytes(size_bytes, '\0');
  const ssize_t got = pread(fd, bytes.data(), size_bytes, static_cast<off_t>(offset));
  const int code = Answer(got == static_cast<ssize_t>(size_bytes));
  close(fd);
  if (to != nullptr) *to = bytes;
  return code;
}

int WriteAt(const std::string& path, uint64_t offset, const std::string& bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  const ssize_t done = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  int code = Answer(done >= 0);
  if (code == 0 && done < static_cast<ssize_t>(bytes.size())) code = ENOSPC;  // a short count
  close(fd);
  return code;
}

int StatOf(const std::string& path) {
  struct stat status;
  return Answer(lstat(path.c_str(), &status) == 0);
}

// --- the pool: victims, and things that have nothing to do with them

std::unique_ptr<Volume> MakeVolume() {
  auto volume = OpenPool(NewPool(kPoolBytes));
  CHECK(volume.has_value(), "{}", Describe(volume.error()));
  VolumeSubject subject(**volume);
  const auto run = [&](const Operation& operation) {
    const std::string answer = subject.Run(operation);
    CHECK(answer.starts_with("ok"), "{}: {}", Describe(operation), answer);
  };
  const auto make = [&](const std::string& path, uint64_t size_bytes) {
    run({.kind = Kind::kCreate, .path = path, .mode = 0644});
    if (size_bytes != 0) run({.kind = Kind::kWrite, .path = path, .size = size_bytes, .seed = 1});
  };
  for (const char* path : {"/good", "/v", "/v/leaf", "/v/wide", "/v/inodes"}) {
    run({.kind = Kind::kMkdir, .path = path, .mode = 0755});
  }
  make("/v/data", kDataBytes);
  make("/v/tree", 0);
  for (uint64_t i = 0; i < 100; ++i) {
    run({.kind = Kind::kWrite, .path = "/v/tree", .offset = i * 12'288, .size = 4096, .seed = i});
  }
  make("/v/attributes", 0);
  run({.kind = Kind::kSetXattr,
       .path = "/v/attributes",
       .name = "user.a",
       .size = 9000,
       .seed = 1});
  for (int i = 0; i < 10; ++i) make(fmt::format("/v/leaf/{}", i), 0);
  for (int i = 0; i < 400; ++i) make(fmt::format("/v/wide/{:0>250}", i), 0);
  for (int i = 0; i < 24; ++i) make(fmt::format("/v/inodes/{}", i), 0);
  for (int i = 0; i < 20; ++i) make(fmt::format("/good/{}", i), kDataBytes);
  // Opened anew: nothing was looked at in this mount yet.
  const int fd = DuplicateOf((*volume)->device().mapping().fd());
  volume->reset();
  volume = OpenPool(fd);
  CHECK(volume.has_value(), "{}", Describe(volume.error()));
  return std::move(*volume);
}

MediaOffset Of(LogicalPage page) {
  return Geometry::ToMedia(page);
}

// By its number, not by its name: looking it up would verify what is to be poisoned.
media::Inode InodeOf(Volume& volume, const std::string& path) {
  return volume.core().reader.ReadInode(InodeAt(volume, path)).value();
}
MediaOffset FirstRecord(Volume& volume, const std::string& path) {
  media::Record record;
  std::memcpy(&record, InodeOf(volume, path).tail.data(), sizeof(record));
  return Of(LogicalPage(record.value));
}

struct Victim {
  const char* name;
  Places places;
  Call call;                 // what needs the page
  int expected = EIO;        // of the call
  bool others_write = true;  // may the rest of the mount still be changed?
};

Call Stat(std::string path) {
  return [path = std::move(path)](const std::string& mount) { return StatOf(mount + path); };
}
Call Read(std::string path, uint64_t offset) {
  return [=](const std::string& mount) { return ReadAt(mount + path, offset, 100); };
}
Call Write(std::string path, uint64_t offset, size_t size_bytes) {
  return [=](const std::string& mount) {
    return WriteAt(mount + path, offset, std::string(size_bytes, 'w'));
  };
}
Call Truncate(std::string path) {
  return [=](const std::string& mount) { return Answer(truncate((mount + path).c_str(), 0) == 0); };
}

const std::vector<Victim>& Victims() {
  const auto one = [](auto where) -> Places {
    return [where](Volume& volume) { return std::vector<MediaOffset>{where(volume)}; };
  };
  const auto data = one([](Volume& volume) {
    const auto extents = volume.data().Extents(InodeAt(volume, "/v/data"), FilePage(0), 1);
    return Of(extents.value().at(0).start + 2);
  });
  const auto bitmap = [&](uint32_t page) {
    return one([page](Volume&) { return Of(FirstPageOf(GroupIndex(0)) + page); });
  };
  static const std::vector<Victim> all = {
      {"data_read", data, Read("/v/data", 9000)},
      {"data_overwritten_in_part", data, Write("/v/data", 9000, 10)},
      {"inode_page",
       one([](Volume& volume) { return Of(PageOf(InodeAt(volume, "/v/inodes/12"))); }),
       Stat("/v/inodes/12")},
      {"directory_leaf", one([](Volume& volume) { return FirstRecord(volume, "/v/leaf"); }),
       Stat("/v/leaf/3")},
      {"directory_node", one([](Volume& volume) { return FirstRecord(volume, "/v/wide"); }),
       Stat(fmt::format("/v/wide/{:0>250}", 3))},
      {"extent_node", one([](Volume& volume) { return FirstRecord(volume, "/v/tree"); }),
       Read("/v/tree", 0)},
      {"attribute_head", one([](Volume& volume) {
         return Of(LogicalPage(InodeOf(volume, "/v/attributes").xattr_page));
       }),
       [](const std::string& mount) {
         std::string value(65'536, '\0');
         const std::string path = mount + "/v/attributes";
         return Answer(getxattr(path.c_str(), "user.a", value.data(), value.size()) >= 0);
       }},
      {"allocation_bitmap", bitmap(media::kAllocatedBitmapPage), Truncate("/v/data")},
      {"inode_bitmap", bitmap(media::kInodeBitmapPage), Stat("/v/data"), 0},
      {"group_table", one([](Volume&) { return Geometry::GroupEntryAt(GroupIndex(0)); }),
       Truncate("/v/data"), EIO, false},
      {"all_lanes_but_the_last",
       [](Volume&) {
         std::vector<MediaOffset> lanes;
         for (uint32_t lane = 0; lane + 1 < media::kLaneCount; ++lane) {
           lanes.push_back(Geometry::Lane(lane));
         }
         return lanes;
       },
       [](const std::string& mount) {
         // Each lane is lost at its first use, with that one operation.
         int code = EIO;
         for (uint32_t i = 0; i < media::kLaneCount && code == EIO; ++i) {
           code = Answer(chmod((mount + "/v/data").c_str(), 0600 + (i & 7)) == 0);
         }
         return code;
       },
       0},
      {"superblock_copy", one([](Volume&) { return Geometry::SuperblockCopy(0, kPoolBytes); }),
       Stat("/v/data"), 0},
  };
  return all;
}

struct Param {
  size_t victim;
  bool through_io_uring;
};

class PoisonMount : public ::testing::TestWithParam<Param> {
 protected:
  void Start() {
    if (GetParam().through_io_uring) {
      io_uring_.emplace();
      if (!io_uring_->is_on()) GTEST_SKIP() << "the kernel offers no io_uring";
    }
    log::ToFile(log_path_, log::Level::kWarning);
    auto mount = HostedMount::Start(MakeVolume(), GetParam().through_io_uring);
    if (!mount && (mount.error().code == EPERM || mount.error().code == ENOENT)) {
      GTEST_SKIP() << Describe(mount.error());
    }
    ASSERT_TRUE(mount) << Describe(mount.error());
    mount_ = std::move(*mount);
  }
  void TearDown() override {
    mount_.reset();
    log::ToStderr(log::Level::kWarning);
    unlink(log_path_.c_str());
  }
  std::string Log() const {
    std::ifstream file(log_path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Files that have nothing to do with the bad page.
  void ExpectOthersWell(bool may_write) {
    const std::string good = mount_->path() + "/good/";
    for (int i = 0; i < 20; ++i) {
      std::string bytes;
      EXPECT_EQ(ReadAt(good + std::to_string(i), 0, kDataBytes, &bytes), 0);
      EXPECT_TRUE(bytes == MakeBytes(1, kDataBytes)) << i;
    }
    if (!may_write) return;
    const std::string made = good + "made";
    const std::string bytes = MakeBytes(9, 300'000);
    EXPECT_EQ(WriteAt(made, 0, bytes), 0);
    std::string back;
    EXPECT_EQ(ReadAt(made, 0, bytes.size(), &back), 0);
    EXPECT_TRUE(back == bytes);
    EXPECT_EQ(WriteAt(good + "7", 5000, "overwritten"), 0);
    EXPECT_EQ(WriteAt(good + "7", 5000, MakeBytes(1, kDataBytes).substr(5000, 11)), 0);
    EXPECT_EQ(mkdir((good + "directory").c_str(), 0700), 0);
    EXPECT_EQ(rmdir((good + "directory").c_str()), 0);
  }

  const std::string log_path_ = fmt::format("/tmp/ingot-poison-{}.log", getpid());
  std::optional<IoUringSwitch> io_uring_;
  std::unique_ptr<HostedMount> mount_;
};

#define START_OR_LEAVE()              \
  do {                                \
    ASSERT_NO_FATAL_FAILURE(Start()); \
    if (IsSkipped()) return;          \
  } while (false)

TEST_P(PoisonMount, IsAnErrorOfWhatNeedsThePage) {
  START_OR_LEAVE();
  const Victim& victim = Victims()[GetParam().victim];
  const std::vector<MediaOffset> places = victim.places(mount_->volume());
  for (const MediaOffset place : places) {
    if (!PoisonPage(mount_->volume().device().mapping(), place)) {
      GTEST_SKIP() << "no UFFDIO_POISON (Linux 6.6, userfaultfd)";
    }
  }
  std::atomic<bool> done{false};
  std::atomic<uint64_t> reads{0};
  std::thread reader([&] {
    while (!done) {
      EXPECT_EQ(ReadAt(mount_->path() + "/good/1", 0, kDataBytes), 0);
      ++reads;
    }
  });
  EXPECT_EQ(victim.call(mount_->path()), victim.expected);
  if (victim.expected != 0) {
    EXPECT_EQ(victim.call(mount_->path()), victim.expected) << "again";
    // Whose reply failed half way has EIO before the daemon knows why.
    const uint64_t page = places[0].value / kPageSize * kPageSize;
    const std::string named = fmt::format("\"media\":{}", page);
    EXPECT_TRUE(Eventually([&] { return mount_->Status().find(named) != std::string::npos; }))
        << named << mount_->Status();
    const std::string logged = fmt::format("offset={}", page);
    EXPECT_TRUE(Eventually([&] { return Log().find(logged) != std::string::npos; })) << Log();
  }
  ExpectOthersWell(victim.others_write);
  EXPECT_TRUE(Eventually([&] { return reads != 0; })) << "somebody else's reads don't end";
  done = true;
  reader.join();

  // fsck meets the same bad page: it says so, and lives.
  mount_->Unmount();
  check::CheckOptions thorough;
  thorough.read_data = true;
  (void)check::Check(mount_->volume().device(), thorough);
  // With the page repaired the pool is whole: nobody has stored half of anything.
  for (const MediaOffset place : places) HealPage(mount_->volume().device().mapping(), place);
  const int fd = DuplicateOf(mount_->volume().device().mapping().fd());
  mount_.reset();
  auto reopened = OpenPool(fd);
  ASSERT_OK(reopened);
  EXPECT_FSCK_CLEAN((*reopened)->device());
}

class PoisonedData : public PoisonMount {};  // one page of /v/data

// The page that was read in vain is written as a whole: the file is well, by another page.
TEST_P(PoisonedData, HealsWhereWholePagesAreWritten) {
  START_OR_LEAVE();
  const MediaOffset place = Victims()[0].places(mount_->volume()).at(0);
  if (!PoisonPage(mount_->volume().device().mapping(), place)) GTEST_SKIP() << "no UFFDIO_POISON";
  const std::string path = mount_->path() + "/v/data";
  std::string expected = MakeBytes(1, kDataBytes);
  EXPECT_EQ(ReadAt(path, 0, kDataBytes), EIO);
  EXPECT_EQ(ReadAt(path, 0, 2 * kPageSize), 0) << "the pages before it";
  EXPECT_EQ(ReadAt(path, 3 * kPageSize, 5 * kPageSize), 0) << "and behind";
  EXPECT_EQ(WriteAt(path, 2 * kPageSize + 1, "part"), EIO) << "some of its bytes are to stay";
  const std::string bytes = MakeBytes(5, 3 * kPageSize);
  EXPECT_EQ(WriteAt(path, kPageSize, bytes), 0);
  expected.replace(kPageSize, bytes.size(), bytes);
  std::string found;
  EXPECT_EQ(ReadAt(path, 0, kDataBytes, &found), 0);
  EXPECT_TRUE(found == expected);
  EXPECT_EQ(WriteAt(path, 2 * kPageSize + 1, "part"), 0);
  // Nobody is given the bad page, however full it gets.
  int code = 0;
  for (int i = 0; code == 0 && i < 400; ++i) {
    code = WriteAt(fmt::format("{}/good/fill{}", mount_->path(), i), 0, MakeBytes(2, 1 << 20));
  }
  EXPECT_TRUE(code == ENOSPC || code == 0) << ErrnoName(code);
  ExpectOthersWell(false);
  mount_->Unmount();
  HealPage(mount_->volume().device().mapping(), place);
  EXPECT_FSCK_CLEAN(mount_->volume().device());
}

// Written without having been read: the store is what meets the bad page.
TEST_P(PoisonedData, HealsAtTheFirstWrite) {
  START_OR_LEAVE();
  const MediaOffset place = Victims()[0].places(mount_->volume()).at(0);
  if (!PoisonPage(mount_->volume().device().mapping(), place)) GTEST_SKIP() << "no UFFDIO_POISON";
  const std::string path = mount_->path() + "/v/data";
  const std::string bytes = MakeBytes(6, kDataBytes);
  EXPECT_EQ(WriteAt(path, 0, bytes), 0);
  std::string found;
  EXPECT_EQ(ReadAt(path, 0, kDataBytes, &found), 0);
  EXPECT_TRUE(found == bytes);
}

std::vector<Param> Params() {
  std::vector<Param> params;
  for (const bool through_io_uring : {false, true}) {
    for (size_t i = 0; i < Victims().size(); ++i) params.push_back({i, through_io_uring});
  }
  return params;
}
std::string NameOf(const ::testing::TestParamInfo<Param>& info) {
  return std::string(Victims()[info.param.victim].name) +
         (info.param.through_io_uring ? "_io_uring" : "_dev_fuse");
}
INSTANTIATE_TEST_SUITE_P(Places, PoisonMount, ::testing::ValuesIn(Params()), NameOf);
INSTANTIATE_TEST_SUITE_P(Places, PoisonedData, ::testing::Values(Param{0, false}, Param{0, true}),
                         NameOf);

}  // namespace
}  // namespace ingot::tests
