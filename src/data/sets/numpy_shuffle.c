/* MT19937 (Matsumoto and Nishimura 1998), seeded with one number, and NumPy's legacy shuffle over
 * it: Fisher-Yates from the end, each index drawn by masking 32 bits and rejecting what is too
 * large. */
#include "src/data/sets/numpy_shuffle.h"

enum { WORDS = 624, AHEAD = 397 };

typedef struct Twister {
  uint32_t word[WORDS];
  int used;
} Twister;

static void twister_seed(Twister *t, uint32_t seed) {
  t->word[0] = seed;
  for (uint32_t i = 1; i < WORDS; i++)
    t->word[i] = 1812433253u * (t->word[i - 1] ^ t->word[i - 1] >> 30) + i;
  t->used = WORDS;
}

static void twister_turn(Twister *t) {
  for (int i = 0; i < WORDS; i++) {
    uint32_t pair = (t->word[i] & 0x80000000u) | (t->word[(i + 1) % WORDS] & 0x7fffffffu);
    t->word[i] = t->word[(i + AHEAD) % WORDS] ^ pair >> 1 ^ (pair & 1 ? 0x9908b0dfu : 0);
  }
  t->used = 0;
}

static uint32_t twister_next(Twister *t) {
  if (t->used == WORDS) twister_turn(t);
  uint32_t x = t->word[t->used++];
  x ^= x >> 11;
  x ^= x << 7 & 0x9d2c5680u;
  x ^= x << 15 & 0xefc60000u;
  return x ^ x >> 18;
}

/* 0 .. most, all equally likely. */
static uint32_t twister_up_to(Twister *t, uint32_t most) {
  uint32_t mask = most, drawn;
  for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
  do drawn = twister_next(t) & mask;
  while (drawn > most);
  return drawn;
}

void numpy_shuffle(uint32_t seed, int *order, int count) {
  Twister twister;
  twister_seed(&twister, seed);
  for (int i = 0; i < count; i++) order[i] = i;
  for (int i = count - 1; i > 0; i--) {
    uint32_t other = twister_up_to(&twister, (uint32_t)i);
    int kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
}
