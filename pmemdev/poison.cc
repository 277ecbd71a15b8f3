// SPDX-License-Identifier: BSD-3-Clause
// The SIGBUS handler and its table of regions. The handler reads the table without a lock: slots
// are atomics, and a region is registered before anybody can fault in it. Nothing here touches
// media.
#include "pmemdev/poison.h"

#include <ucontext.h>

#include <array>
#include <csignal>
#include <cstring>
#include <mutex>

#include "pmemdev/base/check.h"

namespace ingot::poison {
namespace {

struct Region {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};  // 0: free slot
};

constexpr size_t kMaxRegions = 256;
std::array<Region, kMaxRegions> regions;  // constant-initialised: usable before main
std::mutex regions_mutex;                 // for those who register, never for the handler
struct sigaction previous_action;

using internal::current_guard;
thread_local const std::byte* last_fault_address = nullptr;
thread_local bool last_fault_was_machine_check = false;

bool InRegion(uintptr_t address) {
  for (const Region& region : regions) {
    if (address < region.end.load(std::memory_order_acquire) &&
        address >= region.begin.load(std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  const bool in_region =
      info->si_code > 0 && InRegion(reinterpret_cast<uintptr_t>(info->si_addr));
  // An asynchronous report of a bad page that nobody has touched yet: whoever does will fault.
  if (in_region && info->si_code == BUS_MCEERR_AO) return;
  if (in_region && current_guard != nullptr) {
    last_fault_address = static_cast<const std::byte*>(info->si_addr);
    last_fault_was_machine_check = info->si_code == BUS_MCEERR_AR;
    // The jump leaves the handler unnoticed by the kernel, so what it blocked is unblocked here.
    // (sigsetjmp could save the mask instead, at a system call for each guard.)
    pthread_sigmask(SIG_SETMASK, &static_cast<ucontext_t*>(context)->uc_sigmask, nullptr);
    siglongjmp(current_guard->resume, 1);
  }
  // Not ours: the earlier action gets the instruction that faults again, or the signal again.
  sigaction(SIGBUS, &previous_action, nullptr);
  if (info->si_code <= 0) raise(signal);
}

void InstallHandler() {
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  CHECK(sigaction(SIGBUS, &action, &previous_action) == 0, "errno {}", errno);
}

}  // namespace

void RegisterRegion(const std::byte* begin, uint64_t size_bytes) {
  static std::once_flag installed;
  std::call_once(installed, InstallHandler);
  const std::lock_guard lock(regions_mutex);
  const auto first = reinterpret_cast<uintptr_t>(begin);
  for (Region& region : regions) {
    if (region.end.load(std::memory_order_relaxed) != 0) continue;
    region.begin.store(first, std::memory_order_relaxed);
    region.end.store(first + size_bytes, std::memory_order_release);
    return;
  }
  CHECK(false, "more than {} regions", kMaxRegions);
}

void UnregisterRegion(const std::byte* begin) {
  const std::lock_guard lock(regions_mutex);
  for (Region& region : regions) {
    if (region.end.load(std::memory_order_relaxed) != 0 &&
        region.begin.load(std::memory_order_relaxed) == reinterpret_cast<uintptr_t>(begin)) {
      region.end.store(0, std::memory_order_release);
      return;
    }
  }
  CHECK(false, "region {} was not registered", static_cast<const void*>(begin));
}

const std::byte* LastFaultAddress() { return last_fault_address; }

bool LastFaultWasMachineCheck() { return last_fault_was_machine_check; }

bool Copy(std::byte* to, const std::byte* from, size_t size_bytes) {
  return Run([=] { std::memcpy(to, from, size_bytes); });
}

}  // namespace ingot::poison
