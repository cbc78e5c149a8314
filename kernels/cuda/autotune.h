/* Which of a library's suggestions is fastest on this device, asked when a plan is made. The
 * library orders them by its own guess, so few are tried, and a slow one is measured once. */
#ifndef KERNELS_CUDA_AUTOTUNE_H
#define KERNELS_CUDA_AUTOTUNE_H

#include <stdbool.h>
#include <stdint.h>

enum { AUTOTUNE_MOST = 12 };
typedef struct Autotune {
  bool blind; /* nothing is timed: the first suggestion that can be had wins */
  int tried;
  double best, spent;            /* seconds of one call, of all; best 0: none yet */
  int64_t engine[AUTOTUNE_MOST]; /* admitted since autotune_again */
  int admitted;
} Autotune;

/* Blind in a process that wants the same choice every time: kernel_mode.deterministic, or
 * HARNESS_ENGINES=first in the environment. */
Autotune autotune_begin(void);
/* Another list of suggestions: tries and time count anew, the best so far stays. */
void autotune_again(Autotune *autotune);
/* Whether the next suggestion is worth a try. */
bool autotune_open(const Autotune *autotune);
/* Whether another setting of this engine is: a library names one engine many times in a row, two of
 * them stand for it. True counts it. */
bool autotune_admits(Autotune *autotune, int64_t engine);
/* HARNESS_ENGINES=compiled: engines that the library compiles in this process, for seconds each,
 * may be tried. */
bool autotune_compiled(void);
/* True: the candidate is the best so far. seconds(user) makes one call and gives its time, NaN when
 * it failed; the first call (what is loaded then) does not count. */
bool autotune_try(Autotune *autotune, double (*seconds)(void *user), void *user);

#endif
