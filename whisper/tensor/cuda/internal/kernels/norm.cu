/* norm.cu - what needs sums over a row, or over all rows. */
#include "kport.h"

/* The mean of a row and 1/sqrt(var + eps), by two passes as the reference. */
KP_DEV void moments(const float *x, int cols, float eps, float *scratch, float *mean, float *inverse) {
  float sum = 0;
  for (int c = kp_tid(); c < cols; c += kp_bdim()) sum += x[c];
  float m = kp_block_sum(sum, scratch) / (float)cols;
  sum = 0;
  for (int c = kp_tid(); c < cols; c += kp_bdim()) sum = kp_fma(x[c] - m, x[c] - m, sum);
  *mean = m;
  *inverse = 1.0f / __builtin_sqrtf(kp_block_sum(sum, scratch) / (float)cols + eps);
}

/* y[i] = gamma ∘ (x[i] - mean) / sqrt(var + eps) + beta. A block has a row; y, or copy, which is
 * that in a format of 16 bits, may be null. */
KP_KERNEL(layer_norm)(float *y, void *copy, int format, const float *x, const float *gamma, const float *beta, int cols, float eps) {
  KP_SHARED float scratch[32];
  long long at = (long long)kp_bid_x() * cols;
  float mean, inverse;
  moments(x + at, cols, eps, scratch, &mean, &inverse);
  for (int c = kp_tid(); c < cols; c += kp_bdim()) {
    float v = kp_fma((x[at + c] - mean) * inverse, gamma[c], beta[c]);
    if (y) y[at + c] = v;
    if (copy) kp_put(copy, format, at + c, v);
  }
}

/* stats[i] = {mean, 1/sqrt(var + eps)} of row i: a block has a row. */
KP_KERNEL(row_moments)(float *stats, const float *x, int cols, float eps) {
  KP_SHARED float scratch[32];
  float mean, inverse;
  moments(x + (long long)kp_bid_x() * cols, cols, eps, scratch, &mean, &inverse);
  if (kp_tid() == 0) {
    stats[2 * kp_bid_x()] = mean;
    stats[2 * kp_bid_x() + 1] = inverse;
  }
}

/* dx[i] += (g - mean(g) - z mean(g ∘ z)) / σ, with z = (x - mean) / σ and g = dy ∘ gamma. A block has a row. */
KP_KERNEL(layer_norm_backward)(float *dx, const float *dy, const float *x, const float *gamma, const float *stats, int cols) {
  KP_SHARED float scratch[32];
  long long at = (long long)kp_bid_x() * cols;
  float mean = stats[2 * kp_bid_x()], inverse = stats[2 * kp_bid_x() + 1], g = 0, gz = 0;
  for (int c = kp_tid(); c < cols; c += kp_bdim()) {
    float v = dy[at + c] * gamma[c];
    g += v;
    gz = kp_fma(v, (x[at + c] - mean) * inverse, gz);
  }
  g = kp_block_sum(g, scratch) / (float)cols;
  gz = kp_block_sum(gz, scratch) / (float)cols;
  for (int c = kp_tid(); c < cols; c += kp_bdim()) {
    float z = (x[at + c] - mean) * inverse;
    dx[at + c] += (dy[at + c] * gamma[c] - g - z * gz) * inverse;
  }
}

/* part[p] = Σ of the rows p*height … of x, or of x ∘ z where stats are those of z = (z - mean) / σ. A block of 256 threads has
 * 32 columns of a part: blocks (columns, parts). */
KP_KERNEL(sum_rows)(float *part, const float *x, const float *z, const float *stats, int rows, int cols, int height) {
  KP_SHARED float sums[8][32];
  int lane = kp_tid() & 31, line = kp_tid() >> 5, c = kp_bid_x() * 32 + lane;
  int from = kp_bid_y() * height, to = kp_least(from + height, rows);
  float sum = 0;
  if (c < cols)
    for (int r = from + line; r < to; r += 8) {
      float v = x[(long long)r * cols + c];
      sum = stats ? kp_fma(v, (z[(long long)r * cols + c] - stats[2 * r]) * stats[2 * r + 1], sum) : sum + v;
    }
  sums[line][lane] = sum;
  kp_sync();
  if (line > 0 || c >= cols) return;
  for (int i = 1; i < 8; i++) sum += sums[i][lane];
  part[(long long)kp_bid_y() * cols + c] = sum;
}

/* y += Σ part[p] over n parts, in order */
KP_KERNEL(add_parts)(float *y, const float *part, int n, int cols) {
  int c = kp_bid_x() * kp_bdim() + kp_tid();
  if (c >= cols) return;
  float sum = 0;
  for (int p = 0; p < n; p++) sum += part[(long long)p * cols + c];
  y[c] += sum;
}

/* y[i] = x[i] - log Σ exp(x[i]). A block has a row. */
KP_KERNEL(log_softmax)(float *y, const float *x, int cols) {
  KP_SHARED float scratch[32];
  long long at = (long long)kp_bid_x() * cols;
  float most = -KP_INFINITY, sum = 0;
  for (int c = kp_tid(); c < cols; c += kp_bdim()) most = kp_max(most, x[at + c]);
  most = kp_block_max(most, scratch);
  for (int c = kp_tid(); c < cols; c += kp_bdim()) sum += kp_exponential(x[at + c] - most);
  float log_sum = kp_logarithm(kp_block_sum(sum, scratch));
  for (int c = kp_tid(); c < cols; c += kp_bdim()) y[at + c] = x[at + c] - most - log_sum;
}
