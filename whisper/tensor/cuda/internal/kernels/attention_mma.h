/* attention_mma.h - attention to keys and values of 16 bits by tensor cores, for heads of 64 (after FlashAttention-2, Dao 2023). T is their
 * format. What the kernels of all formats are made of; attention_bf16.cu and others name them.
 *
 * Packed keys and values lie in the order in which mma.sync.m16n8k16 takes its operand b. The keys of a head are blocks of 16,
 * padded with zeros, of 128 words of 16 bytes: word i*32 + lane holds for the keys, with g = lane/4 and c = lane%4, of key
 * 8(i/2) + g the columns 32(i%2) + 2c +{0,1}, +{8,9}, +{16,17}, +{24,25}; and for the values, of column 16i + g the keys
 * 2c + {0,1}, +{8,9}, and of column 16i + 8 + g the same. Heads follow one another. So a warp loads what it multiplies by in whole lines. */
#ifndef ATTENTION_MMA_H
#define ATTENTION_MMA_H
#include "attention.h"

enum { block_keys = 16, block_words = 128 };

KP_DEV int key_blocks(int n_key) { return (n_key + block_keys - 1) / block_keys; }

/* The packing of a sequence: k and v (n_key, cols), to_k and to_v as above. */
struct packing { kp_u64 k, v, to_k, to_v; int n_key, unused; };

template <class T> KP_DEV unsigned pair(const float *x, int n_key, int cols, int key0, int col0, int key1, int col1) {
  return kp_pack(T(), key0 < n_key ? kp_within(T(), x[(long long)key0 * cols + col0]) : 0.0f,
                 key1 < n_key ? kp_within(T(), x[(long long)key1 * cols + col1]) : 0.0f);
}

/* pack_key_value: a block of 256 threads packs a block of keys of a head: blocks (key blocks of the longest, heads, sequences). */
template <class T> KP_DEV void pack_block(const packing *list, int cols) {
  packing p = list[kp_bid_z()];
  if (kp_bid_x() >= key_blocks(p.n_key)) return;
  int word = kp_tid() % block_words, i = word / 32, g = word % 32 / 4, c = word % 4 * 2;
  int key = kp_bid_x() * block_keys, column = kp_bid_y() * head_size, n = p.n_key;
  long long to = ((long long)kp_bid_y() * key_blocks(n) + kp_bid_x()) * block_words + word;
  kp_uint4 w;
  if (kp_tid() < block_words) {
    const float *x = (const float *)p.k;
    key += i / 2 * 8 + g, column += i % 2 * 32 + c;
    w.x = pair<T>(x, n, cols, key, column, key, column + 1);
    w.y = pair<T>(x, n, cols, key, column + 8, key, column + 9);
    w.z = pair<T>(x, n, cols, key, column + 16, key, column + 17);
    w.w = pair<T>(x, n, cols, key, column + 24, key, column + 25);
    ((kp_uint4 *)p.to_k)[to] = w;
    return;
  }
  const float *x = (const float *)p.v;
  key += c, column += i * 16 + g;
  w.x = pair<T>(x, n, cols, key, column, key + 1, column);
  w.y = pair<T>(x, n, cols, key + 8, column, key + 9, column);
  w.z = pair<T>(x, n, cols, key, column + 8, key + 1, column + 8);
  w.w = pair<T>(x, n, cols, key + 8, column + 8, key + 9, column + 8);
  ((kp_uint4 *)p.to_v)[to] = w;
}

/* unpack_keys: k (n_key, cols) of packed keys. A block of 128 threads has a block of keys of a head: blocks (key blocks, heads). */
template <class T> KP_DEV void unpack_block(float *k, const kp_uint4 *packed, int n_key, int cols) {
  int word = kp_tid(), i = word / 32, g = word % 32 / 4, c = word % 4 * 2;
  int key = kp_bid_x() * block_keys + i / 2 * 8 + g;
  if (key >= n_key) return;
  kp_uint4 w = packed[((long long)kp_bid_y() * key_blocks(n_key) + kp_bid_x()) * block_words + word];
  float *to = k + (long long)key * cols + kp_bid_y() * head_size + i % 2 * 32 + c;
  to[0] = kp_low(T(), w.x), to[1] = kp_high(T(), w.x);
  to[8] = kp_low(T(), w.y), to[9] = kp_high(T(), w.y);
  to[16] = kp_low(T(), w.z), to[17] = kp_high(T(), w.z);
  to[24] = kp_low(T(), w.w), to[25] = kp_high(T(), w.w);
}

