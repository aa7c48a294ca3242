# Finds OpenBLAS, as the imported target softattn::openblas and the variable softattn_openblas_include_dir (empty
# without its headers). Used by the build, and installed for those who link the static library.

if(NOT TARGET softattn::openblas)
  find_package(PkgConfig QUIET)
  if(PKG_CONFIG_FOUND)
    pkg_check_modules(SOFTATTN_PC_OPENBLAS QUIET openblas)
  endif()
  find_library(SOFTATTN_OPENBLAS_LIBRARY openblas HINTS ${SOFTATTN_PC_OPENBLAS_LIBRARY_DIRS})
  find_path(SOFTATTN_OPENBLAS_INCLUDE_DIR cblas.h
            HINTS ${SOFTATTN_PC_OPENBLAS_INCLUDE_DIRS} PATH_SUFFIXES openblas openblas-pthread)
  mark_as_advanced(SOFTATTN_OPENBLAS_LIBRARY SOFTATTN_OPENBLAS_INCLUDE_DIR)
  if(SOFTATTN_OPENBLAS_LIBRARY)
    add_library(softattn::openblas UNKNOWN IMPORTED GLOBAL)
    set_target_properties(softattn::openblas PROPERTIES IMPORTED_LOCATION "${SOFTATTN_OPENBLAS_LIBRARY}")
  endif()
endif()
