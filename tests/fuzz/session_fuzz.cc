// SPDX-License-Identifier: BSD-3-Clause
// FUSE requests, as the kernel sends them and as it never would, to a session over a pool with
// something of everything: each gets its one reply, and the pool stays clean and readable.
#include <linux/fuse.h>
#include <pthread.h>

#include "fs/fuse/session.h"
#include "pmemdev/base/check.h"
#include "tests/fuzz/kernel_end.h"
#include "tests/fuzz/request_maker.h"
#include "tests/fuzz/sample_pool.h"
#include "tests/fuzz/scratch_pool.h"
#include "tests/fuzz/volume_oracle.h"
#include "tests/volume/fixed_chance.h"

namespace ingot::tests {
namespace {

constexpr size_t kMaxRequests = 60;

std::unique_ptr<Volume> OpenVolume(const ScratchPool& pool, const VolumeOptions& options) {
  auto device = Device::Open(pool.MapPrivately(), {});
  CHECK(device.has_value(), "{}", Describe(device.error()));
  auto volume = Volume::Open(std::move(*device), options);
  CHECK(volume.has_value(), "{}", Describe(volume.error()));
  return std::move(*volume);
}

// libpmem2 1.12 forgets a thread-specific key with each mapping, does without once none of the
// process's 1,024 are left, and leaves none for libfuse, which wants one a session. So one is kept
// for it.
class KeyForSession {
 public:
  KeyForSession() { Take(); }
  void Take() { CHECK(pthread_key_create(&key_, nullptr) == 0, "no key is left"); }
  void Give() { CHECK(pthread_key_delete(key_) == 0, "key {}", key_); }

 private:
  pthread_key_t key_{};
};

void Serve(Volume& volume, const MountOptions& options, Input& input) {
  auto session = Session::Create(volume, options);
  CHECK(session.has_value(), "{}", Describe(session.error()));
  KernelEnd kernel(**session);
  constexpr std::array<uint32_t, 4> kMinors = {FUSE_KERNEL_MINOR_VERSION, 42, 31, 12};
  const uint32_t minor = input.Pick(kMinors);
  const uint64_t refused = input.Byte() < 128 ? 0 : input.Take<uint64_t>();
  kernel.Init(minor, ~refused);
  RequestMaker maker(kernel);
  for (size_t i = 0; i < kMaxRequests && !input.empty(); ++i) maker.SendNext(input);
  RequireClean(volume.device(), "after requests");
  RequireReadable(volume);
  // As an unmount does.
  while (!kernel.opens().empty()) kernel.Release(kernel.opens().front());
  while (!kernel.lookups().empty()) kernel.Forget(kernel.lookups().begin()->first, ~0ULL);
  RequireClean(volume.device(), "after an unmount");
  kernel.Send(FUSE_DESTROY, {}, {});
}

}  // namespace
}  // namespace ingot::tests

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size_bytes) {
  using namespace ingot::tests;
  static KeyForSession key;
  static ScratchPool pool(MakeSamplePool(SampleWidth::kNarrow));
  const FixedChance chance;
  Input input(bytes, size_bytes);
  const uint8_t choice = input.Byte();
  ingot::MountOptions options;
  options.allow_other = true;
  options.io_uring = ingot::Switch::kOff;
  options.spin_us = 0;
  options.cache = (choice & 1) != 0 ? ingot::CacheMode::kSmall : ingot::CacheMode::kNone;
  options.volume.atomic = (choice & 2) != 0;
  const auto volume = OpenVolume(pool, options.volume);
  key.Give();
  Serve(*volume, options, input);
  key.Take();
  return 0;
}
