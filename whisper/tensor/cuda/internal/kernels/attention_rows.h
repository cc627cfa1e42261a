/* attention_rows.h - attention of many queries to keys and values that lie in rows of 16 bits, by tensor cores, for heads of 64 (after
 * FlashAttention-2, Dao 2023). T is their format, and that of the queries and of the result. */
#ifndef ATTENTION_ROWS_H
#define ATTENTION_ROWS_H
#include "attention.h"

/* What a kernel is told: n_query rows of q, of which rows are q_cols apart, those of keys and values kv_cols, all in numbers of 16 bits; y (in
 * float32, or null) and copy (in 16 bits) have cols. scale is log2(e)/sqrt(64). */
struct rows_call { float *y; unsigned short *copy; const unsigned short *q; int cols, q_cols, kv_cols; float scale; };

enum { row_words = 8 }; /* of 16 bytes, of a head */

/* Word c of row r of a tile: rows are 128 bytes, in which words are exchanged so that the same word of 8 rows lies in 8 different banks. */
KP_DEV int word_of(int r, int c) { return r * row_words + (c ^ (r & 7)); }

/* Begins to copy rows from … from+keys-1 of keys and of values to shared memory; zeros where there are no such rows. */
template <int threads, int keys>
KP_DEV void begin_rows(kp_uint4 *ks, kp_uint4 *vs, const attention_tile &t, int from, int n, int kv_cols, int column) {
  KP_UNROLL
  for (int i = 0; i < keys * row_words / threads; i++) {
    int word = kp_tid() + i * threads, r = word / row_words, c = word % row_words;
    bool there = from + r < n;
    long long at = (long long)(there ? from + r : 0) * kv_cols + column + c * 8;
    kp_copy16_or_zeros(ks + word_of(r, c), (const unsigned short *)t.k + at, there);
    kp_copy16_or_zeros(vs + word_of(r, c), (const unsigned short *)t.v + at, there);
  }
}

/* a: the queries of rows g and g+8 of 16; zeros where there is none. */
KP_DEV void load_query_rows(unsigned a[4][4], const unsigned short *q, bool there0, bool there1, int q_cols) {
  const unsigned *x0 = (const unsigned *)q, *x1 = (const unsigned *)(q + 8 * (long long)q_cols);
  KP_UNROLL
  for (int k = 0; k < 4; k++) {
    a[k][0] = there0 ? x0[k * 8] : 0;
    a[k][1] = there1 ? x1[k * 8] : 0;
    a[k][2] = there0 ? x0[k * 8 + 4] : 0;
    a[k][3] = there1 ? x1[k * 8 + 4] : 0;
  }
}

/* The softmax so far of the two rows of 16 that a lane has a quarter of: what scores are lessened by, scaled, and the sums of its own
 * exponentials. The first is the greatest score of a while ago: sums are brought to a new one only where a score exceeds it by `slack`
 * (FlashAttention-4), as float32 has room for exponentials of that. */
struct row_softmax { float most[2], total[2]; };
#define KP_SLACK 8.0f
/* Raises what row h is lessened by to the greatest of its scores, of which m is this lane's. Returns what its sums of values are to be multiplied by. */
KP_DEV float raise_most(row_softmax &f, int h, float m) {
  m = kp_max(m, kp_shfl_xor(m, 1));
  m = kp_max(m, kp_shfl_xor(m, 2));
  m = kp_max(m, f.most[h]);
  float w = weight_of(f.most[h], m);
  f.most[h] = m, f.total[h] *= w;
  return w;
}

