// SPDX-License-Identifier: BSD-3-Clause
// Model operations by fs/core's own calls.
#include "tests/model/volume_subject.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <sstream>
#include <vector>

namespace ingot::tests {

// A looked-up inode; the reference is given back at the end.
class VolumeSubject::Reference {
 public:
  Reference(Volume& volume, const Attributes& attributes, bool counted)
      : volume_(&volume), attributes_(attributes), counted_(counted) {}
  Reference(Reference&& other) noexcept
      : volume_(other.volume_),
        attributes_(other.attributes_),
        counted_(std::exchange(other.counted_, false)) {}
  Reference& operator=(Reference&&) = delete;
  ~Reference() {
    if (counted_) volume_->names().Forget(attributes_.inode, 1);
  }
  [[nodiscard]] const Attributes& attributes() const { return attributes_; }
  [[nodiscard]] InodeNumber inode() const { return attributes_.inode; }

 private:
  Volume* volume_;
  Attributes attributes_;
  bool counted_;
};

struct VolumeSubject::Place {
  Reference parent;
  std::string name;
};

std::string VolumeSubject::Run(const Operation& operation) {
  Result<std::string> result = Dispatch(operation);
  return result ? *result : ErrorText(result.error().code);
}

Result<std::string> VolumeSubject::Dispatch(const Operation& operation) {
  switch (operation.kind) {
    case Kind::kCreate:
    case Kind::kMkdir:
    case Kind::kMknod:
    case Kind::kSymlink:
      return Make(operation);
    case Kind::kLink:
    case Kind::kUnlink:
    case Kind::kRmdir:
    case Kind::kRename:
      return Names(operation);
    case Kind::kRead:
    case Kind::kWrite:
    case Kind::kAppend:
    case Kind::kTruncate:
    case Kind::kFallocate:
    case Kind::kSeek:
    case Kind::kCopyRange:
      return Data(operation);
    case Kind::kSetXattr:
    case Kind::kGetXattr:
    case Kind::kRemoveXattr:
    case Kind::kListXattr:
      return Xattr(operation);
    default:
      return Attribute(operation);
  }
}

Result<VolumeSubject::Reference> VolumeSubject::Node(const std::string& path) {
  Reference node(*volume_, TRY(volume_->attributes().Get(Volume::kRoot)), false);
  std::istringstream parts(path.substr(1));
  for (std::string name; std::getline(parts, name, '/');) {
    if (!S_ISDIR(node.attributes().mode)) return Failure(ENOTDIR);
    Reference child(*volume_, TRY(volume_->names().Lookup(node.inode(), name)), true);
    std::destroy_at(&node);
    std::construct_at(&node, std::move(child));
  }
  return node;
}

// As the kernel's path walk: what lies on the way must be directories.
Result<VolumeSubject::Place> VolumeSubject::Parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  Place place{TRY(Node(slash == 0 ? "/" : path.substr(0, slash))), path.substr(slash + 1)};
  if (!S_ISDIR(place.parent.attributes().mode)) return Failure(ENOTDIR);
  return place;
}

Result<std::string> VolumeSubject::Make(const Operation& operation) {
  const Place place = TRY(Parent(operation.path));
  NewNode node;
  node.mode = operation.mode & 0777;
  node.mode |= operation.kind == Kind::kCreate  ? S_IFREG
               : operation.kind == Kind::kMkdir ? S_IFDIR
               : operation.kind == Kind::kMknod ? S_IFIFO
                                                : S_IFLNK;
  if (operation.kind == Kind::kSymlink) {
    node.mode = S_IFLNK | 0777;
    node.symlink_target = operation.name;
  }
  const Attributes made =
      TRY(volume_->names().Create(place.parent.inode(), place.name, node, Caller{}));
  volume_->names().Forget(made.inode, 1);
  return "ok";
}

Result<std::string> VolumeSubject::Names(const Operation& operation) {
  class Names& names = volume_->names();
  if (operation.kind == Kind::kLink) {
    const Reference node = TRY(Node(operation.path));
    const Place to = TRY(Parent(operation.path2));
    TRY(names.Link(node.inode(), to.parent.inode(), to.name));
    names.Forget(node.inode(), 1);
    return "ok";
  }
  const Place from = TRY(Parent(operation.path));
  if (operation.kind == Kind::kUnlink) {
    TRY(names.Unlink(from.parent.inode(), from.name));
  } else if (operation.kind == Kind::kRmdir) {
    TRY(names.Rmdir(from.parent.inode(), from.name));
  } else {
    const Place to = TRY(Parent(operation.path2));
    TRY(names.Rename(from.parent.inode(), from.name, to.parent.inode(), to.name, operation.flags,
                     Caller{}));
  }
  return "ok";
}

