// SPDX-License-Identifier: BSD-3-Clause
// A host that loses what was not synced: names, sizes and data of backing files, any part of them.
//
// While it records, it notes each change of the host and keeps the region at each of them and at
// each step of each transaction. Afterwards it says what a crash there may leave, also on a host
// where one sync (a place in the program) does nothing. Single-threaded; owns its memory files.
//
// The model is POSIX's: a name is durable after fsync of the directory, size and data after fsync
// of the file, and a file that was never synced may be gone although its name is durable. What is
// not durable is kept or lost by itself: each name made or deleted, each half of each write, and of
// the sizes that a file had any.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fs/core/backing_file.h"
#include "pmemdev/journal.h"
#include "pmemdev/mapping.h"

namespace ingot::tests {

using HostFiles = std::map<uint64_t, std::string>;  // by number

// One change of a file that isn't durable yet.
struct PendingData {
  uint64_t offset = 0;
  std::shared_ptr<const std::string> bytes;  // null: cut to `offset`
};

struct ModelFile {
  std::shared_ptr<const std::string> durable = std::make_shared<const std::string>();
  std::vector<PendingData> pending;
  std::vector<uint64_t> sizes{0};  // the durable one, and all since
  bool is_inode_durable = false;   // was synced since it was made
};

// A host at one moment, with all that a crash may do to it.
struct ModelHost {
  std::map<uint64_t, ModelFile> files;  // all whose names may be there
  std::set<uint64_t> durable_names;
  std::vector<std::pair<uint64_t, bool>> pending_names;  // made (true) or deleted, in order

  // How many ways each thing can end: the last one is that it was kept.
  [[nodiscard]] std::vector<uint32_t> Choices() const;
  [[nodiscard]] HostFiles After(const std::vector<uint32_t>& choice) const;
};

// A place in the program that syncs; null file: none.
using SyncSite = std::pair<std::string, uint32_t>;
inline const SyncSite kNoSite{};

class HostModel : public HostObserver, public JournalObserver {
 public:
  HostModel() = default;
  ~HostModel() override;
  HostModel(const HostModel&) = delete;

  // From here on, until End. `directory` is backing/; all that it holds by now is durable.
  void Begin(const std::string& directory, const Mapping& region);
  void End();

  // Calls `visit(region, region_hash, host)` for each moment, the last one behind the last step;
  // syncs at `skipped` did nothing.
  using Visit = std::function<void(int region, uint64_t hash, const ModelHost& host, bool at_end)>;
  void ForEachMoment(const SyncSite& skipped, const Visit& visit) const;
  [[nodiscard]] std::set<SyncSite> Sites() const;

  void OnChange(const HostChange& change) override;
  void OnLog(uint32_t lane, MediaOffset at, uint64_t size_bytes) override;
  void OnValid(uint32_t lane) override;
  void OnRelease(uint32_t lane) override;

 private:
  struct Event {
    std::optional<HostChange::Kind> kind;  // none: a moment
    uint64_t number = 0;
    uint64_t offset = 0;
    std::shared_ptr<const std::string> bytes;
    SyncSite site;
    int region = -1;
    uint64_t hash = 0;
  };
  void Take();
  static void Apply(const Event& event, ModelHost& host);

  const Mapping* region_ = nullptr;
  bool is_logging_ = false;
  ModelHost at_begin_;
  std::vector<Event> events_;
};

}  // namespace ingot::tests
