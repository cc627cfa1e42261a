/* gradients.cu - the gradients of attention, for heads of any size, in float32. With p the probabilities, s the scores,
 *
 *   dv = pᵀ dy,  ds = p ∘ (dy vᵀ - rowsum(p ∘ dy vᵀ)),  dq = ds k scale,  dk = dsᵀ q scale
 *
 * attention_stats finds what a row needs, then attention_dq goes over its keys, and attention_dkv over the queries that see a key. */
#include "attention.h"

/* One sequence: its keys and values, and where their gradients are added, or 0. */
struct backward_sequence {
  kp_u64 k, v, dk, dv;
  int row, n_query, n_key, causal, next, unused; /* next: the sequence after it with the same gradients, or -1 */
};

KP_DEV int seen(const backward_sequence &s, int query) { return s.causal ? s.n_key - s.n_query + query + 1 : s.n_key; }
KP_DEV float dot(const float *x, const float *y, int n) {
  float sum = 0;
  for (int i = 0; i < n; i++) sum = kp_fma(x[i], y[i], sum);
  return sum;
}

/* The sequence of a row: the last of n that begins at or before it. */
KP_DEV int sequence_at(const backward_sequence *list, int n, int row) {
  int low = 0, high = n;
  while (high - low > 1) {
    int middle = (low + high) / 2;
    if (list[middle].row <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* stats (rows, heads, 2) = {log2 of Σ 2^score, Σ p ∘ dy vᵀ}. A warp has a row and a head: blocks of 4 (rows, heads / 4). scale is
 * log2(e)/sqrt(size). */
KP_KERNEL(attention_stats)(float *stats, const float *dy, const float *q, const backward_sequence *list, int n_sequence, int cols, int size,
                           int n_head, float scale) {
  int lane = kp_tid() & 31, head = kp_bid_y() * 4 + (kp_tid() >> 5), row = kp_bid_x();
  if (head >= n_head) return;
  backward_sequence s = list[sequence_at(list, n_sequence, row)];
  int n = seen(s, row - s.row);
  long long at = (long long)row * cols + head * size;
  float most = -KP_INFINITY, total = 0, mean = 0;
  for (int j = lane; j < n; j += 32) {
    long long key = (long long)j * cols + head * size;
    float score = dot(q + at, (const float *)s.k + key, size) * scale, dp = dot(dy + at, (const float *)s.v + key, size);
    float next = kp_max(most, score), w = weight_of(most, next), p = kp_exp2(score - next);
    most = next;
    total = total * w + p;
    mean = mean * w + p * dp;
  }
  float all = kp_warp_max(most), w = weight_of(most, all);
  total = kp_warp_sum(total * w);
  mean = kp_warp_sum(mean * w) / total;
  if (lane == 0) {
    long long to = ((long long)row * n_head + head) * 2;
    stats[to] = all + kp_log2(total);
    stats[to + 1] = mean;
  }
}

/* dq += ds k scale. A warp has a row and a head: blocks of 4 (rows, heads / 4). It takes 32 keys at a time, one a lane, then 128
 * columns, 4 a lane. */
KP_KERNEL(attention_dq)(float *dq, const float *stats, const float *dy, const float *q, const backward_sequence *list, int n_sequence,
                        int cols, int size, int n_head, float scale) {
  int lane = kp_tid() & 31, head = kp_bid_y() * 4 + (kp_tid() >> 5), row = kp_bid_x();
  if (head >= n_head) return;
  backward_sequence s = list[sequence_at(list, n_sequence, row)];
  int n = seen(s, row - s.row);
  long long at = (long long)row * cols + head * size, stat = ((long long)row * n_head + head) * 2;
  for (int first = 0; first < size; first += 128) {
    float sum[4] = {};
    for (int from = 0; from < n; from += 32) {
      float ds = 0;
      if (int j = from + lane; j < n) {
        long long key = (long long)j * cols + head * size;
        float p = kp_exp2(dot(q + at, (const float *)s.k + key, size) * scale - stats[stat]);
        ds = p * (dot(dy + at, (const float *)s.v + key, size) - stats[stat + 1]);
      }
      for (int j = 0; j < kp_least(n - from, 32); j++) {
        float d = kp_shfl(ds, j);
        const float *k = (const float *)s.k + (long long)(from + j) * cols + head * size;
        KP_UNROLL
        for (int i = 0; i < 4; i++)
          if (int c = first + lane + 32 * i; c < size) sum[i] = kp_fma(d, k[c], sum[i]);
      }
    }
    KP_UNROLL
    for (int i = 0; i < 4; i++)
      if (int c = first + lane + 32 * i; c < size) dq[at + c] = kp_fma(sum[i], scale * KP_LN2, dq[at + c]);
  }
}

/* dk += dsᵀ q scale and dv += pᵀ dy, of the first sequence of each chain and those that share its gradients, one after the other. A
 * warp has a key and a head, and takes 32 queries at a time: blocks of 4 (keys, heads / 4, chains), from heads[chain] on. */
KP_KERNEL(attention_dkv)(const float *stats, const float *dy, const float *q, const backward_sequence *list, const int *chains, int cols,
                         int size, int n_head, float scale) {
  int lane = kp_tid() & 31, head = kp_bid_y() * 4 + (kp_tid() >> 5), key = kp_bid_x();
  int start = chains[kp_bid_z()];
  int n_key = 0;
  for (int next = start; next >= 0; next = list[next].next) n_key = list[next].n_key > n_key ? list[next].n_key : n_key;
  if (head >= n_head || key >= n_key) return;
  long long to = (long long)key * cols + head * size;
  for (int first = 0; first < size; first += 128) {
    float sum_k[4] = {}, sum_v[4] = {};
    for (int next = start; next >= 0; next = list[next].next) {
      backward_sequence s = list[next];
      const float *k = (const float *)s.k + to, *v = (const float *)s.v + to;
      for (int from = 0; from < s.n_query; from += 32) {
        float ds = 0, p = 0;
        if (int i = from + lane; i < s.n_query && key < seen(s, i)) {
          long long at = (long long)(s.row + i) * cols + head * size, stat = ((long long)(s.row + i) * n_head + head) * 2;
          p = kp_exp2(dot(q + at, k, size) * scale - stats[stat]);
          ds = p * (dot(dy + at, v, size) - stats[stat + 1]);
        }
        for (int i = 0; i < kp_least(s.n_query - from, 32); i++) {
          float d = kp_shfl(ds, i), pi = kp_shfl(p, i);
          long long at = (long long)(s.row + from + i) * cols + head * size;
          KP_UNROLL
          for (int e = 0; e < 4; e++)
            if (int c = first + lane + 32 * e; c < size) {
              sum_k[e] = kp_fma(d, q[at + c], sum_k[e]);
              sum_v[e] = kp_fma(pi, dy[at + c], sum_v[e]);
            }
        }
      }
    }
    backward_sequence s = list[start];
    KP_UNROLL
    for (int e = 0; e < 4; e++)
      if (int c = first + lane + 32 * e; c < size) {
        if (s.dk) ((float *)s.dk)[to + c] = kp_fma(sum_k[e], scale * KP_LN2, ((float *)s.dk)[to + c]);
        if (s.dv) ((float *)s.dv)[to + c] += sum_v[e];
      }
  }
}
