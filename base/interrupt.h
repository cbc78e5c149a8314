/* Signals that ask a program to end (SIGINT, SIGTERM, SIGHUP). timeout(1), service managers and
 * schedulers tell a program and then its group, itself among them: signals of one second are one
 * wish. Somebody's second thought comes later. */
#ifndef BASE_INTERRUPT_H
#define BASE_INTERRUPT_H

#include <signal.h>

typedef struct Interrupt {
  volatile sig_atomic_t wishes; /* heard so far */
  volatile double first;        /* seconds_now() at the first */
} Interrupt;

/* For a signal's handler: counts it, unless it belongs to the first wish. Returns the wishes. */
int interrupt_hear(Interrupt *interrupt);

#endif
