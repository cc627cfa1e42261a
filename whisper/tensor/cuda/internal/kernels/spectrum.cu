/* spectrum.cu - log-mels of sound, in float64 and in the order of operations of package audio: on a processor whose compiler does not fuse
 * products and sums, the results are the same to the bit.
 *
 * The transform is the real DFT of 400 points by the prime-factor algorithm (Good 1958), as in audio/dft.go: n = 25 n1 + 16 n2 and
 * k = 225 k1 + 176 k2 (mod 400), so that the two stages, of 16 and of 25 points, have no twiddles between them. The 25 points are 5 x 5 (Cooley
 * and Tukey). A block has 4 frames, each in a slab of its own: 16 rows of 25 numbers, the samples first; then the spectrum, row k1 < 8 its real and
 * row 8 + k1 its imaginary part, where row 0 has the real k1 = 0 and row 8 the real k1 = 8; at last the power. */
#include "kport.h"

enum { POINTS = 400, ROWS = 16, COLS = 25, BINS = 201, FRAMES = 4, THREADS = 160, MOST_FILTERS = 200 };

/* The length of a slab: 409 and 25 are the same among 16 banks of 8 bytes, so that neighbours in the first stage never meet in one. */
enum { SLAB = 409 };

/* The table of numbers, in the order that spectrum.go has them: the window, W25^(bc) at 5b + c, the floor, the weights of the filters. */
enum { AT_RE = POINTS, AT_IM = AT_RE + 25, AT_FLOOR = AT_IM + 25, AT_WEIGHTS = AT_FLOOR + 1 };

#define COS_PI_4 0x1.6a09e667f3bcdp-1
#define COS_PI_8 0x1.d906bcf328d46p-1
#define SIN_PI_8 0x1.87de2a6aea963p-2
#define SIN_2PI_5 0x1.e6f0e134454ffp-1
#define SIN_4PI_5 0x1.2cf2304755a5ep-1
#define ROOT_5_4 0x1.1e3779b97f4a8p-1 /* sqrt(5)/4 */

/* The real DFT of 16 points of a column, in place. */
KP_DEV void real_dft_16(double *x) {
#define X(i) x[(i) * COLS]
  double s0 = X(0) + X(8), s1 = X(1) + X(9), s2 = X(2) + X(10), s3 = X(3) + X(11);
  double s4 = X(4) + X(12), s5 = X(5) + X(13), s6 = X(6) + X(14), s7 = X(7) + X(15);
  double d0 = X(0) - X(8), d1 = X(1) - X(9), d2 = X(2) - X(10), d3 = X(3) - X(11);
  double d4 = X(4) - X(12), d5 = X(5) - X(13), d6 = X(6) - X(14), d7 = X(7) - X(15);
  /* Sums feed the even outputs, a real DFT of 8 points; differences feed the odd ones. */
  double t0 = s0 + s4, t1 = s1 + s5, t2 = s2 + s6, t3 = s3 + s7;
  double u0 = s0 - s4, u2 = s2 - s6;
  double u_diff = COS_PI_4 * ((s1 - s5) - (s3 - s7)), u_sum = COS_PI_4 * ((s1 - s5) + (s3 - s7));
  X(0) = (t0 + t2) + (t1 + t3), X(8) = (t0 + t2) - (t1 + t3);
  X(4) = t0 - t2, X(12) = t3 - t1;
  X(2) = u0 + u_diff, X(10) = -u2 - u_sum;
  X(6) = u0 - u_diff, X(14) = u2 - u_sum;
  double p1 = d1 - d7, p2 = COS_PI_4 * (d2 - d6), p3 = d3 - d5;
  double q1 = d1 + d7, q2 = COS_PI_4 * (d2 + d6), q3 = d3 + d5;
  double e = d0 + p2, f = COS_PI_8 * p1 + SIN_PI_8 * p3;
  double g = d0 - p2, h = SIN_PI_8 * p1 - COS_PI_8 * p3;
  X(1) = e + f, X(7) = e - f;
  X(3) = g + h, X(5) = g - h;
  e = q2 + d4, f = SIN_PI_8 * q1 + COS_PI_8 * q3;
  g = q2 - d4, h = COS_PI_8 * q1 - SIN_PI_8 * q3;
  X(9) = -f - e, X(15) = e - f;
  X(11) = -h - g, X(13) = g - h;
#undef X
}

/* The DFT of 5 complex points (Winograd 1978), in place. */
KP_DEV void dft_5(double r[5], double i[5]) {
  double sr1 = r[1] + r[4], sr2 = r[2] + r[3], dr1 = r[1] - r[4], dr2 = r[2] - r[3];
  double si1 = i[1] + i[4], si2 = i[2] + i[3], di1 = i[1] - i[4], di2 = i[2] - i[3];
  double sr = sr1 + sr2, si = si1 + si2;
  double mr = r[0] - sr / 4, mi = i[0] - si / 4;
  double nr = ROOT_5_4 * (sr1 - sr2), ni = ROOT_5_4 * (si1 - si2);
  double ar = mr + nr, ai = mi + ni, br = mr - nr, bi = mi - ni;
  double cr = SIN_2PI_5 * dr1 + SIN_4PI_5 * dr2, ci = SIN_2PI_5 * di1 + SIN_4PI_5 * di2;
  double er = SIN_4PI_5 * dr1 - SIN_2PI_5 * dr2, ei = SIN_4PI_5 * di1 - SIN_2PI_5 * di2;
  r[0] = r[0] + sr, r[1] = ar + ci, r[2] = br + ei, r[3] = br - ei, r[4] = ar - ci;
  i[0] = i[0] + si, i[1] = ai - cr, i[2] = bi - er, i[3] = bi + er, i[4] = ai + cr;
}

