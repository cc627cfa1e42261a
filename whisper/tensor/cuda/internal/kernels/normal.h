/* normal.h - the normal distribution function, as the CPU backend computes it. */
#ifndef NORMAL_H
#define NORMAL_H
#include "kport.h"

/* P(t) of kp_normal */
KP_DEV float kp_tail(float t) {
  float p = -0.106322067683f;
  p = kp_fma(p, t, 0.3922342952f);
  p = kp_fma(p, t, -0.241248959992f);
  p = kp_fma(p, t, 0.272680866319f);
  p = kp_fma(p, t, 0.0658527259889f);
  p = kp_fma(p, t, 0.116803188493f);
  return p;
}

/* Φ(x), by the tail Φ(-a) = exp(-a²/2) t P(t) with t = 1/(1 + 0.28 a), after Abramowitz & Stegun 7.1.26, with a P of
 * degree 5 (Remez); e is exp(-x²/2). The error of a Φ(-a) is below 1e-7. */
KP_DEV float kp_normal(float x, float *e) {
  float a = kp_float(kp_bits(x) & 0x7fffffffu);
  float t = 1.0f / kp_fma(0.28f, a, 1.0f);
  *e = kp_exponential(-0.5f * a * a);
  float q = *e * t * kp_tail(t);
  return x < 0 ? q : 1.0f - q;
}

/* x Φ(x) to about 2⁻¹⁸ of itself, or 1e-6, for what is rounded to 16 bits: the argument of exp2 is rounded, and the reciprocal is the device's. */
KP_DEV float kp_gelu_rounded(float x) {
  float a = kp_float(kp_bits(x) & 0x7fffffffu);
  float t = kp_reciprocal(kp_fma(0.28f, a, 1.0f));
  float q = kp_exp2(a * a * (-0.5f * KP_LOG2E)) * t * kp_tail(t);
  return x * (x < 0 ? q : 1.0f - q);
}

/* x Φ(x), Hendrycks & Gimpel 2016. */
KP_DEV float kp_gelu(float x) {
  float e;
  return x * kp_normal(x, &e);
}
#endif
