/* product_bf16.cu - products of few rows of bfloat16 by tensor cores, from sm_80. */
#include "product.h"
#include "shrink_many.h"

PRODUCT_KERNELS(bf16, kp_bf16)
SHRINK_KERNEL(bf16, kp_bf16)