/* The first of the two rounds of DFTs of 25 points: elements b, b+5 … b+20 of a row, and the twiddles. */
KP_DEV void dft_25_first(double *re, double *im, const double *table, int b) {
  double r[5], i[5];
  KP_UNROLL for (int a = 0; a < 5; a++) r[a] = re[b + 5 * a], i[a] = im[b + 5 * a];
  dft_5(r, i);
  re[b] = r[0], im[b] = i[0];
  KP_UNROLL for (int c = 1; c < 5; c++) {
    double wr = table[AT_RE + 5 * b + c], wi = table[AT_IM + 5 * b + c];
    re[b + 5 * c] = r[c] * wr - i[c] * wi;
    im[b + 5 * c] = r[c] * wi + i[c] * wr;
  }
}

/* log10 x of a positive, normal x: see audio.log10. */
KP_DEV double logarithm_10(double x) {
  long long root_half = 0x3fe6a09e667f3bcdll; /* the bits of sqrt(1/2) */
  long long bits = __builtin_bit_cast(long long, x) - root_half;
  double f = __builtin_bit_cast(double, (bits & 0xfffffffffffffll) + root_half);
  double s = (f - 1) / (f + 1), z = s * s;
  double series = s * (1 + z * (1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * (1.0 / 9)))));
  return (double)(bits >> 52) * 0x1.34413509f79ffp-2 + series * 0x1.bcb7b1526e50ep-1; /* log10 2, 2 / ln 10 */
}

/* y[t, m] = log10 max(floor, Σ_k w[m, k] |DFT(window ∘ pcm[t hop …])[k]|²) and highest[t] its maximum, NaN where a sample is not finite, of the
 * frames 4 bid … 4 bid + 3. index has the first bins of the filters, and then where their weights start. */
KP_KERNEL(log_mel)(float *y, float *highest, const float *pcm, const double *table, const int *index, int frames, int hop, int filters) {
  KP_SHARED double slabs[FRAMES][SLAB];
  KP_SHARED float values[FRAMES][MOST_FILTERS];
  int tid = kp_tid(), at = kp_bid_x() * FRAMES;
  for (int i = tid; i < FRAMES * POINTS; i += THREADS) {
    int f = i / POINTS, n = i % POINTS, n1 = 9 * n % ROWS, n2 = 11 * n % COLS;
    float x = at + f < frames ? pcm[(long long)(at + f) * hop + n] : 0.0f;
    slabs[f][n1 * COLS + n2] = (double)x * table[n];
  }
  kp_sync();
  if (tid < FRAMES * COLS) real_dft_16(&slabs[tid / COLS][tid % COLS]);
  kp_sync();

  /* A thread has a fifth of a row: 8 rows, the first of which transforms two real ones. */
  double *slab = slabs[tid / 40];
  int row = tid % 40 / 5, part = tid % 5;
  double *re = slab + row * COLS, *im = re + 8 * COLS;
  dft_25_first(re, im, table, part);
  kp_sync();
  double r[5], i[5];
  KP_UNROLL for (int b = 0; b < 5; b++) r[b] = re[5 * part + b], i[b] = im[5 * part + b];
  dft_5(r, i); /* r[d] is that of k2 = part + 5d */
  kp_sync();
  KP_UNROLL for (int d = 0; d < 5; d++) {
    int k2 = part + 5 * d, k = (225 * row + 176 * k2) % POINTS;
    if (row > 0)
      slab[kp_least(k, POINTS - k)] = r[d] * r[d] + i[d] * i[d];
    else /* behind the power, until both of a pair are there */
      slab[BINS + k2] = r[d], slab[BINS + COLS + k2] = i[d];
  }
  kp_sync();
  if (tid < FRAMES * 13) { /* row 0 is Z = A + iB: 2A[k] = Z[k] + Z*[-k], 2iB[k] = Z[k] - Z*[-k] */
    double *power = slabs[tid / 13], *zr = power + BINS, *zi = zr + COLS;
    int k2 = tid % 13, m = (COLS - k2) % COLS, ka = 176 * k2 % POINTS, kb = (225 * 8 + 176 * k2) % POINTS;
    double ar = zr[k2] + zr[m], ai = zi[k2] - zi[m], br = zr[k2] - zr[m], bi = zi[k2] + zi[m];
    power[kp_least(ka, POINTS - ka)] = (ar * ar + ai * ai) / 4;
    power[kp_least(kb, POINTS - kb)] = (br * br + bi * bi) / 4;
  }
  kp_sync();

  int left = kp_least(FRAMES, frames - at);
  for (int j = tid; j < left * filters; j += THREADS) {
    int f = j / filters, m = j % filters, from = index[filters + m], to = index[filters + m + 1];
    const double *power = slabs[f] + index[m], *weights = table + AT_WEIGHTS;
    double sum = 0;
    for (int k = from; k < to; k++) sum += weights[k] * power[k - from];
    if (!(sum >= table[AT_FLOOR])) sum = table[AT_FLOOR];
    float v = (float)logarithm_10(sum);
    values[f][m] = v;
    y[(long long)at * filters + j] = v;
  }
  kp_sync();
  int f = tid / 32, lane = tid % 32;
  if (f >= left) return;
  float most = -KP_INFINITY;
  for (int m = lane; m < filters; m += 32) most = kp_max(most, values[f][m]);
  most = kp_warp_max(most);
  double zero = slabs[f][0] - slabs[f][0]; /* a sample that is not finite reaches every bin */
  if (lane == 0) highest[at + f] = zero == 0 ? most : kp_float(0x7fc00000u);
}
