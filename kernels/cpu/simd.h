/* One SIMD register of floats in GCC's vector extension: the compiler maps it to whatever the
 * target has. For loops that must keep sums in registers; the rest is plain loops. The only place
 * that asks what a form may use. */
#ifndef KERNELS_CPU_SIMD_H
#define KERNELS_CPU_SIMD_H

#include "kernels/cpu/processor.h"

#include <stdint.h>
#include <string.h>

#if defined __FMA__
#include <immintrin.h>
#endif
#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512CD__ && defined __AVX512DQ__ && \
    defined __AVX512VL__
#include <immintrin.h>
#define SIMD_AVX512 1
enum { VEC_BYTES = 64 };
#elif defined __AVX__
enum { VEC_BYTES = 32 };
#else
enum { VEC_BYTES = 16 };
#endif

/* Of what may be BF16 only where the processor multiplies it (processor_no_bf16): the form for
 * AVX-512 has these instructions on processors that have not. */
#if defined SIMD_AVX512 && defined __AVX512BF16__
#define SIMD_BF16 1
#endif

#if defined SIMD_BF16
#define SIMD_ISA ISA_V4_BF16
#elif defined SIMD_AVX512
#define SIMD_ISA ISA_V4
#elif defined __AVX2__ && defined __FMA__
#define SIMD_ISA ISA_V3
#else
#define SIMD_ISA ISA_PORTABLE
#endif

enum { VEC = VEC_BYTES / 4 }; /* lanes */

#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#endif

typedef float Vec __attribute__((vector_size(VEC_BYTES)));
typedef int32_t IntVec __attribute__((vector_size(VEC_BYTES)));

static inline Vec vec_load(const float *from) {
  Vec v;
  memcpy(&v, from, sizeof v);
  return v;
}

static inline void vec_store(float *to, Vec v) {
  memcpy(to, &v, sizeof v);
}

/* The first `lanes` of them; the others are zero, or left alone. */
static inline Vec vec_load_part(const float *from, int64_t lanes) {
#if defined SIMD_AVX512
  return (Vec)_mm512_maskz_loadu_ps((__mmask16)((1u << lanes) - 1), from);
#else
  Vec v = {0};
  memcpy(&v, from, (size_t)lanes * sizeof(float));
  return v;
#endif
}

static inline void vec_store_part(float *to, Vec v, int64_t lanes) {
#if defined SIMD_AVX512
  _mm512_mask_storeu_ps(to, (__mmask16)((1u << lanes) - 1), (__m512)v);
#else
  memcpy(to, &v, (size_t)lanes * sizeof(float));
#endif
}

static inline Vec vec_splat(float x) {
  return x - (Vec){0};
}

/* Holds v in a register where it is used several times: GCC would load it anew for each use, and
 * with AVX2 products wait for loads. */
static inline Vec vec_keep(Vec v) {
#if defined __AVX2__ && !defined SIMD_AVX512
  __asm__("" : "+x"(v));
#endif
  return v;
}

/* a b + c in one instruction where there is one, even where the compiler, tuned for a processor on
 * which a chain of them waits longer than products and sums apart, would take two. */
static inline Vec vec_fma(Vec a, Vec b, Vec c) {
#if defined SIMD_AVX512
  return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined __FMA__
  return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

/* Lane by lane: a where the comparison's result is true, else b. */
static inline Vec vec_select(IntVec mask, Vec a, Vec b) {
  return (Vec)(((IntVec)a & mask) | ((IntVec)b & ~mask));
}

static inline Vec vec_max(Vec a, Vec b) {
  return vec_select(a > b, a, b);
}

#endif
