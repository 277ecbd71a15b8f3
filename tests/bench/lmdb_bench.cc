// SPDX-License-Identifier: BSD-3-Clause
// LMDB as LevelDB's db_bench drives it: fillseqbatch (entries in order, 1,000 a transaction, stored
// through the mapping, synced at each commit), then readrandom in one reading transaction.
//
// usage: lmdb_bench DIRECTORY ENTRIES
// Keys of 16 bytes, values of 100. DIRECTORY is there and empty. Prints the time of an entry as
// JSON. Each value that is read is compared with what was stored; whatever is wrong ends it.
#include <lmdb.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

namespace {

constexpr uint64_t kEntriesPerTransaction = 1000;
constexpr size_t kKeyBytes = 16, kValueBytes = 100;
// An entry takes some 150 bytes in full pages, and pages of old transactions lie about as well.
constexpr size_t kMapBytesPerEntry = 400, kLeastMapBytes = size_t{64} << 20;

void Call(int result, const char* what) {
  if (result == MDB_SUCCESS) return;
  (void)std::fprintf(stderr, "lmdb_bench: %s: %s\n", what, mdb_strerror(result));
  std::exit(1);
}

// The key and the value of one entry: digits, and digits again and again.
class Entry {
 public:
  explicit Entry(uint64_t number) {
    for (size_t i = kKeyBytes; i-- > 0; number /= 10) {
      key_[i] = static_cast<char>('0' + number % 10);
    }
    for (size_t i = 0; i < kValueBytes; ++i) value_[i] = key_[kKeyBytes - 1 - i % kKeyBytes];
  }
  [[nodiscard]] MDB_val key() { return {key_.size(), key_.data()}; }
  [[nodiscard]] MDB_val value() { return {value_.size(), value_.data()}; }

 private:
  std::array<char, kKeyBytes> key_{};
  std::array<char, kValueBytes> value_{};
};

class Database {
 public:
  Database(const char* directory, uint64_t entries) : entries_(entries) {
    Call(mdb_env_create(&environment_), "create");
    const size_t map_bytes = std::max<size_t>(entries * kMapBytesPerEntry, kLeastMapBytes);
    Call(mdb_env_set_mapsize(environment_, map_bytes), "set_mapsize");
    Call(mdb_env_open(environment_, directory, MDB_WRITEMAP, 0644), "open");
    MDB_txn* transaction = Begin(0);
    Call(mdb_dbi_open(transaction, nullptr, 0, &table_), "open the table");
    Call(mdb_txn_commit(transaction), "commit");
  }
  ~Database() { mdb_env_close(environment_); }
  Database(const Database&) = delete;

  void FillInOrder() {
    for (uint64_t first = 0; first < entries_; first += kEntriesPerTransaction) {
      MDB_txn* transaction = Begin(0);
      for (uint64_t i = first; i < std::min(first + kEntriesPerTransaction, entries_); ++i) {
        Entry entry(i);
        MDB_val key = entry.key(), value = entry.value();
        Call(mdb_put(transaction, table_, &key, &value, MDB_APPEND), "put");
      }
      Call(mdb_txn_commit(transaction), "commit");
    }
  }

  void ReadAtRandom() {
    std::mt19937_64 random(1);
    MDB_txn* transaction = Begin(MDB_RDONLY);
    for (uint64_t i = 0; i < entries_; ++i) {
      Entry entry(random() % entries_);
      MDB_val key = entry.key(), value{};
      Call(mdb_get(transaction, table_, &key, &value), "get");
      if (value.mv_size != kValueBytes ||
          std::memcmp(value.mv_data, entry.value().mv_data, kValueBytes) != 0) {
        Call(MDB_CORRUPTED, "a value");
      }
    }
    mdb_txn_abort(transaction);
  }

 private:
  MDB_txn* Begin(unsigned flags) {
    MDB_txn* transaction = nullptr;
    Call(mdb_txn_begin(environment_, nullptr, flags, &transaction), "begin");
    return transaction;
  }

  const uint64_t entries_;
  MDB_env* environment_ = nullptr;
  MDB_dbi table_ = 0;
};

// Nanoseconds of an entry.
template <typename Function>
double TimeOf(uint64_t entries, Function&& function) {
  const auto start = std::chrono::steady_clock::now();
  function();
  const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
  return taken.count() / static_cast<double>(entries);
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t entries = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (entries == 0) {
    (void)std::fprintf(stderr, "usage: lmdb_bench DIRECTORY ENTRIES\n");
    return 2;
  }
  Database database(argv[1], entries);
  const double fill = TimeOf(entries, [&] { database.FillInOrder(); });
  const double read = TimeOf(entries, [&] { database.ReadAtRandom(); });
  (void)std::printf("{\"fillseqbatch\": %.1f, \"readrandom\": %.1f}\n", fill, read);
  return 0;
}
