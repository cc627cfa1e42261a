/* few.cu - what products of few rows (product.h) need of their operand: rows scaled and rounded, and products of low rank with them, for
 * up to three products of the same rows in one launch. Rows have a multiple of 8 numbers and begin at 16 bytes. */
#include "lowrank.h"

/* y_p[i] = x[i] ∘ scale_p[row[i]] in a format of 16 bits. A thread has 8 numbers of n; blocks (numbers, products). */
KP_KERNEL(scale_few)(kp_uint4 *y0, kp_uint4 *y1, kp_uint4 *y2, const float *scale0, const float *scale1, const float *scale2, const float *x,
                     const int *row, int format, int n, int eights) {
  kp_let_next();
  kp_await();
  int i = kp_bid_x() * kp_bdim() + kp_tid(), p = kp_bid_y();
  if (i >= n) return;
  int r = i / eights;
  const kp_float4 *from = (const kp_float4 *)x + 2 * i;
  const kp_float4 *s = (const kp_float4 *)(p == 0 ? scale0 : p == 1 ? scale1 : scale2) + 2 * ((row ? (long long)row[r] * eights : 0) + (i - r * eights));
  kp_float4 a = from[0], b = from[1], u = s[0], v = s[1];
  kp_uint4 w = {kp_narrow_pair(format, a.x * u.x, a.y * u.y), kp_narrow_pair(format, a.z * u.z, a.w * u.w),
                kp_narrow_pair(format, b.x * v.x, b.y * v.y), kp_narrow_pair(format, b.z * v.z, b.w * v.w)};
  (p == 0 ? y0 : p == 1 ? y1 : y2)[i] = w;
}

struct eight { float v[8]; };
KP_DEV eight load_eight(const float *x, int i) {
  kp_float4 a = ((const kp_float4 *)x)[2 * i], b = ((const kp_float4 *)x)[2 * i + 1];
  return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}
template <class T> KP_DEV eight load_eight(const T *x, int i) {
  kp_uint4 w = ((const kp_uint4 *)x)[i];
  return {{kp_low(T(), w.x), kp_high(T(), w.x), kp_low(T(), w.y), kp_high(T(), w.y), kp_low(T(), w.z), kp_high(T(), w.z), kp_low(T(), w.w),
           kp_high(T(), w.w)}};
}

/* The part of a lane of a sum over the n eights of x and v. */
template <class T> KP_DEV float dot_eights(const float *x, const T *v, int n) {
  float sum[2] = {};
  KP_ROLL
  for (int i = kp_tid() & 31; i < n; i += 128) {
    eight a[4], b[4];
    KP_UNROLL
    for (int j = 0; j < 4; j++) {
      a[j] = b[j] = {};
      if (i + 32 * j < n) a[j] = load_eight(x, i + 32 * j), b[j] = load_eight(v, i + 32 * j);
    }
    KP_UNROLL
    for (int j = 0; j < 4; j++)
      KP_UNROLL
      for (int k = 0; k < 8; k++) sum[k & 1] = kp_fma(a[j].v[k], b[j].v[k], sum[k & 1]);
  }
  return sum[0] + sum[1];
}

/* z_p (rows, most_p) = x v_pᵀ, each row with the factors low_p[index_p[row]], none where that is -1. A warp has a rank; blocks
 * (rows, ranks by 8, products). */
KP_KERNEL(shrink_few)(float *z0, float *z1, float *z2, const low_rank *low0, const low_rank *low1, const low_rank *low2, const int *index0,
                      const int *index1, const int *index2, int most0, int most1, int most2, const float *x, int cols) {
  kp_let_next();
  kp_await();
  int p = kp_bid_z(), row = kp_bid_x(), k = kp_bid_y() * (kp_bdim() >> 5) + (kp_tid() >> 5);
  const low_rank *low = p == 0 ? low0 : p == 1 ? low1 : low2;
  if (!low) return;
  int of = (p == 0 ? index0 : p == 1 ? index1 : index2)[row];
  if (of < 0) return;
  low_rank l = low[of];
  if (k >= l.rank) return;
  const float *xs = x + (long long)row * cols;
  long long at = (long long)k * cols;
  float sum;
  if (l.format == kp_is_bf16)
    sum = dot_eights(xs, (const kp_bf16 *)l.v + at, cols / 8);
  else if (l.format == kp_is_f16)
    sum = dot_eights(xs, (const kp_half *)l.v + at, cols / 8);
  else
    sum = dot_eights(xs, (const float *)l.v + at, cols / 8);
  sum = kp_warp_sum(sum);
  if ((kp_tid() & 31) == 0) (p == 0 ? z0 : p == 1 ? z1 : z2)[(long long)row * (p == 0 ? most0 : p == 1 ? most1 : most2) + k] = sum;
}
