/* The avx2 kernel table. */
#define ISA_NAME avx2
#include "kernels/simd/avx2.h"

#include "kernels/template/table.h"
