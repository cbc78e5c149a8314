/* Timing one piece of work: warm-up until steady, then samples until the noise target or the time
 * limit. Cold samples walk a buffer larger than the last-level cache before each call, untimed. */
#ifndef MACHINE_TIMING_H
#define MACHINE_TIMING_H

#include "engine/backend.h"
#include "src/machine/statistics.h"

#include <stddef.h>

typedef struct Work {
  void (*run)(void *user);
  void *user;
  const Device *device; /* NULL: the host's clock around `run` */
  void *recorded;       /* by device->record: what is timed on it */
} Work;

typedef struct TimingLimits {
  double seconds; /* of one measurement */
  double noise;   /* target of summary_noise */
} TimingLimits;

typedef struct Flush {
  size_t bytes;
  float *memory;
} Flush;

Flush flush_make(void); /* twice the last-level cache */
void flush_free(Flush *flush);

void timing_warm(const Work *work, const TimingLimits *limits);
/* Samples in microseconds. On a device the flush is its own. flush == NULL: hot, short work
 * repeated within a sample; otherwise cold, one call a sample. */
void timing_run(const Work *work, const Flush *flush, const TimingLimits *limits, Samples *samples);

#endif
