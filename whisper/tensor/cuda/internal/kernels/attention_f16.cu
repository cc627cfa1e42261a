/* attention_f16.cu - attention to keys and values of binary16 by tensor cores, from sm_80. */
#include "attention_mma.h"
#include "attention_rows.h"

ATTENTION_KERNELS(f16, kp_half)
ROWS_KERNELS(f16, kp_half)
