/* What a comparison could see, before it is made: the smallest difference that S seeds a row and P
 * units show in POWER of all tries, after Holm over m claims.
 *   A = 2 sigma^2 / S    B = tau^2 / P    nu = (A + B)^2 / (A^2 / (1.5 (S-1)) + B^2 / (P-1))
 *   detectable = (t(1 - alpha / 2m, nu) + t(power, nu)) sqrt(A + B)
 * sigma: sd of a trial's figure between seeds; tau: sd over units of a difference of two rows that
 * seeds do not explain. 1.5 where the pooled variance would have 2 is what Welch's form loses. */
#ifndef STATISTICS_POWER_H
#define STATISTICS_POWER_H

#include "src/statistics/contrast.h"

static const double POWER = 0.8;

typedef struct Power {
  double sigma, tau;
  int units;  /* 0: cases fixed, tau does not count */
  int claims; /* m */
} Power;

/* NaN for fewer than two seeds. */
double power_detectable(const Power *power, double seeds);
/* The least number of seeds (SEEDS_VERDICT or more) that shows the difference; INFINITY: none does,
 * it lies below what these cases can show. */
double power_seeds(const Power *power, double difference);
/* The difference that no number of seeds goes below; 0 where tau is 0. */
double power_floor(const Power *power);
/* With folds as units: s the sd of their differences. */
double power_detectable_folds(double s, int folds, int claims);

/* tau of a difference: the spread of cases without the residual that seeds bring. 0 where folds are
 * the unit or cases are fixed. */
double power_tau(const Contrast *contrast);

/* A standard deviation of so many degrees of freedom is with probability 0.8 below this (Wilson and
 * Hilferty's chi-squared). */
double power_upper(double sigma, double freedom);

#endif
