/* pick.cu - choosing tokens from rows of logits: what is excluded, log Σ exp, the likeliest, and draws. pick_chunks goes once
 * through the logits, a block to a chunk of a row; pick_rows makes the answer to each row of its chunks, a block to a row. Chunks
 * depend on the row's question alone, and so does the order of all sums. Blocks have 256 threads. Where threads look for the first
 * token together, it is a float, which is exact below 2^24. */
#include "kport.h"

enum { chunk_size = 1024, threads = 256, each = chunk_size / threads, warps = threads / 32 };

/* What is asked of a row. Indices are of words, but for the answer's, which is of words of the answers. */
struct question {
  int suppressed, n_suppressed; /* tokens */
  int excluded, n_excluded;     /* pairs: from, and to behind the last */
  int timestamps;               /* the first; 0: no rule */
  int likeliest;
  int draws, n_draws; /* numbers in [0, 1] */
  float steepness;    /* of the weights exp(steepness logit) of draws */
  int named, n_named; /* tokens */
  int answer;
};

/* What a chunk comes to; its likeliest tokens and their logits follow. */
struct part {
  float top, sum, weight; /* the greatest logit, Σ exp(logit - top), and of draws Σ exp(steepness (logit - top)) */
  int n;                  /* likeliest tokens */
};

/* The answer: the greatest logit, Σ exp(logit - greatest), the number of likeliest tokens, room for them and those drawn, room
 * for their logits, and the logits of the named tokens. */
enum { answer_top, answer_sum, answer_n, answer_ids };

KP_DEV part *part_at(unsigned *parts, int row, int n_chunk, int chunk, int width) {
  return (part *)(parts + ((long long)row * n_chunk + chunk) * (4 + 2 * width));
}
KP_DEV int *ids_of(part *p) { return (int *)(p + 1); }
KP_DEV float *logits_of(part *p, int width) { return (float *)(p + 1) + width; }

/* The chunks of tokens before the timestamps; those of timestamps follow. */
KP_DEV int text_chunks(const question &q, int cols) {
  return ((q.timestamps > 0 ? q.timestamps : cols) + chunk_size - 1) / chunk_size;
}

/* The first token of a chunk, and to behind its last. */
KP_DEV int chunk_range(const question &q, int cols, int chunk, int *to) {
  int text = q.timestamps > 0 ? q.timestamps : cols, n = text_chunks(q, cols);
  int from = chunk < n ? chunk * chunk_size : text + (chunk - n) * chunk_size;
  *to = kp_least(from + chunk_size, chunk < n ? text : cols);
  return from;
}

/* Marks the tokens from … to-1 that are excluded. */
KP_DEV void mark_excluded(unsigned char (&excluded)[chunk_size], const question &q, const int *words, int from, int to) {
  for (int i = kp_tid(); i < chunk_size; i += threads) excluded[i] = 0;
  kp_sync();
  for (int i = kp_tid(); i < q.n_suppressed; i += threads) {
    int id = words[q.suppressed + i];
    if (from <= id && id < to) excluded[id - from] = 1;
  }
  for (int r = 0; r < q.n_excluded; r++) {
    int first = words[q.excluded + 2 * r], end = kp_least(words[q.excluded + 2 * r + 1], to);
    if (first < from) first = from;
    for (int id = first + kp_tid(); id < end; id += threads) excluded[id - from] = 1;
  }
  kp_sync();
}

/* exp(logit - top) of a token, where top is the greatest; of nothing but -∞ zero. */
KP_DEV float part_of(float logit, float top) { return kp_exponential(logit - (top > -KP_INFINITY ? top : 0.0f)); }

/* The first of the greatest of a warp: all its threads learn it. */
KP_DEV void warp_likeliest(float *logit, int *at) {
  float most = kp_warp_max(*logit);
  *at = -(int)kp_warp_max(*logit == most ? -(float)*at : -(float)chunk_size);
  *logit = most;
}

/* The first of the greatest of a thread's logits; it has those at tid, tid + threads, … */
KP_DEV void own_likeliest(const float x[each], float *logit, int *at) {
  *logit = -KP_INFINITY, *at = chunk_size;
  KP_UNROLL
  for (int j = 0; j < each; j++)
    if (x[j] > *logit) *logit = x[j], *at = j * threads + kp_tid();
}

