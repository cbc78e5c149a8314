#include "src/statistics/trial_pool.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "src/statistics/contrast.h"
#include "src/statistics/student.h"

const double pool_shares[POOL_QUANTILES] = {0, .25, .5, .75, 1};
static const double ALPHA = 0.05, NORMAL_95 = 1.959963984540054;

static int take_figures(const Figures *figures, double *f) {
  int count = 0;
  for (int t = 0; t < figures->trials; t++) {
    f[count] = figures_trial(figures, t, false);
    count += !isnan(f[count]);
  }
  return count;
}

/* Central moments, over n. */
typedef struct Moments {
  double mean, second, third, fourth;
} Moments;

static Moments moments_of(const double *f, int n) {
  Moments m = {0, 0, 0, 0};
  for (int i = 0; i < n; i++) m.mean += f[i] / n;
  for (int i = 0; i < n; i++) {
    double rest = f[i] - m.mean, square = rest * rest / n;
    m.second += square;
    m.third += square * rest;
    m.fourth += square * rest * rest;
  }
  return m;
}

static double sigma_of(const Moments *m, int n) {
  return n > 1 ? sqrt(m->second * n / (n - 1)) : NAN;
}

double pool_spread(const Figures *figures) {
  double f[figures->trials + 1];
  int n = take_figures(figures, f);
  Moments m = moments_of(f, n);
  return sigma_of(&m, n);
}

/* Var(log s^2) = (excess + 2 n / (n-1)) / n: the delta method, right for normal figures and
 * others. */
static void sigma_interval(Pool *pool, const Moments *m, int n) {
  pool->low = pool->high = NAN;
  if (n < 4 || !(m->second > 0)) return;
  double excess = m->fourth / (m->second * m->second) - 3;
  double factor = exp(student_critical(ALPHA, n - 1) * sqrt((excess + 2.0 * n / (n - 1)) / n) / 2);
  pool->low = pool->sigma / factor;
  pool->high = pool->sigma * factor;
}

double pool_quantile(const double *sorted, int count, double share) {
  double place = share * (count - 1);
  int at = (int)place;
  if (at >= count - 1) return sorted[count - 1];
  return sorted[at] + (place - at) * (sorted[at + 1] - sorted[at]);
}

static int in_order(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void find_halves(Pool *pool, const Figures *figures, bool cases_fixed) {
  int half = figures->trials / 2;
  Figures first = *figures, second = *figures;
  Contrast contrast;
  pool->halves = pool->halves_p = NAN;
  first.trials = half;
  second.trials = figures->trials - half;
  second.value += (ptrdiff_t)half * figures->cases * figures->labels;
  if (figures->fold) second.fold += half;
  if (figures->collapsed) second.collapsed += half;
  contrast_claim(&second, &first, cases_fixed, &contrast);
  pool->halves = contrast.value;
  pool->halves_p = contrast.p;
}

Pool pool_describe(const Figures *figures, bool cases_fixed) {
  double f[figures->trials + 1];
  int n = take_figures(figures, f);
  Pool pool = {.trials = n, .mean = NAN, .sigma = NAN, .skewness = NAN, .skewness_normal = NAN};
  for (int t = 0; t < figures->trials; t++)
    pool.collapsed += figures->collapsed && figures->collapsed[t];
  for (int q = 0; q < POOL_QUANTILES; q++) pool.quantile[q] = NAN;
  find_halves(&pool, figures, cases_fixed);
  pool.low = pool.high = NAN;
  if (n < 1) return pool;
  Moments m = moments_of(f, n);
  pool.mean = m.mean;
  pool.sigma = sigma_of(&m, n);
  sigma_interval(&pool, &m, n);
  qsort(f, (size_t)n, sizeof *f, in_order);
  for (int q = 0; q < POOL_QUANTILES; q++) pool.quantile[q] = pool_quantile(f, n, pool_shares[q]);
  if (n > 3 && m.second > 0) {
    pool.skewness = m.third / pow(m.second, 1.5);
    pool.skewness_normal = NORMAL_95 * sqrt(6 * (n - 2.0) / ((n + 1.0) * (n + 3.0)));
  }
  return pool;
}
