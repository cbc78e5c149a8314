#include "kernels/rng.h"
#include "kernels/simd_math.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static inline void philox(const uint32_t key_in[2], const uint32_t counter[4], uint32_t out[4]) {
  uint32_t key[2] = {key_in[0], key_in[1]};
  uint32_t x[4] = {counter[0], counter[1], counter[2], counter[3]};
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * x[0];
    uint64_t b = (uint64_t)0xCD9E8D57u * x[2];
    uint32_t next[4] = {(uint32_t)(b >> 32) ^ x[1] ^ key[0], (uint32_t)b,
                        (uint32_t)(a >> 32) ^ x[3] ^ key[1], (uint32_t)a};
    for (int i = 0; i < 4; i++) x[i] = next[i];
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  for (int i = 0; i < 4; i++) out[i] = x[i];
}

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

enum { BLOCKS = 64 }; /* at a time, in columns so that every loop below runs over one */

static void philox_blocks(const Rng *rng, uint32_t x[4][BLOCKS]) {
  for (int b = 0; b < BLOCKS; b++) {
    uint32_t counter[4] = {rng->counter[0] + (uint32_t)b, rng->counter[1], rng->counter[2],
                           rng->counter[3]},
             out[4];
    philox(rng->key, counter, out);
    for (int i = 0; i < 4; i++) x[i][b] = out[i];
  }
}

/* Box-Muller: two uniform words to two normal numbers. The angle is a quarter turn (two bits) and
 * an offset in [-1/8, 1/8) turns, for which short series do. */
SIMD_INLINE void normal_pair(uint32_t u, uint32_t v, float *a, float *b) {
  float radius = ((float)(int32_t)(u >> 1) + .5f) * 0x1p-31f; /* (0, 1] */
  float square = -2.f * simd_log(radius);
  radius = sqrtf(square > 0.f ? square : 0.f);
  float x = (float)(int32_t)(v << 2) * (0x1p-32f * 1.57079633f), z = x * x;
  float sine = x * fmaf(z, fmaf(z, fmaf(z, -1.f / 5040, 1.f / 120), -1.f / 6), 1.f);
  float cosine = fmaf(z, fmaf(z, fmaf(z, fmaf(z, 1.f / 40320, -1.f / 720), 1.f / 24), -.5f), 1.f);
  float first = v >> 31 ? -cosine : cosine, second = v >> 31 ? -sine : sine;
  bool turned = v >> 30 & 1;
  *a = radius * (turned ? -second : first);
  *b = radius * (turned ? first : second);
}

void rng_normals(Rng *rng, float *out, size_t count) {
  uint32_t x[4][BLOCKS];
  float normal[4][BLOCKS];
  rng->used = 4;
  for (size_t at = 0; at < count; at += 4 * BLOCKS) {
    philox_blocks(rng, x);
    rng->counter[0] += BLOCKS;
#pragma omp simd
    for (int b = 0; b < BLOCKS; b++) {
      normal_pair(x[0][b], x[1][b], &normal[0][b], &normal[1][b]);
      normal_pair(x[2][b], x[3][b], &normal[2][b], &normal[3][b]);
    }
    size_t left = count - at < 4 * BLOCKS ? count - at : 4 * BLOCKS;
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
