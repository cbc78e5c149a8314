/* Does a claim of the paper hold here? Pure statistics of two rows of a table.
 *
 * The difference of two rows is the difference of their means over trials; a trial's figure is the
 * mean over its validation cases per structure, then over structures. Its 95 % interval is a
 * bootstrap over cases and seeds, paired by case: each resample draws cases once for both rows, and
 * trials for each row by itself (equal seeds of two architectures share the order of the data, not
 * the weights). With a handful of seeds a plain percentile interval is too narrow in two ways, both
 * mended as in Hesterberg, What Teachers Should Know About the Bootstrap (2015), section 4: n - 1
 * of n are drawn, which makes the resampled variance unbiased, and the percentiles are those of the
 * t distribution (expanded percentile interval) with the smaller of nA + nB - 2 and cases - 1
 * degrees of freedom. Draws come from the counter-based generator: the same figures give the same
 * interval. */
#ifndef REPORT_CLAIM_H
#define REPORT_CLAIM_H

#include "src/report/result.h"

#include <stdbool.h>

/* ---- statistics ------------------------------------------------------------------------------ */

enum { BOOTSTRAP_RESAMPLES = 5000, TAU_EXACT_MOST = 8 };

/* value[(trial * cases + case) * labels + label]; NaN: not counted (in neither the reference nor
 * the prediction, or of another fold). Rows that are compared share cases and labels. */
typedef struct Figures {
  int trials, cases, labels;
  double *value;
} Figures;

double bootstrap_mean(const Figures *figures); /* NaN without a trial */

typedef struct Difference {
  double value;     /* NaN: one of the rows has no trial */
  bool interval;    /* false: fewer than two trials of a row, or than two cases */
  double low, high; /* 95 % */
} Difference;

/* row - above. */
Difference figures_difference(const Figures *row, const Figures *above);

typedef enum Claim {
  CLAIM_NONE,          /* the paper claims nothing here: no number, or no difference */
  CLAIM_SUPPORTED,     /* the interval lies on the paper's side of 0 */
  CLAIM_NOT_SUPPORTED, /* on the other side */
  CLAIM_UNDECIDED,     /* it contains 0 */
  CLAIM_TOO_FEW        /* no interval: two seeds and two cases at least are needed */
} Claim;
extern const char *const claim_words[];

/* paper: the paper's difference; NaN: it has none. */
Claim claim_of(double paper, const Difference *difference);

/* Of a claim that a row collapses: ended trials of the row, and how many of them collapsed. */
Claim collapse_of(int collapsed, int ended);

/* Kendall's tau-b of two orders, NaN when one of them is constant or there are fewer than two
 * pairs. *p: two-sided and exact, over all permutations; NaN for more than TAU_EXACT_MOST values.
 * *least: the smallest p that any order of so many values could reach. */
double kendall_tau(const double *a, const double *b, int count, double *p, double *least);

/* ---- the claims of a table ------------------------------------------------------------------- */

/* Each row against the row above it, and the order of all of them: fills the rows' claims, the
 * number of comparisons (intervals) and, where two rows or more have both numbers, tau. A verdict
 * that changes when collapsed trials count as 0 is undecided. */
bool result_judge(Store *store, Result *result, Error *error);

#endif
