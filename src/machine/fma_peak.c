#include "src/machine/fma_peak.h"
#include "kernels/cpu/simd.h"

/* As many chains as there are registers beside multiplier, addend and a spare one: twice what
 * hides the latency of an FMA (four cycles, two a cycle), so that a lost cycle costs nothing. */
enum { CHAINS = VEC_BYTES == 64 ? 28 : 12, TURNS = 8192 };

double fma_peak(const volatile float *in, volatile float *out) {
  Vec x[CHAINS], a = vec_splat(in[0]), b = vec_splat(in[1]);
  for (int c = 0; c < CHAINS; c++) x[c] = vec_splat(in[0]); /* read anew: no two are known alike */
  for (int turn = 0; turn < TURNS; turn++)
#pragma GCC unroll 32
    for (int c = 0; c < CHAINS; c++) x[c] = vec_fma(x[c], a, b);
  for (int c = 1; c < CHAINS; c++) x[0] += x[c];
  *out = x[0][0];
  return 2. * TURNS * CHAINS * VEC;
}
