/* attention.cu - softmax(q kᵀ / sqrt(size)) v in float32, over keys and values that lie in rows (n_key, cols) or in pages, by online softmax
 * (Milakov & Gimelshein 2018): attention_any for heads of any size, attention_one for few queries and attention_tiled for many,
 * both for heads of 64. scale is log2(e)/sqrt(size).
 * Each leaves its result in a format of 16 bits too, where there is a copy. */
#include "attention.h"

/* A warp has a query and a head. It takes 32 keys at a time, one a lane, then 128 columns of the values, 4 a lane; where a head
 * has more, it goes over the keys once for each 128. */
template <class T>
KP_DEV void any_head(float *y, void *copy, int copy_format, const float *q, const attention_tile &t, int query, int cols, int size, int head, float scale) {
  int lane = kp_tid() & 31, n = t.see + query * t.step;
  long long row = (long long)(t.row + query) * cols + head * size;
  for (int first = 0; first < size; first += 128) {
    float most = -KP_INFINITY, total = 0, sum[4] = {};
    for (int from = 0; from < n; from += 32) {
      float s = -KP_INFINITY, p = 0;
      if (from + lane < n) {
        const T *k = (const T *)row_of(t, t.k, from + lane, cols * sizeof(T)) + head * size;
        s = 0;
        for (int d = 0; d < size; d++) s = kp_fma(q[row + d], kp_wide(k[d]), s);
        s *= scale;
      }
      float m = kp_max(most, kp_warp_max(s)), w = weight_of(most, m);
      most = m;
      if (from + lane < n) p = kp_exp2(s - m);
      total = total * w + kp_warp_sum(p);
      KP_UNROLL
      for (int i = 0; i < 4; i++) sum[i] *= w;
      for (int j = 0; j < kp_least(n - from, 32); j++) {
        float pj = kp_shfl(p, j);
        const T *v = (const T *)row_of(t, t.v, from + j, cols * sizeof(T)) + head * size;
        KP_UNROLL
        for (int i = 0; i < 4; i++)
          if (int d = first + lane + 32 * i; d < size) sum[i] = kp_fma(pj, kp_wide(v[d]), sum[i]);
      }
    }
    KP_UNROLL
    for (int i = 0; i < 4; i++)
      if (int d = first + lane + 32 * i; d < size) put(y, copy, copy_format, row + d, sum[i] / total);
  }
}

/* Blocks of 4 warps (tiles, heads / 4, the most queries of a tile); keys and values are of a format. */
KP_KERNEL(attention_any)(float *y, void *copy, int copy_format, const float *q, const attention_tile *tiles, int cols, int size, int n_head, float scale, int format) {
  attention_tile t = tiles[kp_bid_x()];
  int head = kp_bid_y() * 4 + (kp_tid() >> 5), query = kp_bid_z();
  if (head >= n_head || query >= t.n_query) return;
  if (format == kp_is_bf16)
    any_head<kp_bf16>(y, copy, copy_format, q, t, query, cols, size, head, scale);
  else if (format == kp_is_f16)
    any_head<kp_half>(y, copy, copy_format, q, t, query, cols, size, head, scale);
  else
    any_head<float>(y, copy, copy_format, q, t, query, cols, size, head, scale);
}

/* 8 numbers of a row */
KP_DEV void load8(float x[8], const float *p) {
  kp_float4 a = ((const kp_float4 *)p)[0], b = ((const kp_float4 *)p)[1];
  x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
}

/* The columns of a lane of key `from` + lane/8, and of its value; of the last of n where there is none. */
KP_DEV void load_key(float k[8], float v[8], const attention_tile &t, int from, int n, int cols, int column) {
  int j = kp_least(from + ((kp_tid() & 31) >> 3), n - 1);
  load8(k, (const float *)row_of(t, t.k, j, cols * 4) + column);
  load8(v, (const float *)row_of(t, t.v, j, cols * 4) + column);
}

/* A block of 8 warps has a query and a head: 8 lanes have a key, 8 columns each, and each 8 their own softmax over every 32nd
 * key; in the end the 32 sums are brought together in their order. */
struct one_scratch { float sums[8][head_size], totals[8], mosts[8]; };

