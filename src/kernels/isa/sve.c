/* The sve kernel table. */
#define ISA_NAME sve
#include "kernels/simd/sve.h"

#include "kernels/template/table.h"