/* Takes n blocks of 8 keys into the softmax: scores become exponentials. */
template <int n> KP_DEV void take_row_scores(row_softmax &f, float o[8][4], float s[n][4], float scale) {
  float m[2];
  KP_UNROLL
  for (int h = 0; h < 2; h++) {
    m[h] = kp_max(s[0][2 * h], s[0][2 * h + 1]);
    KP_UNROLL
    for (int b = 1; b < n; b++) m[h] = kp_max(m[h], kp_max(s[b][2 * h], s[b][2 * h + 1]));
    m[h] *= scale;
  }
  if (kp_any(m[0] > f.most[0] + KP_SLACK || m[1] > f.most[1] + KP_SLACK)) {
    KP_UNROLL
    for (int h = 0; h < 2; h++) {
      float w = raise_most(f, h, m[h]);
      KP_UNROLL
      for (int d = 0; d < 8; d++) o[d][2 * h] *= w, o[d][2 * h + 1] *= w;
    }
  }
  KP_UNROLL
  for (int h = 0; h < 2; h++) {
    float sum0 = 0, sum1 = 0;
    KP_UNROLL
    for (int b = 0; b < n; b++) {
      s[b][2 * h] = kp_exp2_flushed(kp_fma(s[b][2 * h], scale, -f.most[h]));
      s[b][2 * h + 1] = kp_exp2_flushed(kp_fma(s[b][2 * h + 1], scale, -f.most[h]));
      sum0 += s[b][2 * h], sum1 += s[b][2 * h + 1];
    }
    f.total[h] += sum0 + sum1;
  }
}

KP_DEV float whole_row_sum(float part) {
  part += kp_shfl_xor(part, 1);
  return part + kp_shfl_xor(part, 2);
}

/* The scores of `groups` times 16 queries and keys at … at+part-1 of a tile. */
template <class T, int groups, int part>
KP_DEV void score_rows(float s[groups][part / 8][4], const unsigned a[groups][4][4], const kp_uint4 *ks, int at) {
  int lane = kp_tid() & 31, m = lane >> 3, r = lane & 7;
  KP_UNROLL
  for (int b = 0; b < part / 8; b++) {
    unsigned w[2][4];
    const kp_uint4 *row = ks + (at + b * 8 + r) * row_words;
    kp_matrices(w[0], row + (m ^ r));
    kp_matrices(w[1], row + (m ^ r ^ 4));
    KP_UNROLL
    for (int g = 0; g < groups; g++) {
      KP_UNROLL
      for (int e = 0; e < 4; e++) s[g][b][e] = 0;
      KP_UNROLL
      for (int k = 0; k < 4; k++) kp_mma(T(), s[g][b], a[g][k], w[k / 2][k % 2 * 2], w[k / 2][k % 2 * 2 + 1]);
    }
  }
}

/* The values of keys at … at+part-1 of a tile, by probabilities laid out as scores are, are added to o. */
template <class T, int groups, int part>
KP_DEV void add_value_rows(float o[groups][8][4], const float s[groups][part / 8][4], const kp_uint4 *vs, int at) {
  int lane = kp_tid() & 31, m = lane >> 3, r = lane & 7;
  KP_UNROLL
  for (int b = 0; b < part / 16; b++) {
    unsigned a[groups][4];
    KP_UNROLL
    for (int g = 0; g < groups; g++)
      KP_UNROLL
      for (int i = 0; i < 4; i++) a[g][i] = kp_pack(T(), s[g][2 * b + i / 2][i % 2 * 2], s[g][2 * b + i / 2][i % 2 * 2 + 1]);
    const kp_uint4 *row = vs + (at + b * 16 + (m & 1) * 8 + r) * row_words;
    KP_UNROLL
    for (int d = 0; d < 4; d++) {
      unsigned w[4];
      kp_matrices_across(w, row + ((2 * d + (m >> 1)) ^ r));
      KP_UNROLL
      for (int g = 0; g < groups; g++) {
        kp_mma(T(), o[g][2 * d], a[g], w[0], w[1]);
        kp_mma(T(), o[g][2 * d + 1], a[g], w[2], w[3]);
      }
    }
  }
}

template <int groups, int part>
KP_DEV void hide_rows(float s[groups][part / 8][4], const attention_tile &t, int n, int first, int from) {
  int c = (kp_tid() & 3) * 2;
  KP_UNROLL
  for (int g = 0; g < groups; g++)
    KP_UNROLL
    for (int b = 0; b < part / 8; b++)
      KP_UNROLL
      for (int e = 0; e < 4; e++) {
        int key = from + b * 8 + c + (e & 1), see = t.see + (first + g * 16 + (e & 2) * 4) * t.step;
        if (key >= kp_least(see, n)) s[g][b][e] = -KP_INFINITY;
      }
}

