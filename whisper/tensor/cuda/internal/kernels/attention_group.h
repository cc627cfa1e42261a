/* attention_group.h - attention as in attention_rows.h by the products of warpgroups of sm_90a (after FlashAttention-3, Shah et al. 2024). */
#ifndef ATTENTION_GROUP_H
#define ATTENTION_GROUP_H
#include "attention_rows.h"

enum { group_keys = 64, group_places = 3 }; /* keys of a tile, and places for tiles */
struct alignas(1024) group_scratch { kp_uint4 ks[group_places][group_keys * row_words], vs[group_places][group_keys * row_words]; };

/* Begins to copy tile i of keys, or of values, to its place. */
template <int threads>
KP_DEV void begin_tile(kp_uint4 (*places)[group_keys * row_words], kp_u64 base, int i, int place, int n, int kv_cols, int column) {
  KP_UNROLL
  for (int j = 0; j < (group_keys * row_words + threads - 1) / threads; j++) {
    int word = kp_tid() + j * threads, r = word / row_words, c = word % row_words, row = i * group_keys + r;
    if (group_keys * row_words % threads && word >= group_keys * row_words) break;
    bool there = row < n;
    kp_copy16_or_zeros(places[place] + word_of(r, c), (const unsigned short *)base + (long long)(there ? row : 0) * kv_cols + column + c * 8, there);
  }
}

template <class T> KP_DEV void begin_scores(float s[32], const unsigned a[4][4], const kp_uint4 *ks) {
  KP_UNROLL
  for (int k = 0; k < 4; k++) kp_group_multiply<false>(T(), s, a[k], kp_tile(ks + 2 * k), k > 0);
  kp_group_commit();
}
template <class T> KP_DEV void begin_values(float o[32], const unsigned p[4][4], const kp_uint4 *vs) {
  KP_UNROLL
  for (int k = 0; k < 4; k++) kp_group_multiply<true>(T(), o, p[k], kp_tile(vs + 128 * k), true);
  kp_group_commit();
}

/* Takes 64 keys into the softmax: scores become exponentials. w: what the sums of values are to be multiplied by; returns whether they are. */
KP_DEV bool take_group_scores(row_softmax &f, float s[32], float w[2], float scale) {
  float m[2];
  KP_UNROLL
  for (int h = 0; h < 2; h++) {
    m[h] = kp_max(s[2 * h], s[2 * h + 1]);
    KP_UNROLL
    for (int b = 4; b < 32; b += 4) m[h] = kp_max(m[h], kp_max(s[b + 2 * h], s[b + 2 * h + 1]));
    m[h] *= scale;
  }
  bool grows = kp_any(m[0] > f.most[0] + KP_SLACK || m[1] > f.most[1] + KP_SLACK);
  if (grows) {
    KP_UNROLL
    for (int h = 0; h < 2; h++) {
      m[h] = kp_max(m[h], kp_shfl_xor(m[h], 1));
      m[h] = kp_max(m[h], kp_shfl_xor(m[h], 2));
      m[h] = kp_max(m[h], f.most[h]);
      w[h] = weight_of(f.most[h], m[h]);
      f.most[h] = m[h], f.total[h] *= w[h];
    }
  }
  KP_UNROLL
  for (int h = 0; h < 2; h++) {
    float sum0 = 0, sum1 = 0;
    KP_UNROLL
    for (int b = 0; b < 32; b += 4) {
      s[b + 2 * h] = kp_exp2_flushed(kp_fma(s[b + 2 * h], scale, -f.most[h]));
      s[b + 2 * h + 1] = kp_exp2_flushed(kp_fma(s[b + 2 * h + 1], scale, -f.most[h]));
      sum0 += s[b + 2 * h], sum1 += s[b + 2 * h + 1];
    }
    f.total[h] += sum0 + sum1;
  }
  return grows;
}

KP_DEV void hide_group(float s[32], const attention_tile &t, int n, int first, int from) {
  int c = (kp_tid() & 3) * 2;
  KP_UNROLL
  for (int i = 0; i < 32; i++) {
    int key = from + i / 4 * 8 + c + (i & 1), see = t.see + (first + (i & 2) * 4) * t.step;
    if (key >= kp_least(see, n)) s[i] = -KP_INFINITY;
  }
}

template <class T> KP_DEV void pack_group(unsigned p[4][4], const float s[32]) {
  KP_UNROLL
  for (int i = 0; i < 16; i++) p[i / 4][i % 4] = kp_pack(T(), s[2 * i], s[2 * i + 1]);
}

