/* The clocks: what times, waits and rates are measured with. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/* Seconds since some moment of the past, monotonic: only differences mean anything. */
double seconds_now(void);
/* What all threads of this process have computed so far: others that want the processors too do not
 * lengthen it. */
double processor_seconds(void);

#endif
