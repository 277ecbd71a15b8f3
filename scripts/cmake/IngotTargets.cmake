# SPDX-License-Identifier: BSD-3-Clause
#
# The ways to declare something built. A library or test without sources, or one that needs a
# library which has none yet, is left out with a note, so that folders can be filled one by one.

# Every library of the tree, lowest first. scripts/lint holds the rules of who may use whom.
set(INGOT_LIBRARIES ingot_base ingot_pmemdev ingot_core ingot_check ingot_admin ingot_fuse
    ingot_cli)

# ingot_add_folders(<folder>...): add_subdirectory for those that exist.
function(ingot_add_folders)
  foreach(folder IN LISTS ARGN)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/CMakeLists.txt)
      add_subdirectory(${folder})
    endif()
  endforeach()
endfunction()

# Sets <result> to what keeps <name> from being built: nothing, or the reason.
function(ingot_check_buildable name sources deps result)
  set(reason "")
  if(NOT sources)
    set(reason "no sources yet")
  endif()
  foreach(dep IN LISTS deps)
    if(NOT TARGET ${dep})
      if(NOT dep IN_LIST INGOT_LIBRARIES)
        message(FATAL_ERROR "${name}: no such dependency: ${dep}")
      endif()
      set(reason "waits for ${dep}")
    endif()
  endforeach()
  if(reason)
    message(STATUS "${name}: left out, ${reason}")
  endif()
  set(${result} "${reason}" PARENT_SCOPE)
endfunction()

# ingot_library(<name> SOURCES <file>... [DEPS <target>...])
# A static library; users of it inherit DEPS. Its sources are compiled in batches (unity build): the
# headers cost several times what our code does, and batches take a third of the time.
function(ingot_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  ingot_check_buildable(${name} "${arg_SOURCES}" "${arg_DEPS}" reason)
  if(reason)
    return()
  endif()
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC ${arg_DEPS})
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${INGOT_UNITY} UNITY_BUILD_BATCH_SIZE 12)
endfunction()

# ingot_program(<name> SOURCES <file>... [DEPS <target>...] [LINKS <name>...])
# An executable at the top of the build directory; LINKS are the other names it answers to.
function(ingot_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;LINKS")
  ingot_check_buildable(${name} "${arg_SOURCES}" "${arg_DEPS}" reason)
  if(reason)
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  # mount(8) and fsck(8) look for their helpers in /sbin only.
  install(TARGETS ${name} RUNTIME DESTINATION sbin)
  foreach(link IN LISTS arg_LINKS)
    add_custom_command(TARGET ${name} POST_BUILD
                       COMMAND ${CMAKE_COMMAND} -E create_symlink ${name} ${link}
                       WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    install(FILES ${CMAKE_BINARY_DIR}/${link} DESTINATION sbin)
  endforeach()
endfunction()

# Tests and what only they use: less optimised, since most run once for each time they are compiled,
# and with the headers of other projects precompiled (tests/CMakeLists.txt), which would be most of
# the time to compile them. None of ours: those change, and then everything would be compiled anew.
function(ingot_compile_for_tests name)
  target_compile_options(${name} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
  target_link_libraries(${name} PRIVATE ingot_test_paths)  # the same definitions
  target_precompile_headers(${name} REUSE_FROM ingot_test_paths)
endfunction()

# ingot_add_test_entry(<entry> <program> <timeout> <labels> [<argument>...])
# A ctest entry that runs a program of this build, with what sanitizers need; these get more time.
function(ingot_add_test_entry entry program timeout labels)
  if(INGOT_SANITIZE STREQUAL "thread")
    # With much address randomisation the runtime cannot place its shadow memory.
    set_target_properties(${program} PROPERTIES CROSSCOMPILING_EMULATOR "setarch;-R")
    math(EXPR timeout "${timeout} * 5")
  elseif(INGOT_SANITIZE)
    math(EXPR timeout "${timeout} * 3")
  endif()
  add_test(NAME ${entry} COMMAND ${program} ${ARGN})
  set(environment ASAN_OPTIONS=strict_string_checks=1:check_initialization_order=1
                  UBSAN_OPTIONS=print_stacktrace=1
                  TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1)
  set_tests_properties(${entry} PROPERTIES LABELS "${labels}" TIMEOUT ${timeout}
                                           ENVIRONMENT "${environment}")
endfunction()

# ingot_test(<name> SOURCES <file>... [DEPS <target>...] [LABELS unit|model|crash|system...]
#            [TIMEOUT <seconds>] [SHARDS <n>] [ONE_THREAD])
# A GoogleTest program and its ctest entry, <name>; with SHARDS, n entries <name>.0, <name>.1 ...
# which share its test cases and run side by side. Label unit if none is given. Tests labelled
# system run one after another: they mount, and share the kernel's state; first of all (COST), for
# the others can run beside them, but not they beside each other. ONE_THREAD: no second thread is
# ever started, so that the thread sanitizer would find nothing, slowly; its build leaves it out.
function(ingot_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "ONE_THREAD" "TIMEOUT;SHARDS" "SOURCES;DEPS;LABELS")
  ingot_check_buildable(${name} "${arg_SOURCES}" "${arg_DEPS}" reason)
  if(reason OR NOT BUILD_TESTING OR (arg_ONE_THREAD AND INGOT_SANITIZE STREQUAL "thread"))
    return()
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)  # ends what hangs, not what a busy machine makes slow
    if("model" IN_LIST arg_LABELS OR "system" IN_LIST arg_LABELS)
      set(arg_TIMEOUT 900)
    elseif("crash" IN_LIST arg_LABELS)
      set(arg_TIMEOUT 600)
    endif()
  endif()
  add_executable(${name} ${arg_SOURCES})
  ingot_compile_for_tests(${name})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} ingot_deps::gtest_main)

  set(entries ${name})
  if(arg_SHARDS)
    math(EXPR last "${arg_SHARDS} - 1")
    set(entries "")
    foreach(index RANGE ${last})
      list(APPEND entries ${name}.${index})
    endforeach()
  endif()
  set(index 0)
  foreach(entry IN LISTS entries)
    ingot_add_test_entry(${entry} ${name} ${arg_TIMEOUT} "${arg_LABELS}")
    if(arg_SHARDS)
      set_property(TEST ${entry} APPEND PROPERTY ENVIRONMENT GTEST_TOTAL_SHARDS=${arg_SHARDS}
                                                             GTEST_SHARD_INDEX=${index})
    endif()
    math(EXPR index "${index} + 1")
    if(arg_SHARDS)
      set_tests_properties(${entry} PROPERTIES COST 300)  # long, or it would be one
    endif()
    if("system" IN_LIST arg_LABELS)
      set_tests_properties(${entry} PROPERTIES RESOURCE_LOCK mounts COST 2000)
    endif()
  endforeach()
