/* Timing one piece of work: warm-up until steady, then samples until the noise target or the time
 * limit. Cold samples walk a buffer larger than the last-level cache before each call, untimed. */
#ifndef MACHINE_TIMING_H
#define MACHINE_TIMING_H

#include "engine/backend.h"

#include <stdbool.h>
#include <stddef.h>

/* ---- samples --------------------------------------------------------------------------------- */

/* Order statistics of timings and the verdict between two sets of them. */

/* All samples of one measurement, in the order they were taken. */
typedef struct Samples {
  int count, capacity;
  double *value;
  bool met; /* the noise target was reached */
} Samples;

void samples_add(Samples *samples, double value);
void samples_free(Samples *samples);

typedef struct Summary {
  int count;
  double median, q1, q3, min, max; /* NaN without samples */
} Summary;

/* Quantiles by linear interpolation between order statistics (Hyndman and Fan's type 7). */
double quantile(const double *sorted, int count, double share);
double samples_quantile(const Samples *samples, double share);
Summary samples_summary(const double *value, int count);
/* Half the width of the median's 95 % interval relative to the median: 1.57 IQR / sqrt(n) (McGill,
 * Tukey and Larsen 1978, the notch of a box plot). */
double summary_noise(const Summary *summary);

typedef enum Verdict { VERDICT_FASTER, VERDICT_SLOWER, VERDICT_SAME, VERDICT_UNDECIDED } Verdict;
extern const char *const verdict_names[];

/* Ratio of medians new / old with its 95 % interval by a percentile bootstrap of both (fixed seed:
 * the same samples give the same interval). */
typedef struct Ratio {
  double value, low, high;
} Ratio;

Ratio ratio_of_medians(const double *new_value, int new_count, const double *old_value,
                       int old_count);
/* FASTER or SLOWER: the interval lies beyond 1 -/+ margin. SAME: it lies within. UNDECIDED: it
 * crosses a border, or a side has fewer than 5 samples. */
Verdict ratio_verdict(const Ratio *ratio, int new_count, int old_count, double margin);

/* ---- timing ---------------------------------------------------------------------------------- */

typedef struct Work {
  void (*run)(void *user);
  void *user;
  const Device *device; /* NULL: the host's clock around `run` */
  void *recorded;       /* by device->record: what is timed on it */
} Work;

typedef struct TimingLimits {
  double seconds; /* of one measurement */
  double noise;   /* target of summary_noise */
  int warmup;     /* calls before the first sample; 0: until their time is steady */
  int samples;    /* so many, whatever time and noise come to; 0: by these */
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
