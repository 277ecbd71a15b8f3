// SPDX-License-Identifier: BSD-3-Clause
// The plain in-memory model of a POSIX filesystem that volumes and mounts are compared with: maps
// and strings, no cleverness. Single-threaded.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "tests/model/operation.h"

namespace ingot::tests {

class PlainModel : public Subject {
 public:
  PlainModel();
  std::string Run(const Operation& operation) override;

  [[nodiscard]] size_t node_count() const { return nodes_; }
  [[nodiscard]] uint64_t data_bytes() const { return data_bytes_; }

 private:
  struct Node {
    char type = 'f';  // f, d, l, p
    uint32_t mode = 0;
    uint32_t owner = 0;
    uint32_t links = 1;
    std::string data;  // contents or target
    std::map<std::string, std::string> xattrs;
    std::map<std::string, std::shared_ptr<Node>> entries;
    std::weak_ptr<Node> parent;
    std::optional<std::pair<uint64_t, uint64_t>> mtime;  // as set last, if nothing came after
  };
  using NodePtr = std::shared_ptr<Node>;
  struct Place {
    NodePtr parent;
    std::string name;
    NodePtr node;  // null: no such entry
    int error = 0;
  };

  [[nodiscard]] Place Find(const std::string& path) const;
  std::string Make(const Operation& operation, char type);
  std::string Link(const Operation& operation);
  std::string Remove(const Operation& operation, bool directory);
  std::string Rename(const Operation& operation);
  std::string Replace(const Place& from, const Place& to);
  std::string Exchange(const Place& from, const Place& to);
  std::string OnFile(const Operation& operation);
  std::string Fallocate(const Operation& operation, Node& node);
  std::string CopyRange(const Operation& operation);
  std::string OnXattr(const Operation& operation);
  std::string OnAttributes(const Operation& operation);
  void Resize(Node& node, uint64_t size);
  void Touch(Node& node) { node.mtime.reset(); }
  void Drop(Node& node);
  static bool IsAncestor(const NodePtr& ancestor, NodePtr node);

  NodePtr root_;
  size_t nodes_ = 1;
  uint64_t data_bytes_ = 0;
};

}  // namespace ingot::tests
