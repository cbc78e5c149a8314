/* Normal numbers by the block, for noise: Box-Muller on a generator's words, with the same numbers
 * on the host and in kernels. */
#ifndef KERNELS_VOLUMES_NORMALS_H
#define KERNELS_VOLUMES_NORMALS_H

#include "base/host_device.h"
#include "base/rng.h"
#include "kernels/cpu/form.h"

#include <math.h>
#include <stdbool.h>

/* `count` of them, vectorised: fresh blocks, other values than as many calls of rng_normal. */
void rng_normals(Rng *rng, float *out, size_t count);
FORM_DECLARE(rng_normals)
#define rng_normals FORM_OF(rng_normals)

/* rng_normals makes its numbers by blocks of NORMAL_BLOCKS counters, 4 * NORMAL_BLOCKS at a time:
 * number i of them is word i / NORMAL_BLOCKS of counter i % NORMAL_BLOCKS. */
enum { NORMAL_BLOCKS = 64 };

/* Leaves the generator as rng_normals does, for who makes the numbers by what stands below. */
static inline void rng_skip_normals(Rng *rng, size_t count) {
  rng->used = 4;
  rng->counter[0] +=
      (uint32_t)((count + 4 * NORMAL_BLOCKS - 1) / (4 * NORMAL_BLOCKS)) * NORMAL_BLOCKS;
}

/* Box-Muller: two uniform words to two normal numbers. The caller takes the logarithm of the first
 * one's radius. The angle is a quarter turn (two bits) and an offset in [-1/8, 1/8) turns, for
 * which short series do. */
HOST_DEVICE float normal_radius(uint32_t u) {
  return ((float)(int32_t)(u >> 1) + .5f) * 0x1p-31f; /* (0, 1] */
}

HOST_DEVICE void normal_pair(float log_radius, uint32_t v, float *a, float *b) {
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
