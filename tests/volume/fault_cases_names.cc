// SPDX-License-Identifier: BSD-3-Clause
// Names: created, linked, renamed in each way, removed, with and without a holder.
#include <sys/stat.h>

#include "tests/volume/fault_cases.h"

namespace ingot::tests {
namespace {

std::string LongName(char letter) { return std::string(250, letter); }

NewNode NodeOf(uint32_t mode, std::string_view target = {}) {
  NewNode node;
  node.mode = mode;
  node.symlink_target = target;
  if (S_ISBLK(mode) || S_ISCHR(mode)) node.device = 0x0103;
  return node;
}

FaultCase Create(std::string name, std::string parent, std::string entry, uint32_t mode,
                 std::string target = {}) {
  return {std::move(name),
          [=](Volume& volume, Fault& fault, uint64_t) -> Result<uint64_t> {
            const InodeNumber directory = InodeAt(volume, parent);
            const NewNode node = NodeOf(mode, target);
            const Result<Attributes> made = [&] {
              const Armed armed(fault);
              return NoThrow([&] {
                return volume.names().Create(directory, entry, node, Caller{});
              });
            }();
            if (!made) return tl::unexpected<Error>(made.error());
            volume.names().Forget(made->inode, 1);
            return uint64_t{0};
          }};
}

FaultCase Rename(std::string name, std::string from, std::string entry, std::string to,
                 std::string new_entry, uint32_t flags = 0) {
  return {std::move(name), [=](Volume& volume, Fault& fault, uint64_t) {
            const InodeNumber parent = InodeAt(volume, from);
            const InodeNumber new_parent = InodeAt(volume, to);
            const Armed armed(fault);
            return Counted(NoThrow([&] {
              return volume.names().Rename(parent, entry, new_parent, new_entry, flags, Caller{});
            }));
          }};
}

FaultCase Remove(std::string name, std::string from, std::string entry, bool directory = false) {
  return {std::move(name), [=](Volume& volume, Fault& fault, uint64_t) {
            const InodeNumber parent = InodeAt(volume, from);
            const Armed armed(fault);
            return Counted(NoThrow([&] {
              return directory ? volume.names().Rmdir(parent, entry)
                               : volume.names().Unlink(parent, entry);
            }));
          }};
}

FaultCase Link(std::string name, std::string file, std::string to, std::string entry) {
  return {std::move(name), [=](Volume& volume, Fault& fault, uint64_t) -> Result<uint64_t> {
            const InodeNumber inode = InodeAt(volume, file);
            const InodeNumber parent = InodeAt(volume, to);
            const Result<Attributes> linked = [&] {
              const Armed armed(fault);
              return NoThrow([&] { return volume.names().Link(inode, parent, entry); });
            }();
            if (!linked) return tl::unexpected<Error>(linked.error());
            volume.names().Forget(inode, 1);
            return uint64_t{0};
          }};
}

// A file without a name; given one, if `named`.
FaultCase Unnamed(std::string name, bool named) {
  return {std::move(name), [named](Volume& volume, Fault& fault, uint64_t) -> Result<uint64_t> {
            const InodeNumber parent = InodeAt(volume, "/d");
            const NewNode node = NodeOf(S_IFREG | 0600);
            Result<Attributes> made = Failure(EINVAL);
            Result<Attributes> linked = Failure(EINVAL);
            if (named) {
              made = volume.names().CreateUnnamed(parent, node, Caller{});
              const std::string entry = LongName('u');
              const Armed armed(fault);
              linked = NoThrow([&] { return volume.names().Link(made->inode, parent, entry); });
            } else {
              const Armed armed(fault);
              made = linked =
                  NoThrow([&] { return volume.names().CreateUnnamed(parent, node, Caller{}); });
            }
            if (made) volume.names().Forget(made->inode, named && linked ? 2 : 1);
            if (!linked) return tl::unexpected<Error>(linked.error());
            return uint64_t{0};
          }};
}

// The last name of a file that somebody holds, and then the holder goes. What can't be freed then
// is freed by the next recovery.
FaultCase Orphan(std::string name, std::string path, bool at_release) {
  return {std::move(name), [=](Volume& volume, Fault& fault, uint64_t) -> Result<uint64_t> {
            const InodeNumber parent = InodeAt(volume, path.substr(0, path.rfind('/')));
            const std::string entry = path.substr(path.rfind('/') + 1);
            const Result<Attributes> held = volume.names().Lookup(parent, entry);
            Result<void> done;
            if (held && !at_release) {
              const Armed armed(fault);
              done = NoThrow([&] { return volume.names().Unlink(parent, entry); });
            } else if (held) {
              done = volume.names().Unlink(parent, entry);
              const Armed armed(fault);
              volume.names().Forget(held->inode, 1);
              return Counted(done);
            }
            if (held) volume.names().Forget(held->inode, 1);
            return Counted(done);
          }};
}

FaultCase Read(std::string name, std::function<Result<void>(Volume&, Fault&)> run) {
  return {std::move(name), [run = std::move(run)](Volume& volume, Fault& fault, uint64_t) {
            return Counted(run(volume, fault));
          }};
}

template <typename T>
Result<void> Forgotten(const Result<T>& result) {
  if (!result) return tl::unexpected<Error>(result.error());
  return {};
}

}  // namespace

void AddNameFaultCases(std::vector<FaultCase>& cases) {
  cases.push_back(Create("create_in_an_empty_directory", "/empty", "first", S_IFREG | 0600));
  cases.push_back(Create("create_that_splits_a_leaf", "/d", LongName('n'), S_IFREG | 0600));
  cases.push_back(Create("create_below_a_default_acl", "/acl", "file", S_IFREG | 0666));
  cases.push_back(Create("mkdir", "/d", LongName('n'), S_IFDIR | 0700));
  cases.push_back(Create("mkdir_below_a_default_acl", "/acl", "directory", S_IFDIR | 0777));
  cases.push_back(Create("mknod_of_a_fifo", "/d", LongName('n'), S_IFIFO | 0600));
  cases.push_back(Create("mknod_of_a_device", "/d", LongName('n'), S_IFCHR | 0600));
  cases.push_back(Create("symlink", "/d", "s", S_IFLNK | 0777, "target"));
  cases.push_back(Create("symlink_of_a_page", "/d", "s", S_IFLNK | 0777, std::string(3000, 't')));
  cases.push_back(Unnamed("tmpfile", false));
  cases.push_back(Unnamed("tmpfile_that_gets_a_name", true));
  cases.push_back(Link("link", "/d/inline", "/empty", "second"));
  cases.push_back(Link("link_that_splits_a_leaf", "/d/inline", "/d", LongName('l')));

  cases.push_back(Remove("unlink", "/d", "inline"));
  cases.push_back(Remove("unlink_of_a_large_file", "/d", "whole"));
  cases.push_back(Remove("unlink_of_a_file_with_nodes", "/d", "many"));
  cases.push_back(Remove("unlink_of_attributes", "/d", "attributes"));
  cases.push_back(Remove("unlink_in_several_transactions", "/", "pieces"));
  cases.push_back(Remove("unlink_that_merges_leaves", "/sparse", fmt::format("{:0>250}", 0)));
  cases.push_back(Remove("rmdir", "/", "gone", true));
  cases.push_back(Orphan("unlink_of_a_held_file", "/d/many", false));
  cases.push_back(Orphan("forget_of_an_orphan", "/d/many", true));
  cases.push_back(Orphan("forget_of_a_large_orphan", "/pieces", true));

  cases.push_back(Rename("rename", "/d", "inline", "/d", LongName('m')));
  cases.push_back(Rename("rename_to_another_directory", "/d", "inline", "/empty", LongName('m')));
  cases.push_back(Rename("rename_of_a_directory", "/d", "sub", "/empty", "sub"));
  cases.push_back(Rename("rename_over_a_file", "/d", "inline", "/d", "whole"));
  cases.push_back(Rename("rename_over_a_file_in_pieces", "/d", "inline", "/", "pieces"));
  cases.push_back(Rename("rename_over_a_directory", "/d", "sub", "/", "gone"));
  cases.push_back(
      Rename("rename_exchange", "/d", "inline", "/", "empty", uint32_t{kRenameExchange}));
  cases.push_back(
      Rename("rename_noreplace", "/d", "inline", "/", "new", uint32_t{kRenameNoReplace}));
  cases.push_back(Rename("rename_whiteout", "/d", "inline", "/empty", LongName('w'),
                         uint32_t{kRenameWhiteout}));
  cases.push_back(Rename("rename_whiteout_over_a_file", "/d", "inline", "/d", "many",
                         uint32_t{kRenameWhiteout}));

  cases.push_back(Read("lookup", [](Volume& volume, Fault& fault) {
    const InodeNumber parent = InodeAt(volume, "/d");
    const Result<Attributes> found = [&] {
      const Armed armed(fault);
      return NoThrow([&] { return volume.names().Lookup(parent, "inline"); });
    }();
    if (found) volume.names().Forget(found->inode, 1);
    return Forgotten(found);
  }));
  cases.push_back(Read("readdir", [](Volume& volume, Fault& fault) {
    const InodeNumber directory = InodeAt(volume, "/d");
    const Armed armed(fault);
    return Forgotten(NoThrow([&] { return volume.names().ReadDirectory(directory, 0, 1000); }));
  }));
  cases.push_back(Read("readlink", [](Volume& volume, Fault& fault) {
    const InodeNumber link = InodeAt(volume, "/long");
    const Armed armed(fault);
    return Forgotten(NoThrow([&] { return volume.names().ReadLink(link); }));
  }));
  cases.push_back(Read("recovery_of_orphans", [](Volume& volume, Fault& fault) -> Result<void> {
    const std::atomic<bool> stop{false};
    const Armed armed(fault);
    return Forgotten(NoThrow([&] { return volume.orphans().Recover(stop); }));
  }));
}

}  // namespace ingot::tests
