// SPDX-License-Identifier: BSD-3-Clause
// The pool's contents, their reading back, and copies.
#include "tests/fs/check/populated_pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "pmemdev/base/check.h"
#include "pmemdev/base/checksum.h"
#include "pmemdev/base/log.h"
#include "tests/support/test_region.h"

namespace ingot::tests {
namespace {

constexpr uint64_t kPoolSize = uint64_t{64} << 20;
constexpr uint32_t kBigDirectoryEntries = 500;  // more leaves than a root holds
constexpr uint32_t kFragments = 60;              // more extents than a root holds

// Makes files; a failure is the test's end.
class Builder {
 public:
  explicit Builder(Volume& volume) : volume_(volume) {}

  // Backed from its creation, where it is made in a directory pool.
  InodeNumber MappedFile(InodeNumber parent, std::string_view name) {
    NewNode node;
    node.mode = S_IFREG | 0644;
    node.likely_mapped = true;
    const auto made = volume_.names().Create(parent, name, node, Caller{.uid = 1000, .gid = 100});
    CHECK(made.has_value() && made->is_backed, "{}", name);
    volume_.names().Forget(made->inode, 1);
    return made->inode;
  }
  InodeNumber Node(InodeNumber parent, std::string_view name, uint32_t mode,
                   std::string_view target = {}) {
    NewNode node;
    node.mode = mode;
    node.symlink_target = target;
    if (S_ISBLK(mode) || S_ISCHR(mode)) node.device = 0x801;
    const auto made = volume_.names().Create(parent, name, node, Caller{.uid = 1000, .gid = 100});
    CHECK(made.has_value(), "{}: {}", name, Describe(made.error()));
    volume_.names().Forget(made->inode, 1);
    return made->inode;
  }
  InodeNumber File(InodeNumber parent, std::string_view name) {
    return Node(parent, name, S_IFREG | 0644);
  }
  void Write(InodeNumber inode, uint64_t offset, uint64_t size_bytes) {
    std::vector<std::byte> bytes(size_bytes);
    for (uint64_t i = 0; i < size_bytes; ++i) {
      bytes[i] = static_cast<std::byte>((inode.value * 31 + offset + i) * 2654435761U >> 24);
    }
    const auto written = volume_.data().Write(inode, offset, bytes, {});
    CHECK(written.has_value() && *written == size_bytes, "inode {}", inode.value);
  }
  void SetXattr(InodeNumber inode, std::string_view name, size_t size_bytes) {
    const std::vector<std::byte> value(size_bytes, std::byte{0x5A});
    const auto set = volume_.xattrs().Set(inode, name, value, XattrSetMode::kAny, false);
    CHECK(set.has_value(), "{}", Describe(set.error()));
  }
  void Link(InodeNumber inode, InodeNumber parent, std::string_view name) {
    const auto linked = volume_.names().Link(inode, parent, name);
    CHECK(linked.has_value(), "{}: {}", name, Describe(linked.error()));
    volume_.names().Forget(inode, 1);
  }

