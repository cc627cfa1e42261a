/* mix.cu - updates of weights as they lie packed: w' = h w + Σ_k diag(a_k) w diag(b_k) + u v. */
#include "kport.h"

enum { mix_rows = 4 };

/* w (rows, cols), a (terms, rows), b (terms, cols), u (rows, rank), v (rank, cols); a null a or b stands for ones, base is h.
 * A block of 256 threads has 4 rows and 256 columns. */
template <class T>
KP_DEV void mix_tile(T *y, const T *w, const float *a, const float *b, const float *u, const float *v, int rows, int cols, int terms,
                     int rank, int base) {
  int c = kp_bid_y() * 256 + kp_tid(), first = kp_bid_x() * mix_rows;
  if (c >= cols) return;
  float factor[mix_rows], sum[mix_rows];
  for (int i = 0; i < mix_rows; i++) factor[i] = base ? 1.0f : 0.0f, sum[i] = 0;
  for (int k = 0; k < terms; k++) {
    float bk = b ? b[(long long)k * cols + c] : 1.0f;
    for (int i = 0; i < mix_rows; i++)
      if (first + i < rows) factor[i] = kp_fma(a ? a[(long long)k * rows + first + i] : 1.0f, bk, factor[i]);
  }
  for (int k = 0; k < rank; k++) {
    float vk = v[(long long)k * cols + c];
    for (int i = 0; i < mix_rows; i++)
      if (first + i < rows) sum[i] = kp_fma(u[(long long)(first + i) * rank + k], vk, sum[i]);
  }
  for (int i = 0; i < mix_rows; i++)
    if (first + i < rows) {
      long long at = (long long)(first + i) * cols + c;
      y[at] = kp_round(T(), kp_fma(kp_wide(w[at]), factor[i], sum[i]));
    }
}

KP_KERNEL(mix_f32)(float *y, const float *w, const float *a, const float *b, const float *u, const float *v, int rows, int cols,
                   int terms, int rank, int base) {
  mix_tile(y, w, a, b, u, v, rows, cols, terms, rank, base);
}

KP_KERNEL(mix_bf16)(kp_bf16 *y, const kp_bf16 *w, const float *a, const float *b, const float *u, const float *v, int rows, int cols,
                    int terms, int rank, int base) {
  mix_tile(y, w, a, b, u, v, rows, cols, terms, rank, base);
}

KP_KERNEL(mix_f16)(kp_half *y, const kp_half *w, const float *a, const float *b, const float *u, const float *v, int rows, int cols,
                   int terms, int rank, int base) {
  mix_tile(y, w, a, b, u, v, rows, cols, terms, rank, base);
}
