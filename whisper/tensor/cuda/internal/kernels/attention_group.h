/* attention_group.h - attention as in attention_rows.h by the products of warpgroups of sm_90a (after FlashAttention-3, Shah et al. 2024). */
#ifndef ATTENTION_GROUP_H
#define ATTENTION_GROUP_H
#include "attention_rows.h"

enum { group_keys = 64, group_places = 3, group_threads = 256, tile_words = group_keys * row_words, tile_bytes = 16 * tile_words };
struct alignas(1024) group_scratch { kp_uint4 ks[group_places][tile_words], vs[group_places][tile_words]; };

/* Begins to copy tile i of keys, or of values: every 32nd row from row tid/8 on, and 16 bytes of it; zeros where there are no rows any more. */
KP_DEV void begin_tile(kp_uint4 *to, kp_u64 base, int i, int n, int kv_cols) {
  enum { step = group_threads / row_words };
  int row = kp_tid() / row_words, c = kp_tid() % row_words, lane = row * kv_cols + c * 8;
  KP_UNROLL
  for (int j = 0; j < group_keys / step; j++) {
    int first = i * group_keys + j * step;
    kp_copy16_or_zeros(to + word_of(row, c) + j * step * row_words, (const unsigned short *)base + (long long)first * kv_cols + lane, first + row < n);
  }
}

template <class T> KP_DEV void begin_scores(float s[32], const unsigned a[4][4], kp_u64 keys) {
  KP_UNROLL
  for (int k = 0; k < 4; k++) kp_group_multiply<false>(T(), s, a[k], kp_tile_behind(keys, 32 * k), k > 0);
  kp_group_commit();
}
template <class T> KP_DEV void begin_values(float o[32], const unsigned p[4][4], kp_u64 values) {
  KP_UNROLL
  for (int k = 0; k < 4; k++) kp_group_multiply<true>(T(), o, p[k], kp_tile_behind(values, 2048 * k), true);
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
    for (int h = 0; h < 2; h++) w[h] = raise_most(f, h, m[h]);
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

/* Scores of keys, from `from` on, that are not there, or not seen */
KP_DEV void hide_group(float s[32], const attention_tile &t, int n, int from) {
  int tid = kp_tid(), c = (tid & 3) * 2, first = (tid >> 5) * 16 + ((tid & 31) >> 2);
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

/* A block of 2 warpgroups has the queries of a tile, at most 64 each, and a head. While the exponentials of a tile of keys are computed, the
 * products of the one before with its values are. Blocks (tiles, heads). */
template <class T> KP_DEV void attend_group(group_scratch &m, const rows_call &call, const attention_tile *tiles) {
  attention_tile t = tiles[kp_bid_x()];
  int lane = kp_tid() & 31, column = kp_bid_y() * head_size, first = (kp_tid() >> 5) * 16 + (lane >> 2);
  int n = kp_least(t.see + (t.n_query - 1) * t.step, t.n_key), last = (n + group_keys - 1) / group_keys - 1;
  kp_u64 k = t.k + 2 * column, v = t.v + 2 * column;
  begin_tile(m.ks[0], k, 0, n, call.kv_cols);
  kp_copy_commit();
  KP_UNROLL
  for (int i = 0; i < 2; i++) { /* zeros, where there are fewer tiles */
    begin_tile(m.ks[i + 1], k, i + 1, n, call.kv_cols);
    begin_tile(m.vs[i], v, i, n, call.kv_cols);
    kp_copy_commit();
  }
  unsigned a[4][4], p[4][4];
  load_query_rows(a, call.q + (long long)(t.row + first) * call.q_cols + column + (lane & 3) * 2, first < t.n_query, first + 8 < t.n_query, call.q_cols);
  float o[32], s[32];
  row_softmax f = {{-KP_INFINITY, -KP_INFINITY}, {0, 0}};
  kp_u64 key_tile = kp_tile(m.ks), value_tile = kp_tile(m.vs);
  KP_UNROLL
  for (int i = 0; i < 32; i++) o[i] = 0, s[i] = 0;
  kp_copy_wait<2>();
  kp_group_see();
  kp_sync();
  kp_group_begin();
  begin_scores<T>(s, a, key_tile);
  kp_group_wait<0>(s);
  if (t.step || last == 0) hide_group(s, t, n, 0);
  float unused[2];
  take_group_scores(f, s, unused, call.scale);
  pack_group<T>(p, s);
  for (int i = 0, place = 0; i < last; i++) { /* the scores of tile i + 1, and the values of tile i */
    kp_copy_wait<1>();
    kp_group_see();
    kp_sync(); /* what is needed is there for all, and all are done with tile i of keys and i - 1 of values */
    int before = place == 0 ? group_places - 1 : place - 1, behind = place == group_places - 1 ? 0 : place + 1;
    begin_tile(m.ks[place], k, i + 3, n, call.kv_cols);
    begin_tile(m.vs[before], v, i + 2, n, call.kv_cols);
    kp_copy_commit();
    kp_group_begin();
    begin_scores<T>(s, a, kp_tile_behind(key_tile, behind * tile_bytes));
    begin_values<T>(o, p, kp_tile_behind(value_tile, place * tile_bytes));
    kp_group_wait<1>(s);
    if (t.step || i + 1 == last) hide_group(s, t, n, (i + 1) * group_keys);
    float w[2];
    if (take_group_scores(f, s, w, call.scale)) { /* the wait stands in a block of its own, or the assembler would put it before the exponentials */
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
  begin_values<T>(o, p, kp_tile_behind(value_tile, last % group_places * tile_bytes));
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
    attend_group<T>(m, {y, copy, q, cols, q_cols, kv_cols, scale}, tiles); \
  }
#endif
