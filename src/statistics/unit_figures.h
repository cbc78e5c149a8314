/* What was measured of a row of a table: a figure per trial, case and structure; and the figures of
 * units, which are what an interval takes its spread from. */
#ifndef STATISTICS_UNIT_FIGURES_H
#define STATISTICS_UNIT_FIGURES_H

#include <stdbool.h>

/* value[(trial * cases + case) * labels + label]; NaN: not counted (in neither the reference nor
 * the prediction, or of another fold). Trials stand in the order of their seeds, so that the first
 * of them are a Figures of their own (fewer trials, the same value). Rows that are compared share
 * cases, labels and unit. A trial that collapsed has no figure, or counts as 0 in every one. */
typedef struct Figures {
  int trials, cases, labels;
  double *value;
  const int *unit; /* (cases) 0, 1, ...: whose case it is, a patient's; NULL: cases are units */
  const int *fold; /* (trials); NULL: all of one */
  const bool *collapsed; /* (trials); NULL: none */
  bool lower; /* is better (a distance): nothing can stand for a collapsed trial, least of all 0 */
} Figures;

/* A trial's figure: the mean over cases per structure, then over structures; NaN: it has none. */
double figures_trial(const Figures *figures, int trial, bool collapsed_as_zero);
/* The mean of the trials that have one; NaN without any. */
double figures_mean(const Figures *figures);

int figures_units(const Figures *figures);
int figures_unit(const Figures *figures, int at_case);

/* f, a trial's figure, split over `units` units, place[unit] (0 .. units - 1 of each that
 * counts):
 *   z[p] = f + (P / L) sum_l sum_{c of p, counted} (v[c,l] - mean_l) / n_l
 * n_l cases in which structure l counts, mean_l their mean, L structures with n_l > 0. The mean of
 * z over the units is f exactly, whatever is absent; where nothing is, z is the unit's own
 * figure. */
void figures_split(const Figures *figures, int trial, double f, const int *place, int units,
                   double *z);

/* The same trials with units for cases and one structure, z of figures_split: a comparison of them
 * is the same and takes less time. The memory of *by_unit, to be freed; NULL: it would not be the
 * same, since a unit counts in some of the trials alone. */
double *figures_by_unit(const Figures *figures, Figures *by_unit);

#endif