template <class T> KP_DEV void leave_rows(const rows_call &call, const attention_tile &t, const row_softmax &f, const float o[8][4], int first, int column) {
  int c = (kp_tid() & 3) * 2;
  KP_UNROLL
  for (int e = 0; e < 2; e++) {
    float inverse = 1.0f / whole_row_sum(f.total[e]);
    int r = first + e * 8;
    if (r >= t.n_query) continue;
    long long to = (long long)(t.row + r) * call.cols + column + c;
    KP_UNROLL
    for (int d = 0; d < 8; d++) {
      float v0 = o[d][2 * e] * inverse, v1 = o[d][2 * e + 1] * inverse;
      if (call.y) call.y[to + d * 8] = v0, call.y[to + d * 8 + 1] = v1;
      if (call.copy) ((unsigned *)call.copy)[(to + d * 8) / 2] = kp_pack(T(), v0, v1);
    }
  }
}

/* A block of `warps` warps has the queries of a tile, at most 16 groups warps, and a head. It takes `keys` keys at a time through one of `stages`
 * places of shared memory, and `part` of them at a time from there. Blocks (tiles, heads). */
template <int keys, int stages> struct rows_scratch { kp_uint4 ks[stages][keys * row_words], vs[stages][keys * row_words]; };

template <class T, int warps, int groups, int keys, int part, int stages>
KP_DEV void attend_rows(rows_scratch<keys, stages> &m, const rows_call &call, const attention_tile *tiles) {
  attention_tile t = tiles[kp_bid_x()];
  int lane = kp_tid() & 31, column = kp_bid_y() * head_size, first = (kp_tid() >> 5) * 16 * groups + (lane >> 2);
  bool idle = (kp_tid() >> 5) * 16 * groups >= t.n_query;
  int n = kp_least(t.see + (t.n_query - 1) * t.step, t.n_key);
  KP_UNROLL
  for (int i = 0; i < stages - 1; i++) {
    if (i * keys < n) begin_rows<warps * 32, keys>(m.ks[i], m.vs[i], t, i * keys, n, call.kv_cols, column);
    kp_copy_commit();
  }
  unsigned a[groups][4][4];
  float o[groups][8][4] = {};
  row_softmax f[groups];
  KP_UNROLL
  for (int g = 0; g < groups; g++) {
    int r = first + g * 16;
    load_query_rows(a[g], call.q + (long long)(t.row + r) * call.q_cols + column + (lane & 3) * 2, r < t.n_query, r + 8 < t.n_query, call.q_cols);
    f[g] = {{-KP_INFINITY, -KP_INFINITY}, {0, 0}};
  }
  for (int from = 0, stage = 0, free = stages - 1; from < n; from += keys) {
    kp_copy_wait<stages - 2>();
    kp_sync(); /* the stage is there for all, and all have read the one before */
    int next = from + (stages - 1) * keys;
    if (next < n) begin_rows<warps * 32, keys>(m.ks[free], m.vs[free], t, next, n, call.kv_cols, column);
    kp_copy_commit();
    if (!idle) {
      KP_UNROLL
      for (int at = 0; at < keys; at += part) {
        if (from + at >= n) break;
        float s[groups][part / 8][4];
        score_rows<T, groups, part>(s, a, m.ks[stage], at);
        if (t.step || from + at + part > n) hide_rows<groups, part>(s, t, n, first, from + at);
        KP_UNROLL
        for (int g = 0; g < groups; g++) take_row_scores<part / 8>(f[g], o[g], s[g], call.scale);
        add_value_rows<T, groups, part>(o, s, m.vs[stage], at);
      }
    }
    free = stage, stage = stage + 1 == stages ? 0 : stage + 1;
  }
  if (idle) return;
  KP_UNROLL
  for (int g = 0; g < groups; g++) leave_rows<T>(call, t, f[g], o[g], first + g * 16, column);
}

/* The kernel of a format T, which ends in its name: blocks of 128 threads, for 128 queries */
#define ROWS_KERNELS(name, T) \
  KP_KERNEL_OF(attention_rows_##name, 128, 2)(float *y, unsigned short *copy, const unsigned short *q, const attention_tile *tiles, int cols, int q_cols, \
                                              int kv_cols, float scale) { \
    KP_SHARED rows_scratch<64, 3> m; \
    attend_rows<T, 4, 2, 64, 64, 3>(m, {y, copy, q, cols, q_cols, kv_cols, scale}, tiles); \
  }
#endif
