# SPDX-License-Identifier: Apache-2.0
#
# Libraries that the tests of `sixcall check` have to see through. None is installed,
# and none is built unless the target sixcall-mutants asks for them.
set(mutant_folder ${CMAKE_CURRENT_LIST_DIR})
file(GLOB mutant_sources CONFIGURE_DEPENDS ${mutant_folder}/*.cpp)

# sixcall_mutant(<name> SOURCES <file>... [OPTIONS <compile option>...] [LINK <link option>...] [BARE])
# BARE: without the version script and the hardening of a connector.
function(sixcall_mutant name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "BARE" "" "SOURCES;OPTIONS;LINK")
  set(target sixcall_${name})
  add_library(${target} MODULE EXCLUDE_FROM_ALL ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE Sixcall::connector)
  target_compile_options(${target} PRIVATE -fPIC -g -O1 ${arg_OPTIONS})
  target_link_options(${target} PRIVATE ${arg_LINK})
  if(NOT arg_BARE)
    target_compile_options(${target} PRIVATE -fvisibility=hidden)
    target_link_options(${target} PRIVATE -Wl,--version-script=${mutant_folder}/entry.map -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,--build-id)
  endif()
  set_target_properties(${target} PROPERTIES PREFIX lib OUTPUT_NAME ${target} SKIP_BUILD_RPATH ON
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/mutants)
  sixcall_project_options(${target})
  add_dependencies(sixcall-mutants ${target})
endfunction()
add_custom_target(sixcall-mutants)

sixcall_mutant(mutant SOURCES ${mutant_sources})
sixcall_mutant(mutant_file SOURCES ${mutant_sources} OPTIONS -DMUTANT_FILE)
if(SIXCALL_HAS_address)
  sixcall_mutant(mutant_asan SOURCES ${mutant_sources} OPTIONS -fsanitize=address,undefined LINK -fsanitize=address,undefined)
endif()
if(SIXCALL_HAS_thread)
  sixcall_mutant(mutant_tsan SOURCES ${mutant_sources} OPTIONS -fsanitize=thread LINK -fsanitize=thread)
endif()

set(elf ${mutant_folder}/elf.c)
sixcall_mutant(elf_good SOURCES ${elf})
sixcall_mutant(elf_no_note SOURCES ${elf} OPTIONS -DNO_NOTE)
sixcall_mutant(elf_no_entry SOURCES ${elf} OPTIONS -DNO_ENTRY -Wno-unused-const-variable)
sixcall_mutant(elf_exports SOURCES ${elf} OPTIONS -DEXTRA_EXPORT LINK -Wl,-z,now -Wl,--build-id BARE)
sixcall_mutant(elf_undefined SOURCES ${elf} OPTIONS -DUNDEFINED)
sixcall_mutant(elf_hardening SOURCES ${elf} LINK -Wl,-z,lazy -Wl,-z,norelro -Wl,-z,execstack -Wl,--build-id=none BARE)
sixcall_mutant(elf_static_tls SOURCES ${elf} OPTIONS -DSTATIC_TLS)
sixcall_mutant(elf_rpath SOURCES ${elf} LINK -Wl,-rpath,/home/vendor/build/lib)
sixcall_mutant(elf_rpath_relative SOURCES ${elf} LINK -Wl,-rpath,lib)
sixcall_mutant(elf_ctors SOURCES ${elf} OPTIONS -DMANY_CTORS)

# A library that is needed and not there when the check runs.
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/gone.c "int from_gone(void);\nint from_gone(void) { return 0; }\n")
add_library(sixcall_gone SHARED EXCLUDE_FROM_ALL ${CMAKE_CURRENT_BINARY_DIR}/gone.c)
set_target_properties(sixcall_gone PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/mutants/gone OUTPUT_NAME gone)
sixcall_mutant(elf_needed SOURCES ${elf} OPTIONS -DNEEDS_GONE)
target_link_libraries(sixcall_elf_needed PRIVATE sixcall_gone)
