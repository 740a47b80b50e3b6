# SPDX-License-Identifier: Apache-2.0
#[=[
sixcall_add_connector(<name> SOURCES <file>... [LIBRARIES <library>...] [ABI <major>]
                      [MIN_GLIBC <version>] [MIN_GLIBCXX <version>])

Builds libsixcall_<name>.so and installs it to <libdir>/sixcall.

- Nothing is exported but the entry point, whatever the sources and the static
  libraries bring along: a generated version script sees to it.
- An undefined symbol fails the link, instead of the first call on another machine.
- Position-independent, full RELRO, no executable stack, a build id.
- The manifest libsixcall_<name>.so.json beside the library, with its SHA-256 and what
  its ELF note says; a library without a note is an error of the build. MIN_GLIBC and
  MIN_GLIBCXX are promises in the manifest that `sixcall check` holds you to.
- The target sixcall_<name>_twins builds libsixcall_<name>_asan.so and _tsan.so beside
  it, from the same sources with sanitizers: the checks N03 and N04 use them.

The target is sixcall_<name>; add to it with target_include_directories() and the
like in the same directory: the twins follow. ABI is the major version, 1 if not given.

sixcall_add_conformance(<name> [LEVEL <1..4>] [PARAMS <json>] [ARGS <option>...])

Adds the test sixcall_check_<name>, which runs `sixcall check` on the library. LEVEL is
1 if not given, PARAMS the configuration. The command is the one that is installed with
this package, or SIXCALL_COMMAND.
]=]
include_guard(GLOBAL)
include(GNUInstallDirs)
set(SIXCALL_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR} CACHE INTERNAL "")

