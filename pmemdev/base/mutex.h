// SPDX-License-Identifier: BSD-3-Clause
// An 8-byte reader-writer mutex: absl::Mutex, with what clang's thread-safety analysis and the
// thread sanitizer need to know (Debian's abseil is built without the sanitizer's annotations).
//
// Fair enough for our use, not recursive. For std containers of locks: neither movable nor
// copyable.
#pragma once

#include <absl/base/config.h>
#include <absl/synchronization/mutex.h>

#ifdef INGOT_TEST_HOOKS
#include <algorithm>
#include <cstdint>

#include <absl/container/inlined_vector.h>
#endif

#ifdef ABSL_HAVE_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#define INGOT_TSAN(call) call
#else
#define INGOT_TSAN(call) static_cast<void>(0)
#endif

namespace ingot {

#ifdef INGOT_TEST_HOOKS
class Mutex;
// What this thread holds exclusively, for tests of lock coverage. The number differs between any
// two acquisitions of the thread.
struct HeldMutex {
  const Mutex* mutex;
  uint64_t acquisition;
};
// Inline: a lock that was taken must not fail to be noted for want of heap.
using HeldMutexList = absl::InlinedVector<HeldMutex, 32>;
inline HeldMutexList& HeldMutexes() {
  thread_local HeldMutexList held;
  return held;
}
inline void NoteHeld(const Mutex* mutex) {
  thread_local uint64_t last = 0;
  HeldMutexes().push_back({mutex, ++last});
}
inline void NoteReleased(const Mutex* mutex) {
  HeldMutexList& all = HeldMutexes();
  const auto is_it = [mutex](const HeldMutex& held) { return held.mutex == mutex; };
  all.erase(std::remove_if(all.begin(), all.end(), is_it), all.end());
}
#define INGOT_NOTE(call) call
#else
#define INGOT_NOTE(call) static_cast<void>(0)
#endif

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  ~Mutex() { INGOT_TSAN(__tsan_mutex_destroy(this, 0)); }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    INGOT_TSAN(__tsan_mutex_pre_lock(this, 0));
    mutex_.Lock();
    INGOT_TSAN(__tsan_mutex_post_lock(this, 0, 0));
    INGOT_NOTE(NoteHeld(this));
  }
  [[nodiscard]] bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    INGOT_TSAN(__tsan_mutex_pre_lock(this, __tsan_mutex_try_lock));
    const bool locked = mutex_.TryLock();
    INGOT_TSAN(__tsan_mutex_post_lock(
        this, __tsan_mutex_try_lock | (locked ? 0 : __tsan_mutex_try_lock_failed), 0));
    if (locked) INGOT_NOTE(NoteHeld(this));
    return locked;
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    INGOT_NOTE(NoteReleased(this));
    INGOT_TSAN(__tsan_mutex_pre_unlock(this, 0));
    mutex_.Unlock();
    INGOT_TSAN(__tsan_mutex_post_unlock(this, 0));
  }
  void ReaderLock() ABSL_SHARED_LOCK_FUNCTION() {
    INGOT_TSAN(__tsan_mutex_pre_lock(this, __tsan_mutex_read_lock));
    mutex_.ReaderLock();
    INGOT_TSAN(__tsan_mutex_post_lock(this, __tsan_mutex_read_lock, 0));
  }
  void ReaderUnlock() ABSL_UNLOCK_FUNCTION() {
    INGOT_TSAN(__tsan_mutex_pre_unlock(this, __tsan_mutex_read_lock));
    mutex_.ReaderUnlock();
    INGOT_TSAN(__tsan_mutex_post_unlock(this, __tsan_mutex_read_lock));
  }

 private:
  absl::Mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace ingot

#undef INGOT_NOTE
#undef INGOT_TSAN
