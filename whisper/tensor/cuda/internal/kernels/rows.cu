/* rows.cu - what moves rows: tables, caches, neighbourhoods of convolutions. A block has a row of the result. */
#include "kport.h"

/* y[i] = table[id[i]] */
KP_KERNEL(gather)(float *y, const float *table, const int *id, int cols) {
  kp_let_next();
  kp_await();
  long long to = (long long)kp_bid_x() * cols, from = (long long)id[kp_bid_x()] * cols;
  for (int c = kp_tid(); c < cols; c += kp_bdim()) y[to + c] = table[from + c];
}

/* y[i] = table[id[i]], from a format of 16 bits */
KP_KERNEL(gather_narrow)(float *y, const void *table, int format, const int *id, int cols) {
  kp_let_next();
  kp_await();
  long long to = (long long)kp_bid_x() * cols, from = (long long)id[kp_bid_x()] * cols;
  for (int c = kp_tid(); c < cols; c += kp_bdim()) y[to + c] = kp_get(table, format, from + c);
}

/* *to[i] = x[i] */
KP_KERNEL(scatter)(const kp_u64 *to, const float *x, int cols) {
  kp_let_next();
  kp_await();
  float *y = (float *)to[kp_bid_x()];
  long long from = (long long)kp_bid_x() * cols;
  for (int c = kp_tid(); c < cols; c += kp_bdim()) y[c] = x[from + c];
}

/* y[to[g]] += Σ x[from[j]] over start[g] ≤ j < start[g+1], in that order. Blocks (g, columns). */
KP_KERNEL(add_groups)(float *y, const float *x, const int *to, const int *start, const int *from, int cols) {
  int g = kp_bid_x(), c = kp_bid_y() * kp_bdim() + kp_tid();
  if (c >= cols || start[g] == start[g + 1]) return;
  float sum = y[(long long)to[g] * cols + c];
  for (int j = start[g]; j < start[g + 1]; j++) sum += x[(long long)from[j] * cols + c];
  y[(long long)to[g] * cols + c] = sum;
}

/* y[to[g]] += Σ x[from[j]] ∘ z[from[j]], as add_groups */
KP_KERNEL(add_product_groups)(float *y, const float *x, const float *z, const int *to, const int *start, const int *from, int cols) {
  int g = kp_bid_x(), c = kp_bid_y() * kp_bdim() + kp_tid();
  if (c >= cols || start[g] == start[g + 1]) return;
  float sum = y[(long long)to[g] * cols + c];
  for (int j = start[g]; j < start[g + 1]; j++)
    sum = kp_fma(x[(long long)from[j] * cols + c], z[(long long)from[j] * cols + c], sum);
  y[(long long)to[g] * cols + c] = sum;
}

/* The sequence of a row: the last s of n with seg[s] ≤ row. */
KP_DEV int sequence_of(const int *seg, int n, int row) {
  int low = 0, high = n;
  while (high - low > 1) {
    int middle = (low + high) / 2;
    if (seg[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* Output row t of a sequence holds its input rows t*stride-pad … t*stride-pad+kernel-1, and zeros where it has none. */
KP_KERNEL(unfold)(float *y, const float *x, const int *y_seg, const int *x_seg, int n_seq, int channels, int kernel, int stride) {
  int row = kp_bid_x(), s = sequence_of(y_seg, n_seq, row);
  int first = x_seg[s] + (row - y_seg[s]) * stride - (kernel - 1) / 2;
  for (int c = kp_tid(); c < kernel * channels; c += kp_bdim()) {
    int u = first + c / channels;
    y[(long long)row * kernel * channels + c] = u >= x_seg[s] && u < x_seg[s + 1] ? x[(long long)u * channels + c % channels] : 0.0f;
  }
}

/* dx[u] += Σ over the taps j of the output rows t that read it: t*stride - pad + j = u. */
KP_KERNEL(unfold_backward)(float *dx, const float *dy, const int *y_seg, const int *x_seg, int n_seq, int channels, int kernel,
                           int stride) {
  int row = kp_bid_x(), s = sequence_of(x_seg, n_seq, row), u = row - x_seg[s];
  for (int c = kp_tid(); c < channels; c += kp_bdim()) {
    float sum = dx[(long long)row * channels + c];
    for (int j = (u + (kernel - 1) / 2) % stride; j < kernel; j += stride) {
      int t = (u + (kernel - 1) / 2 - j) / stride;
      if (u + (kernel - 1) / 2 >= j && t < y_seg[s + 1] - y_seg[s])
        sum += dy[((long long)(y_seg[s] + t) * kernel + j) * channels + c];
    }
    dx[(long long)row * channels + c] = sum;
  }
}
