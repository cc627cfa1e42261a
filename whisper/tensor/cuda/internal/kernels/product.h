/* product.h - products of few rows by tensor cores, with all that is done to their results: y = x wᵀ for w (cols, inner) of 16 bits and up
 * to 64 rows of x a block, in the same format. What the kernels of both formats are made of.
 *
 * The weight is operand a of mma.sync.m16n8k16, in which its rows are the 16, and x is operand b, in which its rows are the 8: few rows leave
 * nothing of the tensor cores idle but what they have none for. Products may add their terms in any order that both operands have, so a
 * lane loads 16 bytes of a row, 8 neighbouring numbers, for two of them. Each number of the weight is loaded once, straight to where
 * it is multiplied. Four warps share the terms of a sum, and with parts > 1 as many blocks; both are added in order. How they are shared
 * depends on inner alone: a row has the same bits whatever stands beside it. */
#ifndef PRODUCT_H
#define PRODUCT_H
#include "lowrank.h"
#include "normal.h"

enum { product_warps = 4, product_terms = 32, product_round = 32 };

/* A product: y (rows, cols) = gelu(scale[row[i]] ∘ (x wᵀ) + bias + z uᵀ + d), or += that. What may be absent is null. */
struct product_call {
  const kp_uint4 *x, *w;
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

/* What a lane multiplies: depth steps of 32 terms, of 16 tall rows of the weight and 8 wide rows of x. */
template <int tall, int wide, int depth> struct product_stage { kp_uint4 a[depth][tall][2], b[depth][wide]; };

template <int tall, int wide, int depth>
KP_DEV void load_stage(product_stage<tall, wide, depth> &m, const product_call &p, const int a[tall][2], const int b[wide], int step, int to) {
  const kp_uint4 zero = {0, 0, 0, 0};
  KP_UNROLL
  for (int d = 0; d < depth; d++) {
    bool there = step + d < to;
    int at = (step + d) * (product_terms / 8);
    KP_UNROLL
    for (int i = 0; i < tall; i++) {
      m.a[d][i][0] = there ? kp_stream16(p.w + (a[i][0] + at)) : zero;
      m.a[d][i][1] = there ? kp_stream16(p.w + (a[i][1] + at)) : zero;
    }
    KP_UNROLL
    for (int i = 0; i < wide; i++) {
      m.b[d][i] = zero;
      if (there) m.b[d][i] = p.x[b[i] + at];
    }
  }
}

template <class T, int tall, int wide, int depth>
KP_DEV void multiply_stage(float sum[tall][wide][4], const product_stage<tall, wide, depth> &m) {
  KP_UNROLL
  for (int d = 0; d < depth; d++)
    KP_UNROLL
    for (int i = 0; i < tall; i++) {
      kp_uint4 u = m.a[d][i][0], v = m.a[d][i][1];
      unsigned first[4] = {u.x, v.x, u.y, v.y}, second[4] = {u.z, v.z, u.w, v.w};
      KP_UNROLL
      for (int j = 0; j < wide; j++) kp_mma(T(), sum[i][j], first, m.b[d][j].x, m.b[d][j].y);
      KP_UNROLL
      for (int j = 0; j < wide; j++) kp_mma(T(), sum[i][j], second, m.b[d][j].z, m.b[d][j].w);
    }
}

/* The sums of a warp: 16 tall columns of y from column on, 8 wide rows from row0 on, over the terms of steps from … to. */
template <class T, int tall, int wide, int depth>
KP_DEV void sum_terms(float sum[tall][wide][4], const product_call &p, const product_shape &s, int column, int row0, int from, int to) {
  int lane = kp_tid() & 31, g = lane >> 2, q = lane & 3, words = s.inner / 8;
  int a[tall][2], b[wide];
  KP_UNROLL
  for (int i = 0; i < tall; i++) {
    a[i][0] = kp_least(column + i * 16 + g, s.cols - 1) * words + q;
    a[i][1] = kp_least(column + i * 16 + g + 8, s.cols - 1) * words + q;
  }
  KP_UNROLL
  for (int i = 0; i < wide; i++) b[i] = kp_least(row0 + i * 8 + g, s.rows - 1) * words + q;
  product_stage<tall, wide, depth> now, next;
  load_stage(now, p, a, b, from, to);
  KP_ROLL
  for (int step = from; step < to; step += 2 * depth) { /* a stage that is not there is zeros */
    load_stage(next, p, a, b, step + depth, to);
    multiply_stage<T>(sum, now);
    load_stage(now, p, a, b, step + 2 * depth, to);
    multiply_stage<T>(sum, next);
  }
}

/* What a block multiplies by comes nearer while others still make what it multiplies. */
KP_DEV void prefetch_weight(const product_call &p, const product_shape &s, int column, int columns, int from, int to) {
  const int line = 128;
  const char *w = (const char *)p.w + (long long)column * s.inner * 2 + from * product_terms * 2;
  int bytes = (to - from) * product_terms * 2, lines = (bytes + line - 1) / line, rows = kp_least(columns, s.cols - column);
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

/* A block of 128 n threads has 16 tall n columns of y and 8 wide rows: blocks (columns, rows, products × parts). scratch has
 * 4 × the rows of a round × (columns + 4) numbers. */
template <class T, int tall, int wide, int depth>
KP_DEV void few_rows(const product_call &p, const product_shape &s, float *scratch, unsigned *ticket) {
  const int round = wide * 8 < product_round ? wide * 8 : product_round;
  int lane = kp_tid() & 31, warp = kp_tid() >> 5 & 3, side = kp_tid() >> 7, g = lane >> 2, c = (lane & 3) * 2;
  int columns = tall * 16 * (kp_bdim() >> 7), line = columns + 4; /* 4: banks */
  int column = kp_bid_x() * columns, row0 = kp_bid_y() * wide * 8, part = kp_bid_z() % s.parts;
  int steps = s.inner / product_terms, each = (steps + s.parts - 1) / s.parts;
  int from = kp_least(part * each, steps), to = kp_least(from + each, steps), share = (to - from + product_warps - 1) / product_warps;
  kp_let_next();
  prefetch_weight(p, s, column, columns, from, to);
  kp_await();
  float sum[tall][wide][4] = {};
  int first = kp_least(from + warp * share, to);
  sum_terms<T, tall, wide, depth>(sum, p, s, column + side * tall * 16, row0, first, kp_least(first + share, to));

  int tiles = (s.cols + columns - 1) / columns;
  long long tile = ((long long)(kp_bid_z() / s.parts) * kp_gdim_y() + kp_bid_y()) * tiles + kp_bid_x();
  float *parts = s.part + tile * s.parts * wide * 8 * columns;
  KP_UNROLL
  for (int r0 = 0; r0 < wide * 8; r0 += round) {
    if (r0 > 0) kp_sync();
    KP_UNROLL
    for (int i = 0; i < tall; i++)
      KP_UNROLL
      for (int j = 0; j < round / 8; j++)
        KP_UNROLL
        for (int e = 0; e < 4; e++)
          scratch[(warp * round + j * 8 + c + (e & 1)) * line + (side * tall + i) * 16 + g + (e & 2) * 4] = sum[i][r0 / 8 + j][e];
    kp_sync();
    KP_ROLL
    for (int i = kp_tid(); i < round * columns; i += kp_bdim()) {
      int r = i / columns, at = i - r * columns;
      const float *v = scratch + r * line + at;
      float total = v[0];
      KP_UNROLL
      for (int w = 1; w < product_warps; w++) total += v[w * round * line];
      if (s.parts > 1)
        parts[(part * wide * 8 + r0) * columns + i] = total;
      else if (row0 + r0 + r < s.rows && column + at < s.cols)
        finish_number(p, s, row0 + r0 + r, column + at, total);
    }
  }
  if (s.parts == 1 || !last_arrived(s.arrived + tile, s.parts, ticket)) return;
  KP_ROLL
  for (int i = kp_tid(); i < wide * 8 * columns; i += kp_bdim()) {
    int r = i / columns, at = i - r * columns;
    if (row0 + r >= s.rows || column + at >= s.cols) continue;
    float total = parts[i];
    KP_ROLL
    for (int k = 1; k < s.parts; k++) total += parts[k * wide * 8 * columns + i];
    finish_number(p, s, row0 + r, column + at, total);
  }
}

/* Up to three products of as many rows, columns and terms have one launch. */
#define PRODUCT_OPERANDS(n) \
  const kp_uint4 *x##n, const kp_uint4 *w##n, float *y##n, const float *bias##n, const float *scale##n, const float *z##n, \
  const low_rank *low##n, const int *index##n, int most##n
#define PRODUCT_CALL(n) {x##n, w##n, y##n, bias##n, scale##n, z##n, low##n, index##n, most##n}
#define PRODUCT_KERNEL(name, T, tall, wide, depth) \
  KP_KERNEL(name)(PRODUCT_OPERANDS(0), PRODUCT_OPERANDS(1), PRODUCT_OPERANDS(2), const int *row, void *copy, int format, float *part, \
                  unsigned *arrived, int rows, int cols, int inner, int parts, int gelu, int add) { \
    KP_SHARED float scratch[product_warps * (wide > 4 ? product_round : wide * 8) * (32 * tall + 4)]; \
    KP_SHARED unsigned ticket; \
    int n = kp_bid_z() / parts; \
    product_call p = PRODUCT_CALL(0); \
    if (n == 1) p = PRODUCT_CALL(1); \
    if (n == 2) p = PRODUCT_CALL(2); \
    product_shape s = {row, copy, part, arrived, format, rows, cols, inner, parts, gelu, add}; \
    few_rows<T, tall, wide, depth>(p, s, scratch, &ticket); \
  }

/* The kernels of a format: by the columns of a warp, and rows. */
#define PRODUCT_KERNELS(name, T) \
  PRODUCT_KERNEL(product_16x8_##name, T, 1, 1, 4) \
  PRODUCT_KERNEL(product_16x16_##name, T, 1, 2, 2) \
  PRODUCT_KERNEL(product_16x32_##name, T, 1, 4, 1) \
  PRODUCT_KERNEL(product_32x32_##name, T, 2, 4, 1) \
  PRODUCT_KERNEL(product_16x64_##name, T, 1, 8, 1) \
  PRODUCT_KERNEL(product_32x64_##name, T, 2, 8, 1)
#endif
