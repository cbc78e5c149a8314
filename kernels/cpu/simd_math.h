/* exp, log, log1p, sigmoid, softplus and the normal distribution for loops that the compiler
 * vectorises: no branch, no table, no call, the same bits in every lane and at any vector width.
 * Errors against exact values, measured by tests/test_simd_math.c: exp and log 1e-7, the others
 * below 2.5e-7 of the value or, for log, the slope of silu, gelu and its slope, of max(value, 1).
 * NaN in, NaN out, but for log: it takes normal positive numbers only.
 * Polynomials: own minimax fits. */
#ifndef KERNELS_CPU_SIMD_MATH_H
#define KERNELS_CPU_SIMD_MATH_H

#include <math.h>
#include <stdint.h>

#define SIMD_INLINE static inline __attribute__((always_inline, unused))

SIMD_INLINE float simd_from_bits(int32_t bits) {
  union {
    int32_t i;
    float f;
  } u = {.i = bits};
  return u.f;
}

SIMD_INLINE int32_t simd_bits(float x) {
  union {
    float f;
    int32_t i;
  } u = {.f = x};
  return u.i;
}

/* e^x = 2^n e^r, |r| <= ln 2 / 2. Zero below -87.3 (the end of the normal numbers), constant above
 * 88. */
SIMD_INLINE float simd_exp(float x) {
  const float round = 12582912.f + 127.f; /* 1.5 * 2^23: the sum's low bits hold n + 127 */
  float inside = x > 88.f ? 88.f : x;
  inside = inside < -87.3f ? -87.3f : inside;
  float shifted = fmaf(inside, 1.44269504f, round);
  float n = shifted - round;
  float r = fmaf(n, -0.693359375f, inside);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = fmaf(r, 1.395053854e-3f, 8.368918062e-3f);
  p = fmaf(r, p, 4.166620509e-2f);
  p = fmaf(r, p, 1.666651860e-1f);
  p = fmaf(r, p, .5f);
  p = fmaf(r * r, p, r) + 1.f;
  float scale = simd_from_bits((int32_t)((uint32_t)simd_bits(shifted) << 23));
  return x < -87.3f ? 0.f : p * scale;
}

/* log x for normal positive x: x = 2^n m, m in [.7, 1.42), log m = 2 atanh((m - 1) / (m + 1)). */
SIMD_INLINE float simd_log(float x) {
  int32_t n = (simd_bits(x) - 0x3f3504f3) >> 23;
  float m = simd_from_bits(simd_bits(x) - (int32_t)((uint32_t)n << 23));
  float s = (m - 1.f) / (m + 1.f), z = s * s;
  float p = fmaf(z, 2.988519057e-1f, 3.997707924e-1f);
  p = fmaf(z, p, 6.666677977e-1f);
  return fmaf((float)n, 0.693147181f, fmaf(s * z, p, 2.f * s));
}

/* log(1 + x) for x in [0, 1], small in relative error near 0: 2 atanh(x / (2 + x)). */
SIMD_INLINE float simd_log1p_unit(float x) {
  float s = x / (2.f + x), z = s * s;
  float p = fmaf(z, 2.430832530e-1f, 2.142585065e-1f);
  p = fmaf(z, p, 2.861703535e-1f);
  p = fmaf(z, p, 3.999887287e-1f);
  p = fmaf(z, p, 6.666667567e-1f);
  return fmaf(s * z, p, 2.f * s);
}

/* 1 / (1 + e^-x), small in relative error on both sides. */
SIMD_INLINE float simd_sigmoid(float x) {
  float e = simd_exp(-fabsf(x)), r = 1.f / (1.f + e);
  return x < 0.f ? e * r : r;
}

/* x times it, and the slope of that: s + x s (1 - s), of the two factors neither rounded to 1. */
SIMD_INLINE float simd_silu(float x) {
  return x * simd_sigmoid(x);
}

SIMD_INLINE float simd_silu_slope(float x) {
  float e = simd_exp(-fabsf(x)), r = 1.f / (1.f + e);
  return fmaf(x * e * r, r, x < 0.f ? e * r : r);
}

/* log(1 + e^x) */
SIMD_INLINE float simd_softplus(float x) {
  return (x > 0.f ? x : 0.f) + simd_log1p_unit(simd_exp(-fabsf(x)));
}

/* Distribution function of the standard normal; *bell = e^(-x^2/2), its density times sqrt(2 pi).
 * Upper tail = bell k P(k) / 2, k = 1 / (1 + |x| / 4), a form of Abramowitz and Stegun 7.1.26. */
SIMD_INLINE float simd_normal(float x, float *bell) {
  float e = simd_exp(-.5f * x * x), k = 1.f / fmaf(fabsf(x), .25f, 1.f);
  float p = fmaf(k, -9.152019853e-2f, 3.409858457e-1f);
  p = fmaf(k, p, -2.652565545e-1f);
  p = fmaf(k, p, 2.787904833e-1f);
  p = fmaf(k, p, 2.652456340e-2f);
  p = fmaf(k, p, 1.115656662e-1f);
  p = fmaf(k, p, 9.891019086e-2f);
  float tail = e * k * p;
  *bell = e;
  return x < 0.f ? tail : 1.f - tail;
}

SIMD_INLINE float simd_gelu(float x) {
  float bell;
  return x * simd_normal(x, &bell);
}

SIMD_INLINE float simd_gelu_slope(float x) {
  float bell, phi = simd_normal(x, &bell);
  return fmaf(x * bell, 0.398942280f, phi);
}

#endif
