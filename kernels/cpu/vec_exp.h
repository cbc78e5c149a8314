/* simd_exp (simd_math.h) of a register, to the same bits. For loops of VEC turns: GCC unrolls eight
 * of them before it looks for registers, and would compute each lane by itself. */
#ifndef KERNELS_CPU_VEC_EXP_H
#define KERNELS_CPU_VEC_EXP_H

#include "kernels/cpu/simd.h"

INLINE Vec vec_exp(Vec x) {
  const Vec round = vec_splat(12582912.f + 127.f);
  Vec inside = vec_max(vec_splat(-87.3f), vec_min(vec_splat(88.f), x));
  Vec shifted = vec_fma(inside, vec_splat(1.44269504f), round), n = shifted - round;
  Vec r = vec_fma(n, vec_splat(-0.693359375f), inside);
  r = vec_fma(n, vec_splat(2.12194440e-4f), r);
  Vec p = vec_fma(r, vec_splat(1.395053854e-3f), vec_splat(8.368918062e-3f));
  p = vec_fma(r, p, vec_splat(4.166620509e-2f));
  p = vec_fma(r, p, vec_splat(1.666651860e-1f));
  p = vec_fma(r, p, vec_splat(.5f));
  p = vec_fma(r * r, p, r) + 1.f;
  return vec_select(x < -87.3f, (Vec){0}, p * (Vec)((IntVec)shifted << 23));
}

#endif
