/* The arithmetic of rng.h, for the host and for kernels: Philox4x32-10 and Box-Muller. */
#ifndef KERNELS_PHILOX_H
#define KERNELS_PHILOX_H

#include "kernels/anywhere.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

ANYWHERE void philox(const uint32_t key_in[2], const uint32_t counter[4], uint32_t out[4]) {
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

/* rng_normals makes its numbers by blocks of NORMAL_BLOCKS counters, 4 * NORMAL_BLOCKS at a time:
 * number i of them is word i / NORMAL_BLOCKS of counter i % NORMAL_BLOCKS. */
enum { NORMAL_BLOCKS = 64 };

/* Box-Muller: two uniform words to two normal numbers. The caller takes the logarithm of the first
 * one's radius. The angle is a quarter turn (two bits) and an offset in [-1/8, 1/8) turns, for
 * which short series do. */
ANYWHERE float normal_radius(uint32_t u) {
  return ((float)(int32_t)(u >> 1) + .5f) * 0x1p-31f; /* (0, 1] */
}

ANYWHERE void normal_pair(float log_radius, uint32_t v, float *a, float *b) {
  float square = -2.f * log_radius;
  float radius = sqrtf(square > 0.f ? square : 0.f);
  float x = (float)(int32_t)(v << 2) * (0x1p-32f * 1.57079633f), z = x * x;
  float sine = x * fmaf(z, fmaf(z, fmaf(z, -1.f / 5040, 1.f / 120), -1.f / 6), 1.f);
  float cosine = fmaf(z, fmaf(z, fmaf(z, fmaf(z, 1.f / 40320, -1.f / 720), 1.f / 24), -.5f), 1.f);
  float first = v >> 31 ? -cosine : cosine, second = v >> 31 ? -sine : sine;
  bool turned = v >> 30 & 1;
  *a = radius * (turned ? -second : first);
  *b = radius * (turned ? first : second);
}

#endif
