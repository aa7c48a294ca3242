/* The avx512 kernel table. */
#define ISA_NAME avx512
#include "kernels/simd/avx512.h"

#include "kernels/template/table.h"
