/* shrink_many.h - products of low rank with many rows by tensor cores: T is the format of the rows and of the factors. */
#ifndef SHRINK_MANY_H
#define SHRINK_MANY_H
#include "lowrank.h"

enum { many_rows = 16, many_ranks = 8, many_warps = 8 };

/* z (rows, most) = x vᵀ for x of 16 bits, rows of a multiple of 32 numbers at multiples of 16 bytes. A block of 8 warps has 16 rows and 8 ranks,
 * each warp a part of the terms: blocks (rows, ranks). Adapters that the rows have are computed one after the other for all of them, mostly it
 * is one; a row takes what its own gives. Both operands are loaded as 16 bytes a thread: terms then lie otherwise in the fragments, in both alike. */
template <class T>
KP_DEV void shrink_many(float sums[many_warps][many_rows][many_ranks], float *z, const T *x, const low_rank *low, const int *index, int rows,
                        int cols, int most) {
  int first_row = kp_bid_x() * many_rows, first = kp_bid_y() * many_ranks;
  int warp = kp_tid() / 32, lane = kp_tid() % 32, g = lane / 4, c = lane % 4 * 8;
  int n = kp_least(rows - first_row, many_rows), done = 0; /* rows whose adapter has been computed are 1 in done */
  for (int i = 0; i < n; i++) {
    int of = index[first_row + i];
    if (done >> i & 1 || of < 0) continue;
    low_rank l = low[of];
    int ranks = kp_least(l.rank - first, many_ranks);
    float d[4] = {0, 0, 0, 0};
    const kp_uint4 zero = {0, 0, 0, 0};
    if (ranks > 0)
      for (int k = warp * 32 + c; k < cols; k += 32 * many_warps) {
        kp_uint4 a = g < n ? *(const kp_uint4 *)(x + (long long)(first_row + g) * cols + k) : zero;
        kp_uint4 b = g + 8 < n ? *(const kp_uint4 *)(x + (long long)(first_row + g + 8) * cols + k) : zero;
        kp_uint4 v = g < ranks ? *(const kp_uint4 *)((const T *)l.v + (long long)(first + g) * cols + k) : zero;
        unsigned low_half[4] = {a.x, b.x, a.y, b.y}, high_half[4] = {a.z, b.z, a.w, b.w};
        kp_mma(T(), d, low_half, v.x, v.y);
        kp_mma(T(), d, high_half, v.z, v.w);
      }
    KP_UNROLL
    for (int k = 0; k < 4; k++) sums[warp][g + k / 2 * 8][lane % 4 * 2 + k % 2] = d[k];
    kp_sync();
    int r = kp_tid() / many_ranks, k = kp_tid() % many_ranks;
    if (r < n && k < ranks && index[first_row + r] == of) {
      float sum = 0;
      KP_UNROLL
      for (int w = 0; w < many_warps; w++) sum += sums[w][r][k];
      z[(long long)(first_row + r) * most + first + k] = sum;
    }
    kp_sync();
    for (int j = i; j < n; j++)
      if (index[first_row + j] == of) done |= 1 << j;
  }
}
#define SHRINK_KERNEL(name, T)                                                                                                     \
  KP_KERNEL(shrink_many_##name)(float *z, const T *x, const low_rank *low, const int *index, int rows, int cols, int most) {      \
    KP_SHARED float sums[many_warps][many_rows][many_ranks];                                                                      \
    shrink_many<T>(sums, z, x, low, index, rows, cols, most);                                                                     \
  }
#endif
