# SPDX-License-Identifier: BSD-3-Clause
#
# Third-party libraries, each behind one name, ingot_deps::<name>: where a library comes from is
# decided here only. Their headers count as system headers.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(INGOT_DEPENDENCIES "")

# ingot_dependency(<name> <target or library>...)
function(ingot_dependency name)
  add_library(ingot_deps::${name} INTERFACE IMPORTED GLOBAL)
  target_link_libraries(ingot_deps::${name} INTERFACE ${ARGN})
  set(INGOT_DEPENDENCIES ${INGOT_DEPENDENCIES} ingot_deps::${name} PARENT_SCOPE)
endfunction()

foreach(pair IN ITEMS pmem2:libpmem2 isal:libisal xxhash:libxxhash blkid:blkid cap_ng:libcap-ng
                      seccomp:libseccomp acl:libacl)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 module)
  pkg_check_modules(${name} REQUIRED QUIET IMPORTED_TARGET ${module})
  ingot_dependency(${name} PkgConfig::${name})
endforeach()

# libsystemd only announces readiness; without it the program says nothing.
pkg_check_modules(systemd QUIET IMPORTED_TARGET libsystemd)
if(systemd_FOUND)
  ingot_dependency(systemd PkgConfig::systemd)
  target_compile_definitions(ingot_deps::systemd INTERFACE INGOT_HAVE_SYSTEMD=1)
else()
  ingot_dependency(systemd)
endif()

find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tl-expected REQUIRED)
find_package(absl REQUIRED)
ingot_dependency(fmt fmt::fmt)
ingot_dependency(spdlog spdlog::spdlog)
ingot_dependency(cli11 CLI11::CLI11)
ingot_dependency(json nlohmann_json::nlohmann_json)
ingot_dependency(expected tl::expected)
ingot_dependency(absl absl::flat_hash_map absl::flat_hash_set absl::btree absl::synchronization
  absl::inlined_vector)

# scripts/setup builds libfuse for systems whose own is too old. Its archive needs what a shared
# libfuse would bring along itself.
set(fuse_pkgconfig ${CMAKE_SOURCE_DIR}/build/deps/libfuse/lib/pkgconfig)
set(ENV{PKG_CONFIG_PATH} "${fuse_pkgconfig}:$ENV{PKG_CONFIG_PATH}")
pkg_check_modules(fuse REQUIRED QUIET IMPORTED_TARGET fuse3>=3.18.3)
message(STATUS "libfuse ${fuse_VERSION}: ${fuse_LINK_LIBRARIES}")
ingot_dependency(fuse PkgConfig::fuse Threads::Threads)

pkg_check_modules(lmdb REQUIRED QUIET IMPORTED_TARGET lmdb)
ingot_dependency(lmdb PkgConfig::lmdb)

if(BUILD_TESTING)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
  pkg_check_modules(uring REQUIRED QUIET IMPORTED_TARGET liburing)
  ingot_dependency(gtest GTest::gtest GTest::gmock)
  ingot_dependency(gtest_main GTest::gtest_main)
  ingot_dependency(rapidcheck rapidcheck)
  ingot_dependency(uring PkgConfig::uring)
endif()
find_package(benchmark QUIET)
if(benchmark_FOUND)
  ingot_dependency(benchmark benchmark::benchmark)
endif()
