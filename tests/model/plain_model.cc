// SPDX-License-Identifier: BSD-3-Clause
// The model's behaviour: what Linux's local filesystems answer, in the order in which the kernel
// checks.
#include "tests/model/plain_model.h"

#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/xattr.h>

#include <cerrno>

namespace ingot::tests {
namespace {

constexpr size_t kMaxName = 255;
// A symlink on the way: the kernel follows it to nowhere, a volume by itself knows no paths.
constexpr int kSomeError = -1;

std::string PlaceError(int error) { return error == kSomeError ? "E:*" : ErrorText(error); }

uint32_t DirectoryLinks(uint32_t subdirectories) {
  return 2 + subdirectories;
}

}  // namespace

PlainModel::PlainModel() : root_(std::make_shared<Node>()) {
  root_->type = 'd';
  root_->mode = 0755;
  root_->links = DirectoryLinks(0);
}

PlainModel::Place PlainModel::Find(const std::string& path) const {
  Place place{.parent = nullptr, .name = "", .node = root_};
  size_t at = 1;
  while (at < path.size()) {
    const size_t slash = std::min(path.find('/', at), path.size());
    if (place.node == nullptr)
      return {.parent = nullptr, .name = "", .node = nullptr, .error = ENOENT};
    if (place.node->type != 'd') {
      const int error = place.node->type == 'l' ? kSomeError : ENOTDIR;
      return {.parent = nullptr, .name = "", .node = nullptr, .error = error};
    }
    place.parent = place.node;
    place.name = path.substr(at, slash - at);
    if (place.name.size() > kMaxName) {
      return {.parent = nullptr, .name = "", .node = nullptr, .error = ENAMETOOLONG};
    }
    const auto entry = place.parent->entries.find(place.name);
    place.node = entry == place.parent->entries.end() ? nullptr : entry->second;
    at = slash + 1;
  }
  return place;
}

std::string PlainModel::Run(const Operation& operation) {
  switch (operation.kind) {
    case Kind::kCreate:
      return Make(operation, 'f');
    case Kind::kMkdir:
      return Make(operation, 'd');
    case Kind::kMknod:
      return Make(operation, 'p');
    case Kind::kSymlink:
      return Make(operation, 'l');
    case Kind::kLink:
      return Link(operation);
    case Kind::kUnlink:
      return Remove(operation, false);
    case Kind::kRmdir:
      return Remove(operation, true);
    case Kind::kRename:
      return Rename(operation);
    case Kind::kCopyRange:
      return CopyRange(operation);
    case Kind::kWrite:
    case Kind::kAppend:
    case Kind::kRead:
    case Kind::kTruncate:
    case Kind::kFallocate:
    case Kind::kSeek:
      return OnFile(operation);
    case Kind::kSetXattr:
    case Kind::kGetXattr:
    case Kind::kRemoveXattr:
    case Kind::kListXattr:
      return OnXattr(operation);
    default:
      return OnAttributes(operation);
  }
}

std::string PlainModel::Make(const Operation& operation, char type) {
  const Place place = Find(operation.path);
  if (place.error != 0) return PlaceError(place.error);
  if (place.node != nullptr) return ErrorText(EEXIST);
  auto node = std::make_shared<Node>();
  node->type = type;
  node->mode = type == 'l' ? 0777 : operation.mode & 0777;
  if (type == 'l') node->data = operation.name;
  if (type == 'd') {
    node->links = DirectoryLinks(0);
    ++place.parent->links;
  }
  node->parent = place.parent;
  place.parent->entries[place.name] = node;
  Touch(*place.parent);
  ++nodes_;
  return "ok";
}

std::string PlainModel::Link(const Operation& operation) {
  const Place from = Find(operation.path);
  const Place to = Find(operation.path2);
  if (from.error != 0 || to.error != 0) return "E:*";
  if (from.node == nullptr) return ErrorText(ENOENT);
  if (from.node->type == 'd') return "E:*";
  if (to.node != nullptr) return ErrorText(EEXIST);
  to.parent->entries[to.name] = from.node;
  ++from.node->links;
  Touch(*to.parent);
  return "ok";
}

void PlainModel::Drop(Node& node) {
  if (node.type == 'd' || --node.links == 0) {
    --nodes_;
    data_bytes_ -= node.type == 'f' ? node.data.size() : 0;
  }
}

std::string PlainModel::Remove(const Operation& operation, bool directory) {
  const Place place = Find(operation.path);
  if (place.error != 0) return PlaceError(place.error);
  if (place.node == nullptr) return ErrorText(ENOENT);
  if (place.parent == nullptr) return ErrorText(directory ? EBUSY : EISDIR);
  if (directory != (place.node->type == 'd')) return ErrorText(directory ? ENOTDIR : EISDIR);
  if (directory && !place.node->entries.empty()) return ErrorText(ENOTEMPTY);
  if (directory) --place.parent->links;
  place.parent->entries.erase(place.name);
  Drop(*place.node);
  Touch(*place.parent);
  return "ok";
}

bool PlainModel::IsAncestor(const NodePtr& ancestor, NodePtr node) {
  for (; node != nullptr; node = node->parent.lock()) {
    if (node == ancestor) return true;
  }
  return false;
}

std::string PlainModel::Rename(const Operation& operation) {
  const Place from = Find(operation.path);
  const Place to = Find(operation.path2);
  // With two things wrong, any of the errors is right.
  if (from.error != 0 || to.error != 0) return "E:*";
  if (from.parent == nullptr || to.parent == nullptr) return ErrorText(EBUSY);
  if (from.node == nullptr) return ErrorText(ENOENT);
  const bool exchange = (operation.flags & RENAME_EXCHANGE) != 0;
  if ((operation.flags & RENAME_NOREPLACE) != 0 && to.node != nullptr) return "E:*";
  if (exchange && to.node == nullptr) return ErrorText(ENOENT);
  if (from.node->type == 'd' && IsAncestor(from.node, to.parent)) return ErrorText(EINVAL);
  if (to.node != nullptr && to.node->type == 'd' && IsAncestor(to.node, from.parent)) {
    // The kernel says ENOTEMPTY by itself; below it, EISDIR for a file is as right.
    return exchange ? ErrorText(EINVAL) : "E:*";
  }
  if (from.node == to.node) return "ok";
  return exchange ? Exchange(from, to) : Replace(from, to);
}

std::string PlainModel::Replace(const Place& from, const Place& to) {
  const bool directory = from.node->type == 'd';
  if (to.node != nullptr) {
    if (directory && to.node->type != 'd') return ErrorText(ENOTDIR);
    if (!directory && to.node->type == 'd') return ErrorText(EISDIR);
    if (directory && !to.node->entries.empty()) return ErrorText(ENOTEMPTY);
    if (directory) --to.parent->links;
    Drop(*to.node);
  }
  from.parent->entries.erase(from.name);
  to.parent->entries[to.name] = from.node;
  if (directory) {
    --from.parent->links;
    ++to.parent->links;
    from.node->parent = to.parent;
  }
  Touch(*from.parent);
  Touch(*to.parent);
  return "ok";
}

std::string PlainModel::Exchange(const Place& from, const Place& to) {
  from.parent->entries[from.name] = to.node;
  to.parent->entries[to.name] = from.node;
  if (from.node->type == 'd') {
    --from.parent->links;
    ++to.parent->links;
    from.node->parent = to.parent;
  }
  if (to.node->type == 'd') {
    --to.parent->links;
    ++from.parent->links;
    to.node->parent = from.parent;
  }
  Touch(*from.parent);
  Touch(*to.parent);
  return "ok";
}

void PlainModel::Resize(Node& node, uint64_t size) {
  data_bytes_ += size - node.data.size();
  node.data.resize(size, '\0');
}

std::string PlainModel::OnFile(const Operation& operation) {
  const Place place = Find(operation.path);
  if (place.error != 0) return PlaceError(place.error);
  if (place.node == nullptr) return ErrorText(ENOENT);
  Node& node = *place.node;
  if (node.type != 'f') return ErrorText(node.type == 'd' ? EISDIR : EINVAL);
  const uint64_t size = node.data.size();
  switch (operation.kind) {
    case Kind::kRead:
      if (operation.offset >= size) return BytesText("");
      return BytesText(node.data.substr(operation.offset, operation.size));
    case Kind::kWrite:
    case Kind::kAppend: {
      const uint64_t at = operation.kind == Kind::kAppend ? size : operation.offset;
      if (operation.size == 0) return "ok 0";
      if (at + operation.size > size) Resize(node, at + operation.size);
      node.data.replace(at, operation.size, MakeBytes(operation.seed, operation.size));
      Touch(node);
      return fmt::format("ok {}", operation.size);
    }
    case Kind::kTruncate:
      Resize(node, operation.size);
      Touch(node);
      return "ok";
    case Kind::kFallocate:
      return Fallocate(operation, node);
    default:
      // Where holes are is the filesystem's affair; behind the end there is nothing.
      return operation.offset >= size ? ErrorText(ENXIO) : "*";
  }
}

std::string PlainModel::Fallocate(const Operation& operation, Node& node) {
  if (operation.size == 0) return ErrorText(EINVAL);
  const uint64_t end = operation.offset + operation.size;
  if ((operation.flags & FALLOC_FL_KEEP_SIZE) == 0 && end > node.data.size()) Resize(node, end);
  if ((operation.flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0 &&
      operation.offset < node.data.size()) {
    const uint64_t count = std::min<uint64_t>(operation.size, node.data.size() - operation.offset);
    node.data.replace(operation.offset, count, std::string(count, '\0'));
  }
  Touch(node);
  return "ok";
}

std::string PlainModel::CopyRange(const Operation& operation) {
  const Place from = Find(operation.path);
  const Place to = Find(operation.path2);
  const auto is_file = [](const Place& place) {
    return place.error == 0 && place.node != nullptr && place.node->type == 'f';
  };
  // With two things wrong, any of the two errors is right.
  if (!is_file(from) || !is_file(to)) return "E:*";
  if (operation.offset >= from.node->data.size() || operation.size == 0) return "ok 0";
  const std::string bytes = from.node->data.substr(operation.offset, operation.size);
  if (from.node == to.node && operation.offset < operation.offset2 + bytes.size() &&
      operation.offset2 < operation.offset + bytes.size()) {
    return ErrorText(EINVAL);
  }
  Node& node = *to.node;
  if (operation.offset2 + bytes.size() > node.data.size()) {
    Resize(node, operation.offset2 + bytes.size());
  }
  node.data.replace(operation.offset2, bytes.size(), bytes);
  Touch(node);
  return fmt::format("ok {}", bytes.size());
}

std::string PlainModel::OnXattr(const Operation& operation) {
  const Place place = Find(operation.path);
  if (place.error != 0) return PlaceError(place.error);
  if (place.node == nullptr) return ErrorText(ENOENT);
  auto& xattrs = place.node->xattrs;
  if (operation.kind == Kind::kListXattr) {
    std::string names = "ok";
    for (const auto& [name, value] : xattrs) names += " " + name;
    return names;
  }
  const auto known = xattrs.find(operation.name);
  if (operation.kind == Kind::kSetXattr) {
    if ((operation.flags & XATTR_CREATE) != 0 && known != xattrs.end()) return ErrorText(EEXIST);
    if ((operation.flags & XATTR_REPLACE) != 0 && known == xattrs.end()) return ErrorText(ENODATA);
    xattrs[operation.name] = MakeBytes(operation.seed, operation.size);
    return "ok";
  }
  if (known == xattrs.end()) return ErrorText(ENODATA);
  if (operation.kind == Kind::kGetXattr) return BytesText(known->second);
  xattrs.erase(known);
  return "ok";
}

std::string PlainModel::OnAttributes(const Operation& operation) {
  const Place place = Find(operation.path);
  if (place.error != 0) return PlaceError(place.error);
  if (place.node == nullptr) return ErrorText(ENOENT);
  Node& node = *place.node;
  switch (operation.kind) {
    case Kind::kChmod:
      if (node.type == 'l') return ErrorText(EOPNOTSUPP);
      node.mode = operation.mode & 0777;
      return "ok";
    case Kind::kChown:
      node.owner = operation.flags;
      return "ok";
    case Kind::kSetTimes:
      node.mtime = {operation.offset, operation.size};
      return "ok";
    case Kind::kReadLink:
      return node.type == 'l' ? "ok " + node.data : ErrorText(EINVAL);
    case Kind::kReadDirectory: {
      if (node.type != 'd') return ErrorText(ENOTDIR);
      std::string names = "ok";
      for (const auto& [name, entry] : node.entries) names += " " + name;
      return names;
    }
    default: {
      const std::string type = node.type == 'f'   ? "file"
                               : node.type == 'd' ? "dir"
                               : node.type == 'l' ? "link"
                                                  : "fifo";
      const std::string size = node.type == 'd' ? "*" : std::to_string(node.data.size());
      const std::string mtime =
          node.mtime ? fmt::format("{}.{}", node.mtime->first, node.mtime->second) : "*";
      return fmt::format("ok {} {:o} {} {} {} {}", type, node.mode, node.links, node.owner, size,
                         mtime);
    }
  }
}

}  // namespace ingot::tests
