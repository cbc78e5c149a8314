/* Order statistics of timings and the verdict between two sets of them. */
#ifndef MACHINE_STATISTICS_H
#define MACHINE_STATISTICS_H

#include <stdbool.h>

/* All samples of one measurement, in the order they were taken. */
typedef struct Samples {
  int count, room;
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

#endif
