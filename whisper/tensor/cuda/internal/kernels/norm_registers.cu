/* norm_registers.cu - layer_norm of norm.cu for rows that are kept in registers between its looks at them. Rows have a multiple of 4 numbers and
 * begin at 16 bytes, and copies at 8. */
#include "kport.h"

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
  float n = 4.0f * (float)fours, mean = kp_block_sum((v.x + v.y) + (v.z + v.w), scratch) / n;
  if (i < fours) v.x -= mean, v.y -= mean, v.z -= mean, v.w -= mean;
  float inverse = 1.0f / __builtin_sqrtf(kp_block_sum(kp_fma(v.x, v.x, v.y * v.y) + kp_fma(v.z, v.z, v.w * v.w), scratch) / n + eps);
  if (i >= fours) return;
  v.x = kp_fma(v.x * inverse, g.x, b.x), v.y = kp_fma(v.y * inverse, g.y, b.y);
  v.z = kp_fma(v.z * inverse, g.z, b.z), v.w = kp_fma(v.w * inverse, g.w, b.w);
  if (y) y[at] = v;
  if (copy) copy[at] = kp_narrow_pair(format, v.x, v.y) | (kp_u64)kp_narrow_pair(format, v.z, v.w) << 32;
}
