/* product.h - products of few rows by tensor cores, with all that is done to their results: y = x wᵀ for w (cols, inner) of 16 bits and up
 * to 32 rows of x a block, in the same format. What the kernels of both formats are made of.
 *
 * The weight is operand a of mma.sync.m16n8k16, in which its rows are the 16, and x is operand b, in which its rows are the 8: few rows leave
 * nothing of the tensor cores idle but what they have none for. Products may add their terms in any order that both operands have, so a
 * lane loads 16 bytes of a row, 8 neighbouring numbers, for two of them. Each number of the weight is loaded once, straight to where
 * it is multiplied. Eight warps share the terms of a sum, and with parts > 1 as many blocks; both are added in order. How they are shared
 * depends on inner alone: a row has the same bits whatever stands beside it. */
#ifndef PRODUCT_H
#define PRODUCT_H
#include "lowrank.h"
#include "normal.h"

enum { product_warps = 8, product_columns = 16, product_line = product_columns + 4 /* banks */, product_terms = 32 };

/* A product: y (rows, cols) = gelu(scale[row[i]] ∘ (x wᵀ) + bias + z uᵀ + d), or += that. What may be absent is null. */
struct product_call {
  float *y;
  const float *bias, *scale, *z;
  const low_rank *low;
  const int *index;
  int most; /* ranks of z */
};

/* What products of one launch have in common. */
struct product_shape {
  const int *row;
  void *copy;
  float *part;
  unsigned *arrived;
  int format, rows, cols, inner, parts, gelu, add;
};

KP_DEV void finish_number(const product_call &p, const product_shape &s, int r, int c, float v) {
  long long at = (long long)r * s.cols + c;
  if (p.scale) v *= p.scale[(s.row ? (long long)s.row[r] * s.cols : 0) + c];
  if (p.bias) v += p.bias[c];
  if (p.low && p.index[r] >= 0) v = expand_to(v, p.low[p.index[r]], p.z + (long long)r * p.most, p.most, c);
  if (s.gelu) v = kp_gelu(v);
  if (s.add) v += p.y[at];
  p.y[at] = v;
  if (s.copy) kp_put(s.copy, s.format, at, v);
}

/* What a lane multiplies: depth steps of 32 terms, of 16 rows of the weight and 8 wide rows of x. */
template <int wide, int depth> struct product_stage { kp_uint4 a[depth][2], b[depth][wide]; };

template <int wide, int depth>
KP_DEV void load_stage(product_stage<wide, depth> &m, const kp_uint4 *x, const kp_uint4 *w, const int a[2], const int b[wide], int step, int to) {
  const kp_uint4 zero = {0, 0, 0, 0};
  KP_UNROLL
  for (int d = 0; d < depth; d++) {
    bool there = step + d < to;
    int at = (step + d) * (product_terms / 8);
    m.a[d][0] = there ? kp_stream16(w + (a[0] + at)) : zero;
    m.a[d][1] = there ? kp_stream16(w + (a[1] + at)) : zero;
    KP_UNROLL
    for (int i = 0; i < wide; i++) {
      m.b[d][i] = zero;
      if (there) m.b[d][i] = x[b[i] + at];
    }
  }
}

template <class T, int wide, int depth> KP_DEV void multiply_stage(float sum[wide][4], const product_stage<wide, depth> &m) {
  KP_UNROLL
  for (int d = 0; d < depth; d++) {
    kp_uint4 u = m.a[d][0], v = m.a[d][1];
    unsigned first[4] = {u.x, v.x, u.y, v.y}, second[4] = {u.z, v.z, u.w, v.w};
    KP_UNROLL
    for (int j = 0; j < wide; j++) kp_mma(T(), sum[j], first, m.b[d][j].x, m.b[d][j].y);
    KP_UNROLL
    for (int j = 0; j < wide; j++) kp_mma(T(), sum[j], second, m.b[d][j].z, m.b[d][j].w);
  }
}

/* The sums of a warp: 16 columns of y from column on, 8 wide rows from row0 on, over the terms of steps from … to. */
template <class T, int wide, int depth>
KP_DEV void sum_terms(float sum[wide][4], const kp_uint4 *x, const kp_uint4 *w, const product_shape &s, int column, int row0, int from, int to) {
  int lane = kp_tid() & 31, g = lane >> 2, q = lane & 3, words = s.inner / 8;
  int a[2] = {kp_least(column + g, s.cols - 1) * words + q, kp_least(column + g + 8, s.cols - 1) * words + q}, b[wide];
  KP_UNROLL
  for (int i = 0; i < wide; i++) b[i] = kp_least(row0 + i * 8 + g, s.rows - 1) * words + q;
  product_stage<wide, depth> now, next;
  load_stage(now, x, w, a, b, from, to);
  KP_ROLL
  for (int step = from; step < to; step += 2 * depth) { /* a stage that is not there is zeros */
    load_stage(next, x, w, a, b, step + depth, to);
    multiply_stage<T>(sum, now);
    load_stage(now, x, w, a, b, step + 2 * depth, to);
    multiply_stage<T>(sum, next);
  }
}

/* What a block multiplies by comes nearer while others still make what it multiplies. */
KP_DEV void prefetch_weight(const kp_uint4 *weight, const product_shape &s, int column, int from, int to) {
  const int line = 128;
  const char *w = (const char *)weight + (long long)column * s.inner * 2 + from * product_terms * 2;
  int bytes = (to - from) * product_terms * 2, lines = (bytes + line - 1) / line, rows = kp_least(product_columns, s.cols - column);
  KP_ROLL
  for (int i = kp_tid(); i < rows * lines; i += kp_bdim()) {
    int r = i / lines;
    kp_prefetch(w + (long long)r * s.inner * 2 + (i - r * lines) * line);
  }
}

