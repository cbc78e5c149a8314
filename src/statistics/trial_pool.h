/* The figures of many trials of one configuration: how they lie, and whether they are of one
 * kind. */
#ifndef STATISTICS_TRIAL_POOL_H
#define STATISTICS_TRIAL_POOL_H

#include "src/statistics/unit_figures.h"

enum { POOL_QUANTILES = 5 };
extern const double pool_shares[POOL_QUANTILES]; /* 0 .25 .5 .75 1 */

typedef struct Pool {
  int trials, collapsed; /* with a figure; without one, since they learned nothing */
  double mean;
  double sigma, low, high; /* sd (n - 1), and its 95 %, which takes their tails into account */
  double quantile[POOL_QUANTILES];
  double skewness;        /* m3 / m2^1.5 */
  double skewness_normal; /* of normal figures 95 of 100 such samples lie within +- this */
  /* The first half of the trials against the second, as two rows: other than dealt at random, they
   * tell whether something changed on the way (a build, a machine). NaN: too few. */
  double halves, halves_p;
} Pool;

Pool pool_describe(const Figures *figures, bool cases_fixed);

/* The sd alone; NaN below two. */
double pool_spread(const Figures *figures);

/* Of count values in order, linear between neighbours (Hyndman and Fan's 7). */
double pool_quantile(const double *sorted, int count, double share);

#endif
