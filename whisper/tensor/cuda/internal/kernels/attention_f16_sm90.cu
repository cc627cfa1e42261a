/* attention_f16_sm90.cu - attention to keys and values of binary16 by the products of warpgroups of sm_90a. */
#include "attention_group.h"

GROUP_KERNELS(f16, kp_half)