template <class T> KP_DEV unsigned query_pair(const float *x, float scale) {
  return kp_pack(T(), kp_within(T(), x[0] * scale), kp_within(T(), x[1] * scale));
}
/* a: the queries of rows g and g+8 of 16, scaled and rounded; a row of -1 is zeros. */
template <class T>
KP_DEV void load_queries(unsigned a[4][4], const float *q, long long row0, long long row1, int cols, int column, float scale) {
  const float *x0 = q + row0 * cols + column, *x1 = q + row1 * cols + column;
  int c = (kp_tid() & 3) * 2;
  KP_UNROLL
  for (int k = 0; k < 4; k++) {
    int d = k * 16 + c;
    a[k][0] = row0 < 0 ? 0 : query_pair<T>(x0 + d, scale);
    a[k][1] = row1 < 0 ? 0 : query_pair<T>(x1 + d, scale);
    a[k][2] = row0 < 0 ? 0 : query_pair<T>(x0 + d + 8, scale);
    a[k][3] = row1 < 0 ? 0 : query_pair<T>(x1 + d + 8, scale);
  }
}

/* The scores of 16 queries and the 16 keys of a block are added to s0 (keys 0-7) and s1 (keys 8-15). */
template <class T> KP_DEV void score_block(float s0[4], float s1[4], const unsigned q[4][4], const kp_uint4 k[4]) {
  kp_mma(T(), s0, q[0], k[0].x, k[0].y);
  kp_mma(T(), s1, q[0], k[2].x, k[2].y);
  kp_mma(T(), s0, q[1], k[0].z, k[0].w);
  kp_mma(T(), s1, q[1], k[2].z, k[2].w);
  kp_mma(T(), s0, q[2], k[1].x, k[1].y);
  kp_mma(T(), s1, q[2], k[3].x, k[3].y);
  kp_mma(T(), s0, q[3], k[1].z, k[1].w);
  kp_mma(T(), s1, q[3], k[3].z, k[3].w);
}

/* The values of a block, by probabilities p0 and p1 laid out as scores are, are added to o. */
template <class T> KP_DEV void add_values(float o[8][4], const float p0[4], const float p1[4], const kp_uint4 v[4]) {
  unsigned a[4] = {kp_pack(T(), p0[0], p0[1]), kp_pack(T(), p0[2], p0[3]), kp_pack(T(), p1[0], p1[1]), kp_pack(T(), p1[2], p1[3])};
  KP_UNROLL
  for (int i = 0; i < 4; i++) {
    kp_mma(T(), o[2 * i], a, v[i].x, v[i].y);
    kp_mma(T(), o[2 * i + 1], a, v[i].z, v[i].w);
  }
}

/* The softmax so far of the two rows of 16 that a lane has a quarter of: their greatest scores, and the sums of its own exponentials. */
struct softmax { float most[2], total[2]; };

