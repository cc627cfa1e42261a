/* lowrank.cu - products of low rank beside a linear, each row with the factors of its own adapter: z = x vᵀ, then
 * y += z uᵀ + d. Rows that have none (index -1) are not read. */
#include "lowrank.h"
#include "normal.h"

enum { shrink_rows = 4, shrink_ranks = 8 };

/* sum[k] += x v[k] over the part of a warp, for n rows of v. */
template <class X, class T> KP_DEV void shrink_part(float sum[shrink_ranks], const X *x, const T *v, int n, int cols, int from) {
  for (int c = from; c < cols; c += 128) {
    float f = kp_wide(x[c]);
    KP_UNROLL
    for (int k = 0; k < shrink_ranks; k++)
      if (k < n) sum[k] = kp_fma(f, kp_wide(v[(long long)k * cols + c]), sum[k]);
  }
}

/* shrink_part by the format of v */
template <class X> KP_DEV void shrink_row(float sum[shrink_ranks], const X *x, const low_rank &l, int first, int n, int cols, int from) {
  long long at = (long long)first * cols;
  if (l.format == kp_is_bf16)
    shrink_part(sum, x, (const kp_bf16 *)l.v + at, n, cols, from);
  else if (l.format == kp_is_f16)
    shrink_part(sum, x, (const kp_half *)l.v + at, n, cols, from);
  else
    shrink_part(sum, x, (const float *)l.v + at, n, cols, from);
}

/* z (rows, most) = x vᵀ, for x of a format. A block of 512 threads has 4 rows, 4 warps for each, and 8 ranks: blocks (rows, ranks). */
KP_KERNEL(shrink)(float *z, const void *x, int x_format, const low_rank *low, const int *index, int rows, int cols, int most) {
  KP_SHARED float sums[shrink_rows][4][shrink_ranks];
  int line = kp_tid() / 128, row = kp_bid_x() * shrink_rows + line, first = kp_bid_y() * shrink_ranks;
  int warp = kp_tid() / 32 % 4, n = 0;
  if (row < rows && index[row] >= 0) {
    low_rank l = low[index[row]];
    n = kp_least(l.rank - first, shrink_ranks);
    if (n > 0) {
      float sum[shrink_ranks] = {};
      long long at = (long long)row * cols;
      if (x_format == kp_is_bf16)
        shrink_row(sum, (const kp_bf16 *)x + at, l, first, n, cols, kp_tid() % 128);
      else if (x_format == kp_is_f16)
        shrink_row(sum, (const kp_half *)x + at, l, first, n, cols, kp_tid() % 128);
      else
        shrink_row(sum, (const float *)x + at, l, first, n, cols, kp_tid() % 128);
      KP_UNROLL
      for (int k = 0; k < shrink_ranks; k++) {
        float s = kp_warp_sum(sum[k]);
        if (kp_tid() % 32 == 0) sums[line][warp][k] = s;
      }
    }
  }
  kp_sync();
  int k = kp_tid() % 128;
  if (k < n) z[(long long)row * most + first + k] = sums[line][0][k] + sums[line][1][k] + sums[line][2][k] + sums[line][3][k];
}

enum { expand_rows = 16, expand_kept = 8 };

/* The first factors of column c of an adapter, or all up to 8, in float32; zeros behind them */
template <class T> KP_DEV void keep(float kept[expand_kept], const T *u, int rank) {
  KP_UNROLL
  for (int k = 0; k < expand_kept; k++) kept[k] = k < rank ? kp_wide(u[k]) : 0.0f;
}

/* y[i] = gelu(x[i] ∘ scale[row[i]] + bias + z[i] uᵀ + d) with what epilogue of elementwise.cu may leave out; with add, y += that. A block of 256
 * threads has 16 rows and 256 columns: blocks (rows, columns). A thread keeps the factors of its column while rows have the same adapter, of rank
 * 8 or less. */
KP_KERNEL(expand_epilogue)(float *y, void *copy, int format, const void *x, int x_format, const float *scale, const int *row, const float *bias,
                           const float *z, const low_rank *low, const int *index, int rows, int cols, int most, int gelu, int add) {
  int c = kp_bid_y() * 256 + kp_tid();
  if (c >= cols) return;
  int of = -1;
  float kept[expand_kept] = {}, more = 0, b = bias ? bias[c] : 0.0f;
  low_rank l = {};
  for (int r = kp_bid_x() * expand_rows; r < kp_least(kp_bid_x() * expand_rows + expand_rows, rows); r++) {
    long long at = (long long)r * cols + c;
    float v = x_format == kp_is_f32 ? ((const float *)x)[at] : kp_get(x, x_format, at);
    if (scale) v *= scale[(row ? (long long)row[r] * cols : 0) + c];
    v += b;
    int i = index[r];
    if (i >= 0 && i != of) {
      of = i, l = low[i], more = l.d ? ((const float *)l.d)[c] : 0.0f;
      if (l.u && l.rank <= expand_kept) {
        long long at_u = (long long)c * l.rank;
        if (l.format == kp_is_bf16)
          keep(kept, (const kp_bf16 *)l.u + at_u, l.rank);
        else if (l.format == kp_is_f16)
          keep(kept, (const kp_half *)l.u + at_u, l.rank);
        else
          keep(kept, (const float *)l.u + at_u, l.rank);
      }
    }
    if (i >= 0) {
      const float *zs = z + (long long)r * most;
      if (l.u && l.rank <= expand_kept) {
        float sum = 0;
        KP_UNROLL
        for (int k = 0; k < expand_kept; k++)
          if (k < l.rank) sum = kp_fma(zs[k], kept[k], sum);
        v = v + sum + more;
      } else {
        v = expand_to(v, l, zs, most, c);
      }
    }
    if (gelu) v = kp_gelu(v);
    if (add) v += y[at];
    if (y) y[at] = v;
    if (copy) kp_put(copy, format, at, v);
  }
}
