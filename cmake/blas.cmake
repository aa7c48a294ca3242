# Decides whether the BLAS engine uses OpenBLAS: sets SOFTATTN_WITH_OPENBLAS, and softattn::openblas where it is ON.

set(SOFTATTN_WITH_OPENBLAS OFF)
if(NOT SOFTATTN_BLAS MATCHES "^(AUTO|OPENBLAS|OFF)$")
  message(FATAL_ERROR "SOFTATTN_BLAS is ${SOFTATTN_BLAS}; it must be AUTO, OPENBLAS or OFF")
endif()

if(NOT SOFTATTN_BLAS STREQUAL "OFF")
  include(cmake/softattn-openblas.cmake)
  if(SOFTATTN_OPENBLAS_LIBRARY AND SOFTATTN_OPENBLAS_INCLUDE_DIR)
    # A library can be found and still be of another processor (cross builds), so linking decides.
    include(CheckCSourceCompiles)
    set(CMAKE_REQUIRED_LIBRARIES ${SOFTATTN_OPENBLAS_LIBRARY})
    set(CMAKE_REQUIRED_INCLUDES ${SOFTATTN_OPENBLAS_INCLUDE_DIR})
    check_c_source_compiles("
      #include <cblas.h>
      int main(void) {
          float a = 1, c = 0;
          cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 1, 1, 1, 1, &a, 1, &a, 1, 0, &c, 1);
          return 0;
      }" SOFTATTN_OPENBLAS_LINKS)
    unset(CMAKE_REQUIRED_LIBRARIES)
    unset(CMAKE_REQUIRED_INCLUDES)
    if(SOFTATTN_OPENBLAS_LINKS)
      set(SOFTATTN_WITH_OPENBLAS ON)
    endif()
  endif()
  if(SOFTATTN_BLAS STREQUAL "OPENBLAS" AND NOT SOFTATTN_WITH_OPENBLAS)
    message(FATAL_ERROR "SOFTATTN_BLAS=OPENBLAS, but OpenBLAS with cblas.h was not found")
  endif()
endif()

if(SOFTATTN_WITH_OPENBLAS)
  message(STATUS "BLAS engine: OpenBLAS (${SOFTATTN_OPENBLAS_LIBRARY})")
else()
  message(STATUS "BLAS engine: the library's own matrix product")
endif()
