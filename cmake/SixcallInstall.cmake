# SPDX-License-Identifier: Apache-2.0
# cmake --install: headers, connectors (by sixcall_add_connector), the CMake package
# and a pkg-config file.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Sixcall)
install(DIRECTORY native/include/sixcall DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(TARGETS sixcall_connector EXPORT SixcallTargets)
install(EXPORT SixcallTargets NAMESPACE Sixcall:: DESTINATION ${package_dir})
configure_package_config_file(cmake/SixcallConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/SixcallConfig.cmake
  INSTALL_DESTINATION ${package_dir})
# The version of the package is that of the ABI: it is what a connector depends on.
file(STRINGS native/include/sixcall/connector.h abi REGEX "^#define SIXCALL_ABI_(MAJOR|MINOR) ")
string(REGEX MATCHALL "[0-9]+" abi "${abi}")
list(JOIN abi "." SIXCALL_ABI_VERSION)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/SixcallConfigVersion.cmake VERSION ${SIXCALL_ABI_VERSION} COMPATIBILITY SameMajorVersion
  ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/SixcallConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/SixcallConfigVersion.cmake
  cmake/SixcallConnector.cmake cmake/SixcallManifest.cmake DESTINATION ${package_dir})

# Relative to the file itself, so that the tree can be moved.
file(RELATIVE_PATH SIXCALL_PC_PREFIX "/x/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/x")
string(REGEX REPLACE "/$" "" SIXCALL_PC_PREFIX "${SIXCALL_PC_PREFIX}")
configure_file(cmake/sixcall.pc.in ${CMAKE_CURRENT_BINARY_DIR}/sixcall.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sixcall.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
