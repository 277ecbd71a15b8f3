// SPDX-License-Identifier: BSD-3-Clause
// Crashes of directory pools: before and after each change of the host and each transaction, with a
// host that has kept everything, or has lost the names, or the contents, or both, that were not
// synced. Each state is recovered, checked and looked at; and where a sync is left out, some state
// must be wrong.
#include <sys/mman.h>
#include <sys/sendfile.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "tests/fs/core/core_fixture.h"
#include "tests/fs/core/directory_pool_fixture.h"

namespace ingot::tests {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kRegionBytes = 16 * kMiB;
using Files = std::map<uint64_t, std::string>;

std::string ContentsOf(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

// What a crash would find at one moment.
struct Moment {
  int region = -1;  // a memfd
  Files now, durable;
  std::set<uint64_t> durable_names;
};

class CrashRecorder : public HostObserver, public JournalObserver {
 public:
  explicit CrashRecorder(std::string pool) : pool_(std::move(pool)) {}
  ~CrashRecorder() override {
    for (const Moment& moment : moments_) close(moment.region);
  }
  CrashRecorder(const CrashRecorder&) = delete;

  // From here on; all that the host has by now counts as durable.
  void Begin(const Mapping& region) {
    region_ = &region;
    durable_ = Now();
    durable_names_.clear();
    for (const auto& [number, contents] : durable_) durable_names_.insert(number);
  }
  void End() {
    Take();
    region_ = nullptr;
  }
  [[nodiscard]] const std::vector<Moment>& moments() const { return moments_; }
  // A host on which these syncs do nothing.
  void Ignore(std::optional<HostChange::Kind> kind) { ignored_ = kind; }

  void OnChange(const HostChange& change) override {
    if (region_ == nullptr) return;
    Take();
    if (change.kind == ignored_) return;
    // Syncs are told when they have been made, everything else before.
    if (change.kind == HostChange::Kind::kSync) durable_[change.number] = Now()[change.number];
    if (change.kind == HostChange::Kind::kSyncDirectory) {
      durable_names_.clear();
      for (const auto& [number, contents] : Now()) durable_names_.insert(number);
    }
  }
  void OnLog(uint32_t lane, MediaOffset, uint64_t) override {
    if (region_ == nullptr || lane == logging_lane_) return;
    logging_lane_ = lane;
    Take();
  }
  void OnRelease(uint32_t) override {
    if (region_ == nullptr) return;
    logging_lane_ = UINT32_MAX;
    Take();
  }

 private:
  Files Now() const {
    Files files;
    for (const auto& entry : fs::directory_iterator(pool_ + "/backing")) {
      const std::string name = entry.path().filename();
      if (name != "uuid") files[std::stoull(name)] = ContentsOf(entry.path());
    }
    return files;
  }
  void Take() {
    Moment moment;
    moment.region = memfd_create("moment", MFD_CLOEXEC);
    ASSERT_EQ(write(moment.region, region_->base(), region_->size_bytes()),
              static_cast<ssize_t>(region_->size_bytes()));
    moment.now = Now();
    moment.durable = durable_;
    moment.durable_names = durable_names_;
    moments_.push_back(std::move(moment));
  }

  const std::string pool_;
  const Mapping* region_ = nullptr;
  std::optional<HostChange::Kind> ignored_;
  uint32_t logging_lane_ = UINT32_MAX;
  Files durable_;
  std::set<uint64_t> durable_names_;
  std::vector<Moment> moments_;
};

// What the host lost.
struct Loss {
  bool names = false;
  bool contents = false;
};

class BackedCrash : public testing::Test {
 protected:
  using Step = std::function<void(Volume&)>;
  // Judges the recovered volume; `at_end`: after the steps had returned.
  using Judge = std::function<void(Volume&, bool at_end, const Loss&)>;

  void SetUp() override {
    std::string pattern = "/dev/shm/ingot-crash-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    pool_ = root_ + "/pool";
    fs::create_directory(pool_);
    format_ = TestFormatOptions();
    format_.features_incompatible = media::kFeatureDirectoryPool;
  }
  void TearDown() override { fs::remove_all(root_); }

  void Explore(const Step& before, const Step& step, const Judge& judge) {
    auto mapping = MemoryMapping(kRegionBytes);
    ASSERT_OK(BackingDirectory::Make(pool_, format_.uuid, true));
    ASSERT_OK(Device::Format(*mapping, format_));
    auto device = Device::Open(std::move(mapping), {});
    ASSERT_OK(device);
    ASSERT_OK(Volume::Format(**device, Caller{}));
    CrashRecorder recorder(pool_);
    auto directory = BackingDirectory::Open(pool_, format_.uuid, false, &recorder);
    ASSERT_OK(directory);
    auto volume = Volume::Open(std::move(*device), {}, std::move(*directory));
    ASSERT_OK(volume);
    before(**volume);
    (*volume)->device().journal().set_observer(&recorder);
    recorder.Begin((*volume)->device().mapping());
    recorder.Ignore(ignored_);
    step(**volume);
    recorder.End();
    (*volume)->device().journal().set_observer(nullptr);
    volume->reset();

    ASSERT_GT(recorder.moments().size(), 3u) << "nothing happened";
    for (size_t i = 0; i < recorder.moments().size() && !HasFailure(); ++i) {
      for (const Loss loss : {Loss{}, Loss{true, false}, Loss{false, true}, Loss{true, true}}) {
        SCOPED_TRACE("moment " + std::to_string(i) + " of " +
                     std::to_string(recorder.moments().size()) +
                     (loss.names ? ", names lost" : "") + (loss.contents ? ", contents lost" : ""));
        Check(recorder.moments()[i], loss, judge, i + 1 == recorder.moments().size());
      }
    }
  }

  // How many checks fail if those syncs are left out.
  int FailuresWithout(HostChange::Kind kind, const Step& before, const Step& step,
                      const Judge& judge) {
    testing::TestPartResultArray results;
    {
      const testing::ScopedFakeTestPartResultReporter reporter(
          testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
      ignored_ = kind;
      Explore(before, step, judge);
      ignored_.reset();
    }
    int failures = 0;
    for (int i = 0; i < results.size(); ++i) failures += results.GetTestPartResult(i).failed();
    return failures;
  }

  static std::string Read(Volume& volume, std::string_view name) {
    const auto found = volume.names().Lookup(Volume::kRoot, name);
    if (!found) {
      EXPECT_EQ(found.error_code(), ENOENT);
      return "(none)";
    }
    std::string text(2 * kMiB, '\0');
    const auto size =
        volume.data().ReadInto(found->inode, 0, std::as_writable_bytes(std::span(text)));
    volume.names().Forget(found->inode, 1);
    EXPECT_TRUE(size) << Describe(size.error());
    text.resize(size ? *size : 0);
    return text;
  }
  static InodeNumber Make(Volume& volume, std::string_view name, bool backed) {
    NewNode node;
    node.mode = S_IFREG | 0644;
    node.likely_mapped = backed;
    const auto made = volume.names().Create(Volume::kRoot, name, node, Caller{});
    EXPECT_TRUE(made && made->is_backed == backed) << name;
    return made ? made->inode : InodeNumber(0);
  }
  static void Write(Volume& volume, InodeNumber inode, std::string_view text) {
    for (uint64_t done = 0; done < text.size();) {
      const auto written =
          volume.data().Write(inode, done, std::as_bytes(std::span(text.substr(done))), {});
      ASSERT_OK(written);
      done += *written;
    }
  }

 private:
  void Check(const Moment& moment, const Loss& loss, const Judge& judge, bool at_end) {
    const std::string pool = root_ + "/crashed";
    fs::remove_all(pool);
    fs::create_directories(pool + "/backing");
    fs::copy(pool_ + "/backing/uuid", pool + "/backing/uuid");
    std::set<uint64_t> names = moment.durable_names;
    if (!loss.names) {
      names.clear();
      for (const auto& [number, contents] : moment.now) names.insert(number);
    }
    for (const uint64_t number : names) {
      const Files& files =
          loss.contents || !moment.now.contains(number) ? moment.durable : moment.now;
      const auto found = files.find(number);
      std::ofstream file(pool + "/backing/" + std::to_string(number), std::ios::binary);
      if (found != files.end()) file << found->second;
    }
    const int region = MemoryFile(kRegionBytes);
    for (off_t done = 0; done < static_cast<off_t>(kRegionBytes);) {
      const ssize_t sent = sendfile(region, moment.region, &done, kRegionBytes);
      ASSERT_GT(sent, 0);
    }
    auto mapping = Mapping::FromDescriptor(region, TestMappingOptions());
    ASSERT_OK(mapping);
    auto device = Device::Open(std::move(*mapping), {});
    ASSERT_OK(device);
    auto directory = BackingDirectory::Open(pool, format_.uuid, false);
    ASSERT_OK(directory);
    auto volume = Volume::Open(std::move(*device), {}, std::move(*directory));
    ASSERT_OK(volume);
    std::atomic<bool> stop{false};
    ASSERT_OK((*volume)->orphans().Recover(stop));
    ASSERT_OK((*volume)->core().backing->Upkeep());
    judge(**volume, at_end, loss);
    auto looked_at = BackingDirectory::Open(pool, format_.uuid, true);
    ASSERT_OK(looked_at);
    EXPECT_FSCK_CLEAN((*volume)->device(), looked_at->get());
  }

  std::string root_, pool_;
  DeviceFormatOptions format_;
  std::optional<HostChange::Kind> ignored_;
};

std::string Pattern(size_t size_bytes) {
  std::string text(size_bytes, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
  return text;
}

TEST_F(BackedCrash, OfMakingAFileAndSyncingIt) {
  const Step nothing = [](Volume&) {};
  const Step make = [](Volume& volume) {
    const InodeNumber inode = Make(volume, "db", true);
    Write(volume, inode, "contents");
    ASSERT_OK(volume.data().Sync(inode, false));
  };
  const Judge judge = [](Volume& volume, bool at_end, const Loss&) {
    const std::string text = Read(volume, "db");
    if (at_end) {
      EXPECT_EQ(text, "contents");
    }
    EXPECT_TRUE(text == "(none)" || text.empty() || text == "contents") << text;
  };
  Explore(nothing, make, judge);
  EXPECT_GT(FailuresWithout(HostChange::Kind::kSyncDirectory, nothing, make, judge), 0);
}

TEST_F(BackedCrash, OfPromotion) {
  const std::string text = Pattern(300'000);
  const Step before = [&](Volume& volume) { Write(volume, Make(volume, "large", false), text); };
  const Step promote = [](Volume& volume) {
    const auto found = volume.names().Lookup(Volume::kRoot, "large");
    ASSERT_OK(found);
    ASSERT_EQ(*volume.data().MakeDirect(found->inode), true);
  };
  const Judge judge = [&](Volume& volume, bool, const Loss&) {
    EXPECT_TRUE(Read(volume, "large") == text);
  };
  Explore(before, promote, judge);
  EXPECT_GT(FailuresWithout(HostChange::Kind::kSync, before, promote, judge), 0);
}

TEST_F(BackedCrash, OfTheWriteThatCrossesAMebibyte) {
  const std::string text = Pattern(kMiB + 5000);
  Explore(
      [&](Volume& volume) {
        Write(volume, Make(volume, "large", false), text.substr(0, 1000 << 10));
      },
      [&](Volume& volume) {
        const auto found = volume.names().Lookup(Volume::kRoot, "large");
        ASSERT_OK(found);
        Write(volume, found->inode, text);
        ASSERT_OK(volume.data().Sync(found->inode, false));
      },
      [&](Volume& volume, bool at_end, const Loss&) {
        const std::string got = Read(volume, "large");
        EXPECT_GE(got.size(), 1000u << 10);
        EXPECT_TRUE(got == text.substr(0, got.size()));
        if (at_end) {
          EXPECT_EQ(got.size(), text.size());
        }
      });
}

TEST_F(BackedCrash, OfDeletion) {
  Explore(
      [](Volume& volume) {
        const InodeNumber inode = Make(volume, "goes", true);
        Write(volume, inode, "contents");
        volume.names().Forget(inode, 1);
      },
      [](Volume& volume) {
        ASSERT_OK(volume.names().Unlink(Volume::kRoot, "goes"));
        ASSERT_OK(volume.core().backing->Upkeep());
      },
      [](Volume& volume, bool at_end, const Loss&) {
        const std::string text = Read(volume, "goes");
        EXPECT_TRUE(text == "(none)" || text == "contents") << text;
        if (at_end) {
          EXPECT_EQ(text, "(none)");
        }
      });
}

TEST_F(BackedCrash, OfReplacingAFileByAFreshOne) {
  const Step before = [](Volume& volume) {
    const InodeNumber old = Make(volume, "config", true);
    Write(volume, old, "old");
    ASSERT_OK(volume.data().Sync(old, false));
    volume.names().Forget(old, 1);
  };
  const Step replace = [](Volume& volume) {
    const InodeNumber fresh = Make(volume, "config.new", true);
    Write(volume, fresh, "new");
    ASSERT_OK(
        volume.names().Rename(Volume::kRoot, "config.new", Volume::kRoot, "config", 0, Caller{}));
    ASSERT_OK(volume.core().backing->Upkeep());
  };
  const Judge judge = [](Volume& volume, bool at_end, const Loss&) {
    const std::string text = Read(volume, "config");
    EXPECT_TRUE(text == "old" || text == "new") << text;
    if (at_end) {
      EXPECT_EQ(text, "new");
    }
  };
  Explore(before, replace, judge);
  EXPECT_GT(FailuresWithout(HostChange::Kind::kSync, before, replace, judge), 0);
}

TEST_F(BackedCrash, OfNamingAnUnnamedFile) {
  Explore([](Volume&) {},
          [](Volume& volume) {
            NewNode node;
            node.mode = S_IFREG | 0600;
            node.likely_mapped = true;
            const auto made = volume.names().CreateUnnamed(Volume::kRoot, node, Caller{});
            ASSERT_OK(made);
            Write(volume, made->inode, "contents");
            ASSERT_OK(volume.names().Link(made->inode, Volume::kRoot, "named"));
          },
          [](Volume& volume, bool at_end, const Loss&) {
            const std::string text = Read(volume, "named");
            EXPECT_TRUE(text == "(none)" || text == "contents") << text;
            if (at_end) {
              EXPECT_EQ(text, "contents");
            }
          });
}

TEST_F(BackedCrash, OfAPromotionThatFails) {
  const std::string text = Pattern(200'000);
  Explore([&](Volume& volume) { Write(volume, Make(volume, "large", false), text); },
          [](Volume& volume) {
            const auto found = volume.names().Lookup(Volume::kRoot, "large");
            ASSERT_OK(found);
            {
              auto spare = volume.core().backing->TakeSpare();
              ASSERT_OK(spare);
              ASSERT_OK(spare->file().Write(0, Bytes("somebody's secret")));
            }
            ASSERT_OK(volume.core().backing->Upkeep());
            (void)Make(volume, "other", true);
          },
          [&](Volume& volume, bool, const Loss&) {
            EXPECT_TRUE(Read(volume, "large") == text);
            const std::string other = Read(volume, "other");
            EXPECT_TRUE(other == "(none)" || other.empty()) << other;
          });
}

}  // namespace
}  // namespace ingot::tests
