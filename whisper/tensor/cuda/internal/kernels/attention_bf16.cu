/* attention_bf16.cu - attention to keys and values of bfloat16 by tensor cores, from sm_80. */
#include "attention_mma.h"
#include "attention_rows.h"

ATTENTION_KERNELS(bf16, kp_bf16)
ROWS_KERNELS(bf16, kp_bf16)
