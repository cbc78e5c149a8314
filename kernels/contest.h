/* Which of a library's suggestions is fastest on this device, asked when a plan is made. The
 * library orders them by its own guess, so few are tried, and a slow one is measured once. */
#ifndef KERNELS_CONTEST_H
#define KERNELS_CONTEST_H

#include <stdbool.h>
#include <stdint.h>

enum { CONTEST_MOST = 12 };
typedef struct Contest {
  bool blind; /* nothing is timed: the first suggestion that can be had wins */
  int tried;
  double best, spent;           /* seconds of one call, of all; best 0: none yet */
  int64_t engine[CONTEST_MOST]; /* admitted since contest_again */
  int admitted;
} Contest;

/* Blind in a process that wants the same choice every time: kernel_mode.deterministic, or
 * HARNESS_ENGINES=first in the environment. */
Contest contest_begin(void);
/* Another list of suggestions: tries and time count anew, the best so far stays. */
void contest_again(Contest *contest);
/* Whether the next suggestion is worth a try. */
bool contest_open(const Contest *contest);
/* Whether another setting of this engine is: a library names one engine many times in a row, two of
 * them stand for it. True counts it. */
bool contest_admits(Contest *contest, int64_t engine);
/* HARNESS_ENGINES=compiled: engines that the library compiles in this process, for seconds each,
 * may be tried. */
bool contest_compiled(void);
/* True: the candidate is the best so far. seconds(user) makes one call and gives its time, NaN when
 * it failed; the first call (what is loaded then) does not count. */
bool contest_try(Contest *contest, double (*seconds)(void *user), void *user);

#endif
