# Install rules: header, both libraries, CMake package, pkg-config file, program and manual page. The installed tree may
# be moved as a whole: every path in it is relative to the file that states it. Packages may take it in three components.
include(CMakePackageConfigHelpers)

set(softattn_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/softattn)

install(DIRECTORY include/softattn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.h")
foreach(kind shared static)
  install(TARGETS softattn_${kind} EXPORT softattn-${kind}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
  install(EXPORT softattn-${kind} NAMESPACE softattn:: FILE softattn-${kind}-targets.cmake
          DESTINATION ${softattn_cmake_dir} COMPONENT development)
endforeach()

configure_package_config_file(cmake/softattn-config.cmake.in ${PROJECT_BINARY_DIR}/softattn-config.cmake
  INSTALL_DESTINATION ${softattn_cmake_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the ABI.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/softattn-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/softattn-config.cmake ${PROJECT_BINARY_DIR}/softattn-config-version.cmake
        cmake/softattn-openblas.cmake DESTINATION ${softattn_cmake_dir} COMPONENT development)

# pkg-config: paths relative to the .pc file's own directory, except where the builder gave absolute ones.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(softattn_pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(softattn_pc_libdir "${CMAKE_INSTALL_LIBDIR}")
else()
  file(RELATIVE_PATH softattn_pc_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" softattn_pc_prefix "\${pcfiledir}/${softattn_pc_prefix}")
  set(softattn_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(softattn_pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(softattn_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
# OpenBLAS is named here and not by Requires.private, which would make pkg-config want OpenBLAS's development files
# even from those who link the shared library.
set(softattn_pc_libs_private "-lm -pthread")
if(SOFTATTN_WITH_OPENBLAS)
  get_filename_component(openblas_dir "${SOFTATTN_OPENBLAS_LIBRARY}" DIRECTORY)
  string(PREPEND softattn_pc_libs_private "-L${openblas_dir} -lopenblas ")
endif()
configure_file(cmake/softattn.pc.in ${PROJECT_BINARY_DIR}/softattn.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/softattn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT development)

install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
if(SOFTATTN_CLI)
  install(TARGETS softattn_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
  install(FILES docs/man/softattn.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT programs)
endif()
