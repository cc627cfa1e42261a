/* lowrank.h - factors of adapters, and what is added to a number of a linear's result. */
#ifndef LOWRANK_H
#define LOWRANK_H
#include "kport.h"

/* The factors of an adapter: u (n_out, rank), v (rank, n_in), d (n_out), addresses that may be 0; u and v are of a format. */
struct low_rank { kp_u64 u, v, d; int rank, format; };

template <class T> KP_DEV float expand(const float *z, const T *u, int rank) {
  float sum = 0;
  KP_ROLL
  for (int k = 0; k < rank; k++) sum = kp_fma(z[k], kp_wide(u[k]), sum);
  return sum;
}

/* expand for ranks of a multiple of 8, with u and z at multiples of 16 bytes, in the same order */
template <class T> KP_DEV float expand_eights(const float *z, const T *u, int rank) {
  float sum = 0;
  KP_ROLL
  for (int k = 0; k < rank; k += 8) {
    kp_uint4 f = *(const kp_uint4 *)(u + k);
    kp_float4 low = *(const kp_float4 *)(z + k), high = *(const kp_float4 *)(z + k + 4);
    sum = kp_fma(low.x, kp_low(T(), f.x), sum), sum = kp_fma(low.y, kp_high(T(), f.x), sum);
    sum = kp_fma(low.z, kp_low(T(), f.y), sum), sum = kp_fma(low.w, kp_high(T(), f.y), sum);
    sum = kp_fma(high.x, kp_low(T(), f.z), sum), sum = kp_fma(high.y, kp_high(T(), f.z), sum);
    sum = kp_fma(high.z, kp_low(T(), f.w), sum), sum = kp_fma(high.w, kp_high(T(), f.w), sum);
  }
  return sum;
}

template <class T> KP_DEV float expand_any(const float *z, const T *u, int rank, int most) {
  return (rank | most) % 8 == 0 ? expand_eights(z, u, rank) : expand(z, u, rank);
}

/* v + z uᵀ + d for column c; rows of z have most numbers. */
KP_DEV float expand_to(float v, const low_rank &l, const float *z, int most, int c) {
  long long at = (long long)c * l.rank;
  if (l.u && l.format == kp_is_bf16) v += expand_any(z, (const kp_bf16 *)l.u + at, l.rank, most);
  if (l.u && l.format == kp_is_f16) v += expand_any(z, (const kp_half *)l.u + at, l.rank, most);
  if (l.u && l.format == kp_is_f32) v += expand(z, (const float *)l.u + at, l.rank);
  if (l.d) v += ((const float *)l.d)[c];
  return v;
}
#endif
