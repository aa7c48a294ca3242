# Instruction sets: which kernels this target and compiler can build.
#
# softattn_add_isa(<name> [PROCESSOR <x86_64|aarch64|riscv64>] [FLAGS <flag>...] [HEADER <intrinsics header>]
#                  [REQUIRES <preprocessor condition>])
#   Compiles src/kernels/isa/<name>.c twice, with SOFTATTN_REAL_BITS=32 and 64, into the object libraries
#   softattn_<name>_f32 and softattn_<name>_f64, when the target is that processor (none: any) and the compiler, given
#   FLAGS, knows the header and fulfils the condition. What was added is left in two global properties:
#   softattn_isa_targets and softattn_isa_definitions (SOFTATTN_HAVE_<NAME>, for kernels/select.c).

include(CheckCSourceCompiles)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(softattn_processor x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  set(softattn_processor aarch64)
else()
  set(softattn_processor ${CMAKE_SYSTEM_PROCESSOR})
endif()

function(softattn_add_isa name)
  cmake_parse_arguments(PARSE_ARGV 1 isa "" "PROCESSOR;HEADER;REQUIRES" "FLAGS")
  string(TOUPPER ${name} upper_name)

  if(isa_PROCESSOR)
    if(NOT isa_PROCESSOR STREQUAL softattn_processor)
      return()
    endif()
    string(JOIN " " CMAKE_REQUIRED_FLAGS ${isa_FLAGS})
    check_c_source_compiles("
      #include <${isa_HEADER}>
      #if !(${isa_REQUIRES})
      #error the flags do not give this instruction set
      #endif
      int main(void) { return 0; }" SOFTATTN_COMPILER_HAS_${upper_name})
    if(NOT SOFTATTN_COMPILER_HAS_${upper_name})
      return()
    endif()
  endif()

  foreach(bits 32 64)
    set(target softattn_${name}_f${bits})
    add_library(${target} OBJECT kernels/isa/${name}.c)
    softattn_compile_settings(${target})
    target_compile_definitions(${target} PRIVATE SOFTATTN_BUILDING SOFTATTN_REAL_BITS=${bits})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
    # clang writes out longer loops than gcc, and copies more code to save jumps; a quarter of the one, and a third and a
    # quarter of the other of what it does by itself are as fast.
    set(unrolling)
    if(CMAKE_C_COMPILER_ID MATCHES "Clang" AND NOT "${isa_FLAGS}" MATCHES "-O[sz]")
      set(unrolling "SHELL:-mllvm -unroll-threshold=70" "SHELL:-mllvm -jump-threading-threshold=2" "SHELL:-mllvm -enable-load-pre=0"
          "SHELL:-mllvm -tail-dup-placement-threshold=1")
    endif()
    # gcc does not schedule: it would pull the pointer increments in front of the loads of the products' inner loop.
    # No link-time optimization: it would let code of one instruction set be inlined into code that runs on any CPU.
    # errno is not part of the kernels' contract. Floating-point exceptions are, hence no -fno-trapping-math: a division
    # that the source guards may not be computed for nothing. The templates are vector code already: the compiler's own
    # vectorizer makes the library 8 % larger and no faster, and so does unrolling of loops whose length it does not know,
    # which clang does unasked. Loops that are to know what they are called for have it as a constant in the source; the
    # compilers' own copies of loops and functions for outcomes of a test, for ranges of a counter, for first turns, for
    # strides and for arguments make the library 4 to 5 % larger, and softmax with AVX2 up to a quarter slower (gcc 12). Code
    # copied to save a jump has a limit lower than gcc's own 15: the library is 2 % smaller, and within 1 or 2 % as fast. So it is
    # without room before what is jumped to, but for loops: 1 % smaller.
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-O3> -fno-lto -fno-math-errno
                                             -fno-tree-vectorize -fno-tree-slp-vectorize ${isa_FLAGS}
                                             $<$<C_COMPILER_ID:Clang>:SHELL:-mllvm -unroll-runtime=false
                                                 -mllvm -unswitch-threshold=0> ${unrolling}
                                             $<$<C_COMPILER_ID:GNU>:-fno-schedule-insns>
                                             $<$<C_COMPILER_ID:GNU>:-fno-unswitch-loops>
                                             $<$<C_COMPILER_ID:GNU>:-fno-split-loops>
                                             $<$<C_COMPILER_ID:GNU>:-fno-peel-loops>
                                             $<$<C_COMPILER_ID:GNU>:--param=max-jump-thread-duplication-stmts=5>
                                             $<$<C_COMPILER_ID:GNU>:-fno-version-loops-for-strides>
                                             $<$<C_COMPILER_ID:GNU>:-fno-ipa-cp-clone>
                                             $<$<C_COMPILER_ID:GNU>:-fno-align-jumps>
                                             $<$<C_COMPILER_ID:GNU>:-fno-schedule-insns2>)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON INTERPROCEDURAL_OPTIMIZATION OFF)
    set_property(GLOBAL APPEND PROPERTY softattn_isa_targets ${target})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY softattn_isa_definitions SOFTATTN_HAVE_${upper_name})
endfunction()
