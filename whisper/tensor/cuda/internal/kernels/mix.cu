/* mix.cu - updates of weights as they lie packed: w' = h w + Σ_k diag(a_k) w diag(b_k) + u v, several of a weight in a launch. */
#include "kport.h"

/* What becomes of a weight (rows, cols), at to: a (terms, rows), b (terms, cols), u (rows, rank), v (rank, cols), where an a or b of 0 stands for
 * ones; base is h. */
struct mix_update { kp_u64 to, a, b, u, v; int terms, rank, base; };

enum { mix_rows = 4, mix_threads = 128 };

/* A word of a weight: 16 bytes, or one number */
KP_DEV kp_uint4 mix_word(const kp_uint4 *at) { return kp_stream16(at); }
template <class T> KP_DEV T mix_word(const T *at) { return *at; }

/* The numbers of a word */
template <class T> KP_DEV void mix_widen(T, float x[1], T word) { x[0] = kp_wide(word); }
KP_DEV void mix_widen(float, float x[4], kp_uint4 word) {
  x[0] = kp_float(word.x), x[1] = kp_float(word.y), x[2] = kp_float(word.z), x[3] = kp_float(word.w);
}
template <class T> KP_DEV void mix_widen(T, float x[8], kp_uint4 word) {
  x[0] = kp_low(T(), word.x), x[1] = kp_high(T(), word.x), x[2] = kp_low(T(), word.y), x[3] = kp_high(T(), word.y);
  x[4] = kp_low(T(), word.z), x[5] = kp_high(T(), word.z), x[6] = kp_low(T(), word.w), x[7] = kp_high(T(), word.w);
}

/* The word that numbers are rounded to */
template <class T> KP_DEV void mix_round(T *to, T, const float x[1]) { *to = kp_round(T(), x[0]); }
KP_DEV void mix_round(kp_uint4 *to, float, const float x[4]) { *to = {kp_bits(x[0]), kp_bits(x[1]), kp_bits(x[2]), kp_bits(x[3])}; }
template <class T> KP_DEV unsigned mix_pair(T, const float x[2]) { return kp_pack(T(), kp_within(T(), x[0]), kp_within(T(), x[1])); }
template <class T> KP_DEV void mix_round(kp_uint4 *to, T, const float x[8]) {
  *to = {mix_pair(T(), x), mix_pair(T(), x + 2), mix_pair(T(), x + 4), mix_pair(T(), x + 6)};
}

/* n numbers of a vector, by reads of 16 bytes where n is not 1 */
template <int n> KP_DEV void mix_read(float x[n], const float *p) {
  if constexpr (n == 1) {
    x[0] = *p;
  } else {
    KP_UNROLL
    for (int i = 0; i < n; i += 4) {
      kp_float4 q = *(const kp_float4 *)(p + i);
      x[i] = q.x, x[i + 1] = q.y, x[i + 2] = q.z, x[i + 3] = q.w;
    }
  }
}

/* A thread has a word of each of 4 rows, and reads these before all else, since they come from farthest. Where there are fewer rows it has
 * the last one several times, with the same result, which needs no condition. */
template <class W, class T> KP_DEV void mix_part(const T *w, const mix_update &m, int rows, int cols) {
  constexpr int n = sizeof(W) / sizeof(T);
  int parts = cols / n, at = kp_bid_x() * mix_threads + kp_tid(), first = at / parts * mix_rows, c = at % parts * n;
  if (first >= rows) return;
  const float *a = (const float *)m.a, *b = (const float *)m.b, *u = (const float *)m.u, *v = (const float *)m.v;
  float factor[mix_rows][n], sum[mix_rows][n], x[n];
  W word[mix_rows];
  int row[mix_rows];
  KP_UNROLL
  for (int i = 0; i < mix_rows; i++) {
    row[i] = kp_least(first + i, rows - 1);
    word[i] = mix_word((const W *)(w + (long long)row[i] * cols + c));
    KP_UNROLL
    for (int j = 0; j < n; j++) factor[i][j] = m.base ? 1.0f : 0.0f, sum[i][j] = 0;
  }
  KP_ROLL
  for (int k = 0; k < m.terms; k++) {
    KP_UNROLL
    for (int j = 0; j < n; j++) x[j] = 1.0f;
    if (b) mix_read<n>(x, b + (long long)k * cols + c);
    KP_UNROLL
    for (int i = 0; i < mix_rows; i++) {
      float ak = a ? a[(long long)k * rows + row[i]] : 1.0f;
      KP_UNROLL
      for (int j = 0; j < n; j++) factor[i][j] = kp_fma(ak, x[j], factor[i][j]);
    }
  }
  KP_ROLL
  for (int k = 0; k < m.rank; k++) {
    mix_read<n>(x, v + (long long)k * cols + c);
    KP_UNROLL
    for (int i = 0; i < mix_rows; i++) {
      float uk = u[(long long)row[i] * m.rank + k];
      KP_UNROLL
      for (int j = 0; j < n; j++) sum[i][j] = kp_fma(uk, x[j], sum[i][j]);
    }
  }
  KP_UNROLL
  for (int i = 0; i < mix_rows; i++) {
    mix_widen(T(), x, word[i]);
    KP_UNROLL
    for (int j = 0; j < n; j++) x[j] = kp_fma(x[j], factor[i][j], sum[i][j]);
    mix_round((W *)((T *)m.to + (long long)row[i] * cols + c), T(), x);
  }
}

/* By words of 16 bytes, or of one number where rows do not begin at such */
template <class T> KP_DEV void mix(const T *w, const mix_update *updates, int rows, int cols, int wide) {
  mix_update m = updates[kp_bid_z()];
  if (wide)
    mix_part<kp_uint4>(w, m, rows, cols);
  else
    mix_part<T>(w, m, rows, cols);
}

/* Blocks of 128 threads (words of 4 rows each, 1, updates), of which 4 have a multiprocessor's registers: 128 a thread, where numbers of 16 bits need
 * about 115 */
#define MIX(name, T) \
  KP_KERNEL_OF(name, mix_threads, 4)(const T *w, const mix_update *updates, int rows, int cols, int wide) { mix(w, updates, rows, cols, wide); }
MIX(mix_f32, float)
MIX(mix_bf16, kp_bf16)
MIX(mix_f16, kp_half)
