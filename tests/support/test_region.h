// SPDX-License-Identifier: BSD-3-Clause
// Regions in memory for tests: a memfd, formatted, mapped twice so that a store past persist is a
// SIGSEGV.
//
// What fails here is a CHECK. Each mapping and device is the caller's; no state is kept.
#pragma once

#include <cstdint>
#include <memory>

#include "pmemdev/device.h"
#include "pmemdev/mapping.h"

namespace ingot::tests {

// Two aliases, and address space that the thread sanitizer can bear.
[[nodiscard]] MappingOptions TestMappingOptions();

// A memfd of that size, all holes. The caller closes it or gives it to a Mapping.
[[nodiscard]] int MemoryFile(uint64_t size_bytes);

[[nodiscard]] std::unique_ptr<Mapping> MemoryMapping(
    uint64_t size_bytes, const MappingOptions& options = TestMappingOptions());

// Fixed UUID, hash seed and time, so that two runs make equal images.
[[nodiscard]] DeviceFormatOptions TestFormatOptions();

// A new pool in memory, opened.
[[nodiscard]] std::unique_ptr<Device> FormattedDevice(
    uint64_t size_bytes, const MappingOptions& mapping_options = TestMappingOptions(),
    const DeviceOptions& options = {});

// Closes the device and opens the same bytes again, as after a kill.
[[nodiscard]] Result<std::unique_ptr<Device>> Reopen(
    std::unique_ptr<Device> device, const MappingOptions& mapping_options = TestMappingOptions(),
    const DeviceOptions& options = {});

// Loads and stores of the page at `at` fault like on bad memory, through both aliases of this
// mapping (userfaultfd's UFFDIO_POISON, Linux 6.6). False: the kernel or our rights don't allow it.
[[nodiscard]] bool PoisonPage(const Mapping& mapping, MediaOffset at);
// Takes the poison away; the bytes are as before.
void HealPage(const Mapping& mapping, MediaOffset at);

}  // namespace ingot::tests
