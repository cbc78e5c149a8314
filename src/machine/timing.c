#define _GNU_SOURCE /* _SC_LEVEL3_CACHE_SIZE */
#include "src/machine/timing.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/host_memory.h"

#include <math.h>
#include <unistd.h>

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

/* Until two consecutive windows have the same best time, or a quarter of the limit is over. */
void timing_warm(const Work *work, const TimingLimits *limits) {
  double start = seconds_now(), previous = INFINITY;
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
  while (samples->count < MOST_SAMPLES && !samples->met) {
    if (flush && work->device) work->device->flush();
    if (flush && !work->device) flush_walk(flush);
    samples_add(samples, 1e6 * time_calls(work, repeats) / repeats);
    bool look = samples->count >= LEAST_SAMPLES && samples->count % LEAST_SAMPLES == 0;
    Summary summary = look ? samples_summary(samples->value, samples->count) : (Summary){0};
    samples->met = look && summary_noise(&summary) <= limits->noise;
    if (seconds_now() - start > limits->seconds && samples->count >= 3) break;
  }
}
