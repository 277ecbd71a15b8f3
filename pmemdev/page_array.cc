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
    descriptor->verified_inodes.store(0, std::memory_order_relaxed);
    descriptor->reserved.store(0, std::memory_order_relaxed);
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
  descriptor.verified_inodes.store(0, std::memory_order_relaxed);
  descriptor.reserved.store(0, std::memory_order_relaxed);
  descriptor.owner.store(0, std::memory_order_relaxed);
}

// Descriptors in DRAM become zeros that cost nothing; where the kernel refuses (pages that were
// locked by mlockall), zeros at least, for that is what a layer is taken to hold.
void GiveBack(PageDescriptor* first, size_t count) {
  if (madvise(first, count * sizeof(PageDescriptor), MADV_DONTNEED) != 0) {
    ZeroDescriptors(first, count);
  }
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
  // Here and nowhere later is the heap or the kernel asked for memory: Get() never fails.
  TRY(array->ReserveMemory());
  array->group_count_ = geometry.group_count();
  array->arrays_ = std::make_unique<std::atomic<PageDescriptor*>[]>(array->group_count_);
  return array;
}

PageArray::~PageArray() {
  if (reservation_ != nullptr) munmap(reservation_, reservation_bytes_);
}

Result<void> PageArray::ReserveMemory() {
  const uint64_t groups = geometry_.group_count();
  if (placement_ == PageArrayPlacement::kDram) {
    const Result<void> with_room = ReserveMemoryFor(std::max(groups * 2, kMinReservedGroups));
    if (with_room) return {};
  }
  // A limit on address space, or no overcommit: less room to grow is better than no mount.
  return ReserveMemoryFor(groups);
}

// Accessible at once: to make it so group by group could fail, each time.
Result<void> PageArray::ReserveMemoryFor(uint64_t groups) {
  reservation_bytes_ = (groups + 1) * media::kPageArraySize;  // one more, to align in
  void* at = mmap(nullptr, reservation_bytes_, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return FailureFromErrno("page array: reserve address space");
  reservation_ = at;
  memory_ = static_cast<std::byte*>(at);
  memory_ += -reinterpret_cast<uintptr_t>(at) % media::kPageArraySize;
  // One descriptor must cost 4 KiB, not a transparent huge page.
  (void)madvise(at, reservation_bytes_, MADV_NOHUGEPAGE);
  (void)madvise(at, reservation_bytes_, MADV_DONTDUMP);
  return {};
}

void PageArray::InitialiseGroup(GroupHead& head) {
  head.mask.store(0, std::memory_order_relaxed);
  for (auto& word : head.reserved) word.store(0, std::memory_order_relaxed);
  // The mask must be clear for whoever sees the nonce.
  head.nonce.store(epoch_, std::memory_order_release);
  initialised_groups_.fetch_add(1, std::memory_order_relaxed);
}

void PageArray::Initialise(GroupIndex group, uint32_t index) {
  PageDescriptor* array = ArrayOf(group);
  GroupHead& head = array[kHeadPage].group;
  const std::lock_guard lock(LockOf(group));
  if (head.nonce.load(std::memory_order_relaxed) != epoch_) InitialiseGroup(head);
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

PageDescriptor* PageArray::PlaceArray(GroupIndex group) {
  const std::lock_guard lock(LockOf(group));
  std::atomic<PageDescriptor*>& array = arrays_[group.value];
  if (PageDescriptor* placed = array.load(std::memory_order_relaxed); placed != nullptr) {
    return placed;
  }
  const bool on_device = placement_ == PageArrayPlacement::kDevice && IsDeviceGood(group);
  std::byte* at = on_device ? mapping_.writable_base() + Geometry::PageArrayOf(group).value
                            : memory_ + group.value * media::kPageArraySize;
  array.store(reinterpret_cast<PageDescriptor*>(at), std::memory_order_release);
  return array.load(std::memory_order_relaxed);
}

// Drops what may go of one group; of all of it, also the head and the place.
uint64_t PageArray::TrimGroup(GroupIndex group) {
  const std::lock_guard lock(LockOf(group));
  PageDescriptor* array = ArrayOf(group);
  if (array == nullptr) return 0;
  GroupHead& head = array[kHeadPage].group;
  if (head.nonce.load(std::memory_order_relaxed) != epoch_) return 0;
  const uint64_t mask = head.mask.load(std::memory_order_relaxed);
  uint64_t kept = 0;
  for (uint64_t layer = 0; layer < kHugePagesPerGroup; ++layer) {
    const PageDescriptor* first = array + layer * kPagesPerHugePage;
    if ((mask >> layer & 1) != 0 && std::any_of(first, first + kPagesPerHugePage, IsProtected)) {
      kept |= uint64_t{1} << layer;
    }
  }
  if (kept == 0) {
    head.nonce.store(0, std::memory_order_release);
    arrays_[group.value].store(nullptr, std::memory_order_release);
    GiveBack(array, kPagesPerGroup);
    initialised_groups_.fetch_sub(1, std::memory_order_relaxed);
    return static_cast<uint64_t>(std::popcount(mask)) * kLayerSize;
  }
  kept |= mask & 1;  // layer 0 holds the head
  head.mask.store(kept, std::memory_order_release);
  uint64_t freed_bytes = 0;
  for (uint64_t layer = 1; layer < kHugePagesPerGroup; ++layer) {
    if (((mask & ~kept) >> layer & 1) == 0) continue;
    GiveBack(array + layer * kPagesPerHugePage, kPagesPerHugePage);
    freed_bytes += kLayerSize;
  }
  return freed_bytes;
}

uint64_t PageArray::Trim() {
  if (placement_ == PageArrayPlacement::kDevice) return 0;
  // To half, so that a working set just over the budget doesn't trim at each request.
  const uint64_t wanted_bytes = dram_budget_bytes_ / 2;
  uint64_t freed_bytes = 0;
  for (GroupIndex group(0); group.value < group_count_ && populated_bytes() > wanted_bytes;
       ++group) {
    const uint64_t bytes = TrimGroup(group);
    populated_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    freed_bytes += bytes;
  }
  return freed_bytes;
}

}  // namespace ingot