/* Takes n blocks of 8 keys into the softmax: scores become exponentials, and o is brought to the new maximum where one changed. */
template <int n> KP_DEV void take_scores(softmax &f, float o[8][4], float s[n][4]) {
  float m[2] = {f.most[0], f.most[1]}, w[2];
  KP_UNROLL
  for (int h = 0; h < 2; h++) {
    KP_UNROLL
    for (int b = 0; b < n; b++) m[h] = kp_max(m[h], kp_max(s[b][2 * h], s[b][2 * h + 1]));
    m[h] = kp_max(m[h], kp_shfl_xor(m[h], 1));
    m[h] = kp_max(m[h], kp_shfl_xor(m[h], 2));
    w[h] = weight_of(f.most[h], m[h]);
  }
  if (kp_any(m[0] != f.most[0] || m[1] != f.most[1])) {
    KP_UNROLL
    for (int d = 0; d < 8; d++) o[d][0] *= w[0], o[d][1] *= w[0], o[d][2] *= w[1], o[d][3] *= w[1];
  }
  KP_UNROLL
  for (int h = 0; h < 2; h++) {
    f.most[h] = m[h];
    f.total[h] *= w[h];
    KP_UNROLL
    for (int b = 0; b < n; b++) {
      s[b][2 * h] = kp_exp2(s[b][2 * h] - m[h]);
      s[b][2 * h + 1] = kp_exp2(s[b][2 * h + 1] - m[h]);
      f.total[h] += s[b][2 * h] + s[b][2 * h + 1];
    }
  }
}
KP_DEV float whole_row(float part) {
  part += kp_shfl_xor(part, 1);
  return part + kp_shfl_xor(part, 2);
}

/* attention_flash: many queries. A block of 4 warps has 128 queries of a sequence and a head, 32 a warp. It takes 64 keys at a time
 * through shared memory, the next 64 arriving meanwhile. Blocks (tiles, heads). */
enum { stage_blocks = 4, stage_words = stage_blocks * block_words };

KP_DEV void begin_stage(kp_uint4 *to, const kp_uint4 *from, int blocks) {
  for (int i = kp_tid(); i < kp_least(blocks, stage_blocks) * block_words; i += 128) kp_copy16(to + i, from + i);
}

struct flash_scratch { kp_uint4 ks[2][stage_words], vs[2][stage_words]; };

template <class T>
KP_DEV void flash(float *y, void *copy, int format, flash_scratch &m, const float *q, const attention_tile *tiles, int cols, float scale) {
  attention_tile t = tiles[kp_bid_x()];
  int lane = kp_tid() & 31, g = lane >> 2, c = (lane & 3) * 2, column = kp_bid_y() * head_size;
  int first = (kp_tid() >> 5) * 32 + g; /* of the queries of the tile: this lane has first + 0, 8, 16, 24 */
  int n = kp_least(t.see + (t.n_query - 1) * t.step, t.n_key), blocks = key_blocks(n);
  const kp_uint4 *k = (const kp_uint4 *)t.k + (long long)kp_bid_y() * key_blocks(t.n_key) * block_words;
  const kp_uint4 *v = (const kp_uint4 *)t.v + (long long)kp_bid_y() * key_blocks(t.n_key) * block_words;
  unsigned a[2][4][4];
  float o[2][8][4] = {};
  softmax f[2];
  begin_stage(m.ks[0], k, blocks);
  begin_stage(m.vs[0], v, blocks);
  kp_copy_commit();
  KP_UNROLL
  for (int h = 0; h < 2; h++) {
    int r0 = first + h * 16, r1 = r0 + 8;
    load_queries<T>(a[h], q, r0 < t.n_query ? t.row + r0 : -1, r1 < t.n_query ? t.row + r1 : -1, cols, column, scale);
    f[h] = {{-KP_INFINITY, -KP_INFINITY}, {0, 0}};
  }
  for (int from = 0, stage = 0; from < blocks; from += stage_blocks, stage ^= 1) {
    int next = from + stage_blocks;
    if (next < blocks) {
      begin_stage(m.ks[stage ^ 1], k + next * block_words, blocks - next);
      begin_stage(m.vs[stage ^ 1], v + next * block_words, blocks - next);
    }
    kp_copy_commit();
    kp_copy_wait<1>();
    kp_sync();
    float s[2][2 * stage_blocks][4] = {};
    KP_UNROLL
    for (int b = 0; b < stage_blocks; b++) {
      if (from + b >= blocks) break;
      kp_uint4 w[4];
      KP_UNROLL
      for (int i = 0; i < 4; i++) w[i] = m.ks[stage][b * block_words + i * 32 + lane];
      KP_UNROLL
      for (int h = 0; h < 2; h++) score_block<T>(s[h][2 * b], s[h][2 * b + 1], a[h], w);
    }
    if (t.step || next * block_keys > n) { /* some of these keys are not there, or not seen */
      KP_UNROLL
      for (int h = 0; h < 2; h++)
        KP_UNROLL
        for (int b = 0; b < 2 * stage_blocks; b++)
          KP_UNROLL
          for (int e = 0; e < 4; e++) {
            int key = from * block_keys + b * 8 + c + (e & 1), see = t.see + (first + h * 16 + (e & 2) * 4) * t.step;
            if (key >= kp_least(see, n)) s[h][b][e] = -KP_INFINITY;
          }
    }
    KP_UNROLL
    for (int h = 0; h < 2; h++) take_scores<2 * stage_blocks>(f[h], o[h], s[h]);
    KP_UNROLL
    for (int b = 0; b < stage_blocks; b++) {
      if (from + b >= blocks) break;
      kp_uint4 w[4];
      KP_UNROLL
      for (int i = 0; i < 4; i++) w[i] = m.vs[stage][b * block_words + i * 32 + lane];
      KP_UNROLL
      for (int h = 0; h < 2; h++) add_values<T>(o[h], s[h][2 * b], s[h][2 * b + 1], w);
    }
    kp_sync(); /* all have read the stage */
  }
  KP_UNROLL
  for (int h = 0; h < 2; h++)
    KP_UNROLL
    for (int e = 0; e < 2; e++) {
      float inverse = 1.0f / whole_row(f[h].total[e]);
      int r = first + h * 16 + e * 8;
      if (r >= t.n_query) continue;
      long long to = (long long)(t.row + r) * cols + column + c;
      KP_UNROLL
      for (int d = 0; d < 8; d++) {
        float v0 = o[h][d][2 * e] * inverse, v1 = o[h][d][2 * e + 1] * inverse;
        y[to + d * 8] = v0, y[to + d * 8 + 1] = v1;
        if (copy) ((unsigned *)copy)[(to + d * 8) / 2] = kp_narrow_pair(format, v0, v1);
      }
    }
}

