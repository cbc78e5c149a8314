/* The interval that verdicts once stood on: a percentile bootstrap over cases and seeds, n - 1 of n
 * drawn, the percentiles widened to those of t (Hesterberg 2015). Kept to show that the simulation
 * of test_verdicts.c would not let it pass. One structure, every case counted. */
#ifndef TESTS_OLD_BOOTSTRAP_H
#define TESTS_OLD_BOOTSTRAP_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "src/statistics/student.h"
#include "src/statistics/unit_figures.h"

/* Mean over trials and cases that are drawn so many times; they sum to n - 1 each. */
static double drawn_mean(const Figures *f, const int *trials, const int *cases) {
  double sum = 0;
  for (int t = 0; t < f->trials; t++)
    for (int c = 0; c < f->cases && trials[t]; c++)
      sum += trials[t] * cases[c] * f->value[t * f->cases + c];
  return sum / ((f->trials - 1.0) * (f->cases - 1.0));
}

static void draw_most(Rng *rng, int count, int *times) {
  memset(times, 0, sizeof *times * (size_t)count);
  for (int i = 0; i < count - 1; i++) times[rng_below(rng, (uint32_t)count)]++;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Whether the 95 % interval leaves out 0. */
static bool bootstrap_decides(const Figures *row, const Figures *above, int resamples) {
  int cases[row->cases], trials[row->trials], others[above->trials];
  double found[resamples];
  for (int i = 0; i < resamples; i++) {
    Rng rng = rng_make(0, RNG_TEST, (uint64_t)i);
    draw_most(&rng, row->cases, cases);
    draw_most(&rng, row->trials, trials);
    draw_most(&rng, above->trials, others);
    found[i] = drawn_mean(row, trials, cases) - drawn_mean(above, others, cases);
  }
  int freedom = row->trials + above->trials - 2;
  if (row->cases - 1 < freedom) freedom = row->cases - 1;
  int edge = (int)(normal_below(-student_critical(0.05, freedom)) * resamples);
  qsort(found, (size_t)resamples, sizeof *found, ascending);
  return found[edge] > 1e-12 || found[resamples - 1 - edge] < -1e-12;
}

#endif
