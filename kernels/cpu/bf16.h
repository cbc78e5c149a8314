/* bfloat16, the upper half of a float, and the one place where it becomes float and back. Rounds to
 * nearest, ties to even; NaN stays NaN. The `type` of the typed accesses below is a constant after
 * inlining where it matters: a kernel is written once and instantiated for F32 and BF16. */
#ifndef KERNELS_CPU_BF16_H
#define KERNELS_CPU_BF16_H

#include "kernels/cpu/simd.h"
#include "kernels/op.h"

typedef uint16_t Bf16;
typedef uint16_t HalfVec __attribute__((vector_size(VEC_BYTES / 2)));

INLINE float bf16_float(Bf16 x) {
  uint32_t bits = (uint32_t)x << 16;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

INLINE Bf16 bf16_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return (Bf16)(bits >> 16 | 0x40);
  return (Bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

INLINE Vec vec_load_bf16(const Bf16 *from) {
#if defined SIMD_AVX512 /* GCC 12 splits the conversion of the other branch into two halves */
  return (Vec)_mm512_slli_epi32(
      _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)from)), 16);
#else
  typedef uint32_t Wide __attribute__((vector_size(VEC_BYTES)));
  HalfVec half;
  memcpy(&half, from, sizeof half);
  return (Vec)(__builtin_convertvector(half, Wide) << 16);
#endif
}

INLINE void vec_store_bf16(Bf16 *to, Vec v) {
#if defined SIMD_BF16
  __m256bh half = _mm512_cvtneps_pbh((__m512)v);
  memcpy(to, &half, sizeof half);
#else
  for (int lane = 0; lane < VEC; lane++) to[lane] = bf16_of(v[lane]);
#endif
}

/* Rounded to bf16, still a register of floats. */
INLINE Vec vec_round_bf16(Vec v) {
#if defined SIMD_BF16
  return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)v)), 16);
#else
  Bf16 half[VEC];
  vec_store_bf16(half, v);
  return vec_load_bf16(half);
#endif
}

/* Both rounded, lane by lane one of `even` and the one of `odd` after it. */
INLINE IntVec vec_pair_bf16(Vec even, Vec odd) {
#if defined SIMD_BF16
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
  return (IntVec)_mm512_permutexvar_epi16(order, both);
#else
  typedef uint32_t Bits __attribute__((vector_size(VEC_BYTES)));
  return (IntVec)((Bits)vec_round_bf16(even) >> 16 | (Bits)vec_round_bf16(odd));
#endif
}

/* sum + a0 b0 + a1 b1 in each lane of pairs of bf16. */
INLINE Vec vec_dot_bf16(Vec sum, IntVec a, IntVec b) {
#if defined SIMD_BF16
  return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
  IntVec high = {0};
  high -= 65536; /* ffff0000 */
  sum += (Vec)(a << 16) * (Vec)(b << 16);
  return sum + (Vec)(a & high) * (Vec)(b & high);
#endif
}

/* ---- operands of either type ----------------------------------------------------------------- */

/* Element i of an operand's data, as an address. */
INLINE void *real_at(const void *data, int64_t i, DType type) {
  return (char *)(uintptr_t)data + i * (type == BF16 ? 2 : 4);
}

INLINE float real_get(const void *data, int64_t i, DType type) {
  return type == BF16 ? bf16_float(((const Bf16 *)data)[i]) : ((const float *)data)[i];
}

INLINE void real_set(void *data, int64_t i, float value, DType type) {
  if (type == BF16)
    ((Bf16 *)data)[i] = bf16_of(value);
  else
    ((float *)data)[i] = value;
}

INLINE Vec real_load(const void *data, int64_t i, DType type) {
  return type == BF16 ? vec_load_bf16((const Bf16 *)data + i) : vec_load((const float *)data + i);
}

INLINE void real_store(void *data, int64_t i, Vec v, DType type) {
  if (type == BF16)
    vec_store_bf16((Bf16 *)data + i, v);
  else
    vec_store((float *)data + i, v);
}

/* function(..., type) with the type as a constant: two instances of one body. */
#define TYPED(function, type, ...)                                                                 \
  ((type) == BF16 ? function(__VA_ARGS__, BF16) : function(__VA_ARGS__, F32))

/* Runs of elements, on the calling thread. */
static inline void bf16_to_floats(float *to, const Bf16 *from, int64_t count) {
  int64_t i = 0;
  for (; i + VEC <= count; i += VEC) vec_store(to + i, vec_load_bf16(from + i));
  for (; i < count; i++) to[i] = bf16_float(from[i]);
}

static inline void bf16_from_floats(Bf16 *to, const float *from, int64_t count) {
  int64_t i = 0;
  for (; i + VEC <= count; i += VEC) vec_store_bf16(to + i, vec_load(from + i));
  for (; i < count; i++) to[i] = bf16_of(from[i]);
}

#endif
