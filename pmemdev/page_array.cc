// SPDX-License-Identifier: BSD-3-Clause
// The lazy layers of the page array, where they lie, and giving DRAM back.
//
// Descriptors are stored to without persist: they are volatile by design, so no crash state
// includes them, and stale ones are told by the nonce.
#include "pmemdev/page_array.h"

#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <bit>

#include "pmemdev/base/check.h"
#include "pmemdev/base/log.h"
#include "pmemdev/poison.h"

namespace ingot {
namespace {

constexpr uint64_t kLayerSize = kPagesPerHugePage * sizeof(PageDescriptor);  // 32 KiB a huge page
constexpr uint64_t kMinReservedGroups = (uint64_t{1} << 40) / kGroupDataSize;

Result<uint64_t> RandomEpoch() {
  uint64_t epoch = 0;
  while (epoch == 0) {  // 0 is what fresh memory holds
    if (getrandom(&epoch, sizeof(epoch), 0) != sizeof(epoch) && errno != EINTR) {
      return FailureFromErrno("page array: getrandom");
    }
  }
  return epoch;
}

// Zeroes descriptors [first, first + count) by relaxed stores: those of a layer being dropped or
// built are nobody's, yet a thread that still looks at one must not be a data race.
void ZeroDescriptors(PageDescriptor* first, size_t count) {
  for (PageDescriptor* descriptor = first; descriptor < first + count; ++descriptor) {
    descriptor->state.store(PageState::kUnknown, std::memory_order_relaxed);
    descriptor->flags.store(0, std::memory_order_relaxed);
    descriptor->pins.store(0, std::memory_order_relaxed);
    descriptor->write_count.store(0, std::memory_order_relaxed);
    descriptor->owner.store(0, std::memory_order_relaxed);
    descriptor->page.file_page.store(0, std::memory_order_relaxed);
    for (auto& word : descriptor->page.reserved) word.store(0, std::memory_order_relaxed);
  }
}

// The same for the descriptor that carries the group's head, which stays.
void ZeroAllButHead(PageDescriptor& descriptor) {
  descriptor.state.store(PageState::kUnknown, std::memory_order_relaxed);
  descriptor.flags.store(0, std::memory_order_relaxed);
  descriptor.pins.store(0, std::memory_order_relaxed);
  descriptor.write_count.store(0, std::memory_order_relaxed);
  descriptor.owner.store(0, std::memory_order_relaxed);
}

bool HasReferences(const InodeReferences& references) {
  const auto any = [](const auto& counts) {
    return std::any_of(counts.begin(), counts.end(), [](const auto& count) {
      return count.load(std::memory_order_relaxed) != 0;
    });
  };
  return any(references.lookups) || any(references.opens);
}

// True if the descriptor says what nothing else knows.
bool IsProtected(const PageDescriptor& descriptor) {
  const PageState state = descriptor.state.load(std::memory_order_relaxed);
  if (state == PageState::kClaimed || descriptor.pins.load(std::memory_order_relaxed) != 0 ||
      (descriptor.flags.load(std::memory_order_relaxed) & kPagePoisoned) != 0) {
    return true;
  }
  return state == PageState::kInodePage && HasReferences(descriptor.references);
}

}  // namespace

PageArray::PageArray(const Mapping& mapping, const Geometry& geometry, PageArrayPlacement placement,
                     uint64_t dram_budget_bytes)
    : mapping_(mapping),
      geometry_(geometry),
      placement_(mapping.read_only() ? PageArrayPlacement::kDram : placement),
      dram_budget_bytes_(dram_budget_bytes) {}

Result<std::unique_ptr<PageArray>> PageArray::Create(const Mapping& mapping,
                                                     const Geometry& geometry,
                                                     PageArrayPlacement placement,
                                                     uint64_t dram_budget_bytes) {
  std::unique_ptr<PageArray> array(new PageArray(mapping, geometry, placement, dram_budget_bytes));
  array->epoch_ = TRY(RandomEpoch());
  if (array->placement_ == PageArrayPlacement::kDevice) {
    array->base_ = mapping.writable_base();
  } else {
    TRY(array->ReserveDram());
  }
  // Here and nowhere later is the heap asked: Get() never fails.
  array->groups_ = std::make_unique<std::atomic<uint64_t>[]>((geometry.group_count() + 63) / 64);
  return array;
}

PageArray::~PageArray() {
  if (dram_ != nullptr) munmap(dram_, reserved_bytes_ + media::kPageArraySize);
}

Result<void> PageArray::ReserveDram() {
  const uint64_t groups = std::max(geometry_.group_count() * 2, kMinReservedGroups);
  reserved_bytes_ = groups * media::kPageArraySize;
  const uint64_t mapped_bytes = reserved_bytes_ + media::kPageArraySize;  // to align in
  void* at = mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return FailureFromErrno("page array: reserve address space");
  dram_ = at;
  base_ = static_cast<std::byte*>(at);
  base_ += -reinterpret_cast<uintptr_t>(at) % media::kPageArraySize;
  // One descriptor must cost 4 KiB, not a transparent huge page.
  (void)madvise(at, mapped_bytes, MADV_NOHUGEPAGE);
  (void)madvise(at, mapped_bytes, MADV_DONTDUMP);
  return {};
}

PageDescriptor* PageArray::ArrayOf(GroupIndex group) const {
  const bool in_dram = placement_ == PageArrayPlacement::kDram;
  CHECK(group.value < geometry_.group_count(), "group {} of {}", group.value,
        geometry_.group_count());
  const uint64_t at =
      in_dram ? group.value * media::kPageArraySize : Geometry::PageArrayOf(group).value;
  CHECK(!in_dram || at < reserved_bytes_, "group {}: grown past the reservation", group.value);
  return reinterpret_cast<PageDescriptor*>(base_ + at);
}

void PageArray::SetBit(GroupIndex group) {
  groups_[group.value / 64].fetch_or(uint64_t{1} << (group.value % 64), std::memory_order_release);
}

void PageArray::InitialiseGroup(GroupIndex group, GroupHead& head) {
  head.mask.store(0, std::memory_order_relaxed);
  for (auto& word : head.reserved) word.store(0, std::memory_order_relaxed);
  // The mask must be clear for whoever sees the nonce.
  head.nonce.store(epoch_, std::memory_order_release);
  initialised_groups_.fetch_add(1, std::memory_order_relaxed);
  if (placement_ == PageArrayPlacement::kDram) SetBit(group);
}

void PageArray::Initialise(GroupIndex group, uint32_t index) {
  PageDescriptor* array = ArrayOf(group);
  GroupHead& head = array[kHeadPage].group;
  const std::lock_guard lock(LockOf(group));
  if (head.nonce.load(std::memory_order_relaxed) != epoch_) InitialiseGroup(group, head);
  const uint64_t layer = index / kPagesPerHugePage;
  const uint64_t bit = uint64_t{1} << layer;
  const uint64_t mask = head.mask.load(std::memory_order_relaxed);
  if ((mask & bit) != 0) return;

  // DRAM is zero already, fresh or dropped, and stays unpopulated until somebody stores to it.
  if (placement_ == PageArrayPlacement::kDevice) {
    PageDescriptor* first = array + layer * kPagesPerHugePage;
    if (layer == 0) {
      ZeroDescriptors(first, kHeadPage);
      ZeroAllButHead(array[kHeadPage]);
      ZeroDescriptors(array + kHeadPage + 1, kPagesPerHugePage - kHeadPage - 1);
    } else {
      ZeroDescriptors(first, kPagesPerHugePage);
    }
  } else {
    populated_bytes_.fetch_add(kLayerSize, std::memory_order_relaxed);
  }
  // Release: who sees the bit sees the zeros. Others change the mask under this lock only.
  head.mask.store(mask | bit, std::memory_order_release);
}

// Allocates the array's host space and looks at each of its pages: descriptors are used without a
// guard, so holes of a full host and known bad blocks have to be found before.
bool PageArray::IsDeviceGood(GroupIndex group) const {
  const MediaOffset at = Geometry::PageArrayOf(group);
  const Result<void> allocated =
      NoThrow([&] { return mapping_.AllocateHostSpace(at, media::kPageArraySize); });
  const std::byte* array = mapping_.base() + at.value;
  const bool readable =
      allocated && poison::Run([array] {
        for (uint64_t offset = 0; offset < media::kPageArraySize; offset += kPageSize) {
          (void)*reinterpret_cast<const volatile std::byte*>(array + offset);
        }
      });
  if (!readable) {
    log::Warning("event=page_array_in_memory group={} reason={}", group.value,
                 allocated ? "EIO" : ErrnoName(allocated.error().code));
  }
  return readable;
}

void PageArray::MakeUsable(GroupIndex group) {
  const std::lock_guard lock(LockOf(group));
  if (IsUsable(group)) return;
  if (!IsDeviceGood(group)) {
    // Private memory over the array's place in our own mapping: it is volatile by design anyway.
    void* place = base_ + Geometry::PageArrayOf(group).value;
    void* at = mmap(place, media::kPageArraySize, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    CHECK(at == place, "page array of group {}: no memory", group.value);
  }
  SetBit(group);
}

// Drops what may go of one group; `dropped`: all of it went, head included.
uint64_t PageArray::TrimGroup(GroupIndex group, bool& dropped) {
  PageDescriptor* array = ArrayOf(group);
  GroupHead& head = array[kHeadPage].group;
  const std::lock_guard lock(LockOf(group));
  const uint64_t mask = head.mask.load(std::memory_order_relaxed);
  uint64_t kept = 0;
  for (uint64_t layer = 0; layer < kHugePagesPerGroup; ++layer) {
    const PageDescriptor* first = array + layer * kPagesPerHugePage;
    if ((mask >> layer & 1) != 0 && std::any_of(first, first + kPagesPerHugePage, IsProtected)) {
      kept |= uint64_t{1} << layer;
    }
  }
  dropped = kept == 0;
  if (dropped) {
    head.nonce.store(0, std::memory_order_release);
    madvise(array, media::kPageArraySize, MADV_DONTNEED);
    initialised_groups_.fetch_sub(1, std::memory_order_relaxed);
    return static_cast<uint64_t>(std::popcount(mask)) * kLayerSize;
  }
  kept |= mask & 1;  // layer 0 holds the head
  head.mask.store(kept, std::memory_order_release);
  uint64_t freed_bytes = 0;
  for (uint64_t layer = 1; layer < kHugePagesPerGroup; ++layer) {
    if (((mask & ~kept) >> layer & 1) == 0) continue;
    madvise(array + layer * kPagesPerHugePage, kLayerSize, MADV_DONTNEED);
    freed_bytes += kLayerSize;
  }
  return freed_bytes;
}

uint64_t PageArray::Trim() {
  if (placement_ == PageArrayPlacement::kDevice) return 0;
  // To half, so that a working set just over the budget doesn't trim at each request.
  const uint64_t wanted_bytes = dram_budget_bytes_ / 2;
  uint64_t freed_bytes = 0;
  for (uint64_t first = 0; first < geometry_.group_count(); first += 64) {
    std::atomic<uint64_t>& word = groups_[first / 64];
    for (uint64_t left = word.load(std::memory_order_acquire);
         left != 0 && populated_bytes() > wanted_bytes; left &= left - 1) {
      const auto bit = static_cast<uint64_t>(std::countr_zero(left));
      bool dropped = false;
      const uint64_t bytes = TrimGroup(GroupIndex(first + bit), dropped);
      if (dropped) word.fetch_and(~(uint64_t{1} << bit), std::memory_order_relaxed);
      populated_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
      freed_bytes += bytes;
    }
  }
  return freed_bytes;
}

}  // namespace ingot
