// SPDX-License-Identifier: BSD-3-Clause
// I8: eight operations of eight kinds are stopped between their lanes' becoming durable and the
// first of their stores. Whatever the order in which the lanes are replayed, one image comes out,
// and it is the one that the operations would have made.
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "pmemdev/journal_record.h"
#include "tests/volume/pools.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kPoolBytes = 300 * kMiB;  // three groups

// Holds each thread that makes a lane valid until all may go on.
class Stopper : public JournalObserver {
 public:
  void OnLog(uint32_t, MediaOffset, uint64_t) override {}
  void OnRelease(uint32_t) override {}
  void OnValid(uint32_t) override {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  // Waits for the n-th to be stopped, or for somebody who wasn't; true if none was.
  bool WaitFor(size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, n] { return arrived_ >= n || passed_; });
    return !passed_;
  }
  void NotePassed() {
    const std::lock_guard lock(mutex_);
    passed_ = !open_;
    changed_.notify_all();
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t arrived_ = 0;
  bool open_ = false;
  bool passed_ = false;
};

class ReplayOrderTest : public ::testing::Test {
 protected:
  using Step = std::function<Result<void>(Volume&)>;

  void SetUp() override {
    auto volume = OpenPool(NewPool(kPoolBytes));
    ASSERT_OK(volume);
    volume_ = std::move(*volume);
    // Inodes on pages, and so stripes, of their own: seven more between any two.
    for (int i = 0; i < 8; ++i) {
      for (int filler = 0; filler < 7; ++filler) Make(fmt::format("/x{}.{}", i, filler), S_IFREG);
      Make(fmt::format("/n{}", i), i == 1 || i == 4 || i == 7 ? S_IFDIR : S_IFREG);
    }
    for (int filler = 0; filler < 7; ++filler) Make(fmt::format("/y{}", filler), S_IFREG);
    Make("/n1/old", S_IFREG);
    Make("/n4/first", S_IFREG);  // or else the link would need a page
    Write("/n3", 0, 50);
    Write("/n5", 0, 20'000);
    ASSERT_OK(volume_->attributes().SetFlags(At("/n5"), media::kInodeAtomic, media::kInodeAtomic));
    // The whole huge pages of the first group are used up, so that n6 lies in another.
    ASSERT_OK(volume_->data().Fallocate(At("/x0.0"), 0, 0, 200 * kMiB));
    Write("/n6", 0, 4 * kMiB);
    const auto extents = volume_->data().Extents(At("/n6"), FilePage(0), 9);
    ASSERT_OK(extents);
    for (const Extent& extent : *extents) {
      ASSERT_NE(GroupOf(extent.start), GroupIndex(0)) << extent.file_page.value;
    }
    std::set<uint32_t> stripes;
    for (int i = 0; i < 8; ++i) {
      stripes.insert(volume_->core().locks.StripeOf(At(fmt::format("/n{}", i))));
    }
    ASSERT_EQ(stripes.size(), 8u);
    ASSERT_TRUE(stripes.insert(volume_->core().locks.StripeOf(At("/n1/old"))).second);
    ASSERT_FALSE(stripes.insert(volume_->core().locks.StripeOf(At("/x4.6"))).second) << "n4's";
    BuildSteps();
  }

  void Make(const std::string& path, uint32_t type) {
    const Operation operation{.kind = type == S_IFDIR ? Kind::kMkdir : Kind::kCreate,
                              .path = path,
                              .mode = 0700};
    ASSERT_EQ(VolumeSubject(*volume_).Run(operation), "ok") << path;
  }
  void Write(const std::string& path, uint64_t offset, uint64_t size) {
    const std::string bytes = MakeBytes(size, size);
    ASSERT_OK(volume_->data().Write(At(path), offset, std::as_bytes(std::span(bytes)), {}));
  }
  InodeNumber At(const std::string& path) { return InodeAt(*volume_, path); }

  // What needs the first group's lock is last: the others ask it for nothing then.
  void BuildSteps() {
    const InodeNumber n0 = At("/n0"), n1 = At("/n1"), n2 = At("/n2"), n3 = At("/n3"),
                      n4 = At("/n4"), n5 = At("/n5"), n6 = At("/n6"), n7 = At("/n7"),
                      linked = At("/x4.6");
    steps_ = {
        [n0](Volume& volume) -> Result<void> {
          AttributeChange change;
          change.mode = 0123;
          TRY(volume.attributes().Set(n0, change));
          return {};
        },
        [n1](Volume& volume) {
          return volume.names().Rename(n1, "old", n1, "a-longer-new-name", 0, Caller{});
        },
        [n2](Volume& volume) {
          const std::byte value[20] = {std::byte{1}};
          return volume.xattrs().Set(n2, "user.x", value, XattrSetMode::kAny, false);
        },
        [n3](Volume& volume) -> Result<void> {
          const std::byte bytes[60] = {std::byte{3}};
          TRY(volume.data().Write(n3, 30, bytes, {}));  // inline
          return {};
        },
        [n4, linked](Volume& volume) -> Result<void> {
          TRY(volume.names().Link(linked, n4, "second"));
          return {};
        },
        [n5](Volume& volume) -> Result<void> {
          const std::vector<std::byte> bytes(9000, std::byte{5});
          TRY(volume.data().Write(n5, 3001, bytes, {}));  // logged, because atomic
          return {};
        },
        [n6](Volume& volume) { return volume.data().Truncate(n6, 5000, false); },
        [n7](Volume& volume) -> Result<void> {
          NewNode node;
          node.mode = S_IFREG | 0600;
          TRY(volume.names().Create(n7, "new", node, Caller{}));
          return {};
        },
    };
  }

  // Runs all steps to the point where their lanes are valid, keeps that image, and lets them end.
  void StopAndCopy() {
    Stopper stopper;
    volume_->device().journal().set_observer(&stopper);
    std::vector<std::thread> threads;
    std::vector<int> codes(steps_.size(), -1);
    bool all_stopped = true;
    for (size_t i = 0; i < steps_.size() && all_stopped; ++i) {
      threads.emplace_back([&, i] {
        codes[i] = steps_[i](*volume_).error_code();
        stopper.NotePassed();
      });
      all_stopped = stopper.WaitFor(i + 1);
    }
    if (all_stopped) image_ = CopyOfPool(volume_->device().mapping().fd());
    stopper.Open();
    for (std::thread& thread : threads) thread.join();
    volume_->device().journal().set_observer(nullptr);
    ASSERT_TRUE(all_stopped);
    for (const int code : codes) EXPECT_EQ(code, 0);
  }
  void TearDown() override {
    if (image_ >= 0) close(image_);
    ASSERT_NE(volume_, nullptr);
    EXPECT_FSCK_CLEAN(volume_->device());
  }

  std::unique_ptr<Volume> volume_;
  std::vector<Step> steps_;
  int image_ = -1;
};

struct ValidLane {
  uint32_t lane;
  std::vector<Journal::Run> runs;
};

std::vector<ValidLane> ValidLanesOf(int image) {
  auto mapping = Mapping::FromDescriptor(CopyOfPool(image), TestMappingOptions());
  EXPECT_TRUE(mapping) << Describe(mapping.error());
  DeviceOptions options;
  options.replay = false;
  auto device = Device::Open(std::move(*mapping), options);
  EXPECT_TRUE(device) << Describe(device.error());
  std::vector<ValidLane> lanes;
  for (uint32_t lane = 0; lane < media::kLaneCount; ++lane) {
    auto runs = (*device)->journal().Decode(lane);
    if (runs) lanes.push_back({lane, std::move(*runs)});
  }
  EXPECT_EQ((*device)->replay_report().valid_lanes, lanes.size());
  return lanes;
}

TEST_F(ReplayOrderTest, EveryOrderOfTheLanesGivesOneImage) {
  ASSERT_NO_FATAL_FAILURE(StopAndCopy());
  const std::vector<ValidLane> lanes = ValidLanesOf(image_);
  ASSERT_EQ(lanes.size(), steps_.size());
  // Places become indices, so that an order is a matter of some hundred stores.
  std::map<uint64_t, size_t> places;
  std::vector<std::vector<std::pair<size_t, uint64_t>>> stores(lanes.size());
  for (size_t i = 0; i < lanes.size(); ++i) {
    for (const Journal::Run& run : lanes[i].runs) {
      for (size_t w = 0; w < run.words.size(); ++w) {
        const uint64_t place = run.at.value + w * kWordSize;
        const size_t index = places.emplace(place, places.size()).first->second;
        stores[i].emplace_back(index, run.words[w]);
      }
    }
  }
  EXPECT_GT(places.size(), 1000u);
  std::vector<uint64_t> first, image(places.size());
  std::vector<size_t> order(lanes.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  size_t orders = 0;
  do {
    std::fill(image.begin(), image.end(), 0);
    for (const size_t i : order) {
      for (const auto& [index, word] : stores[i]) image[index] = word;
    }
    if (orders++ == 0) first = image;
    ASSERT_EQ(image, first);
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(orders, 40320u);

  // The volume went on and stored the same words, whose places nobody has changed since.
  for (const auto& [place, index] : places) {
    uint64_t word = 0;
    std::memcpy(&word, volume_->device().mapping().base() + place, sizeof(word));
    ASSERT_EQ(word, first[index]) << place;
  }
}

// The journal's own replay, with the records in other lanes.
TEST_F(ReplayOrderTest, RecoveryGivesWhatTheOperationsWouldHaveMade) {
  ASSERT_NO_FATAL_FAILURE(StopAndCopy());
  const std::vector<ValidLane> lanes = ValidLanesOf(image_);
  ASSERT_EQ(lanes.size(), steps_.size());
  const std::string expected = TreeOf(*volume_);
  const uint64_t seed = RecordSeed(TestFormatOptions().uuid);
  std::mt19937 random(5);
  for (int round = 0; round < 4; ++round) {
    const int copy = CopyOfPool(image_);
    std::vector<std::unique_ptr<LaneImage>> records;
    for (const ValidLane& lane : lanes) {
      auto& record = records.emplace_back(std::make_unique<LaneImage>());
      ASSERT_EQ(pread(copy, record.get(), sizeof(LaneImage),
                      static_cast<off_t>(RecordPlace(lane.lane).value)),
                static_cast<ssize_t>(sizeof(LaneImage)));
    }
    if (round > 0) std::shuffle(records.begin(), records.end(), random);
    for (size_t i = 0; i < lanes.size(); ++i) {
      records[i]->header.lane_index = lanes[i].lane;
      records[i]->header.checksum = RecordChecksum(*records[i], seed);
      ASSERT_EQ(pwrite(copy, records[i].get(), sizeof(LaneImage),
                       static_cast<off_t>(RecordPlace(lanes[i].lane).value)),
                static_cast<ssize_t>(sizeof(LaneImage)));
    }
    auto recovered = OpenPool(copy);
    ASSERT_OK(recovered);
    EXPECT_EQ((*recovered)->device().replay_report().valid_lanes, lanes.size());
    EXPECT_EQ(TreeDifference(expected, TreeOf(**recovered)), "") << "round " << round;
    EXPECT_FSCK_CLEAN((*recovered)->device());
  }
}

}  // namespace
}  // namespace ingot::tests
