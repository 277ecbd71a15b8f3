// SPDX-License-Identifier: BSD-3-Clause
// A fuzzer's input read as small decisions: bytes, integers, choices out of few.
//
// Behind its end the input goes on with zeros, so that every prefix of an input is one, and readers
// need no errors; `empty()` ends their loops. Borrows the bytes. (Clang's FuzzedDataProvider is not
// there for g++, which replays the corpus, and reads from both ends, so that inputs can't be cut.)
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace ingot::tests {

class Input {
 public:
  Input(const uint8_t* bytes, size_t size_bytes) : rest_(bytes, size_bytes) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] size_t left() const { return rest_.size(); }

  template <typename T>
  T Take() {
    T value{};
    const std::span<const uint8_t> bytes = Bytes(sizeof(T));
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  uint8_t Byte() { return Take<uint8_t>(); }
  // Below `limit`, by as few bytes as it needs; 0 without any if there is no choice.
  uint64_t Below(uint64_t limit) {
    if (limit <= 1) return 0;
    if (limit <= 1 << 8) return Take<uint8_t>() % limit;
    if (limit <= 1 << 16) return Take<uint16_t>() % limit;
    return Take<uint64_t>() % limit;
  }
  template <typename Container>
  auto Pick(const Container& container) {
    return container[Below(std::size(container))];
  }
  // At most `size_bytes`; fewer at the end.
  std::span<const uint8_t> Bytes(size_t size_bytes) {
    const auto taken = rest_.first(std::min(size_bytes, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const uint8_t> rest_;
};

}  // namespace ingot::tests