/* attention_few: up to 16 queries that share keys and values, which are read once for them, such as the hypotheses of an utterance.
 * A block of 4 warps has a head and a part of the keys, of which each warp takes every fourth block of 16. rows has 16 rows of q for
 * each tile, -1 where there is none. With one part y is written; with more, part (tile, head, part) has the 16 sums of values
 * (16, 64), and stats their {most, total}, for attention_merge. Blocks (tiles, heads, parts). */
struct few_scratch { float o[4][16][head_size], most[4][16], total[4][16]; };

KP_DEV void load_block(kp_uint4 w[4], const kp_uint4 *from) {
  KP_UNROLL
  for (int i = 0; i < 4; i++) w[i] = from[i * 32 + (kp_tid() & 31)];
}

/* The sums of one warp go to the memory of the block. */
KP_DEV void leave(few_scratch &m, const softmax &f, const float o[8][4]) {
  int lane = kp_tid() & 31, warp = kp_tid() >> 5, g = lane >> 2, c = (lane & 3) * 2;
  KP_UNROLL
  for (int h = 0; h < 2; h++) {
    float total = whole_row(f.total[h]);
    if (c == 0) m.most[warp][g + 8 * h] = f.most[h], m.total[warp][g + 8 * h] = total;
    KP_UNROLL
    for (int d = 0; d < 8; d++) m.o[warp][g + 8 * h][d * 8 + c] = o[d][2 * h], m.o[warp][g + 8 * h][d * 8 + c + 1] = o[d][2 * h + 1];
  }
}

