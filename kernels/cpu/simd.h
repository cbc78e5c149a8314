/* One SIMD register of floats in GCC's vector extension: the compiler maps it to whatever the
 * target has. For loops that must keep sums in registers; the rest is plain loops. The only place
 * that asks what a form may use. */
#ifndef KERNELS_CPU_SIMD_H
#define KERNELS_CPU_SIMD_H

#include "kernels/cpu/processor.h"

#include <stdbool.h>
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
#elif defined __AVX__ && defined __FMA__
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

#if defined __AVX2__ && !defined SIMD_AVX512
/* All bits set in the first `lanes`. */
static inline __m256i simd_lanes(int64_t lanes) {
  const __m256i number = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), number);
}
#endif

/* The first `lanes` of them; the others are zero, or left alone. */
static inline Vec vec_load_part(const float *from, int64_t lanes) {
#if defined SIMD_AVX512
  return (Vec)_mm512_maskz_loadu_ps((__mmask16)((1u << lanes) - 1), from);
#elif defined __AVX2__
  return (Vec)_mm256_maskload_ps(from, simd_lanes(lanes));
#else
  Vec v = {0};
  memcpy(&v, from, (size_t)lanes * sizeof(float));
  return v;
#endif
}

static inline void vec_store_part(float *to, Vec v, int64_t lanes) {
#if defined SIMD_AVX512
  _mm512_mask_storeu_ps(to, (__mmask16)((1u << lanes) - 1), (__m512)v);
#elif defined __AVX2__
  _mm256_maskstore_ps(to, simd_lanes(lanes), (__m256)v);
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
#if defined SIMD_AVX512
  return (Vec)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)b, (__m512)a);
#elif defined __AVX2__
  return (Vec)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask);
#else
  return (Vec)(((IntVec)a & mask) | ((IntVec)b & ~mask));
#endif
}

/* Bit i: the comparison's result in lane i. */
static inline uint32_t vec_bits(IntVec mask) {
#if defined SIMD_AVX512
  return (uint32_t)_mm512_movepi32_mask((__m512i)mask);
#elif defined __FMA__
  return (uint32_t)_mm256_movemask_ps((__m256)mask);
#else
  uint32_t bits = 0;
  for (int lane = 0; lane < VEC; lane++) bits |= (mask[lane] ? 1u : 0u) << lane;
  return bits;
#endif
}

/* a > b ? a : b, and a < b ? a : b: of a NaN, and of zeros of both signs, b. */
static inline Vec vec_max(Vec a, Vec b) {
#if defined SIMD_AVX512
  return (Vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined __FMA__
  return (Vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return vec_select(a > b, a, b);
#endif
}

static inline Vec vec_min(Vec a, Vec b) {
#if defined SIMD_AVX512
  return (Vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined __FMA__
  return (Vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return vec_select(a < b, a, b);
#endif
}

/* ---- across lanes ---------------------------------------------------------------------------- */

/* The sum and the largest of all lanes, half by half: a chain of all would take longer. */
static inline float vec_total(Vec v) {
#if defined SIMD_AVX512
  return _mm512_reduce_add_ps((__m512)v);
#elif defined __FMA__
  __m128 four = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
#else
  float sum = 0;
  for (int lane = 0; lane < VEC; lane++) sum += v[lane];
  return sum;
#endif
}

static inline float vec_largest(Vec v) {
#if defined SIMD_AVX512
  return _mm512_reduce_max_ps((__m512)v);
#elif defined __FMA__
  __m128 four = _mm_max_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
#else
  float most = v[0];
  for (int lane = 1; lane < VEC; lane++) most = v[lane] > most ? v[lane] : most;
  return most;
#endif
}

/* Four lanes each from `from`, from + step, ... */
static inline Vec vec_load_fours(const float *from, int64_t step) {
#if defined __FMA__
  __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(from));
  low = _mm256_insertf128_ps(low, _mm_loadu_ps(from + step), 1);
#if defined SIMD_AVX512
  __m256 high = _mm256_castps128_ps256(_mm_loadu_ps(from + 2 * step));
  high = _mm256_insertf128_ps(high, _mm_loadu_ps(from + 3 * step), 1);
  return (Vec)_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
#else
  return (Vec)low;
#endif
#else
  (void)step;
  return vec_load(from);
#endif
}

/* Of every four lanes the two lower or upper ones of a and b in turn: a0 b0 a1 b1, a2 b2 a3 b3. */
static inline Vec vec_zip(Vec a, Vec b, bool upper) {
#if defined SIMD_AVX512
  return upper ? (Vec)_mm512_unpackhi_ps((__m512)a, (__m512)b)
               : (Vec)_mm512_unpacklo_ps((__m512)a, (__m512)b);
#elif defined __FMA__
  return upper ? (Vec)_mm256_unpackhi_ps((__m256)a, (__m256)b)
               : (Vec)_mm256_unpacklo_ps((__m256)a, (__m256)b);
#else
  return upper ? __builtin_shufflevector(a, b, 2, 6, 3, 7)
               : __builtin_shufflevector(a, b, 0, 4, 1, 5);
#endif
}

/* Of every four lanes the two lower or upper ones of a, then those of b: a0 a1 b0 b1. */
static inline Vec vec_join(Vec a, Vec b, bool upper) {
#if defined SIMD_AVX512
  return upper ? (Vec)_mm512_shuffle_ps((__m512)a, (__m512)b, 0xee)
               : (Vec)_mm512_shuffle_ps((__m512)a, (__m512)b, 0x44);
#elif defined __FMA__
  return upper ? (Vec)_mm256_shuffle_ps((__m256)a, (__m256)b, 0xee)
               : (Vec)_mm256_shuffle_ps((__m256)a, (__m256)b, 0x44);
#else
  return upper ? __builtin_shufflevector(a, b, 2, 3, 6, 7)
               : __builtin_shufflevector(a, b, 0, 1, 4, 5);
#endif
}

#endif
