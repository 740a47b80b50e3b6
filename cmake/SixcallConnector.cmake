# SPDX-License-Identifier: Apache-2.0
#[=[
sixcall_add_connector(<name> SOURCES <file>... [LIBRARIES <library>...] [ABI <major>])

Builds libsixcall_<name>.so and installs it to <libdir>/sixcall.

- Nothing is exported but the entry point, whatever the sources and the static
  libraries bring along: a generated version script sees to it.
- An undefined symbol fails the link, instead of the first call on another machine.
- Position-independent, full RELRO, no executable stack, a build id.

The target is sixcall_<name>; add to it with target_include_directories() and the
like. ABI is the major version, 1 if not given.
#]=]
include_guard(GLOBAL)
include(GNUInstallDirs)

function(sixcall_add_connector name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "ABI" "SOURCES;LIBRARIES")
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
  target_compile_features(${target} PRIVATE cxx_std_17 c_std_11)
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
  endif()
  if(COMMAND sixcall_project_options)
    sixcall_project_options(${target})
  endif()
  install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/sixcall)
endfunction()
