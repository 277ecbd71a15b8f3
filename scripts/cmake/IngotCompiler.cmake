# SPDX-License-Identifier: BSD-3-Clause
#
# Flags for all code of the tree. No -march: the CPU is asked at run time.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_COLOR_DIAGNOSTICS OFF)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

# Line tables are enough for backtraces; full debug information doubles the compile time.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")

find_program(INGOT_CCACHE ccache)
if(INGOT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Two clones of one commit share the cache: no absolute path takes part in the hash. Without that
  # sloppiness nothing that uses a precompiled header is kept.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
      CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros ${INGOT_CCACHE})
endif()

find_program(INGOT_LLD ld.lld)
if(INGOT_LLD)
  add_link_options(-fuse-ld=lld)
endif()

# -fPIE: everything ends in an executable. That and -pthread, which libfuse asks of its users, for
# all, so that tests and their libraries can share a precompiled header.
add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Werror -fno-omit-frame-pointer -fPIE
                    -pthread -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
add_compile_definitions(_GNU_SOURCE _FILE_OFFSET_BITS=64)
include_directories(${CMAKE_SOURCE_DIR})

if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # Times in a precompiled header would keep ccache from knowing it again.
  add_compile_options(-Wthread-safety -Wthread-safety-beta "SHELL:-Xclang -fno-pch-timestamp")
else()
  # g++ bug 105651: assigning a literal to a std::string counts as an overlapping copy.
  add_compile_options(-Wno-restrict)
endif()

if(INGOT_TEST_HOOKS)
  add_compile_definitions(INGOT_TEST_HOOKS=1)
endif()

if(INGOT_SANITIZE STREQUAL "address")
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(INGOT_SANITIZE STREQUAL "thread")
  set(sanitizers -fsanitize=thread)
elseif(INGOT_SANITIZE STREQUAL "fuzz")
  # Each edge is counted; libFuzzer itself is linked into the targets alone (ingot_fuzz_target).
  # Comparisons aren't traced: a third of the time, for guesses that checksums make worthless.
  set(sanitizers -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
                 -fno-sanitize-coverage=trace-cmp)
elseif(INGOT_SANITIZE)
  message(FATAL_ERROR
          "INGOT_SANITIZE is '${INGOT_SANITIZE}': want address, thread, fuzz or nothing")
endif()
if(INGOT_SANITIZE)
  add_compile_options(${sanitizers})
  add_link_options(${sanitizers})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented code defeats g++ 12's flow analysis: these fire inside the standard library.
    add_compile_options(-Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds)
  endif()
endif()
