// SPDX-License-Identifier: BSD-3-Clause
// A transaction's edits: a short list whose elements stay where they are.
//
// The first few lie in the list itself, which lies on its user's stack: allocating some KiB,
// aligned, takes the heap longer than copying them. Elements are made default-initialised, so that
// what they don't set themselves is indeterminate. Not thread-safe.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <absl/container/inlined_vector.h>

namespace ingot {

template <typename T, size_t kInline>
class EditList {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  EditList() = default;
  EditList(const EditList&) = delete;

  // The list owns it. One that is never added is forgotten by the next Make, so that code which
  // fails in between leaves nothing behind.
  T* Make() {
    if (used_ < kInline) {
      spare_ = &inline_[used_];
      return new (spare_) T;
    }
    spare_on_heap_ = std::unique_ptr<T>(new T);
    spare_ = spare_on_heap_.get();
    return spare_;
  }
  // Adds what Make gave last.
  T* Add() {
    edits_.reserve(edits_.size() + 1);
    if (spare_on_heap_ != nullptr) {
      heap_.push_back(std::move(spare_on_heap_));
    } else {
      ++used_;
    }
    edits_.push_back(spare_);
    return spare_;
  }
  template <typename Predicate>
  void RemoveIf(Predicate predicate) {
    edits_.erase(std::remove_if(edits_.begin(), edits_.end(), predicate), edits_.end());
  }

  [[nodiscard]] auto begin() const { return edits_.begin(); }
  [[nodiscard]] auto end() const { return edits_.end(); }
  [[nodiscard]] size_t size() const { return edits_.size(); }

 private:
  std::array<T, kInline> inline_;
  size_t used_ = 0;  // of inline_; places of removed edits are not used again
  absl::InlinedVector<T*, kInline> edits_;
  absl::InlinedVector<std::unique_ptr<T>, 1> heap_;
  T* spare_ = nullptr;
  std::unique_ptr<T> spare_on_heap_;
};

}  // namespace ingot
