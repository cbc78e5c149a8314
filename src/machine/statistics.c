#include "src/machine/statistics.h"
#include "base/error.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { RESAMPLES = 1000, LEAST = 5 };

const char *const verdict_names[] = {"FASTER", "SLOWER", "SAME", "UNDECIDED"};

void samples_add(Samples *samples, double value) {
  if (samples->count == samples->room) {
    samples->room = samples->room ? 2 * samples->room : 64;
    samples->value = realloc(samples->value, (size_t)samples->room * sizeof *samples->value);
    CHECK(samples->value, "no memory for %d samples", samples->room);
  }
  samples->value[samples->count++] = value;
}

void samples_free(Samples *samples) {
  free(samples->value);
  *samples = (Samples){0};
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double *sorted_copy(const double *value, int count) {
  double *copy = malloc((size_t)(count + 1) * sizeof *copy);
  CHECK(copy, "no memory for %d samples", count);
  memcpy(copy, value, (size_t)count * sizeof *copy);
  qsort(copy, (size_t)count, sizeof *copy, ascending);
  return copy;
}

double quantile(const double *sorted, int count, double share) {
  if (count < 1) return NAN;
  double at = share * (count - 1);
  int below = (int)at;
  if (below + 1 >= count) return sorted[count - 1];
  return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}

double samples_quantile(const Samples *samples, double share) {
  double *sorted = sorted_copy(samples->value, samples->count);
  double value = quantile(sorted, samples->count, share);
  free(sorted);
  return value;
}

Summary samples_summary(const double *value, int count) {
  if (count < 1) return (Summary){0, NAN, NAN, NAN, NAN, NAN};
  double *sorted = sorted_copy(value, count);
  Summary summary = {count,
                     quantile(sorted, count, .5),
                     quantile(sorted, count, .25),
                     quantile(sorted, count, .75),
                     sorted[0],
                     sorted[count - 1]};
  free(sorted);
  return summary;
}

double summary_noise(const Summary *summary) {
  if (summary->count < 2 || !(summary->median > 0)) return INFINITY;
  return 1.57 * (summary->q3 - summary->q1) / sqrt(summary->count) / summary->median;
}

/* The median of `count` draws with replacement. */
static double resampled_median(const double *value, int count, double *room, Rng *rng) {
  for (int i = 0; i < count; i++) room[i] = value[rng_below(rng, (uint32_t)count)];
  qsort(room, (size_t)count, sizeof *room, ascending);
  return quantile(room, count, .5);
}

Ratio ratio_of_medians(const double *new_value, int new_count, const double *old_value,
                       int old_count) {
  if (new_count < 1 || old_count < 1) return (Ratio){NAN, NAN, NAN};
  double ratios[RESAMPLES];
  int most = new_count > old_count ? new_count : old_count;
  double *room = malloc((size_t)most * sizeof *room);
  CHECK(room, "no memory for %d samples", most);
  Rng rng = rng_make(1, RNG_TEST, 0);
  for (int i = 0; i < RESAMPLES; i++) {
    double above = resampled_median(new_value, new_count, room, &rng);
    ratios[i] = above / resampled_median(old_value, old_count, room, &rng);
  }
  free(room);
  qsort(ratios, RESAMPLES, sizeof *ratios, ascending);
  Summary now = samples_summary(new_value, new_count), old = samples_summary(old_value, old_count);
  return (Ratio){now.median / old.median, quantile(ratios, RESAMPLES, .025),
                 quantile(ratios, RESAMPLES, .975)};
}

Verdict ratio_verdict(const Ratio *ratio, int new_count, int old_count, double margin) {
  if (new_count < LEAST || old_count < LEAST) return VERDICT_UNDECIDED;
  if (ratio->high < 1 - margin) return VERDICT_FASTER;
  if (ratio->low > 1 + margin) return VERDICT_SLOWER;
  if (ratio->low >= 1 - margin && ratio->high <= 1 + margin) return VERDICT_SAME;
  return VERDICT_UNDECIDED;
}
