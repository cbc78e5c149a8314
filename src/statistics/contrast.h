/* The difference of two rows and how far it can be trusted: crossed variance components. Cases are
 * crossed with rows, seeds are nested in them (equal seeds of two architectures share no weights):
 *
 *   y[row, seed, case] = row + case + row x case + seed(row) + seed x case
 *
 * With z[s,p] of figures_split, f_s the trials' figures, M their mean, zbar their mean per unit, S
 * trials and P units:
 *   V_r = sum_s (f_s - M)^2 / (S (S-1))      E_r = sum (z - f_s - zbar_p + M)^2 / ((S-1)(P-1) S P)
 *   D = M_a - M_b    d_p = zbar_ap - zbar_bp    Vc = sum_p (d_p - D)^2 / (P (P-1))
 *   V = max(V_a + V_b + Vc - E_a - E_b,  V_a + V_b,  Vc)
 *   nu = V^2 / (V_a^2 / (S_a-1) + V_b^2 / (S_b-1) + Vc^2 / (P-1))          (Satterthwaite, Welch)
 * The residual E is part of seeds' and of cases' spread, so it is taken off once. The interval is
 * D +- t(1 - alpha/2, nu) sqrt V. With the cases fixed V = V_a + V_b, and nu without Vc.
 *
 * Where the rows have two folds or more in common a fold is the unit: delta_f is the difference of
 * the rows' means over the trials of fold f, of the folds that both have; V = sum (delta_f - D)^2 /
 * (F (F-1)), nu = F - 1. docs/statistics.md says why, and what was simulated. */
#ifndef STATISTICS_CONTRAST_H
#define STATISTICS_CONTRAST_H

#include "src/statistics/unit_figures.h"

/* The least of both rows, of units (cases random) or of common folds, for an interval and for a
 * verdict. Two seeds are refused: one structure found or not makes them err twice as often. */
enum {
  SEEDS_INTERVAL = 3,
  SEEDS_VERDICT = 5,
  UNITS_INTERVAL = 2,
  UNITS_VERDICT = 5,
  FOLDS_INTERVAL = 3,
  FOLDS_VERDICT = 5
};

typedef enum ContrastState {
  CONTRAST_NOTHING, /* one of the rows has no figure: value NaN */
  CONTRAST_FEW,     /* a difference, no interval */
  CONTRAST_SAME,    /* no spread at all (copies?): no interval */
  CONTRAST_WIDE,    /* an interval, but too few for a verdict */
  CONTRAST_WHOLE
} ContrastState;

typedef struct Contrast {
  ContrastState state;
  double value;                    /* D: row - above */
  double variance, freedom;        /* V, nu; NaN without an interval, as the following */
  double p;                        /* two-sided, of D = 0 */
  double spread_row, spread_above; /* V_a, V_b */
  double cases, residual; /* Vc; E_a + E_b; 0 where cases are fixed or folds are the unit */
  int trials_row, trials_above, units;
  int folds; /* common ones; 0: the unit is not a fold */
} Contrast;

typedef struct ContrastChoice {
  bool cases_fixed;       /* "for these cases only" */
  bool collapsed_as_zero; /* else they are left out */
} ContrastChoice;

/* row - above. */
Contrast contrast_make(const Figures *row, const Figures *above, const ContrastChoice *choice);

/* The interval at level 1 - alpha; NaN where there is none. */
void contrast_interval(const Contrast *contrast, double alpha, double *low, double *high);

/* p as a claim may use it: 1 where there is too little for a verdict; where trials collapsed the
 * larger of the p without them and with 0 in their place, 1 where these differ in sign, and where
 * lower figures are better.
 * *contrast: the one without them. */
double contrast_claim(const Figures *row, const Figures *above, bool cases_fixed,
                      Contrast *contrast);

#endif