endfunction()

# ingot_test_library(<name> SOURCES <file>... [DEPS <target>...])
# What several tests share. Not built without tests.
function(ingot_test_library name)
  if(BUILD_TESTING)
    ingot_library(${name} ${ARGN})
    if(TARGET ${name})
      ingot_compile_for_tests(${name})
    endif()
  endif()
endfunction()

# ingot_fuzz_target(<name> SOURCES <file>... [DEPS <target>...])
# A program around LLVMFuzzerTestOneInput. With INGOT_SANITIZE=fuzz it is libFuzzer's, part of
# fuzz_targets and no test; else it runs the files it is given once each, and ctest, label crash,
# gives it the committed corpus/<name>.
function(ingot_fuzz_target name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  ingot_check_buildable(${name} "${arg_SOURCES}" "${arg_DEPS}" reason)
  # One thread's work: the thread sanitizer would find nothing in it, slowly.
  if(reason OR NOT BUILD_TESTING OR INGOT_SANITIZE STREQUAL "thread")
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  if(NOT TARGET fuzz_targets)
    add_custom_target(fuzz_targets)
  endif()
  add_dependencies(fuzz_targets ${name})
  if(INGOT_SANITIZE STREQUAL "fuzz")
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    return()
  endif()
  ingot_compile_for_tests(${name})
  target_link_libraries(${name} PRIVATE ingot_fuzz_replay)
  add_test(NAME ${name}_corpus COMMAND ${name} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  set_tests_properties(${name}_corpus PROPERTIES LABELS crash TIMEOUT 300
                       ENVIRONMENT UBSAN_OPTIONS=print_stacktrace=1)
endfunction()

# ingot_benchmark(<name> SOURCES <file>... [DEPS <target>...])
# A Google Benchmark program, its own main included. Never a test: tests time nothing.
function(ingot_benchmark name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  ingot_check_buildable(${name} "${arg_SOURCES}" "${arg_DEPS}" reason)
  if(reason OR INGOT_SANITIZE OR NOT TARGET ingot_deps::benchmark)
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} ingot_deps::benchmark)
endfunction()

# Target header_check: every header compiles alone, and twice; in a sanitized build also what it has
# no use for, so that clang's analysis has seen every source. Only run by name.
function(ingot_add_header_check)
  file(GLOB_RECURSE headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS
       ${CMAKE_SOURCE_DIR}/pmemdev/*.h ${CMAKE_SOURCE_DIR}/fs/*.h ${CMAKE_SOURCE_DIR}/tests/*.h)
  set(sources "")
  foreach(header IN LISTS headers)
    set(source ${CMAKE_BINARY_DIR}/header_check/${header}.cc)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"\n#include \"${header}\"\n")
    list(APPEND sources ${source})
  endforeach()
  if(INGOT_SANITIZE AND TARGET ingot_deps::benchmark)
    file(GLOB left_out CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/bench/*.cc
         ${CMAKE_SOURCE_DIR}/tests/system/*.cc)
    list(APPEND sources ${left_out})
  endif()
  if(sources)
    add_library(header_check OBJECT EXCLUDE_FROM_ALL ${sources})
    target_compile_options(header_check PRIVATE -O0 -g0
                           $<$<BOOL:${INGOT_SANITIZE}>:-fno-sanitize=all>)
    target_link_libraries(header_check PRIVATE ${INGOT_DEPENDENCIES})
  else()
    add_custom_target(header_check)
  endif()
endfunction()
