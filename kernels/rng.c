#include "kernels/rng.h"

#include <math.h>

static void philox(const uint32_t key_in[2], const uint32_t counter[4], uint32_t out[4]) {
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

uint32_t rng_below(Rng *rng, uint32_t bound) {
  uint32_t reject = -bound % bound; /* values below this would favour small results */
  uint32_t draw;
  do draw = rng_u32(rng);
  while (draw < reject);
  return draw % bound;
}
