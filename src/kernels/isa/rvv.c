/* The rvv kernel table. */
#define ISA_NAME rvv
#include "kernels/simd/rvv.h"

#include "kernels/template/table.h"
