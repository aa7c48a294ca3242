/* The sse2 kernel table. */
#define ISA_NAME sse2
#include "kernels/simd/sse2.h"

#include "kernels/template/table.h"
