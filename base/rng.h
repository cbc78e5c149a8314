/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). A draw is a pure function
 * of (seed, stream, counter), so a batch depends on (seed, step) alone, whatever the order or the
 * number of threads that ask. Streams keep uses apart: see RngStream. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef enum RngStream {
  RNG_INIT,
  RNG_BATCH,
  RNG_AUGMENT,
  RNG_SPLIT,
  RNG_PHANTOM,
  RNG_TEST,
  RNG_RELABEL
} RngStream;

typedef struct Rng {
  uint32_t key[2];
  uint32_t counter[4]; /* [0]: draws made; [1]: stream; [2..3]: item */
  uint32_t block[4];
  int used;
} Rng;

/* The generator of one item (a batch index, a hash of a parameter's name, ...) of one stream. */
Rng rng_make(uint64_t seed, RngStream stream, uint64_t item);
uint32_t rng_u32(Rng *rng);
double rng_uniform(Rng *rng); /* [0, 1) */
double rng_between(Rng *rng, double low, double high);
double rng_normal(Rng *rng);                  /* mean 0, sd 1 (Box-Muller, one value a call) */
uint32_t rng_below(Rng *rng, uint32_t bound); /* 0 .. bound-1, unbiased; bound >= 1 */

#endif
