// SPDX-License-Identifier: BSD-3-Clause
// The golden image of format version 1: a pool of 16 MiB with something of everything, an orphan
// and a transaction that waits in its lane. It opens, it is clean, it shows the tree that was
// written down with it; and this program still makes the same bytes.
//
// tests/golden/version_1.hex has a line for each 32 bytes that aren't all zero, version_1.tree the
// tree after recovery. A change of format adds a version; it doesn't change these files. If nothing
// but the places of things has changed, INGOT_GOLDEN_OUT=DIRECTORY writes new ones there.
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "pmemdev/journal_record.h"
#include "tests/paths.h"
#include "tests/volume/fixed_chance.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolBytes = 16 << 20;
constexpr size_t kLineBytes = 32;
constexpr uint32_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

std::filesystem::path GoldenFile(const char* name) { return SourceDir() / "tests/golden" / name; }

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int DecodeImage(const std::string& text) {
  const int fd = MemoryFile(kPoolBytes);
  std::istringstream lines(text);
  uint64_t at = 0;
  for (std::string hex; lines >> std::hex >> at >> hex;) {
    EXPECT_EQ(hex.size(), 2 * kLineBytes);
    std::array<unsigned char, kLineBytes> bytes{};
    for (size_t i = 0; i < kLineBytes && 2 * i + 1 < hex.size(); ++i) {
      bytes[i] = static_cast<unsigned char>(std::stoul(hex.substr(2 * i, 2), nullptr, 16));
    }
    EXPECT_EQ(pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)),
              ssize_t{kLineBytes});
  }
  return fd;
}

// Which lane a thread gets is a matter of chance: the valid record is moved to lane 0, and what
// others have left of their transactions is no part of the image.
std::vector<std::byte> NormalImage(int fd, uint32_t valid_lane) {
  std::vector<std::byte> bytes(kPoolBytes);
  EXPECT_EQ(pread(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(kPoolBytes));
  auto record = std::make_unique<LaneImage>();
  std::memcpy(record.get(), &bytes[RecordPlace(valid_lane).value], sizeof(LaneImage));
  record->header.lane_index = 0;
  record->header.sequence = 1;
  record->header.checksum = RecordChecksum(*record, RecordSeed(TestFormatOptions().uuid));
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
    std::memset(&bytes[RecordPlace(lane).value], 0, sizeof(LaneImage));
  }
  std::memcpy(&bytes[RecordPlace(0).value], record.get(),
              sizeof(media::LaneRecord) + record->header.length_bytes);
  return bytes;
}

std::string EncodeImage(const std::vector<std::byte>& bytes) {
  std::string text;
  for (uint64_t at = 0; at < bytes.size(); at += kLineBytes) {
    const auto line = std::span(bytes).subspan(at, kLineBytes);
    if (std::ranges::all_of(line, [](std::byte byte) { return byte == std::byte{0}; })) continue;
    text += fmt::format("{:08x} ", at);
    for (const std::byte byte : line) text += fmt::format("{:02x}", std::to_integer<int>(byte));
    text += '\n';
  }
  return text;
}

