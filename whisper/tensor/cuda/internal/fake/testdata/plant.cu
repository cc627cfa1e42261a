// Kernels with a fault each, and beside it the kernel without.
#include "kport_cpu.h"

// y[i] = x[i]; with a fault, one number more than there is.
KP_GLOBAL void copy(float *y, const float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i];
}
KP_GLOBAL void copy_too_much(float *y, const float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n) y[i] = x[i];
}
KP_GLOBAL void copy_before(float *y, const float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i - 1] = x[i];
}
// Writes where there is no memory at all.
KP_GLOBAL void copy_far(float *y, const float *x, int n) { y[(long long)n << 40] = x[0]; }

// y[i] = x[n-1-i] through shared memory, for blocks of n threads.
KP_GLOBAL void reverse(float *y, const float *x, int n) {
  __shared__ float s[1024];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[n - 1 - threadIdx.x];
}
// The barrier is missing.
KP_GLOBAL void reverse_no_barrier(float *y, const float *x, int n) {
  __shared__ float s[1024];
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[n - 1 - threadIdx.x];
}
// Half of the threads do not come to the barrier.
KP_GLOBAL void reverse_divergent(float *y, const float *x, int n) {
  __shared__ float s[1024];
  s[threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x < (unsigned)n / 2) __syncthreads();
  y[threadIdx.x] = s[n - 1 - threadIdx.x];
}
// Some threads return before the barrier.
KP_GLOBAL void reverse_early(float *y, const float *x, int n) {
  __shared__ float s[1024];
  if (threadIdx.x == 5) return;
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[n - 1 - threadIdx.x];
}
// A number of shared memory that nobody wrote.
KP_GLOBAL void reverse_unwritten(float *y, const float *x, int n) {
  __shared__ float s[1024];
  if (threadIdx.x != 7) s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[n - 1 - threadIdx.x];
}

// An index outside an array of shared memory.
KP_GLOBAL void reverse_index(float *y, const float *x, int n) {
  __shared__ float s[64];
  for (int i = 0; i <= n - 64 * (n / 65); i++) s[i] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[n - 1 - threadIdx.x];
}

// A load of 16 bytes at an address that 16 does not divide.
struct alignas(16) four { float v[4]; };
KP_GLOBAL void copy_misaligned(float *y, const float *x, int n) {
  if (threadIdx.x == 0) y[0] = ((const four *)(x + n))->v[2];
}

// y[w] = the sum of warp w, in dynamic shared memory.
KP_GLOBAL void warp_sum(float *y, const float *x, int n) {
  float *s = kp_dynamic<float>();
  float v = x[threadIdx.x];
  for (int m = 16; m > 0; m >>= 1) v += kp_shfl_xor(v, m);
  s[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x < (unsigned)n / 32) y[threadIdx.x] = s[threadIdx.x];
}
KP_GLOBAL void warp_sum_too_much(float *y, const float *x, int n) {
  float *s = kp_dynamic<float>();
  s[n / 32] = x[0];
  y[0] = s[n / 32];
}
// Lanes that do not all come to the shuffle.
KP_GLOBAL void warp_sum_divergent(float *y, const float *x, int n) {
  float v = x[threadIdx.x];
  if (threadIdx.x % 32 < 20) v += kp_shfl_xor(v, 1);
  __syncthreads();
  y[threadIdx.x / 32] = v + n;
}

// y[i] = x[index[i]], rows of one number; the fault is a row one further.
KP_GLOBAL void rows(float *y, const float *x, const int *index) { y[blockIdx.x] = x[index[blockIdx.x]]; }
KP_GLOBAL void rows_wrong(float *y, const float *x, const int *index) { y[blockIdx.x] = x[index[blockIdx.x] + 1]; }

// y[0..3]: which lanes have an odd thread, whether any thread of the warp is 40, whether all are below 64, the lane two above.
KP_GLOBAL void votes(unsigned *y) {
  unsigned odd = kp_ballot(threadIdx.x & 1), any = kp_any(threadIdx.x == 40), all = kp_all(threadIdx.x < 64);
  unsigned above = kp_shfl_down(threadIdx.x, 2), below = kp_shfl_up(threadIdx.x, 1);
  if (threadIdx.x % 32 == 0) {
    unsigned *to = y + threadIdx.x / 32 * 5;
    to[0] = odd, to[1] = any, to[2] = all, to[3] = above, to[4] = below;
  }
}
