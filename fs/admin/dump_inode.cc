// SPDX-License-Identifier: BSD-3-Clause
// dump of the filesystem's structures: inodes and directories.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include <fmt/format.h>

#include "fs/admin/dump.h"
#include "fs/core/xattr_blob.h"

namespace ingot::admin {
namespace {

constexpr size_t kMaxListed = 100'000;  // records of one dump

const char* TypeName(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "symlink";
    case S_IFBLK: return "block device";
    case S_IFCHR: return "character device";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    default: return "unknown";
  }
}

Json FlagNames(uint32_t flags) {
  struct Name {
    uint32_t bit;
    const char* text;
  };
  static constexpr Name kNames[] = {
      {media::kInodeOrphan, "orphan"},     {media::kInodeImmutable, "immutable"},
      {media::kInodeAppendOnly, "append"}, {media::kInodeNoAtime, "noatime"},
      {media::kInodeNoDump, "nodump"},     {media::kInodeSync, "sync"},
      {media::kInodeDirSync, "dirsync"},   {media::kInodeDax, "dax"},
      {media::kInodeAtomic, "atomic"},     {media::kInodeProjectInherit, "project-inherit"},
      {media::kInodeMayDemote, "may-demote"}};
  Json names = Json::array();
  for (const Name& name : kNames) {
    if ((flags & name.bit) != 0) names.push_back(name.text);
  }
  return names;
}

Json DescribeRecord(const media::Inode& inode, const media::Record& record) {
  if (S_ISDIR(inode.mode)) return {{"key", record.key}, {"leaf_page", record.value}};
  const Extent extent = Extent::Decode(record);
  return {{"file_page", extent.file_page.value},
          {"page", extent.start.value},
          {"pages", extent.pages},
          {"unwritten", extent.unwritten},
          {"offset", Geometry::ToMedia(extent.start).value}};
}

Json DescribeTree(RawPool& pool, const media::Inode& inode) {
  Json records = Json::array();
  uint64_t left_out = 0;
  pool.ForEachRecord(inode, [&](const media::Record& record) {
    if (records.size() < kMaxListed) {
      records.push_back(DescribeRecord(inode, record));
    } else {
      ++left_out;
    }
  });
  Json json{{"form", "tree"}, {"height", inode.tree_height}};
  if (left_out != 0) json["left_out"] = left_out;
  json[S_ISDIR(inode.mode) ? "leaves" : "extents"] = std::move(records);
  return json;
}

// The number of the host's file, and the extents from before it had one that are still to be freed.
Json DescribeBacked(RawPool& pool, const media::Inode& inode) {
  Json json{{"form", "backed"}, {"backing_file", inode.backing_file}};
  if (inode.body_bytes == 0) return json;
  media::Inode before = inode;
  before.body_form = media::BodyForm::kTree;
  json["to_be_freed"] = DescribeTree(pool, before);
  return json;
}

Json DescribeBody(RawPool& pool, const media::Inode& inode) {
  const std::span tail(inode.tail);
  switch (inode.body_form) {
    case media::BodyForm::kEmpty: return {{"form", "empty"}};
    case media::BodyForm::kInline: {
      const size_t size = std::min<size_t>(inode.body_bytes, tail.size());
      return {{"form", "inline"}, {"content", DescribeBytes(tail.first(size))}};
    }
    case media::BodyForm::kTree: return DescribeTree(pool, inode);
    case media::BodyForm::kBacked: return DescribeBacked(pool, inode);
  }
  pool.Note(fmt::format("inode {}: body form", inode.number));
  return {{"form", "unknown"}};
}

// The attributes that lie in the tail; where external ones lie.
Json DescribeXattrs(RawPool& pool, const media::Inode& inode) {
  Json names = Json::array();
  if (inode.xattr_bytes != 0 && inode.xattr_bytes <= inode.tail.size()) {
    const auto entries = ParseXattrs(std::span(inode.tail).last(inode.xattr_bytes));
    if (!entries.has_value()) {
      pool.Note(fmt::format("inode {}: inline attributes", inode.number));
    } else {
      for (const XattrView& entry : *entries) {
        names.push_back({{"name", std::string(entry.name)}, {"value", DescribeBytes(entry.value)}});
      }
    }
  }
  return names;
}

std::string TimeText(int64_t seconds, uint32_t nanoseconds) {
  const std::time_t time = seconds;
  struct tm parts;
  char text[64];
  if (gmtime_r(&time, &parts) == nullptr ||
      std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
    return fmt::format("{}.{:09}", seconds, nanoseconds);
  }
  return fmt::format("{}.{:09}Z", text, nanoseconds);
}

const char* EntryTypeName(uint8_t type) { return TypeName(static_cast<uint32_t>(DTTOIF(type))); }

}  // namespace

Result<Json> DumpInode(RawPool& pool, InodeNumber number) {
  const media::Inode inode = TRY(pool.ReadInode(number));
  Json fields = Describe(inode);
  fields.erase("tail");
  Json json;
  json["inode"] = number.value;
  json["offset"] = Geometry::ToMedia(AddressOf(number)).value;
  json["type"] = TypeName(inode.mode);
  json["permissions"] = fmt::format("{:04o}", inode.mode & 07777);
  json["flags"] = FlagNames(inode.flags);
  json["mtime"] = TimeText(inode.mtime_seconds, inode.mtime_nanoseconds);
  json["ctime"] = TimeText(inode.ctime_seconds, inode.ctime_nanoseconds);
  json["birth"] = TimeText(inode.birth_seconds, inode.birth_nanoseconds);
  json["fields"] = std::move(fields);
  if (inode.magic != 0) {
    json["body"] = DescribeBody(pool, inode);
    json["inline_attributes"] = DescribeXattrs(pool, inode);
  }
  json["problems"] = pool.problems();
  return json;
}

Result<Json> DumpDirectory(RawPool& pool, std::string_view path) {
  const InodeNumber number = TRY(pool.Resolve(path));
  const media::Inode inode = TRY(pool.ReadInode(number));
  if (!S_ISDIR(inode.mode)) return Failure(ENOTDIR);
  const std::vector<RawPool::Entry> entries = pool.ReadDirectory(inode);
  Json list = Json::array();
  for (const RawPool::Entry& entry : entries) {
    list.push_back({{"name", entry.name},
                    {"inode", entry.inode.value},
                    {"type", EntryTypeName(entry.type)},
                    {"key", entry.key}});
  }
  if (entries.size() != inode.entry_count) {
    pool.Note(fmt::format("inode {}: entry_count {}, found {}", number.value, inode.entry_count,
                          entries.size()));
  }
  Json json;
  json["inode"] = number.value;
  json["parent"] = inode.parent;
  json["entry_count"] = inode.entry_count;
  json["entries"] = std::move(list);
  json["problems"] = pool.problems();
  return json;
}

}  // namespace ingot::admin