/* Blocks (chunk, row). A row has room for width likeliest tokens in each of its chunks. */
KP_KERNEL(pick_chunks)(unsigned *parts, const float *logits, const question *questions, const int *words, int cols, int n_chunk,
                       int width) {
  KP_SHARED unsigned char excluded[chunk_size];
  KP_SHARED float scratch[32], best_logit[warps];
  KP_SHARED int best_at[warps];
  int tid = kp_tid(), row = kp_bid_y();
  const question q = questions[row];
  part *p = part_at(parts, row, n_chunk, kp_bid_x(), width);
  int to, from = chunk_range(q, cols, kp_bid_x(), &to);
  if (from >= to) {
    if (tid == 0) p->top = -KP_INFINITY, p->sum = 0, p->weight = 0, p->n = 0;
    return;
  }
  mark_excluded(excluded, q, words, from, to);
  const float *own = logits + (long long)row * cols + from;
  float x[each], top = -KP_INFINITY, sum = 0, weight = 0;
  KP_UNROLL
  for (int j = 0; j < each; j++) {
    int at = j * threads + tid;
    x[j] = at < to - from && !excluded[at] ? own[at] : -KP_INFINITY;
    top = kp_max(top, x[j]);
  }
  top = kp_block_max(top, scratch);
  KP_UNROLL
  for (int j = 0; j < each; j++) sum += part_of(x[j], top);
  sum = kp_block_sum(sum, scratch);
  if (q.n_draws > 0) {
    KP_UNROLL
    for (int j = 0; j < each; j++) weight += part_of(q.steepness * (x[j] - (top > -KP_INFINITY ? top : 0.0f)), 0.0f);
    weight = kp_block_sum(weight, scratch);
  }

  int n = 0;
  if (q.likeliest > 0) {
    float logit;
    int at;
    own_likeliest(x, &logit, &at);
    warp_likeliest(&logit, &at);
    if ((tid & 31) == 0) best_logit[tid >> 5] = logit, best_at[tid >> 5] = at;
    kp_sync();
    for (; n < q.likeliest; n++) {
      logit = -KP_INFINITY, at = chunk_size;
      for (int w = 0; w < warps; w++)
        if (best_logit[w] > logit || (best_logit[w] == logit && best_at[w] < at)) logit = best_logit[w], at = best_at[w];
      if (!(logit > -KP_INFINITY)) break;
      if (tid == 0) ids_of(p)[n] = from + at, logits_of(p, width)[n] = logit;
      kp_sync();
      if ((at % threads) >> 5 == tid >> 5) { /* the warp that had it looks for its next */
        KP_UNROLL
        for (int j = 0; j < each; j++)
          if (j * threads + tid == at) x[j] = -KP_INFINITY;
        own_likeliest(x, &logit, &at);
        warp_likeliest(&logit, &at);
        if ((tid & 31) == 0) best_logit[tid >> 5] = logit, best_at[tid >> 5] = at;
      }
      kp_sync();
    }
  }
  if (tid == 0) p->top = top, p->sum = sum, p->weight = weight, p->n = n;
}

/* Σ of the sums of the chunks from … to-1, of numbers exp(logit - top). */
KP_DEV float sum_parts(unsigned *parts, int row, int n_chunk, int width, int from, int to, float top, float *scratch) {
  float sum = 0;
  for (int c = from + kp_tid(); c < to; c += threads) {
    const part *p = part_at(parts, row, n_chunk, c, width);
    sum += p->sum * part_of(p->top, top);
  }
  return kp_block_sum(sum, scratch);
}

KP_DEV float top_of_parts(unsigned *parts, int row, int n_chunk, int width, int from, int to, float *scratch) {
  float top = -KP_INFINITY;
  for (int c = from + kp_tid(); c < to; c += threads) top = kp_max(top, part_at(parts, row, n_chunk, c, width)->top);
  return kp_block_max(top, scratch);
}

/* Writes the likeliest tokens of the chunks from first on, and returns how many there are. Each is the first of the greatest that
 * come after the one before; those of a chunk are in that order. */
KP_DEV int merge_likeliest(unsigned *answer, unsigned *parts, const question &q, int row, int n_chunk, int width, int first,
                           float *scratch) {
  float last = KP_INFINITY;
  int last_id = -1, n = 0;
  for (; n < q.likeliest; n++) {
    float logit = -KP_INFINITY;
    int id = 0;
    for (int c = first + kp_tid(); c < n_chunk; c += threads) {
      part *p = part_at(parts, row, n_chunk, c, width);
      for (int i = 0; i < p->n; i++) {
        float l = logits_of(p, width)[i];
        int next = ids_of(p)[i];
        if (l < last || (l == last && next > last_id)) {
          if (l > logit) logit = l, id = next;
          break;
        }
      }
    }
    last = kp_block_max(logit, scratch);
    if (!(last > -KP_INFINITY)) break;
    last_id = -(int)kp_block_max(logit == last ? -(float)id : -KP_INFINITY, scratch);
    if (kp_tid() == 0) {
      answer[answer_ids + n] = last_id;
      answer[answer_ids + q.likeliest + q.n_draws + n] = kp_bits(last);
    }
  }
  return n;
}

/* Writes the token, and its logit, of those from … to-1 at which the sum of exp(steepness (logit - top)) reaches target; where
 * rounding keeps it below, the last that adds to it. */
