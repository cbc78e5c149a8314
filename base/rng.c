#include "base/rng.h"
#include "base/philox.h"

#include <math.h>

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

uint32_t rng_below(Rng *rng, uint32_t bound) {
  uint32_t reject = -bound % bound; /* values below this would favour small results */
  uint32_t draw;
  do draw = rng_u32(rng);
  while (draw < reject);
  return draw % bound;
}
