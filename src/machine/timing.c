#define _GNU_SOURCE /* _SC_LEVEL3_CACHE_SIZE */
#include "src/machine/timing.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/rng.h"
#include "engine/host_memory.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* ---- samples --------------------------------------------------------------------------------- */

enum { RESAMPLES = 1000, LEAST = 5 };

const char *const verdict_names[] = {"FASTER", "SLOWER", "SAME", "UNDECIDED"};

void samples_add(Samples *samples, double value) {
  if (samples->count == samples->capacity) {
    samples->capacity = samples->capacity ? 2 * samples->capacity : 64;
    samples->value = realloc(samples->value, (size_t)samples->capacity * sizeof *samples->value);
    CHECK(samples->value, "no memory for %d samples", samples->capacity);
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
static double resampled_median(const double *value, int count, double *draws, Rng *rng) {
  for (int i = 0; i < count; i++) draws[i] = value[rng_below(rng, (uint32_t)count)];
  qsort(draws, (size_t)count, sizeof *draws, ascending);
  return quantile(draws, count, .5);
}

Ratio ratio_of_medians(const double *new_value, int new_count, const double *old_value,
                       int old_count) {
  if (new_count < 1 || old_count < 1) return (Ratio){NAN, NAN, NAN};
  double ratios[RESAMPLES];
  int most = new_count > old_count ? new_count : old_count;
  double *draws = malloc((size_t)most * sizeof *draws);
  CHECK(draws, "no memory for %d samples", most);
  Rng rng = rng_make(1, RNG_TEST, 0);
  for (int i = 0; i < RESAMPLES; i++) {
    double above = resampled_median(new_value, new_count, draws, &rng);
    ratios[i] = above / resampled_median(old_value, old_count, draws, &rng);
  }
  free(draws);
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

/* ---- timing ---------------------------------------------------------------------------------- */

enum { LEAST_SAMPLES = 10, MOST_SAMPLES = 2000, WARM_WINDOW = 3, MOST_REPEATS = 1 << 20 };
static const double SAMPLE_SECONDS = 5e-5; /* a thousand times the clock's own cost */
static const double STEADY = .03;

Flush flush_make(void) {
  long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (cache <= 0) cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (cache <= 0) cache = 32 << 20;
  Flush flush = {.bytes = 2 * (size_t)cache};
  flush.memory = host_alloc(flush.bytes);
  CHECK(flush.memory, "no memory for a buffer of twice the cache, %zu bytes", flush.bytes);
  for (size_t i = 0; i < flush.bytes / sizeof *flush.memory; i++) flush.memory[i] = 1;
  return flush;
}

void flush_free(Flush *flush) {
  free(flush->memory);
  *flush = (Flush){0};
}

/* By every thread, so that each core's own cache is walked and its thread is awake afterwards. */
static void flush_walk(const Flush *flush) {
  size_t count = flush->bytes / sizeof *flush->memory;
#pragma omp parallel for
  for (size_t i = 0; i < count; i++) flush->memory[i] = 1.5f - flush->memory[i];
}

static double time_calls(const Work *work, int calls) {
  if (work->device) return work->device->replay(work->recorded, calls);
  double start = seconds_now();
  for (int i = 0; i < calls; i++) work->run(work->user);
  return seconds_now() - start;
}

static double time_once(const Work *work) {
  return time_calls(work, 1);
}

/* As often as is asked; else until two consecutive windows have the same best time, or a quarter of
 * the limit is over. */
void timing_warm(const Work *work, const TimingLimits *limits) {
  double start = seconds_now(), previous = INFINITY;
  for (int i = 0; i < limits->warmup; i++) time_once(work);
  if (limits->warmup) return;
  do {
    double best = INFINITY;
    for (int i = 0; i < WARM_WINDOW; i++) {
      best = fmin(best, time_once(work));
      if (seconds_now() - start > limits->seconds) return;
    }
    if (fabs(best - previous) <= STEADY * previous) return;
    previous = best;
  } while (seconds_now() - start < limits->seconds / 4);
}

static bool is_enough(const Samples *samples, double start, const TimingLimits *limits) {
  if (limits->samples) return samples->count >= limits->samples;
  return samples->met || (seconds_now() - start > limits->seconds && samples->count >= 3);
}

static int repeats_of(const Work *work) {
  double once = fmin(time_once(work), time_once(work));
  if (once >= SAMPLE_SECONDS) return 1;
  return (int)fmin(MOST_REPEATS, ceil(SAMPLE_SECONDS / fmax(once, 1e-9)));
}

void timing_run(const Work *work, const Flush *flush, const TimingLimits *limits,
                Samples *samples) {
  int repeats = flush ? 1 : repeats_of(work);
  double start = seconds_now();
  samples->count = 0;
  samples->met = false;
  while (samples->count < MOST_SAMPLES && !is_enough(samples, start, limits)) {
    if (flush && work->device) work->device->flush();
    if (flush && !work->device) flush_walk(flush);
    samples_add(samples, 1e6 * time_calls(work, repeats) / repeats);
    bool due = samples->count >= LEAST_SAMPLES &&
               (samples->count % LEAST_SAMPLES == 0 || samples->count == limits->samples);
    Summary summary = due ? samples_summary(samples->value, samples->count) : (Summary){0};
    if (due) samples->met = summary_noise(&summary) <= limits->noise;
  }
}
