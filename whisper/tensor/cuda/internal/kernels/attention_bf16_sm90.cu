/* attention_bf16_sm90.cu - attention to keys and values of bfloat16 by the products of warpgroups of sm_90a. */
#include "attention_group.h"

GROUP_KERNELS(bf16, kp_bf16)
