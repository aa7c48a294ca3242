# softattn_compile_settings(<target>): the language, the warnings and the floating-point rules that all C code of this
# project is compiled with.

set(softattn_warnings -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes)
if(SOFTATTN_WERROR)
  list(APPEND softattn_warnings -Werror)
endif()

function(softattn_compile_settings target)
  set_target_properties(${target} PROPERTIES
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
    C_VISIBILITY_PRESET hidden)
  # Results are defined down to the bit (docs/arithmetic.md): the compiler may not fuse or reorder arithmetic.
  target_compile_options(${target} PRIVATE ${softattn_warnings} -ffp-contract=off)
  if(SOFTATTN_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${SOFTATTN_SANITIZE} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${SOFTATTN_SANITIZE})
  endif()
endfunction()
