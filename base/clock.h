/* The one clock: what times, waits and rates are measured with. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/* Seconds since some moment of the past, monotonic: only differences mean anything. */
double seconds_now(void);

#endif
