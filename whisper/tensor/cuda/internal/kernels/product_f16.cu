/* product_f16.cu - products of few rows of float16 by tensor cores, from sm_80. */
#include "product.h"

PRODUCT_KERNELS(f16, kp_half)