KP_DEV void one_query(float *y, void *copy, int copy_format, one_scratch &m, const float *q, const attention_tile &t, int query, int cols, int head, float scale) {
  int lane = kp_tid() & 31, warp = kp_tid() >> 5, column = head * head_size + (lane & 7) * 8, n = t.see + query * t.step;
  float x[8], sum[8] = {}, most = -KP_INFINITY, total = 0;
  load8(x, q + (long long)(t.row + query) * cols + column);
  for (int i = 0; i < 8; i++) x[i] *= scale;
  float k[8], v[8], next_k[8] = {}, next_v[8] = {};
  if (warp * 4 < n) load_key(k, v, t, warp * 4, n, cols, column);
  for (int from = warp * 4; from < n; from += 32) {
    if (from + 32 < n) load_key(next_k, next_v, t, from + 32, n, cols, column); /* arrives while the last is computed with */
    float s = 0;
    KP_UNROLL
    for (int i = 0; i < 8; i++) s = kp_fma(x[i], k[i], s);
    KP_UNROLL
    for (int mask = 1; mask < 8; mask *= 2) s += kp_shfl_xor(s, mask);
    if (from + (lane >> 3) < n) {
      float next = kp_max(most, s), w = weight_of(most, next), p = kp_exp2(s - next);
      most = next;
      total = total * w + p;
      KP_UNROLL
      for (int i = 0; i < 8; i++) sum[i] = kp_fma(p, v[i], sum[i] * w);
    }
    KP_UNROLL
    for (int i = 0; i < 8; i++) k[i] = next_k[i], v[i] = next_v[i];
  }
  float most4 = kp_max(most, kp_shfl_xor(most, 8));
  most4 = kp_max(most4, kp_shfl_xor(most4, 16));
  float w = weight_of(most, most4);
  total *= w;
  total += kp_shfl_xor(total, 8);
  total += kp_shfl_xor(total, 16);
  for (int i = 0; i < 8; i++) {
    sum[i] *= w;
    sum[i] += kp_shfl_xor(sum[i], 8);
    sum[i] += kp_shfl_xor(sum[i], 16);
    if (lane < 8) m.sums[warp][lane * 8 + i] = sum[i];
  }
  if (lane == 0) m.totals[warp] = total, m.mosts[warp] = most4;
  kp_sync();
  if (kp_tid() >= head_size) return;
  most = m.mosts[0];
  for (int i = 1; i < 8; i++) most = kp_max(most, m.mosts[i]);
  float all = 0, value = 0;
  for (int i = 0; i < 8; i++) {
    w = weight_of(m.mosts[i], most);
    all = kp_fma(m.totals[i], w, all);
    value = kp_fma(m.sums[i][kp_tid()], w, value);
  }
  put(y, copy, copy_format, (long long)(t.row + query) * cols + head * head_size + kp_tid(), value / all);
}

/* Blocks (tiles, heads, the most queries of a tile) */
KP_KERNEL(attention_one)(float *y, void *copy, int copy_format, const float *q, const attention_tile *tiles, int cols, float scale) {
  KP_SHARED one_scratch m;
  attention_tile t = tiles[kp_bid_x()];
  if (kp_bid_z() >= t.n_query) return;
  one_query(y, copy, copy_format, m, q, t, kp_bid_z(), cols, kp_bid_y(), scale);
}

/* A block of 256 threads has up to 64 queries of a sequence and a head, and takes 32 keys at a time through shared memory. The 16
 * threads of a line have 4 queries; each of them scores 2 keys and sums 4 columns. Blocks (tiles, heads). */
enum { tiled_queries = 64, tiled_keys = 32, tiled_stride = head_size + 4, score_stride = tiled_keys + 4 };

KP_DEV kp_float4 quad(const float *p) { return *(const kp_float4 *)p; }
/* 4 neighbouring numbers of a row */
KP_DEV kp_float4 quad(const void *row, int format, int column) {
  if (format == kp_is_f32) return quad((const float *)row + column);
  return {kp_get(row, format, column), kp_get(row, format, column + 1), kp_get(row, format, column + 2), kp_get(row, format, column + 3)};
}
/* 32 rows of keys or values of a format from row `from` on, zeros from n on. */
KP_DEV void load_keys(float *to, int stride, const attention_tile &t, kp_u64 base, int format, int from, int n, int cols, int column) {
  for (int i = kp_tid(); i < tiled_keys * head_size / 4; i += 256) {
    int r = i / (head_size / 4), c = i % (head_size / 4) * 4;
    kp_float4 x = {0, 0, 0, 0};
    if (from + r < n) x = quad((const void *)row_of(t, base, from + r, cols * (format == kp_is_f32 ? 4 : 2)), format, column + c);
    *(kp_float4 *)(to + r * stride + c) = x;
  }
}
KP_DEV float dot4(kp_float4 a, kp_float4 b, float s) { return kp_fma(a.w, b.w, kp_fma(a.z, b.z, kp_fma(a.y, b.y, kp_fma(a.x, b.x, s)))); }
KP_DEV void add4(float sum[4], float p, kp_float4 v) {
  sum[0] = kp_fma(p, v.x, sum[0]), sum[1] = kp_fma(p, v.y, sum[1]), sum[2] = kp_fma(p, v.z, sum[2]), sum[3] = kp_fma(p, v.w, sum[3]);
}