std::vector<Operation> FileHistory() {
  std::vector<Operation> made;
  for (const char* path : {"/directory", "/directory/inner", "/empty", "/leaves"}) {
    made.push_back({.kind = Kind::kMkdir, .path = path, .mode = 0750});
  }
  for (const char* path : {"/empty_file", "/inline", "/directory/pages", "/directory/sparse",
                           "/tree", "/directory/inner/unwritten", "/punched", "/gone"}) {
    made.push_back({.kind = Kind::kCreate, .path = path, .mode = 0640});
  }
  made.push_back({.kind = Kind::kWrite, .path = "/inline", .size = 90, .seed = 1});
  made.push_back({.kind = Kind::kWrite, .path = "/directory/pages", .size = 4200, .seed = 2});
  made.push_back({.kind = Kind::kWrite, .path = "/directory/sparse", .offset = 40 << 20,
                  .size = 20, .seed = 3});
  for (uint64_t i = 0; i < 30; ++i) {  // more extents than the inode's tail holds
    made.push_back({.kind = Kind::kWrite, .path = "/tree", .offset = i * 12'288, .size = 10,
                    .seed = i});
  }
  made.push_back({.kind = Kind::kFallocate, .path = "/directory/inner/unwritten", .size = 40'000});
  made.push_back({.kind = Kind::kWrite, .path = "/directory/inner/unwritten", .offset = 9000,
                  .size = 30, .seed = 5});
  made.push_back({.kind = Kind::kWrite, .path = "/punched", .size = 20, .seed = 6});
  made.push_back({.kind = Kind::kWrite, .path = "/punched", .offset = 16'384, .size = 20,
                  .seed = 7});
  made.push_back({.kind = Kind::kFallocate, .path = "/punched", .offset = 4096, .size = 8192,
                  .flags = kPunch});
  return made;
}

std::vector<Operation> NameHistory() {
  std::vector<Operation> made;
  made.push_back({.kind = Kind::kSymlink, .path = "/short_link", .name = "directory/pages"});
  made.push_back({.kind = Kind::kSymlink, .path = "/long_link", .name = std::string(700, 'l')});
  made.push_back({.kind = Kind::kMknod, .path = "/fifo", .mode = 0600});
  made.push_back({.kind = Kind::kLink, .path = "/inline", .path2 = "/directory/second_name"});
  for (int i = 0; i < 30; ++i) {  // two leaves, under a record each
    made.push_back({.kind = Kind::kLink, .path = "/empty_file",
                    .path2 = fmt::format("/leaves/{:0>200}", i)});
  }
  made.push_back({.kind = Kind::kSetXattr, .path = "/inline", .name = "user.small", .size = 12,
                  .seed = 1});
  made.push_back({.kind = Kind::kSetXattr, .path = "/empty", .name = "trusted.page", .size = 900,
                  .seed = 2});
  made.push_back({.kind = Kind::kSetXattr, .path = "/tree", .name = "user.runs", .size = 5000,
                  .seed = 3});
  made.push_back({.kind = Kind::kChown, .path = "/fifo", .flags = 1000});
  made.push_back({.kind = Kind::kSetTimes, .path = "/directory", .offset = 1'000'000'000,
                  .size = 123'456'789});
  made.push_back({.kind = Kind::kRename, .path = "/directory/inner", .path2 = "/moved"});
  return made;
}

struct Made {
  std::string image;
  std::string tree;
};

// The pool as the program of today makes it.
Made MakeAnew() {
  const FixedChance chance;
  PoolOptions options;
  options.device.page_array = PageArrayChoice::kDram;  // page arrays are no part of the format
  // Volume::Format opens the page array where it likes, so that bytes of it are taken away again.
  ModelledPool pool(kPoolBytes, options);
  for (const Operation& operation : FileHistory()) pool.Run(operation);
  for (const Operation& operation : NameHistory()) pool.Run(operation);
  // A name goes while the file is looked up: an orphan.
  const auto held = pool.volume().names().Lookup(Volume::kRoot, "gone");
  EXPECT_TRUE(held) << Describe(held.error());
  pool.Run({.kind = Kind::kUnlink, .path = "/gone"});
  Made made;
  CopyWhenValid copier(pool.device());
  pool.Run({.kind = Kind::kRename, .path = "/directory/pages", .path2 = "/renamed"});
  EXPECT_GE(copier.image, 0);
  std::vector<std::byte> bytes = NormalImage(copier.image, copier.valid_lane);
  close(copier.image);
  std::memset(&bytes[Geometry::PageArrayOf(GroupIndex(0)).value], 0, media::kPageArraySize);
  made.image = EncodeImage(bytes);
  made.tree = TreeOf(pool.volume());
  pool.ExpectWhole();
  return made;
}

TEST(GoldenImage, OpensIsCleanAndShowsItsTree) {
  const int fd = DecodeImage(ReadText(GoldenFile("version_1.hex")));
  {
    auto mapping = Mapping::FromDescriptor(DuplicateOf(fd), TestMappingOptions());
    ASSERT_OK(mapping);
    DeviceOptions options;
    options.replay = false;
    auto device = Device::Open(std::move(*mapping), options);
    ASSERT_OK(device);
    EXPECT_EQ((*device)->superblock().format_version, 1u);
    EXPECT_EQ((*device)->replay_report().valid_lanes, 1u);
    EXPECT_FSCK_CLEAN(**device);
  }
  auto volume = OpenPool(fd);
  ASSERT_OK(volume);
  EXPECT_EQ((*volume)->device().replay_report().valid_lanes, 1u);
  EXPECT_EQ((*volume)->core().allocator->Count().orphans, 1u);
  const std::string tree = ReadText(GoldenFile("version_1.tree"));
  EXPECT_EQ(TreeDifference(tree, TreeOf(**volume)), "");
  EXPECT_FSCK_CLEAN((*volume)->device());
  // It can be used: the orphan goes, everything can be removed.
  const std::atomic<bool> stop{false};
  ASSERT_OK((*volume)->orphans().Recover(stop));
  EXPECT_EQ((*volume)->core().allocator->Count().orphans, 0u);
  VolumeSubject subject(**volume);
  EXPECT_EQ(subject.Run({.kind = Kind::kAppend, .path = "/tree", .size = 5000, .seed = 1}),
            "ok 5000");
  EXPECT_EQ(subject.Run({.kind = Kind::kUnlink, .path = "/renamed"}), "ok");
  EXPECT_FSCK_CLEAN((*volume)->device());
}

TEST(GoldenImage, TodayMakesTheSameBytes) {
  const Made made = MakeAnew();
  if (const char* directory = std::getenv("INGOT_GOLDEN_OUT")) {
    std::ofstream(std::filesystem::path(directory) / "version_1.hex") << made.image;
    std::ofstream(std::filesystem::path(directory) / "version_1.tree") << made.tree;
  }
  EXPECT_EQ(TreeDifference(ReadText(GoldenFile("version_1.tree")), made.tree), "");
  const std::string golden = ReadText(GoldenFile("version_1.hex"));
  std::istringstream expected(golden), got(made.image);
  std::string left, right;
  for (size_t line = 1; std::getline(expected, left) && std::getline(got, right); ++line) {
    ASSERT_EQ(left, right) << "line " << line;
  }
  EXPECT_EQ(golden.size(), made.image.size());
}

}  // namespace
}  // namespace ingot::tests
