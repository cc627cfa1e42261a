/* elementwise.cu - what goes over each number once. A thread has `width` neighbouring numbers, 4 where every operand is aligned
 * to 16 bytes and has rows of a multiple of 4, else 1; n is the number of threads that have some. */
#include "normal.h"

KP_DEV long long index_of_thread() { return (long long)kp_bid_x() * kp_bdim() + kp_tid(); }

/* W neighbouring numbers of a matrix */
template <int W> struct numbers {
  float v[W];
};
template <int W> KP_DEV numbers<W> load(const float *x, long long i) {
  numbers<W> n;
  if constexpr (W == 4) {
    kp_float4 f = ((const kp_float4 *)x)[i];
    n.v[0] = f.x, n.v[1] = f.y, n.v[2] = f.z, n.v[3] = f.w;
  } else {
    n.v[0] = x[i];
  }
  return n;
}
template <int W> KP_DEV numbers<W> load(const void *x, int format, long long i) { /* from a format */
  if (format == kp_is_f32) return load<W>((const float *)x, i);
  numbers<W> n;
  if constexpr (W == 4) {
    kp_u64 f = ((const kp_u64 *)x)[i];
    KP_UNROLL
    for (int k = 0; k < 4; k++) n.v[k] = kp_widen(format, (unsigned)(f >> 16 * k) & 0xffffu);
  } else {
    n.v[0] = kp_get(x, format, i);
  }
  return n;
}
template <int W> KP_DEV void store(float *y, numbers<W> n, long long i) {
  if constexpr (W == 4) {
    kp_float4 f = {n.v[0], n.v[1], n.v[2], n.v[3]};
    ((kp_float4 *)y)[i] = f;
  } else {
    y[i] = n.v[0];
  }
}
template <int W> KP_DEV void store(void *y, int format, numbers<W> n, long long i) { /* in a format of 16 bits */
  if constexpr (W == 4) {
    kp_u64 low = kp_narrow_pair(format, n.v[0], n.v[1]), high = kp_narrow_pair(format, n.v[2], n.v[3]);
    ((kp_u64 *)y)[i] = low | high << 32;
  } else {
    kp_put(y, format, i, n.v[0]);
  }
}

template <int W> KP_DEV void add_some(float *y, const float *a, const float *b, long long i) {
  numbers<W> u = load<W>(a, i), v = load<W>(b, i);
  KP_UNROLL
  for (int k = 0; k < W; k++) u.v[k] += v.v[k];
  store(y, u, i);
}

/* y = a + b */
KP_KERNEL(add)(float *y, const float *a, const float *b, long long n, int width) {
  long long i = index_of_thread();
  if (i >= n) return;
  if (width == 4)
    add_some<4>(y, a, b, i);
  else
    add_some<1>(y, a, b, i);
}

/* r is the row, and c the group of W within it, of groups. */
template <int W>
KP_DEV void finish(float *y, void *copy, int format, const void *x, int x_format, const float *scale, const int *row, const float *bias,
                   long long i, int groups, int gelu, int add) {
  unsigned r = (unsigned)i / (unsigned)groups; /* in 64 bits it would take longer than all else */
  unsigned c = (unsigned)i - r * (unsigned)groups;
  numbers<W> v = load<W>(x, x_format, i);
  if (scale) {
    numbers<W> s = load<W>(scale, (row ? (long long)row[r] * groups : 0) + c);
    KP_UNROLL
    for (int k = 0; k < W; k++) v.v[k] *= s.v[k];
  }
  if (bias) {
    numbers<W> s = load<W>(bias, c);
    KP_UNROLL
    for (int k = 0; k < W; k++) v.v[k] += s.v[k];
  }
  if (gelu) {
    KP_UNROLL
    for (int k = 0; k < W; k++) v.v[k] = y ? kp_gelu(v.v[k]) : kp_gelu_rounded(v.v[k]);
  }
  if (add) {
    numbers<W> s = load<W>(y, i);
    KP_UNROLL
    for (int k = 0; k < W; k++) v.v[k] += s.v[k];
  }
  if (y) store(y, v, i);
  if (copy) store(copy, format, v, i);
}

/* y[i] = gelu(x[i] ∘ scale[row[i]] + bias), of which every part may be absent: a null scale, a null row (scale has one row),
 * a null bias, no gelu; with add, y += that. x is of a format. copy, where there is one, is y in a format of 16 bits, and may be x; where y is
 * null there is only that. groups is the number of threads of a row. */
KP_KERNEL(epilogue)(float *y, void *copy, int format, const void *x, int x_format, const float *scale, const int *row, const float *bias,
                    long long n, int groups, int width, int gelu, int add) {
  long long i = index_of_thread();
  if (i >= n) return;
  if (width == 4)
    finish<4>(y, copy, format, x, x_format, scale, row, bias, i, groups, gelu, add);
  else
    finish<1>(y, copy, format, x, x_format, scale, row, bias, i, groups, gelu, add);
}

/* y = x, from a format of 16 bits */
KP_KERNEL(widen)(float *y, const void *x, int format, long long n) {
  long long i = index_of_thread();
  if (i < n) y[i] = kp_get(x, format, i);
}

/* dx += dy ∘ GELU'(x), GELU' = Φ(x) + x φ(x) */
KP_KERNEL(gelu_backward)(float *dx, const float *dy, const float *x, long long n) {
  long long i = index_of_thread();
  if (i >= n) return;
  float e, p = kp_normal(x[i], &e);
  dx[i] += dy[i] * kp_fma(x[i] * 0.398942280401432678f, e, p);
}

/* dx[i] += dy[i] ∘ scale[row[i]] */
KP_KERNEL(scale_backward)(float *dx, const float *dy, const float *scale, const int *row, long long n, int cols) {
  long long i = index_of_thread();
  if (i >= n) return;
  int r = (int)(i / cols);
  int c = (int)(i - (long long)r * cols);
  dx[i] = kp_fma(dy[i], scale[(row ? (long long)row[r] * cols : 0) + c], dx[i]);
}
