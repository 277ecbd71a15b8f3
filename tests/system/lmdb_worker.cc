// SPDX-License-Identifier: BSD-3-Clause
// An LMDB database whose every byte follows from its key, made and checked by one process.
//
// usage: lmdb_worker fill DIRECTORY ENTRIES write|writemap
//          Adds what is missing to a database of at most 4 GiB, 256 entries a transaction; says
//          "committed N" after each, "ready" when all were read back, and then waits for the end of
//          its input, so that its mapping can be looked at. ENTRIES of some 32 KiB each. writemap:
//          stores through the mapping instead of writing.
//        lmdb_worker verify DIRECTORY ENTRIES
//          There are at least so many, without a gap, each right. Prints how many.
#include <fmt/format.h>
#include <lmdb.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t kMapBytes = size_t{4} << 30;
constexpr uint64_t kEntriesPerTransaction = 256;
constexpr size_t kLeastBytes = 1000, kSpreadBytes = 64'000;

void Require(bool good, std::string_view what) {
  if (good) return;
  fmt::print(stderr, "lmdb_worker: {}\n", what);
  std::exit(1);
}
void Call(int result, std::string_view what) {
  if (result != MDB_SUCCESS) Require(false, fmt::format("{}: {}", what, mdb_strerror(result)));
}

uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

// The contents that belong to `entry`. The buffer is reused.
std::string_view ValueOf(uint64_t entry, std::vector<uint64_t>& buffer) {
  const uint64_t seed = Mix(entry + 1);
  const size_t size_bytes = kLeastBytes + seed % kSpreadBytes;
  buffer.resize((size_bytes + 7) / 8);
  uint64_t word = seed;
  for (uint64_t& place : buffer) place = (word += 0x9e3779b97f4a7c15);
  return {reinterpret_cast<const char*>(buffer.data()), size_bytes};
}

// Big-endian, so that the order of keys is that of numbers.
class Key {
 public:
  explicit Key(uint64_t entry) {
    for (size_t i = 0; i < bytes_.size(); ++i) {
      bytes_[i] = static_cast<unsigned char>(entry >> (56 - 8 * i));
    }
  }
  [[nodiscard]] MDB_val value() { return {bytes_.size(), bytes_.data()}; }

 private:
  std::array<unsigned char, 8> bytes_{};
};

class Database {
 public:
  Database(const char* directory, unsigned flags) {
    Call(mdb_env_create(&environment_), "create");
    Call(mdb_env_set_mapsize(environment_, kMapBytes), "set_mapsize");
    Call(mdb_env_open(environment_, directory, flags, 0644), "open");
    MDB_txn* transaction = Begin(flags & MDB_RDONLY);
    Call(mdb_dbi_open(transaction, nullptr, 0, &table_), "open the table");
    Call(mdb_txn_commit(transaction), "commit");
  }
  ~Database() { mdb_env_close(environment_); }
  Database(const Database&) = delete;

  MDB_txn* Begin(unsigned flags) {
    MDB_txn* transaction = nullptr;
    Call(mdb_txn_begin(environment_, nullptr, flags, &transaction), "begin");
    return transaction;
  }

  // [first, end), durable on return.
  void Add(uint64_t first, uint64_t end) {
    std::vector<uint64_t> buffer;
    MDB_txn* transaction = Begin(0);
    for (uint64_t entry = first; entry < end; ++entry) {
      const std::string_view bytes = ValueOf(entry, buffer);
      MDB_val key{}, value{bytes.size(), const_cast<char*>(bytes.data())};
      Key name(entry);
      key = name.value();
      Call(mdb_put(transaction, table_, &key, &value, MDB_NOOVERWRITE), "put");
    }
    Call(mdb_txn_commit(transaction), "commit");
  }

  // How many entries there are, all of them right, from number 0 on without a gap.
  uint64_t Verify() {
    std::vector<uint64_t> buffer;
    MDB_txn* transaction = Begin(MDB_RDONLY);
    MDB_cursor* cursor = nullptr;
    Call(mdb_cursor_open(transaction, table_, &cursor), "cursor");
    uint64_t entry = 0;
    MDB_val key{}, value{};
    int result = 0;
    while ((result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS) {
      const std::string_view expected = ValueOf(entry, buffer);
      Key name(entry);
      const MDB_val expected_key = name.value();
      const bool is_right = key.mv_size == expected_key.mv_size &&
                            value.mv_size == expected.size() &&
                            std::memcmp(key.mv_data, expected_key.mv_data, key.mv_size) == 0 &&
                            std::memcmp(value.mv_data, expected.data(), expected.size()) == 0;
      Require(is_right, fmt::format("entry {} is wrong", entry));
      ++entry;
    }
    Require(result == MDB_NOTFOUND, mdb_strerror(result));
    mdb_cursor_close(cursor);
    mdb_txn_abort(transaction);
    return entry;
  }

 private:
  MDB_env* environment_ = nullptr;
  MDB_dbi table_ = 0;
};

void Say(std::string_view text) {
  fmt::print("{}\n", text);
  (void)std::fflush(stdout);
}

void Fill(const char* directory, uint64_t entries, bool by_mapping) {
  Database database(directory, by_mapping ? MDB_WRITEMAP : 0);
  for (uint64_t first = database.Verify(), end = 0; first < entries; first = end) {
    end = std::min(first + kEntriesPerTransaction, entries);
    database.Add(first, end);
    Say(fmt::format("committed {}", end));
  }
  Require(database.Verify() == entries, "entries are missing");
  Say("ready");
  while (std::getchar() != EOF) continue;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc >= 4 ? argv[1] : "";
  if (command == "fill" && argc == 5) {
    Fill(argv[2], std::stoull(argv[3]), argv[4] == std::string_view("writemap"));
    return 0;
  }
  if (command == "verify" && argc == 4) {
    Database database(argv[2], MDB_RDONLY);
    const uint64_t found = database.Verify();
    Require(found >= std::stoull(argv[3]), fmt::format("only {} entries", found));
    Say(fmt::format("{}", found));
    return 0;
  }
  fmt::print(stderr,
             "usage: lmdb_worker fill DIRECTORY ENTRIES write|writemap\n"
             "       lmdb_worker verify DIRECTORY ENTRIES\n");
  return 2;
}
