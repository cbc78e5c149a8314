#include "kernels/rng.h"
#include "kernels/philox.h"
#include "kernels/simd_math.h"

#include <math.h>
#include <string.h>

Rng rng_make(uint64_t seed, RngStream stream, uint64_t item) {
  Rng rng = {.key = {(uint32_t)seed, (uint32_t)(seed >> 32)}, .used = 4};
  rng.counter[1] = (uint32_t)stream;
  rng.counter[2] = (uint32_t)item;
  rng.counter[3] = (uint32_t)(item >> 32);
  return rng;
}

uint32_t rng_u32(Rng *rng) {
  if (rng->used == 4) {
    philox(rng->key, rng->counter, rng->block);
    rng->counter[0]++;
    rng->used = 0;
  }
  return rng->block[rng->used++];
}

double rng_uniform(Rng *rng) {
  return rng_u32(rng) * 0x1p-32;
}

double rng_between(Rng *rng, double low, double high) {
  return low + (high - low) * rng_uniform(rng);
}

double rng_normal(Rng *rng) {
  double u = (rng_u32(rng) + 1.0) * 0x1p-32; /* (0, 1] keeps the logarithm finite */
  double v = rng_uniform(rng);
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

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

/* What rng_normals draws from, for so many numbers. */
static uint32_t normals_counters(size_t count) {
  return (uint32_t)((count + 4 * NORMAL_BLOCKS - 1) / (4 * NORMAL_BLOCKS)) * NORMAL_BLOCKS;
}

void rng_skip_normals(Rng *rng, size_t count) {
  rng->used = 4;
  rng->counter[0] += normals_counters(count);
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

uint32_t rng_below(Rng *rng, uint32_t bound) {
  uint32_t reject = -bound % bound; /* values below this would favour small results */
  uint32_t draw;
  do draw = rng_u32(rng);
  while (draw < reject);
  return draw % bound;
}
