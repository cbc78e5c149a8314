/* Which of a library's suggestions is fastest on this device, asked when a plan is made. The
 * library orders them by its own guess, so few are tried, and a slow one is measured once. */
#ifndef KERNELS_CONTEST_H
#define KERNELS_CONTEST_H

#include <stdbool.h>

typedef struct Contest {
  bool blind; /* nothing is timed: the first suggestion that can be had wins */
  int tried;
  double best, spent; /* seconds of one call, of all; best 0: none yet */
} Contest;

/* Blind in a process that wants the same choice every time: kernel_mode.deterministic, or
 * HARNESS_ENGINES=first in the environment. */
Contest contest_begin(void);
/* Whether the next suggestion is worth a try. */
bool contest_open(const Contest *contest);
/* True: the candidate is the best so far. seconds(user) makes one call and gives its time, NaN when
 * it failed; the first call (what is loaded and compiled then) does not count. */
bool contest_try(Contest *contest, double (*seconds)(void *user), void *user);

#endif
