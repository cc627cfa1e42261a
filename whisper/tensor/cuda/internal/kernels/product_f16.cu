/* product_f16.cu - products of few rows of float16 by tensor cores, from sm_80. */
#include "product.h"
#include "shrink_many.h"

PRODUCT_KERNELS(f16, kp_half)
SHRINK_KERNEL(f16, kp_half)
