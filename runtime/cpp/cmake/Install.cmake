# Installation: the library, its headers, a CMake package (find_package(v2v_runtime)) and a pkg-config file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS v2v_runtime EXPORT v2v_runtime LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/v2v DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT v2v_runtime NAMESPACE v2v:: FILE v2v_runtime-targets.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/v2v_runtime)
configure_package_config_file(cmake/v2v_runtime-config.cmake.in v2v_runtime-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/v2v_runtime)
write_basic_package_version_file(v2v_runtime-config-version.cmake COMPATIBILITY SameMinorVersion)
# From the file's own folder, so that an installation may be moved, and `--prefix` is what was given.
file(RELATIVE_PATH V2V_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" V2V_PC_PREFIX "${V2V_PC_PREFIX}")
configure_file(cmake/v2v_runtime.pc.in v2v_runtime.pc @ONLY)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/v2v_runtime-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/v2v_runtime-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/v2v_runtime)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/v2v_runtime.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
