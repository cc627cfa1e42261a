/* mix.cu - updates of weights as they lie packed: w' = h w + Σ_k diag(a_k) w diag(b_k) + u v, several of a weight in a launch. */
#include "kport.h"

/* What becomes of a weight (rows, cols), at to: a (terms, rows), b (terms, cols), u (rows, rank), v (rank, cols), where an a or b of 0 stands for
 * ones; base is h. */
struct mix_update { kp_u64 to, a, b, u, v; int terms, rank, base, unused; };

enum { mix_rows = 4 };

/* n numbers from p on, by reads of 16 bytes where n is not 1 */
template <int n, class T> KP_DEV void mix_read(float x[n], const T *p) {
  if constexpr (n == 1) {
    x[0] = kp_wide(*p);
  } else if constexpr (sizeof(T) == 4) {
    KP_UNROLL
    for (int i = 0; i < n; i += 4) {
      kp_float4 q = *(const kp_float4 *)(p + i);
      x[i] = q.x, x[i + 1] = q.y, x[i + 2] = q.z, x[i + 3] = q.w;
    }
  } else {
    kp_uint4 q = *(const kp_uint4 *)p;
    x[0] = kp_low(T(), q.x), x[1] = kp_high(T(), q.x), x[2] = kp_low(T(), q.y), x[3] = kp_high(T(), q.y);
    x[4] = kp_low(T(), q.z), x[5] = kp_high(T(), q.z), x[6] = kp_low(T(), q.w), x[7] = kp_high(T(), q.w);
  }
}

/* Two numbers, rounded to the format */
template <class T> KP_DEV unsigned mix_pair(float low, float high) { return kp_pack(T(), kp_within(T(), low), kp_within(T(), high)); }

template <int n, class T> KP_DEV void mix_write(T *p, const float x[n]) {
  if constexpr (n == 1)
    *p = kp_round(T(), x[0]);
  else if constexpr (sizeof(T) == 4)
    *(kp_float4 *)p = {x[0], x[1], x[2], x[3]};
  else
    *(kp_uint4 *)p = {mix_pair<T>(x[0], x[1]), mix_pair<T>(x[2], x[3]), mix_pair<T>(x[4], x[5]), mix_pair<T>(x[6], x[7])};
}

/* A thread has n columns of 4 rows. */
template <int n, class T> KP_DEV void mix_part(const T *w, const mix_update &m, int rows, int cols) {
  int parts = cols / n, at = kp_bid_x() * 256 + kp_tid(), first = at / parts * mix_rows, c = at % parts * n;
  if (first >= rows) return;
  const float *a = (const float *)m.a, *b = (const float *)m.b, *u = (const float *)m.u, *v = (const float *)m.v;
  float factor[mix_rows][n], sum[mix_rows][n], x[n];
  KP_UNROLL
  for (int i = 0; i < mix_rows; i++)
    KP_UNROLL
    for (int j = 0; j < n; j++) factor[i][j] = m.base ? 1.0f : 0.0f, sum[i][j] = 0;
  KP_ROLL
  for (int k = 0; k < m.terms; k++) {
    KP_UNROLL
    for (int j = 0; j < n; j++) x[j] = 1.0f;
    if (b) mix_read<n>(x, b + (long long)k * cols + c);
    KP_UNROLL
    for (int i = 0; i < mix_rows; i++) {
      float ak = a && first + i < rows ? a[(long long)k * rows + first + i] : 1.0f;
      KP_UNROLL
      for (int j = 0; j < n; j++) factor[i][j] = kp_fma(ak, x[j], factor[i][j]);
    }
  }
  KP_ROLL
  for (int k = 0; k < m.rank; k++) {
    mix_read<n>(x, v + (long long)k * cols + c);
    KP_UNROLL
    for (int i = 0; i < mix_rows; i++) {
      float uk = first + i < rows ? u[(long long)(first + i) * m.rank + k] : 0.0f;
      KP_UNROLL
      for (int j = 0; j < n; j++) sum[i][j] = kp_fma(uk, x[j], sum[i][j]);
    }
  }
  KP_UNROLL
  for (int i = 0; i < mix_rows; i++)
    if (first + i < rows) {
      long long from = (long long)(first + i) * cols + c;
      mix_read<n>(x, w + from);
      KP_UNROLL
      for (int j = 0; j < n; j++) x[j] = kp_fma(x[j], factor[i][j], sum[i][j]);
      mix_write<n>((T *)m.to + from, x);
    }
}

/* By 16 bytes of the weight, or one number where rows do not begin at such. Blocks of 256 threads (parts of the weight, 1, updates) */
template <class T> KP_DEV void mix(const T *w, const mix_update *updates, int rows, int cols, int wide) {
  mix_update m = updates[kp_bid_z()];
  if (wide)
    mix_part<16 / (int)sizeof(T)>(w, m, rows, cols);
  else
    mix_part<1>(w, m, rows, cols);
}

KP_KERNEL(mix_f32)(const float *w, const mix_update *updates, int rows, int cols, int wide) { mix(w, updates, rows, cols, wide); }
KP_KERNEL(mix_bf16)(const kp_bf16 *w, const mix_update *updates, int rows, int cols, int wide) { mix(w, updates, rows, cols, wide); }
KP_KERNEL(mix_f16)(const kp_half *w, const mix_update *updates, int rows, int cols, int wide) { mix(w, updates, rows, cols, wide); }
