/* The neon kernel table. */
#define ISA_NAME neon
#include "kernels/simd/neon.h"

#include "kernels/template/table.h"