/* A block of `groups` warpgroups has the queries of a tile, at most 64 each, and a head. While the exponentials of a tile of keys are computed, the
 * products of the one before with its values are. Blocks (tiles, heads). */
template <class T, int groups> KP_DEV void attend_group(group_scratch &m, const rows_call &call, const attention_tile *tiles) {
  attention_tile t = tiles[kp_bid_x()];
  int lane = kp_tid() & 31, column = kp_bid_y() * head_size, first = (kp_tid() >> 5) * 16 + (lane >> 2);
  int n = kp_least(t.see + (t.n_query - 1) * t.step, t.n_key), last = (n + group_keys - 1) / group_keys - 1;
  enum { threads = groups * 128 };
  begin_tile<threads>(m.ks, t.k, 0, 0, n, call.kv_cols, column);
  kp_copy_commit();
  KP_UNROLL
  for (int i = 0; i < 2; i++) {
    if (i + 1 <= last) begin_tile<threads>(m.ks, t.k, i + 1, i + 1, n, call.kv_cols, column);
    if (i <= last) begin_tile<threads>(m.vs, t.v, i, i, n, call.kv_cols, column);
    kp_copy_commit();
  }
  unsigned a[4][4], p[4][4];
  load_query_rows(a, call.q + (long long)(t.row + first) * call.q_cols + column + (lane & 3) * 2, first < t.n_query, first + 8 < t.n_query, call.q_cols);
  float o[32], s[32], w[2] = {0, 0};
  row_softmax f = {{-KP_INFINITY, -KP_INFINITY}, {0, 0}};
  KP_UNROLL
  for (int i = 0; i < 32; i++) o[i] = 0, s[i] = 0;
  kp_copy_wait<2>();
  kp_group_see();
  kp_sync();
  kp_group_begin();
  begin_scores<T>(s, a, m.ks[0]);
  kp_group_wait<0>(s);
  if (t.step || last == 0) hide_group(s, t, n, first, 0);
  take_group_scores(f, s, w, call.scale);
  pack_group<T>(p, s);
  for (int i = 0, place = 0; i < last; i++) { /* the scores of tile i + 1, and the values of tile i */
    kp_copy_wait<1>();
    kp_group_see();
    kp_sync(); /* what is needed is there for all, and all are done with tile i of keys and i - 1 of values */
    int before = place == 0 ? group_places - 1 : place - 1, behind = place == group_places - 1 ? 0 : place + 1;
    if (i + 3 <= last) begin_tile<threads>(m.ks, t.k, i + 3, place, n, call.kv_cols, column);
    if (i + 2 <= last) begin_tile<threads>(m.vs, t.v, i + 2, before, n, call.kv_cols, column);
    kp_copy_commit();
    kp_group_begin();
    begin_scores<T>(s, a, m.ks[behind]);
    begin_values<T>(o, p, m.vs[place]);
    kp_group_wait<1>(s);
    if (t.step || i + 1 == last) hide_group(s, t, n, first, (i + 1) * group_keys);
    bool grows = take_group_scores(f, s, w, call.scale);
    if (grows) { /* the wait stands in a block of its own, or the assembler would put it before the exponentials */
      kp_group_wait<0, true>(o);
      KP_UNROLL
      for (int d = 0; d < 32; d++) o[d] *= w[d / 2 % 2];
    } else
      kp_group_wait<0>(o);
    pack_group<T>(p, s);
    place = behind;
  }
  kp_copy_wait<0>();
  kp_group_see();
  kp_sync();
  kp_group_begin();
  begin_values<T>(o, p, m.vs[last % group_places]);
  kp_group_wait<0>(o);
  float sums[8][4];
  KP_UNROLL
  for (int i = 0; i < 32; i++) sums[i / 4][i % 4] = o[i];
  leave_rows<T>(call, t, f, sums, first, column);
}

/* The kernel of a format T, which ends in its name: blocks of 256 threads, for 128 queries */
#define GROUP_KERNELS(name, T) \
  KP_KERNEL_OF(attention_rows_##name##_sm90, 256, 2)(float *y, unsigned short *copy, const unsigned short *q, const attention_tile *tiles, int cols, int q_cols, \
                                                     int kv_cols, float scale) { \
    KP_SHARED group_scratch m; \
    attend_group<T, 2>(m, {y, copy, q, cols, q_cols, kv_cols, scale}, tiles); \
  }
#endif
