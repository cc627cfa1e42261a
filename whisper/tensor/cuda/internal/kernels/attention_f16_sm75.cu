/* attention_f16_sm75.cu - attention to keys and values of binary16 by the tensor cores of sm_75, which take half as much at a time. */
#undef KPORT_SM80
#include "attention_mma.h"

ATTENTION_KERNELS(f16_sm75, kp_half)