template <class T>
KP_DEV void few(float *y, void *copy, int format, few_scratch &m, float *part, float *stats, const float *q, const attention_tile *tiles,
                const int *rows, int cols, float scale) {
  attention_tile t = tiles[kp_bid_x()];
  int lane = kp_tid() & 31, warp = kp_tid() >> 5, c = (lane & 3) * 2, column = kp_bid_y() * head_size;
  int blocks = key_blocks(t.n_key), each = (blocks + kp_gdim_z() - 1) / kp_gdim_z();
  int from = kp_bid_z() * each + warp, to = kp_least((kp_bid_z() + 1) * each, blocks);
  const int *row = rows + kp_bid_x() * 16;
  const kp_uint4 *k = (const kp_uint4 *)t.k + (long long)kp_bid_y() * blocks * block_words;
  const kp_uint4 *v = (const kp_uint4 *)t.v + (long long)kp_bid_y() * blocks * block_words;
  unsigned a[4][4];
  float o[8][4] = {};
  softmax f = {{-KP_INFINITY, -KP_INFINITY}, {0, 0}};
  kp_uint4 kw[4], vw[4], kn[4], vn[4];
  if (from < to) load_block(kw, k + from * block_words), load_block(vw, v + from * block_words);
  load_queries<T>(a, q, row[lane >> 2], row[(lane >> 2) + 8], cols, column, scale);
  for (int b = from; b < to; b += 4) {
    if (b + 4 < to) load_block(kn, k + (b + 4) * block_words), load_block(vn, v + (b + 4) * block_words);
    float s[2][4] = {};
    score_block<T>(s[0], s[1], a, kw);
    if ((b + 1) * block_keys > t.n_key) {
      KP_UNROLL
      for (int e = 0; e < 8; e++)
        if (b * block_keys + e / 4 * 8 + c + (e & 1) >= t.n_key) s[e / 4][e % 4] = -KP_INFINITY;
    }
    take_scores<2>(f, o, s);
    add_values<T>(o, s[0], s[1], vw);
    KP_UNROLL
    for (int i = 0; i < 4; i++) kw[i] = kn[i], vw[i] = vn[i];
  }
  leave(m, f, o);
  kp_sync();
  int r = kp_tid() >> 3, d = kp_tid() & 7; /* a query, and columns d + 8i of it */
  if (row[r] < 0) return;
  float most = kp_max(kp_max(m.most[0][r], m.most[1][r]), kp_max(m.most[2][r], m.most[3][r])), total = 0, sum[8] = {};
  KP_UNROLL
  for (int w = 0; w < 4; w++) {
    float weight = weight_of(m.most[w][r], most);
    total = kp_fma(m.total[w][r], weight, total);
    KP_UNROLL
    for (int i = 0; i < 8; i++) sum[i] = kp_fma(m.o[w][r][d + 8 * i], weight, sum[i]);
  }
  if (kp_gdim_z() == 1) {
    KP_UNROLL
    for (int i = 0; i < 8; i++) put(y, copy, format, (long long)row[r] * cols + column + d + 8 * i, sum[i] / total);
    return;
  }
  long long at = (((long long)kp_bid_x() * kp_gdim_y() + kp_bid_y()) * kp_gdim_z() + kp_bid_z()) * 16 + r;
  KP_UNROLL
  for (int i = 0; i < 8; i++) part[at * head_size + d + 8 * i] = sum[i];
  if (d == 0) stats[2 * at] = most, stats[2 * at + 1] = total;
}

/* The kernels of a format T, which end in its name. */
#define ATTENTION_KERNELS(name, T) \
  KP_KERNEL(pack_key_value_##name)(const packing *list, int cols) { pack_block<T>(list, cols); } \
  KP_KERNEL(unpack_keys_##name)(float *k, const kp_uint4 *packed, int n_key, int cols) { unpack_block<T>(k, packed, n_key, cols); } \
  KP_KERNEL(attention_flash_##name)(float *y, void *copy, int format, const float *q, const attention_tile *tiles, int cols, float scale) { \
    KP_SHARED flash_scratch m; \
    flash<T>(y, copy, format, m, q, tiles, cols, scale); \
  } \
  KP_KERNEL(attention_few_##name)(float *y, void *copy, int format, float *part, float *stats, const float *q, const attention_tile *tiles, \
                                  const int *rows, int cols, float scale) { \
    KP_SHARED few_scratch m; \
    few<T>(y, copy, format, m, part, stats, q, tiles, rows, cols, scale); \
  }
#endif
