// SPDX-License-Identifier: BSD-3-Clause
// LMDB's fillseqbatch: entries of 16 + 100 bytes in ascending order, 1000 a transaction, stored
// through the mapping of a file that is as long as the map from the start and sparse, without
// syncs: what is left is LMDB's own work and the page faults. Prints time, that of the processor
// (which others at work disturb less) and faults as JSON.
// usage: lmdb_fill DIRECTORY MIB      (of the map, four fifths of which get filled)
#include <fmt/format.h>
#include <lmdb.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "tests/system/mapped_file.h"

namespace {

constexpr uint64_t kEntriesPerTransaction = 1000;
constexpr size_t kKeyBytes = 16, kValueBytes = 100;
constexpr uint64_t kEntriesPerPage = 32;  // of 4 KiB, appended

void Call(int result, const char* what) {
  if (result == MDB_SUCCESS) return;
  fmt::print(stderr, "lmdb_fill: {}: {}\n", what, mdb_strerror(result));
  std::exit(1);
}

// [first, end) in one transaction.
void Add(MDB_env* environment, MDB_dbi table, uint64_t first, uint64_t end) {
  const std::string bytes(kValueBytes, 'v');
  MDB_txn* transaction = nullptr;
  Call(mdb_txn_begin(environment, nullptr, 0, &transaction), "begin");
  for (uint64_t entry = first; entry < end; ++entry) {
    std::string name = fmt::format("{:0{}}", entry, kKeyBytes);
    MDB_val key{name.size(), name.data()};
    MDB_val value{bytes.size(), const_cast<char*>(bytes.data())};
    Call(mdb_put(transaction, table, &key, &value, MDB_APPEND), "put");
  }
  Call(mdb_txn_commit(transaction), "commit");
}

double ProcessorSeconds() {
  struct timespec time {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void Fill(const char* directory, uint64_t map_bytes) {
  using std::chrono::steady_clock;
  MDB_env* environment = nullptr;
  Call(mdb_env_create(&environment), "create");
  Call(mdb_env_set_mapsize(environment, map_bytes), "set_mapsize");
  Call(mdb_env_open(environment, directory, MDB_WRITEMAP | MDB_NOSYNC, 0644), "open");
  MDB_txn* transaction = nullptr;
  MDB_dbi table = 0;
  Call(mdb_txn_begin(environment, nullptr, 0, &transaction), "begin");
  Call(mdb_dbi_open(transaction, nullptr, 0, &table), "open the table");
  Call(mdb_txn_commit(transaction), "commit");

  const uint64_t entries = map_bytes / 4096 * 4 / 5 * kEntriesPerPage;
  const uint64_t faults = ingot::tests::MinorFaults();
  const double processor_start = ProcessorSeconds();
  const auto start = steady_clock::now();
  for (uint64_t first = 0; first < entries; first += kEntriesPerTransaction) {
    Add(environment, table, first, std::min(first + kEntriesPerTransaction, entries));
  }
  const std::chrono::duration<double> taken = steady_clock::now() - start;
  const double processor_taken = ProcessorSeconds() - processor_start;
  const uint64_t taken_faults = ingot::tests::MinorFaults() - faults;

  MDB_stat status{};
  Call(mdb_env_stat(environment, &status), "stat");
  if (status.ms_entries != entries) Call(MDB_CORRUPTED, "entries are missing");
  fmt::print(
      "{{\"entries\": {}, \"seconds\": {:.6f}, \"processor_seconds\": {:.6f}, \"faults\": {}}}\n",
      entries, taken.count(), processor_taken, taken_faults);
  mdb_env_close(environment);
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t mebibytes = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (mebibytes == 0) {
    fmt::print(stderr, "usage: lmdb_fill DIRECTORY MIB\n");
    return 2;
  }
  Fill(argv[1], mebibytes << 20);
  return 0;
}
