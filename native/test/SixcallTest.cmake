# SPDX-License-Identifier: Apache-2.0
#
# Functions for tests, here and in the folders of the connectors.
include_guard(DIRECTORY)
find_package(GTest REQUIRED)
find_package(Threads REQUIRED)
include(GoogleTest)

set(SIXCALL_TEST_DIR "${CMAKE_CURRENT_LIST_DIR}")
set(SIXCALL_TEST_INCLUDE "${CMAKE_CURRENT_LIST_DIR}/../include")

# sixcall_test_options(TARGET): the warnings and sanitizers of this project.
function(sixcall_test_options target)
  target_compile_options(${target} PRIVATE -Wpedantic)
  if(COMMAND sixcall_project_options)
    sixcall_project_options(${target})
  endif()
endfunction()

# sixcall_test_library(NAME SOURCE...): a connector as a vendor builds it, for tests.
function(sixcall_test_library name)
  add_library(${name} MODULE ${ARGN})
  target_include_directories(${name} PRIVATE "${SIXCALL_TEST_INCLUDE}")
  target_link_libraries(${name} PRIVATE Threads::Threads)
  set_target_properties(${name} PROPERTIES
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}")
  target_link_options(${name} PRIVATE "LINKER:--version-script=${SIXCALL_TEST_DIR}/headers/entry.map")
  sixcall_test_options(${name})
endfunction()

# sixcall_gtest(NAME SOURCE...): a GoogleTest program over the harness; every test
# is a ctest of its own.
function(sixcall_gtest name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE sixcall_test_harness GTest::gtest_main)
  sixcall_test_options(${name})
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES PROPERTIES TIMEOUT 120)
endfunction()
