// Small kernels for the tests of the driver. kernels.ptx is made of them by
//   clang-19 -x cuda --cuda-device-only --cuda-gpu-arch=sm_75 -nocudainc -nocudalib -O3 -S kernels.cu
#if defined(KPORT_CPU)
#include "kport_cpu.h"
#define TID ((int)threadIdx.x)
#define BID ((int)blockIdx.x)
#define NTID ((int)blockDim.x)
#else
#define KP_GLOBAL extern "C" __attribute__((global))
#define __shared__ static __attribute__((shared))
#define TID __nvvm_read_ptx_sreg_tid_x()
#define BID __nvvm_read_ptx_sreg_ctaid_x()
#define NTID __nvvm_read_ptx_sreg_ntid_x()
extern __attribute__((shared)) float dynamic_memory[];
template <class T> static __attribute__((device)) T *kp_dynamic() { return (T *)dynamic_memory; }
static __attribute__((device)) float kp_shfl_xor(float v, int mask) {
  float r;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 31, -1;" : "=f"(r) : "f"(v), "r"(mask));
  return r;
}
#endif

// y[i] += a x[i]
KP_GLOBAL void axpy(float *y, const float *x, float a, int n) {
  int i = BID * NTID + TID;
  if (i < n) y[i] += a * x[i];
}

// y[i] = x[index[i]], a block for a row of `cols`.
KP_GLOBAL void gather_rows(float *y, const float *x, const int *index, int cols) {
  for (int c = TID; c < cols; c += NTID) y[BID * cols + c] = x[index[BID] * cols + c];
}

// sums[b] = the sum of the n numbers of block b, by warps and by shared memory of both kinds.
KP_GLOBAL void row_sum(float *sums, const float *x, int n) {
  __shared__ float warps[32];
  float *all = kp_dynamic<float>();
  float v = 0;
  for (int i = TID; i < n; i += NTID) v += x[BID * n + i];
  for (int m = 16; m > 0; m >>= 1) v += kp_shfl_xor(v, m);
  if (TID % 32 == 0) warps[TID / 32] = v;
  __syncthreads();
  if (TID == 0) {
    all[0] = 0;
    for (int w = 0; w < NTID / 32; w++) all[0] += warps[w];
  }
  __syncthreads();
  if (TID == NTID - 1) sums[BID] = all[0];
}
