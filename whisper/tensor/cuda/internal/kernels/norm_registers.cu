/* norm_registers.cu - layer_norm of norm.cu for rows that are kept in registers between its looks at them. Rows have a multiple of 4 numbers and
 * begin at 16 bytes, and copies at 8.
 *
 * All kernels add up a row in one order, and so give it the same bits: each four of it by itself, 32 of these in kp_warp_sum's order, and
 * those sums from the first to the last. */
#include "kport.h"

KP_DEV float sum(kp_float4 v) { return (v.x + v.y) + (v.z + v.w); }
KP_DEV float squares(kp_float4 v) { return kp_fma(v.x, v.x, v.y * v.y) + kp_fma(v.z, v.z, v.w * v.w); }
KP_DEV kp_float4 less(kp_float4 v, float mean) { return {v.x - mean, v.y - mean, v.z - mean, v.w - mean}; }
KP_DEV float inverse_deviation(float squares, float n, float eps) { return 1.0f / __builtin_sqrtf(squares / n + eps); }
/* v * by ∘ gamma + beta */
KP_DEV kp_float4 scaled(kp_float4 v, float by, kp_float4 gamma, kp_float4 beta) {
  return {kp_fma(v.x * by, gamma.x, beta.x), kp_fma(v.y * by, gamma.y, beta.y), kp_fma(v.z * by, gamma.z, beta.z), kp_fma(v.w * by, gamma.w, beta.w)};
}
KP_DEV kp_u64 narrow(int format, kp_float4 v) { return kp_narrow_pair(format, v.x, v.y) | (kp_u64)kp_narrow_pair(format, v.z, v.w) << 32; }

/* A block has a row of fours, a thread four numbers of it. */
KP_KERNEL(layer_norm_block)(kp_float4 *y, kp_u64 *copy, int format, const kp_float4 *x, const kp_float4 *gamma, const kp_float4 *beta,
                            int fours, float eps) {
  KP_SHARED float scratch[32];
  kp_let_next();
  kp_await();
  int i = kp_tid();
  long long at = (long long)kp_bid_x() * fours + i;
  kp_float4 v = {0, 0, 0, 0}, g = v, b = v;
  if (i < fours) v = x[at], g = gamma[i], b = beta[i];
  float n = 4.0f * (float)fours, mean = kp_block_sum(sum(v), scratch) / n;
  if (i < fours) v = less(v, mean);
  float inverse = inverse_deviation(kp_block_sum(squares(v), scratch), n, eps);
  if (i >= fours) return;
  v = scaled(v, inverse, g, b);
  if (y) y[at] = v;
  if (copy) copy[at] = narrow(format, v);
}

/* Σ part[j], each summed over the warp. The shuffles of all j over a distance stand side by side: none waits for another. */
template <int held> KP_DEV float warp_sums(float part[held]) {
  KP_UNROLL
  for (int m = 16; m > 0; m >>= 1)
    KP_UNROLL
    for (int j = 0; j < held; j++) part[j] += kp_shfl_xor(part[j], m);
  float sum = 0;
  KP_UNROLL
  for (int j = 0; j < held; j++) sum += part[j];
  return sum;
}

/* A warp has a row, of which a lane keeps every 32nd four, held of them; a block has four rows. What is done once for a row, each warp of
 * layer_norm_block does again, and waits for the others four times: here a row waits for memory alone. */
template <int held>
KP_DEV void layer_norm(kp_float4 *y, kp_u64 *copy, int format, const kp_float4 *x, const kp_float4 *gamma, const kp_float4 *beta, int rows, float eps) {
  kp_let_next();
  kp_await();
  int row = kp_bid_x() * 4 + (kp_tid() >> 5), lane = kp_tid() & 31;
  if (row >= rows) return;
  long long at = (long long)row * (32 * held) + lane;
  const float n = 128 * held;
  kp_float4 v[held];
  float part[held];
  KP_UNROLL
  for (int j = 0; j < held; j++) v[j] = x[at + 32 * j];
  KP_UNROLL
  for (int j = 0; j < held; j++) part[j] = sum(v[j]);
  float mean = warp_sums<held>(part) / n;
  KP_UNROLL
  for (int j = 0; j < held; j++) v[j] = less(v[j], mean), part[j] = squares(v[j]);
  float inverse = inverse_deviation(warp_sums<held>(part), n, eps);
  KP_UNROLL
  for (int j = 0; j < held; j++) v[j] = scaled(v[j], inverse, gamma[lane + 32 * j], beta[lane + 32 * j]);
  if (y) {
    KP_UNROLL
    for (int j = 0; j < held; j++) y[at + 32 * j] = v[j];
  }
  if (copy && format == kp_is_f16) {
    KP_UNROLL
    for (int j = 0; j < held; j++) copy[at + 32 * j] = narrow(kp_is_f16, v[j]);
  } else if (copy) {
    KP_UNROLL
    for (int j = 0; j < held; j++) copy[at + 32 * j] = narrow(kp_is_bf16, v[j]);
  }
}
#define LAYER_NORM(cols) \
  KP_KERNEL_OF(layer_norm_warp_##cols, 128, 4) \
  (kp_float4 *y, kp_u64 *copy, int format, const kp_float4 *x, const kp_float4 *gamma, const kp_float4 *beta, int rows, float eps) { \
    layer_norm<cols / 128>(y, copy, format, x, gamma, beta, rows, eps); \
  }
LAYER_NORM(768)
LAYER_NORM(1024)
LAYER_NORM(1280)