Result<std::string> VolumeSubject::Read(InodeNumber inode, const Operation& operation) {
  auto view = std::make_unique<ReadView>();
  TRY(volume_->data().Read(inode, operation.offset, operation.size, *view));
  std::string bytes;
  for (const iovec& piece : view->pieces) {
    bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  if (bytes.size() != view->size_bytes) return Failure(EBADMSG);
  return BytesText(bytes);
}

Result<std::string> VolumeSubject::Data(const Operation& operation) {
  const Reference node = TRY(Node(operation.path));
  FileData& data = volume_->data();
  switch (operation.kind) {
    case Kind::kRead:
      return Read(node.inode(), operation);
    case Kind::kWrite:
    case Kind::kAppend: {
      const std::string bytes = MakeBytes(operation.seed, operation.size);
      const uint64_t written =
          TRY(data.Write(node.inode(), operation.offset, std::as_bytes(std::span(bytes)),
                         {.append = operation.kind == Kind::kAppend}));
      return fmt::format("ok {}", written);
    }
    case Kind::kTruncate:
      TRY(data.Truncate(node.inode(), operation.size, false));
      return "ok";
    case Kind::kFallocate:
      TRY(data.Fallocate(node.inode(), operation.flags, operation.offset, operation.size));
      return "ok";
    case Kind::kCopyRange: {
      const Reference to = TRY(Node(operation.path2));
      const uint64_t copied = TRY(data.CopyRange(node.inode(), operation.offset, to.inode(),
                                                 operation.offset2, operation.size));
      return fmt::format("ok {}", copied);
    }
    default: {
      const uint64_t at = TRY(operation.flags == 0 ? data.SeekData(node.inode(), operation.offset)
                                                   : data.SeekHole(node.inode(), operation.offset));
      return fmt::format("{}", at);
    }
  }
}

Result<std::string> VolumeSubject::Xattr(const Operation& operation) {
  const Reference node = TRY(Node(operation.path));
  Xattrs& xattrs = volume_->xattrs();
  if (operation.kind == Kind::kListXattr) {
    const std::string list = TRY(xattrs.List(node.inode()));
    std::vector<std::string> names;
    for (size_t at = 0; at < list.size(); at += names.back().size() + 1) {
      names.emplace_back(list.c_str() + at);
    }
    std::sort(names.begin(), names.end());
    return fmt::format("ok{}{}", names.empty() ? "" : " ", fmt::join(names, " "));
  }
  if (operation.kind == Kind::kSetXattr) {
    const XattrSetMode mode = (operation.flags & XATTR_CREATE) != 0    ? XattrSetMode::kCreate
                              : (operation.flags & XATTR_REPLACE) != 0 ? XattrSetMode::kReplace
                                                                       : XattrSetMode::kAny;
    const std::string value = MakeBytes(operation.seed, operation.size);
    TRY(xattrs.Set(node.inode(), operation.name, std::as_bytes(std::span(value)), mode, false));
    return "ok";
  }
  if (operation.kind == Kind::kRemoveXattr) {
    TRY(xattrs.Remove(node.inode(), operation.name));
    return "ok";
  }
  const std::vector<std::byte> value = TRY(xattrs.Get(node.inode(), operation.name));
  return BytesText({reinterpret_cast<const char*>(value.data()), value.size()});
}

Result<std::string> VolumeSubject::ReadNames(InodeNumber inode) {
  std::vector<std::string> names;
  uint64_t cookie = 0;
  for (;;) {
    const auto batch = TRY(volume_->names().ReadDirectory(inode, cookie, 7));
    if (batch.empty()) break;
    cookie = batch.back().key;
    for (const DirectoryEntry& entry : batch) {
      if (entry.name != "." && entry.name != "..") names.push_back(entry.name);
    }
  }
  std::sort(names.begin(), names.end());
  return fmt::format("ok{}{}", names.empty() ? "" : " ", fmt::join(names, " "));
}

Result<std::string> VolumeSubject::Attribute(const Operation& operation) {
  const Reference node = TRY(Node(operation.path));
  const Attributes& attributes = node.attributes();
  AttributeChange change;
  switch (operation.kind) {
    case Kind::kChmod:
      if (S_ISLNK(attributes.mode)) return Failure(EOPNOTSUPP);
      change.mode = operation.mode & 0777;
      break;
    case Kind::kChown:
      change.uid = change.gid = operation.flags;
      break;
    case Kind::kSetTimes:
      change.mtime =
          Time{static_cast<int64_t>(operation.offset), static_cast<uint32_t>(operation.size)};
      break;
    case Kind::kReadLink:
      return "ok " + TRY(volume_->names().ReadLink(node.inode()));
    case Kind::kReadDirectory:
      return ReadNames(node.inode());
    default: {
      const std::string type = S_ISREG(attributes.mode)   ? "file"
                               : S_ISDIR(attributes.mode) ? "dir"
                               : S_ISLNK(attributes.mode) ? "link"
                                                          : "fifo";
      return fmt::format("ok {} {:o} {} {} {} {}.{}", type, attributes.mode & 0777,
                         attributes.links, attributes.uid, attributes.size_bytes,
                         attributes.mtime.seconds, attributes.mtime.nanoseconds);
    }
  }
  TRY(volume_->attributes().Set(node.inode(), change));
  return "ok";
}

}  // namespace ingot::tests