function(sixcall_add_connector name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "ABI;MIN_GLIBC;MIN_GLIBCXX" "SOURCES;LIBRARIES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "sixcall_add_connector(${name}): what is \"${arg_UNPARSED_ARGUMENTS}\"?")
  endif()
  if(NOT name MATCHES "^[a-z0-9_-]+$")
    message(FATAL_ERROR "sixcall_add_connector: the name \"${name}\" is not [a-z0-9_-]+")
  endif()
  if(NOT arg_SOURCES)
    message(FATAL_ERROR "sixcall_add_connector(${name}): SOURCES is empty")
  endif()
  if(NOT arg_ABI)
    set(arg_ABI 1)
  endif()
  if(NOT arg_ABI EQUAL 1)
    message(FATAL_ERROR "sixcall_add_connector(${name}): ABI ${arg_ABI} is not known here, want 1")
  endif()
  find_package(Threads REQUIRED)  # Sixcall::connector links it, and with FetchContent it was found elsewhere

  set(target sixcall_${name})
  set(script ${CMAKE_CURRENT_BINARY_DIR}/${target}.map)
  file(CONFIGURE OUTPUT ${script} @ONLY CONTENT "{
  global:
    sixcall_connector_entry_v@arg_ABI@;
  local:
    *;
};
")
  add_library(${target} MODULE ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE Sixcall::connector ${arg_LIBRARIES})
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if("C" IN_LIST languages)
    target_compile_features(${target} PRIVATE c_std_11)
  endif()
  if("CXX" IN_LIST languages)
    target_compile_features(${target} PRIVATE cxx_std_17)
  endif()
  set_target_properties(${target} PROPERTIES
    PREFIX lib
    OUTPUT_NAME ${target}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib
    POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    LINK_DEPENDS ${script})
  target_compile_options(${target} PRIVATE -fstack-protector-strong -ffunction-sections -fdata-sections)
  target_link_options(${target} PRIVATE
    -Wl,--version-script=${script}
    -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack
    -Wl,--build-id -Wl,--exclude-libs,ALL -Wl,--gc-sections)

  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    target_compile_options(${target} PRIVATE -O2)  # a connector is not built slow by accident
  endif()

  # A sanitizer's runtime is in the host, so its symbols are undefined here; and
  # _FORTIFY_SOURCE would hide calls from it.
  if(SIXCALL_SANITIZE OR "${CMAKE_C_FLAGS} ${CMAKE_CXX_FLAGS}" MATCHES "-fsanitize=")
    set(sanitized TRUE)
  else()
    set(sanitized FALSE)
  endif()
  if(NOT sanitized)
    target_link_options(${target} PRIVATE -Wl,-z,defs)
    target_compile_options(${target} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
    # When the directory is read to its end, all that was added to the target is known.
    cmake_language(EVAL CODE "cmake_language(DEFER CALL _sixcall_add_twins [[${target}]])")
  endif()
  if(COMMAND sixcall_project_options)
    sixcall_project_options(${target})
  endif()

  # The file changes when it is installed (RUNPATH, strip), so there are two manifests.
  set(manifest -DNAME=${name} -DMIN_GLIBC=${arg_MIN_GLIBC} -DMIN_GLIBCXX=${arg_MIN_GLIBCXX}
    -DPLATFORM=${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR} -P ${SIXCALL_CMAKE_DIR}/SixcallManifest.cmake)
  add_custom_command(TARGET ${target} POST_BUILD VERBATIM
    COMMAND ${CMAKE_COMMAND} -DLIBRARY=$<TARGET_FILE:${target}> ${manifest})
  install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/sixcall)
  list(JOIN manifest "\" \"" quoted)
  install(CODE "
    set(folder \"${CMAKE_INSTALL_LIBDIR}/sixcall\")
    if(NOT IS_ABSOLUTE \"\${folder}\")
      set(folder \"\${CMAKE_INSTALL_PREFIX}/\${folder}\")
    endif()
    execute_process(COMMAND \"${CMAKE_COMMAND}\" \"-DLIBRARY=\$ENV{DESTDIR}\${folder}/lib${target}.so\" \"${quoted}\" COMMAND_ERROR_IS_FATAL ANY)")
endfunction()

# _sixcall_add_twins(<target>): copies of the target with sanitizers, built on demand.
function(_sixcall_add_twins target)
  add_custom_target(${target}_twins)
  foreach(property SOURCES INCLUDE_DIRECTORIES COMPILE_DEFINITIONS COMPILE_OPTIONS COMPILE_FEATURES LINK_LIBRARIES LINK_OPTIONS LINK_DIRECTORIES)
    get_target_property(${property} ${target} ${property})
    if(NOT ${property})
      set(${property} "")
    endif()
  endforeach()
  list(REMOVE_ITEM LINK_OPTIONS "-Wl,-z,defs")  # the runtime is in the host
  list(FILTER COMPILE_OPTIONS EXCLUDE REGEX "_FORTIFY_SOURCE")
  set(sanitizers_asan address,undefined)
  set(sanitizers_tsan thread)
  foreach(kind asan tsan)
    set(sanitizers ${sanitizers_${kind}})
    set(copy ${target}_${kind})
    add_library(${copy} MODULE EXCLUDE_FROM_ALL ${SOURCES})
    target_include_directories(${copy} PRIVATE ${INCLUDE_DIRECTORIES})
    target_compile_definitions(${copy} PRIVATE ${COMPILE_DEFINITIONS})
    target_compile_features(${copy} PRIVATE ${COMPILE_FEATURES})
    target_compile_options(${copy} PRIVATE ${COMPILE_OPTIONS} -U_FORTIFY_SOURCE -fsanitize=${sanitizers} -fno-omit-frame-pointer -g)
    target_link_libraries(${copy} PRIVATE ${LINK_LIBRARIES})
    target_link_directories(${copy} PRIVATE ${LINK_DIRECTORIES})
    target_link_options(${copy} PRIVATE ${LINK_OPTIONS} -fsanitize=${sanitizers})
    set_target_properties(${copy} PROPERTIES
      PREFIX lib
      OUTPUT_NAME ${copy}
      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib
      POSITION_INDEPENDENT_CODE ON
      C_VISIBILITY_PRESET hidden
      CXX_VISIBILITY_PRESET hidden
      VISIBILITY_INLINES_HIDDEN ON)
    add_dependencies(${target}_twins ${copy})
  endforeach()
endfunction()

function(sixcall_add_conformance name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LEVEL;PARAMS" "ARGS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "sixcall_add_conformance(${name}): what is \"${arg_UNPARSED_ARGUMENTS}\"?")
  endif()
  if(NOT TARGET sixcall_${name})
    message(FATAL_ERROR "sixcall_add_conformance(${name}): there is no connector of that name; call sixcall_add_connector(${name} ...) first")
  endif()
  if(NOT arg_LEVEL)
    set(arg_LEVEL 1)
  endif()
  if(NOT arg_LEVEL MATCHES "^[1-4]$")
    message(FATAL_ERROR "sixcall_add_conformance(${name}): LEVEL is ${arg_LEVEL}, want 1 to 4")
  endif()
  find_program(SIXCALL_COMMAND sixcall HINTS ${SIXCALL_CMAKE_DIR}/../../../bin ${SIXCALL_CMAKE_DIR}/../../../../bin
    DOC "The command sixcall, which runs the checks")
  if(NOT SIXCALL_COMMAND)
    message(FATAL_ERROR "sixcall_add_conformance(${name}): the command sixcall is not found; `make install` of Sixcall installs it, or set SIXCALL_COMMAND to its path")
  endif()
  set(options --level ${arg_LEVEL} ${arg_ARGS})
  if(arg_PARAMS)
    list(APPEND options --params ${arg_PARAMS})
  endif()
  add_test(NAME sixcall_check_${name} COMMAND ${SIXCALL_COMMAND} check $<TARGET_FILE:sixcall_${name}> ${options})
  if(arg_LEVEL LESS 3)
    set_tests_properties(sixcall_check_${name} PROPERTIES TIMEOUT 600)
  endif()
endfunction()
