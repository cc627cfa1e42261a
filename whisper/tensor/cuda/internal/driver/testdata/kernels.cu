// Small kernels for the tests of the driver.
#include "kport_cpu.h"

// y[i] += a x[i]
KP_GLOBAL void axpy(float *y, const float *x, float a, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] += a * x[i];
}

// y[i] = x[index[i]], one block a row of `cols`.
KP_GLOBAL void gather(float *y, const float *x, const int *index, int cols) {
  for (int c = threadIdx.x; c < cols; c += blockDim.x) y[blockIdx.x * cols + c] = x[index[blockIdx.x] * cols + c];
}

// sums[b] = the sum of the n numbers of block b, by warps and shared memory of both kinds.
KP_GLOBAL void row_sum(float *sums, const float *x, int n) {
  __shared__ float warps[32];
  float *all = kp_dynamic<float>();
  float v = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) v += x[blockIdx.x * n + i];
  for (int m = 16; m > 0; m >>= 1) v += kp_shfl_xor(v, m);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x == 0) {
    all[0] = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++) all[0] += warps[w];
  }
  __syncthreads();
  if (threadIdx.x == blockDim.x - 1) sums[blockIdx.x] = all[0];
}