/* Takes the last of the blocks that share a tile on, which then adds their parts. */
KP_DEV bool last_arrived(unsigned *arrived, int parts, unsigned *ticket) {
  kp_fence();
  kp_sync();
  if (kp_tid() == 0) *ticket = kp_atomic_add(arrived, 1u);
  kp_sync();
  if (*ticket + 1 != (unsigned)parts) return false;
  if (kp_tid() == 0) *arrived = 0; /* for the next launch */
  kp_fence();
  return true;
}

/* The terms of the block are divided among its warps. */
template <class T, int wide, int depth>
KP_DEV void sum_few(float sum[wide][4], const kp_uint4 *x, const kp_uint4 *w, const product_shape &s) {
  int column = kp_bid_x() * product_columns, part = kp_bid_z() % s.parts, warp = kp_tid() >> 5;
  int steps = s.inner / product_terms, each = (steps + s.parts - 1) / s.parts;
  int from = kp_least(part * each, steps), to = kp_least(from + each, steps), share = (to - from + product_warps - 1) / product_warps;
  kp_let_next();
  prefetch_weight(w, s, column, from, to);
  kp_await();
  int first = kp_least(from + warp * share, to);
  sum_terms<T, wide, depth>(sum, x, w, s, column, kp_bid_y() * wide * 8, first, kp_least(first + share, to));
}

/* Adds the sums of the warps, and those of the blocks that have parts of them. scratch has the rows of each warp. */
template <int wide>
KP_DEV void finish_few(const product_call &p, const product_shape &s, const float sum[wide][4], float *scratch, unsigned *ticket) {
  const int columns = product_columns, line = product_line, rows = wide * 8;
  int lane = kp_tid() & 31, warp = kp_tid() >> 5, g = lane >> 2, c = (lane & 3) * 2;
  int column = kp_bid_x() * columns, row0 = kp_bid_y() * rows, part = kp_bid_z() % s.parts;
  int tiles = (s.cols + columns - 1) / columns;
  long long tile = ((long long)(kp_bid_z() / s.parts) * kp_gdim_y() + kp_bid_y()) * tiles + kp_bid_x();
  float *parts = s.part + tile * s.parts * rows * columns;
  KP_UNROLL
  for (int j = 0; j < wide; j++)
    KP_UNROLL
    for (int e = 0; e < 4; e++) scratch[(warp * rows + j * 8 + c + (e & 1)) * line + g + (e & 2) * 4] = sum[j][e];
  kp_sync();
  KP_ROLL
  for (int i = kp_tid(); i < rows * columns; i += kp_bdim()) {
    int r = i / columns, at = i - r * columns;
    const float *v = scratch + r * line + at;
    float total = v[0];
    KP_UNROLL
    for (int w = 1; w < product_warps; w++) total += v[w * rows * line];
    if (s.parts > 1)
      parts[part * rows * columns + i] = total;
    else if (row0 + r < s.rows && column + at < s.cols)
      finish_number(p, s, row0 + r, column + at, total);
  }
  if (s.parts == 1 || !last_arrived(s.arrived + tile, s.parts, ticket)) return;
  KP_ROLL
  for (int i = kp_tid(); i < rows * columns; i += kp_bdim()) {
    int r = i / columns, at = i - r * columns;
    if (row0 + r >= s.rows || column + at >= s.cols) continue;
    float total = parts[i];
    KP_ROLL
    for (int k = 1; k < s.parts; k++) total += parts[k * rows * columns + i];
    finish_number(p, s, row0 + r, column + at, total);
  }
}

/* Up to three products of as many rows, columns and terms have one launch. A block of 256 threads has 16 columns of y and 8 wide rows: blocks
 * (columns, rows, products × parts). */
#define PRODUCT_OPERANDS(n) \
  const kp_uint4 *x##n, const kp_uint4 *w##n, float *y##n, const float *bias##n, const float *scale##n, const float *z##n, \
  const low_rank *low##n, const int *index##n, int most##n
#define PRODUCT_CALL(n) {y##n, bias##n, scale##n, z##n, low##n, index##n, most##n}
#define PRODUCT_KERNEL(name, T, wide, depth) \
  KP_KERNEL(name)(PRODUCT_OPERANDS(0), PRODUCT_OPERANDS(1), PRODUCT_OPERANDS(2), const int *row, void *copy, int format, float *part, \
                  unsigned *arrived, int rows, int cols, int inner, int parts, int gelu, int add) { \
    KP_SHARED float scratch[product_warps * wide * 8 * product_line]; \
    KP_SHARED unsigned ticket; \
    int n = kp_bid_z() / parts; \
    product_shape s = {row, copy, part, arrived, format, rows, cols, inner, parts, gelu, add}; \
    float sum[wide][4] = {}; \
    sum_few<T, wide, depth>(sum, n == 0 ? x0 : n == 1 ? x1 : x2, n == 0 ? w0 : n == 1 ? w1 : w2, s); \
    product_call p = PRODUCT_CALL(0); \
    if (n == 1) p = PRODUCT_CALL(1); \
    if (n == 2) p = PRODUCT_CALL(2); \
    finish_few<wide>(p, s, sum, scratch, &ticket); \
  }

/* The kernels of a format, by the rows of a block. */
#define PRODUCT_KERNELS(name, T) \
  PRODUCT_KERNEL(product_8_##name, T, 1, 4) \
  PRODUCT_KERNEL(product_16_##name, T, 2, 2) \
  PRODUCT_KERNEL(product_32_##name, T, 4, 1)
#endif
