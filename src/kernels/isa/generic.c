/* The generic kernel table. */
#define ISA_NAME generic
#include "kernels/simd/scalar.h"

#include "kernels/template/table.h"
