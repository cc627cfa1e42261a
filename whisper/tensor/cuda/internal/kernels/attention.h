/* attention.h - what the kernels of attention are told of the work of a block, and arithmetic that they share. */
#ifndef ATTENTION_H
#define ATTENTION_H
#include "kport.h"

/* Neighbouring queries of a sequence, and its keys and values. Query i of n_query is row row+i of q, and sees the keys
 * 0 … see+i*step-1 of n_key. Keys and values are at the addresses k and v; or where there are pages, which have page_rows rows of
 * each, k and v are where theirs begin in a page. */
struct attention_tile {
  kp_u64 k, v, pages;
  int row, n_query, see, step, n_key, unused;
};

enum { page_rows = 64 };

/* The address of row j of keys or of values of `row` bytes, which begin at base. */
KP_DEV kp_u64 row_of(const attention_tile &t, kp_u64 base, int j, int row) {
  if (t.pages == 0) return base + (kp_u64)j * row;
  return ((const kp_u64 *)t.pages)[j / page_rows] + base + (kp_u64)(j % page_rows) * row;
}

/* The factor of a sum over keys whose greatest score is m, in one whose greatest is most: none where there was no key. */
KP_DEV float weight_of(float m, float most) { return m == -KP_INFINITY ? 0.0f : kp_exp2(m - most); }

/* y[i] = v, and copy[i] where there is a copy in a format of 16 bits. */
KP_DEV void put(float *y, void *copy, int format, long long i, float v) {
  y[i] = v;
  if (copy) kp_put(copy, format, i, v);
}

enum { head_size = 64 }; /* of the kernels that are not for any */
#endif