KP_DEV void draw_within(unsigned *id, unsigned *logit, const float *row, const question &q, const int *words, int from, int to,
                        float top, float target, unsigned char (&excluded)[chunk_size], float (&sums)[threads], float *scratch) {
  int tid = kp_tid();
  mark_excluded(excluded, q, words, from, to);
  float w[each], own = 0;
  KP_UNROLL
  for (int j = 0; j < each; j++) { /* these lie side by side */
    int at = tid * each + j;
    w[j] = at < to - from && !excluded[at] ? kp_exponential(q.steepness * (row[from + at] - top)) : 0.0f;
    own += w[j];
  }
  sums[tid] = own;
  kp_sync();
  for (int d = 1; d < threads; d <<= 1) {
    float before = tid >= d ? sums[tid - d] : 0.0f;
    kp_sync();
    sums[tid] += before;
    kp_sync();
  }
  float reached = kp_block_max(own > 0 && sums[tid] >= target ? -(float)tid : -(float)threads, scratch);
  float last = kp_block_max(own > 0 ? (float)tid : -1.0f, scratch);
  if (tid != (int)(reached > -(float)threads ? -reached : last)) return;
  float sum = tid > 0 ? sums[tid - 1] : 0.0f;
  bool done = false;
  KP_UNROLL
  for (int j = 0; j < each; j++) {
    if (done || !(w[j] > 0)) continue;
    sum += w[j];
    done = sum >= target;
    *id = from + tid * each + j;
    *logit = kp_bits(row[from + tid * each + j]);
  }
}

/* Writes the tokens drawn, and their logits. top is the greatest logit of the chunks from first on. */
KP_DEV void draw(unsigned *answer, unsigned *parts, const float *logits, const question &q, const int *words, int cols, int n_chunk,
                 int width, int first, float top, unsigned char (&excluded)[chunk_size], float (&sums)[threads], float *scratch) {
  int row = kp_bid_x();
  for (int c = first + kp_tid(); c < n_chunk; c += threads) {
    part *p = part_at(parts, row, n_chunk, c, width);
    p->weight *= kp_exponential(q.steepness * (p->top - top));
  }
  kp_sync();
  float total = 0;
  for (int c = first; c < n_chunk; c++) total += part_at(parts, row, n_chunk, c, width)->weight;
  for (int i = 0; i < q.n_draws; i++) {
    float target = kp_float(words[q.draws + i]) * total, sum = 0, before = 0;
    int at = first;
    for (int c = first; c < n_chunk; c++) {
      float w = part_at(parts, row, n_chunk, c, width)->weight;
      if (!(w > 0)) continue;
      at = c, before = sum, sum += w;
      if (sum >= target) break;
    }
    int to, from = chunk_range(q, cols, at, &to), place = q.likeliest + i;
    draw_within(answer + answer_ids + place, answer + answer_ids + q.likeliest + q.n_draws + place, logits + (long long)row * cols, q,
                words, from, to, top, target - before, excluded, sums, scratch);
  }
}

/* A block has a row. */
KP_KERNEL(pick_rows)(unsigned *answers, unsigned *parts, const float *logits, const question *questions, const int *words, int cols,
                     int n_chunk, int width) {
  KP_SHARED unsigned char excluded[chunk_size];
  KP_SHARED float scratch[32], sums[threads];
  int tid = kp_tid(), row = kp_bid_x();
  const question q = questions[row];
  unsigned *answer = answers + q.answer;
  for (int i = tid; i < q.n_named; i += threads)
    answer[answer_ids + 2 * (q.likeliest + q.n_draws) + i] = kp_bits(logits[(long long)row * cols + words[q.named + i]]);

  int n_text = text_chunks(q, cols), first = 0;
  float text = top_of_parts(parts, row, n_chunk, width, 0, n_text, scratch);
  float stamps = top_of_parts(parts, row, n_chunk, width, n_text, n_chunk, scratch);
  float top = kp_max(text, stamps);
  if (q.timestamps > 0) { /* upstream ApplyTimestampRules: together above any token of text */
    float sum = sum_parts(parts, row, n_chunk, width, n_text, n_chunk, stamps, scratch);
    if (stamps + kp_logarithm(sum) > text) first = n_text, top = stamps;
  }
  float sum = sum_parts(parts, row, n_chunk, width, first, n_chunk, top, scratch);
  int n = 0;
  if (top > -KP_INFINITY && top < KP_INFINITY && sum == sum) {
    n = merge_likeliest(answer, parts, q, row, n_chunk, width, first, scratch);
    if (q.n_draws > 0) draw(answer, parts, logits, q, words, cols, n_chunk, width, first, top, excluded, sums, scratch);
  }
  if (tid == 0) answer[answer_top] = kp_bits(top), answer[answer_sum] = kp_bits(sum), answer[answer_n] = n;
}
