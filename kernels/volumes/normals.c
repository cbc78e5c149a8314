#include "kernels/volumes/normals.h"
#include "base/philox.h"
#include "kernels/cpu/simd_math.h"

#include <string.h>

/* In columns, so that every loop below runs over one. */
static void philox_blocks(const Rng *rng, uint32_t x[4][NORMAL_BLOCKS]) {
  for (int b = 0; b < NORMAL_BLOCKS; b++) {
    uint32_t counter[4] = {rng->counter[0] + (uint32_t)b, rng->counter[1], rng->counter[2],
                           rng->counter[3]},
             out[4];
    philox(rng->key, counter, out);
    for (int i = 0; i < 4; i++) x[i][b] = out[i];
  }
}

void rng_normals(Rng *rng, float *out, size_t count) {
  uint32_t x[4][NORMAL_BLOCKS];
  float normal[4][NORMAL_BLOCKS];
  rng->used = 4;
  for (size_t at = 0; at < count; at += 4 * NORMAL_BLOCKS) {
    philox_blocks(rng, x);
    rng->counter[0] += NORMAL_BLOCKS;
#pragma omp simd
    for (int b = 0; b < NORMAL_BLOCKS; b++) {
      normal_pair(simd_log(normal_radius(x[0][b])), x[1][b], &normal[0][b], &normal[1][b]);
      normal_pair(simd_log(normal_radius(x[2][b])), x[3][b], &normal[2][b], &normal[3][b]);
    }
    size_t left = count - at < 4 * NORMAL_BLOCKS ? count - at : 4 * NORMAL_BLOCKS;
    memcpy(out + at, normal, left * sizeof *out);
  }
}