KP_KERNEL(attention_tiled)(float *y, void *copy, int copy_format, const float *q, const attention_tile *tiles, int cols, float scale,
                           int format) {
  alignas(16) KP_SHARED float qs[tiled_queries * tiled_stride], ks[tiled_keys * tiled_stride], vs[tiled_keys * head_size],
      ps[tiled_queries * score_stride];
  attention_tile t = tiles[kp_bid_x()];
  int line = kp_tid() / 16, part = kp_tid() % 16, column = kp_bid_y() * head_size;
  int n = t.see + (t.n_query - 1) * t.step;
  float most[4], total[4] = {}, sum[4][4] = {};
  for (int i = 0; i < 4; i++) most[i] = -KP_INFINITY;
  for (int i = kp_tid(); i < tiled_queries * head_size; i += 256) {
    int r = i / head_size, c = i % head_size;
    qs[r * tiled_stride + c] = r < t.n_query ? q[(long long)(t.row + r) * cols + column + c] * scale : 0.0f;
  }
  for (int from = 0; from < n; from += tiled_keys) {
    int rows = kp_least(n - from, tiled_keys);
    kp_sync(); /* the last round has read the tiles */
    load_keys(ks, tiled_stride, t, t.k, format, from, n, cols, column);
    load_keys(vs, head_size, t, t.v, format, from, n, cols, column);
    kp_sync();
    float s[4][2] = {};
    for (int d = 0; d < head_size; d += 4) {
      kp_float4 k0 = quad(ks + part * tiled_stride + d), k1 = quad(ks + (part + 16) * tiled_stride + d);
      KP_UNROLL
      for (int i = 0; i < 4; i++) {
        kp_float4 x = quad(qs + (line * 4 + i) * tiled_stride + d);
        s[i][0] = dot4(x, k0, s[i][0]);
        s[i][1] = dot4(x, k1, s[i][1]);
      }
    }
    KP_UNROLL
    for (int i = 0; i < 4; i++) {
      int see = t.see + (line * 4 + i) * t.step - from;
      if (part >= see) s[i][0] = -KP_INFINITY;
      if (part + 16 >= see) s[i][1] = -KP_INFINITY;
      if (part >= rows) s[i][0] = -KP_INFINITY;
      if (part + 16 >= rows) s[i][1] = -KP_INFINITY;
      float m = kp_max(s[i][0], s[i][1]);
      for (int x = 1; x < 16; x *= 2) m = kp_max(m, kp_shfl_xor(m, x));
      m = kp_max(most[i], m);
      float w = weight_of(most[i], m), p0 = kp_exp2(s[i][0] - m), p1 = kp_exp2(s[i][1] - m), both = p0 + p1;
      for (int x = 1; x < 16; x *= 2) both += kp_shfl_xor(both, x);
      most[i] = m;
      total[i] = total[i] * w + both;
      for (int d = 0; d < 4; d++) sum[i][d] *= w;
      ps[(line * 4 + i) * score_stride + part] = p0;
      ps[(line * 4 + i) * score_stride + part + 16] = p1;
    }
    kp_sync();
    for (int j = 0; j < tiled_keys; j += 4) {
      kp_float4 v0 = quad(vs + j * head_size + part * 4), v1 = quad(vs + (j + 1) * head_size + part * 4);
      kp_float4 v2 = quad(vs + (j + 2) * head_size + part * 4), v3 = quad(vs + (j + 3) * head_size + part * 4);
      KP_UNROLL
      for (int i = 0; i < 4; i++) {
        kp_float4 p = quad(ps + (line * 4 + i) * score_stride + j);
        add4(sum[i], p.x, v0);
        add4(sum[i], p.y, v1);
        add4(sum[i], p.z, v2);
        add4(sum[i], p.w, v3);
      }
    }
  }
  KP_UNROLL
  for (int i = 0; i < 4; i++)
    if (line * 4 + i < t.n_query)
      for (int d = 0; d < 4; d++)
        put(y, copy, copy_format, (long long)(t.row + line * 4 + i) * cols + column + part * 4 + d, sum[i][d] / total[i]);
}

/* y of the parts that attention_few of attention_mma.h left, taken in their order. Blocks of 128 threads (tiles, heads). */
KP_KERNEL(attention_merge)(float *y, void *copy, int format, const float *part, const float *stats, const int *rows, int cols, int parts) {
  int r = kp_tid() >> 3, d = kp_tid() & 7, row = rows[kp_bid_x() * 16 + r];
  if (row < 0) return;
  long long at = ((long long)kp_bid_x() * kp_gdim_y() + kp_bid_y()) * parts * 16 + r;
  float most = -KP_INFINITY, total = 0, sum[8] = {};
  for (int p = 0; p < parts; p++) most = kp_max(most, stats[2 * (at + p * 16)]);
  for (int p = 0; p < parts; p++) {
    float weight = weight_of(stats[2 * (at + p * 16)], most);
    total = kp_fma(stats[2 * (at + p * 16) + 1], weight, total);
    KP_UNROLL
    for (int i = 0; i < 8; i++) sum[i] = kp_fma(part[(at + p * 16) * head_size + d + 8 * i], weight, sum[i]);
  }
  KP_UNROLL
  for (int i = 0; i < 8; i++) put(y, copy, format, (long long)row * cols + kp_bid_y() * head_size + d + 8 * i, sum[i] / total);
}