 private:
  Volume& volume_;
};

void MakeFiles(Volume& volume, Builder& make, InodeNumber root) {
  make.Write(make.File(root, "inline"), 0, 100);
  make.Write(make.File(root, "small"), 0, 9000);
  make.Write(make.File(root, "huge"), 0, (5 << 20) + 123);
  const InodeNumber sparse = make.File(root, "sparse");
  make.Write(sparse, uint64_t{1} << 40, 5000);
  const InodeNumber fragmented = make.File(root, "fragmented");
  for (uint32_t i = 0; i < kFragments; ++i) make.Write(fragmented, i * 3 * kPageSize, kPageSize);
  const InodeNumber unwritten = make.File(root, "unwritten");
  CHECK(volume.data().Fallocate(unwritten, kFallocateKeepSize, 0, 1 << 20).has_value());
  make.Write(unwritten, 40000, 100);
  make.File(root, "empty");
  make.Node(root, "symlink", S_IFLNK | 0777, "target");
  make.Node(root, "long_symlink", S_IFLNK | 0777, std::string(1000, 'x'));
  make.Node(root, "fifo", S_IFIFO | 0600);
  make.Node(root, "socket", S_IFSOCK | 0600);
  make.Node(root, "block", S_IFBLK | 0600);
  make.Node(root, "char", S_IFCHR | 0600);
  make.SetXattr(make.File(root, "xattr_inline"), "user.a", 20);
  make.SetXattr(make.File(root, "xattr_head"), "user.b", 2000);
  const InodeNumber large = make.File(root, "xattr_runs");
  make.SetXattr(large, "user.c", 60000);
  make.SetXattr(large, "user.d", 30000);
}

void MakeDirectories(Builder& make, InodeNumber root) {
  const InodeNumber outer = make.Node(root, "outer", S_IFDIR | 0755);
  const InodeNumber inner = make.Node(outer, "inner", S_IFDIR | 0700);
  make.Node(inner, "innermost", S_IFDIR | 0755);
  const InodeNumber file = make.File(inner, "file");
  make.Write(file, 0, 5000);
  make.Link(file, outer, "hard_link");
  make.Node(root, "empty_directory", S_IFDIR | 0755);
  const InodeNumber big = make.Node(root, "big", S_IFDIR | 0755);
  const InodeNumber linked = make.File(root, "linked");
  make.Write(linked, 0, 10);
  for (uint32_t i = 0; i < kBigDirectoryEntries; ++i) {
    make.Link(linked, big, fmt::format("entry number {:0>200} of a big directory", i));
  }
}

// As a promotion leaves it whose old extents didn't fit its transaction, killed right then.
void MoveBackingFile(Volume& volume, InodeNumber donor, InodeNumber taker) {
  Core& core = volume.core();
  const std::array numbers{donor, taker};
  const ExclusiveInodeLocks locks(core.locks, numbers);
  Transaction transaction(*core.allocator, core.reader);
  media::Inode* from = *transaction.EditInode(donor);
  media::Inode* to = *transaction.EditInode(taker);
  CHECK(transaction.UnmarkToRecover(*from, media::kInodeMayDemote).has_value());
  CHECK(transaction.MarkToRecover(*to, media::kInodeOrphan).has_value());
  to->body_form = std::exchange(from->body_form, media::BodyForm::kEmpty);
  to->backing_file = std::exchange(from->backing_file, 0);
  to->size_bytes = 0;
  CHECK(transaction.Commit().has_value());
}

void MakeBackedFiles(Volume& volume, Builder& make, InodeNumber root) {
  volume.core().direct = DirectMode::kAuto;
  const InodeNumber direct = make.MappedFile(root, "db");
  make.Write(direct, 0, 10000);
  // It stays one, whoever mounts the pool; the others may go back into extents.
  constexpr uint32_t kDax = media::kInodeDax;
  CHECK(volume.attributes().SetFlags(direct, kDax, kDax).has_value());
  const InodeNumber second = make.MappedFile(root, "db2");
  make.Write(second, 0, 300);
  make.SetXattr(second, "user.a", 20);
  const InodeNumber donor = make.MappedFile(root, "donor");
  make.Write(donor, 0, 20000);
  const InodeNumber leftovers = make.File(root, "leftovers");
  for (uint32_t i = 0; i < kFragments; ++i) make.Write(leftovers, i * 3 * kPageSize, kPageSize);
  MoveBackingFile(volume, donor, leftovers);
}

// Links are left out: they follow the names that others lost.
std::string DescribeFile(Volume& volume, const media::Inode& inode) {
  const InodeNumber number(inode.number);
  const auto attributes = volume.core().AttributesOf(inode);
  if (!attributes) return Describe(attributes.error());
  std::string text = fmt::format("{:o} {} {} {}", inode.mode, inode.uid, inode.device,
                                 S_ISDIR(inode.mode) ? 0 : attributes->size_bytes);
  if (S_ISREG(inode.mode)) {
    const uint64_t size = std::min<uint64_t>(attributes->size_bytes, 8 << 20);
    std::vector<std::byte> bytes(size);
    const auto read = volume.data().ReadInto(number, 0, bytes);
    text += read ? fmt::format(" {:x}", Crc32c(bytes)) : Describe(read.error());
  } else if (S_ISLNK(inode.mode)) {
    const auto target = volume.names().ReadLink(number);
    text += target ? *target : Describe(target.error());
  }
  const auto xattrs = volume.xattrs().List(number);
  if (!xattrs) return text + Describe(xattrs.error());
  for (size_t at = 0; at < xattrs->size(); at += std::strlen(xattrs->data() + at) + 1) {
    const auto value = volume.xattrs().Get(number, xattrs->data() + at);
    text += value ? fmt::format(" {}={:x}", xattrs->data() + at, Crc32c(*value))
                  : Describe(value.error());
  }
  return text;
}

void ReadDirectory(Volume& volume, InodeNumber number, const std::string& path, int depth,
                   Manifest& manifest) {
  const auto inode = volume.core().reader.ReadInode(number);
  if (!inode) {
    manifest[path] = Describe(inode.error());
    return;
  }
  if (S_ISDIR(inode->mode) && depth < 20) {
    uint64_t cookie = 2;
    for (;;) {
      const auto entries = volume.names().ReadDirectory(number, cookie, 500);
      if (!entries) {
        manifest[path + "/"] = Describe(entries.error());
        break;
      }
      if (entries->empty()) break;
      cookie = entries->back().key;
      for (const DirectoryEntry& entry : *entries) {
        const std::string name = path.empty() ? entry.name : path + "/" + entry.name;
        // The big directory's entries all name one file: by name is enough.
        if (path == "big") {
          manifest[name] = fmt::format("{}", entry.inode.value);
        } else {
          ReadDirectory(volume, entry.inode, name, depth + 1, manifest);
        }
      }
    }
  }
  manifest[path] = DescribeFile(volume, *inode);
}

// As a mount would, errors and all: by name, with a reference on each.
struct Walked {
  uint64_t names_left = 5000;  // of a circle there are many
  std::set<InodeNumber> inodes;
};
void WalkNames(Volume& volume, InodeNumber directory, Walked& walked) {
  uint64_t cookie = 2;
  for (;;) {
    const auto entries = volume.names().ReadDirectory(directory, cookie, 100);
    if (!entries || entries->empty() || entries->back().key <= cookie) return;
    cookie = entries->back().key;
    for (const DirectoryEntry& entry : *entries) {
      if (walked.names_left == 0) return;
      --walked.names_left;
      // The big directory's names are all of one file: some of them will do.
      if (!walked.inodes.insert(entry.inode).second && walked.names_left % 16 != 0) continue;
      const auto found = volume.names().Lookup(directory, entry.name);
      if (!found) continue;
      const InodeNumber inode = found->inode;
      (void)volume.xattrs().List(inode);
      ReadView view;
      (void)volume.data().Read(inode, 0, 1 << 20, view);
      view.lock.Release();
      (void)volume.data().Extents(inode, FilePage(0), 100);
      (void)volume.names().ReadLink(inode);
      if (S_ISDIR(found->mode)) WalkNames(volume, inode, walked);
      volume.names().Forget(inode, 1);
    }
  }
}

void FindInodes(Volume& volume, InodeNumber number, const std::string& path,
                std::map<std::string, InodeNumber>& inodes) {
  inodes[path] = number;
  const auto entries = volume.names().ReadDirectory(number, 2, 100);
  if (!entries || path == "big") return;
  for (const DirectoryEntry& entry : *entries) {
    const std::string name = path.empty() ? entry.name : path + "/" + entry.name;
    inodes[name] = entry.inode;
    if (entry.type == DT_DIR) FindInodes(volume, entry.inode, name, inodes);
  }
}

bool IsBelow(const std::string& path, const std::string& top) {
  return path == top || path.starts_with(top + "/") || top.empty();
}

}  // namespace

Manifest ReadManifest(Volume& volume) {
  Manifest manifest;
  ReadDirectory(volume, Volume::kRoot, "", 0, manifest);
  return manifest;
}

HostDirectory::HostDirectory() : path_("/dev/shm/ingot-host-XXXXXX") {
  CHECK(mkdtemp(path_.data()) != nullptr, "errno {}", errno);
}

HostDirectory::HostDirectory(const std::string& copied) : HostDirectory() {
  std::filesystem::copy(copied, path_, std::filesystem::copy_options::recursive);
}

HostDirectory::~HostDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

const PopulatedPool& PopulatedPool::Get(PoolKind kind) {
  if (kind == PoolKind::kDirectory) {
    static const PopulatedPool directory(PoolKind::kDirectory);
    return directory;
  }
  static const PopulatedPool device(PoolKind::kDevice);
  return device;
}

std::unique_ptr<Volume> PopulatedPool::Format(PoolKind kind) {
  std::unique_ptr<Device> device;
  std::unique_ptr<BackingDirectory> directory;
  if (kind == PoolKind::kDevice) {
    device = FormattedDevice(kPoolSize);
  } else {
    host_ = std::make_unique<HostDirectory>();
    DeviceFormatOptions options = TestFormatOptions();
    options.features_incompatible = media::kFeatureDirectoryPool;
    auto mapping = MemoryMapping(kPoolSize);
    CHECK(Device::Format(*mapping, options).has_value());
    CHECK(BackingDirectory::Make(host(), options.uuid, /*force=*/false).has_value());
    device = std::move(*Device::Open(std::move(mapping), {}));
    directory = std::move(*BackingDirectory::Open(host(), options.uuid, /*read_only=*/false));
  }
  fd_ = fcntl(device->mapping().fd(), F_DUPFD_CLOEXEC, 0);
  CHECK(fd_ >= 0, "errno {}", errno);
  CHECK(Volume::Format(*device, Caller{}).has_value());
  VolumeOptions options;
  options.direct = DirectMode::kNever;  // until backed files are made
  auto volume = Volume::Open(std::move(device), options, std::move(directory));
  CHECK(volume.has_value(), "{}", Describe(volume.error()));
  return std::move(*volume);
}

PopulatedPool::PopulatedPool(PoolKind kind) {
  const std::unique_ptr<Volume> volume = Format(kind);
  Builder make(*volume);
  MakeFiles(*volume, make, Volume::kRoot);
  MakeDirectories(make, Volume::kRoot);
  if (kind == PoolKind::kDirectory) MakeBackedFiles(*volume, make, Volume::kRoot);
  FindInodes(*volume, Volume::kRoot, "", inodes_);
  // Deleted, but open when the pool was last used.
  NewNode unnamed;
  unnamed.mode = S_IFREG | 0600;
  unnamed.open = true;
  const auto made = volume->names().CreateUnnamed(Volume::kRoot, unnamed, Caller{});
  CHECK(made.has_value(), "{}", Describe(made.error()));
  orphan_ = made->inode;
  make.Write(orphan_, 0, 20000);
  manifest_ = ReadManifest(*volume);
}

PoolCopy::PoolCopy(PoolKind kind)
    : PoolCopy(kind, kind == PoolKind::kDirectory ? PopulatedPool::Get(kind).host() : "") {}

PoolCopy::PoolCopy(PoolKind kind, const std::string& host) : kind_(kind) {
  if (kind == PoolKind::kDirectory) host_ = std::make_unique<HostDirectory>(host);
  const int fd = fcntl(PopulatedPool::Get(kind).fd(), F_DUPFD_CLOEXEC, 0);
  MappingOptions options;
  options.private_copy = true;
  options.take_lock = false;
  options.reserve_bytes = kPoolSize;
  auto mapping = Mapping::FromDescriptor(fd, options);
  CHECK(mapping.has_value(), "{}", Describe(mapping.error()));
  mapping_ = std::move(*mapping);
}

std::byte* PoolCopy::At(MediaOffset at) {
  // What is patched there is at most a page long.
  const uint64_t page = RoundDown(at.value, kPageSize);
  patched_.insert(page);
  if (page + kPageSize < mapping_->size_bytes()) patched_.insert(page + kPageSize);
  return mapping_->writable_base() + at.value;
}

std::unique_ptr<PoolCopy> PoolCopy::Copied() const {
  auto other = std::make_unique<PoolCopy>(kind_, host_ == nullptr ? "" : host_->path());
  for (const uint64_t page : patched_) {
    std::memcpy(other->mapping_->writable_base() + page, mapping_->writable_base() + page,
                kPageSize);
  }
  return other;
}

std::unique_ptr<BackingDirectory> PoolCopy::OpenHost(const Device& device) const {
  if (host_ == nullptr) return nullptr;
  auto opened = BackingDirectory::Open(host_->path(), device.superblock().uuid, false);
  CHECK(opened.has_value(), "{}", Describe(opened.error()));
  return std::move(*opened);
}

void PoolCopy::CheckAsItIs() {
  for (const check::CheckMode mode : {check::CheckMode::kReport, check::CheckMode::kRepair}) {
    check::CheckOptions options;
    options.mode = mode;
    const auto report = check::CheckPool(std::move(Copied()->mapping_), options);
    if (report && mode == check::CheckMode::kRepair) {
      EXPECT_TRUE(report->clean_now()) << Summary(*report);
    }
  }
}

void PoolCopy::UseAsItIs() {
  log::ToStderr(log::Level::kOff);  // each damage would be told of
  UseDamaged();
  log::ToStderr(log::Level::kWarning);
}

void PoolCopy::UseDamaged() const {
  const std::unique_ptr<PoolCopy> copy = Copied();
  auto device = Device::Open(std::move(copy->mapping_), {});
  if (!device) return;
  auto directory = copy->OpenHost(**device);
  auto volume = Volume::Open(std::move(*device), {}, std::move(directory));
  if (!volume) return;
  if (BackingFiles* backing = (*volume)->core().backing.get()) (void)backing->Upkeep();
  Walked walked;
  WalkNames(**volume, Volume::kRoot, walked);
  NewNode node;
  node.mode = S_IFREG | 0600;
  const auto made = (*volume)->names().Create(Volume::kRoot, "as it is", node, Caller{});
  if (!made) return;
  const std::vector<std::byte> bytes(3 * kPageSize, std::byte{1});
  (void)(*volume)->data().Write(made->inode, 0, bytes, {});
  (*volume)->names().Forget(made->inode, 1);
  (void)(*volume)->names().Unlink(Volume::kRoot, "as it is");
}

media::Inode& PoolCopy::Inode(InodeNumber inode) {
  return *reinterpret_cast<media::Inode*>(At(Geometry::ToMedia(AddressOf(inode))));
}

void PoolCopy::Seal(InodeNumber inode) {
  media::Inode& stored = Inode(inode);
  stored.checksum = BlockChecksum(BytesOf(stored), offsetof(media::Inode, checksum), inode.value);
}

void PoolCopy::Seal(LogicalPage page) {
  SealBlock(page, std::span(At(page), kPageSize));
}

media::GroupEntry& PoolCopy::Group(GroupIndex group) {
  return *reinterpret_cast<media::GroupEntry*>(At(Geometry::GroupEntryAt(group)));
}

void PoolCopy::Seal(GroupIndex group) {
  GroupTable::Seal(group, Group(group));
}

media::Record* PoolCopy::Records(InodeNumber inode) {
  return reinterpret_cast<media::Record*>(Inode(inode).tail.data());
}

void PoolCopy::Open() {
  if (device_ != nullptr) return;
  auto opened = check::OpenForCheck(std::move(mapping_), {});
  CHECK(opened.has_value(), "{}", Describe(opened.error()));
  opened_ = std::move(*opened);
  device_ = std::move(opened_.device);
  directory_ = OpenHost(*device_);
}

check::CheckReport PoolCopy::Report() {
  Open();
  check::CheckOptions options;
  options.directory = directory_.get();
  auto report = check::Check(*device_, options);
  CHECK(report.has_value(), "{}", Describe(report.error()));
  report->needs_recovery |= opened_.needs_recovery;
  report->found += opened_.findings.size();
  for (check::Finding& finding : opened_.findings) {
    ++report->counts_by_kind[static_cast<size_t>(finding.kind)];
    report->findings.push_back(std::move(finding));
  }
  opened_.findings.clear();
  return *report;
}

check::CheckReport PoolCopy::Repair() {
  Open();
  check::CheckOptions options;
  options.mode = check::CheckMode::kRepair;
  options.directory = directory_.get();
  auto report = check::Check(*device_, options);
  CHECK(report.has_value(), "{}", Describe(report.error()));
  return *report;
}

std::unique_ptr<Volume> PoolCopy::OpenVolume() {
  Open();
  auto volume = Volume::Open(std::move(device_), {}, std::move(directory_));
  EXPECT_TRUE(volume) << Describe(volume.error());
  return volume ? std::move(*volume) : nullptr;
}

check::CheckReport PoolCopy::ExpectRepairable(const std::vector<std::string>& sacrificed,
                                              bool compare) {
  UseAsItIs();
  const check::CheckReport first = Report();
  const check::CheckReport repair = Repair();
  EXPECT_TRUE(repair.clean_now()) << "still: " << Summary(repair);
  const check::CheckReport last = Report();
  EXPECT_TRUE(last.clean()) << "found " << Summary(first) << "\nafter: " << Summary(last);
  const std::unique_ptr<Volume> volume = OpenVolume();
  if (volume == nullptr) return first;
  if (BackingFiles* backing = volume->core().backing.get()) {
    // What a mount deletes is nobody's, by now.
    const std::atomic<bool> stop{false};
    EXPECT_TRUE(volume->orphans().Recover(stop).has_value());
    EXPECT_TRUE(backing->Upkeep().has_value());
  }
  if (!compare) return first;
  const Manifest manifest = ReadManifest(*volume);
  for (const auto& [path, text] : PopulatedPool::Get(kind_).manifest()) {
    if (std::ranges::any_of(
            sacrificed, [&path = path](const std::string& top) { return IsBelow(path, top); })) {
      continue;
    }
    const auto found = manifest.find(path);
    EXPECT_EQ(found == manifest.end() ? "gone" : found->second, text)
        << path << ": " << Summary(first);
  }
  return first;
}

std::string Summary(const check::CheckReport& report) {
  std::string text;
  for (size_t i = 0; i < report.findings.size() && i < 6; ++i) {
    text +=
        fmt::format("\n  [{}] {}", check::NameOf(report.findings[i].kind), report.findings[i].text);
  }
  return fmt::format("{} findings, {} rounds{}", report.found, report.rounds, text);
}

bool Has(const check::CheckReport& report, check::FindingKind kind) {
  return report.counts_by_kind[static_cast<size_t>(kind)] != 0;
}

}  // namespace ingot::tests
