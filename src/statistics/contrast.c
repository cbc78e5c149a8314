#include "src/statistics/contrast.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "src/statistics/student.h"

static const double NO_SPREAD = 1e-24;

/* ---- crossed components ---------------------------------------------------------------------- */

/* The trials of a row that have a figure and are of the fold (NO_FOLD: of any). */
enum { NO_FOLD = -1 };

typedef struct Part {
  const Figures *figures;
  bool zero; /* collapsed trials count */
  int fold;
  const double *all;             /* (figures->trials) f_s; NaN: it has none */
  int trials;                    /* of the part */
  double mean, spread, residual; /* M, V_r, E_r */
  double *unit_mean;             /* (units) zbar */
} Part;

static int fold_of(const Figures *figures, int trial) {
  return figures->fold ? figures->fold[trial] : 0;
}

/* The trial's figure, NaN when it is none of the part's. */
static double figure_of(const Part *part, int trial) {
  bool other = part->fold != NO_FOLD && fold_of(part->figures, trial) != part->fold;
  return other ? NAN : part->all[trial];
}

/* trials, mean and spread, which need no units. */
static void part_measure(Part *part, int fold) {
  double sum = 0, squares = 0;
  part->fold = fold;
  part->trials = 0;
  for (int t = 0; t < part->figures->trials; t++) {
    double f = figure_of(part, t);
    if (isnan(f)) continue;
    sum += f;
    part->trials++;
  }
  int count = part->trials;
  part->mean = count ? sum / count : NAN;
  for (int t = 0; t < part->figures->trials; t++) {
    double f = figure_of(part, t);
    if (!isnan(f)) squares += (f - part->mean) * (f - part->mean);
  }
  part->spread = count > 1 ? squares / ((double)count * (count - 1)) : NAN;
}

/* all: (trials) memory of the part. */
static Part part_make(const Figures *figures, bool zero, double *all) {
  for (int t = 0; t < figures->trials; t++) all[t] = figures_trial(figures, t, zero);
  Part part = {.figures = figures, .zero = zero, .all = all};
  part_measure(&part, NO_FOLD);
  return part;
}

static bool any_counts(const double *value, int count) {
  for (int i = 0; i < count; i++)
    if (!isnan(value[i])) return true;
  return false;
}

/* Marks the units in which anything counts. */
static void part_units(const Part *part, int *place) {
  const Figures *figures = part->figures;
  int width = figures->labels;
  for (int t = 0; t < figures->trials; t++) {
    if (isnan(figure_of(part, t))) continue;
    const double *value = figures->value + (size_t)t * (size_t)(figures->cases * width);
    for (int c = 0; c < figures->cases; c++) {
      int *mark = &place[figures_unit(figures, c)];
      if (*mark < 0 && any_counts(value + c * width, width)) *mark = 0;
    }
  }
}

/* unit_mean and residual. */
static void part_split(Part *part, const int *place, int units) {
  int trials = part->trials, at = 0;
  double *z = malloc(sizeof *z * (size_t)(trials * units + 1)), squares = 0;
  double f[trials + 1];
  CHECK(z, "no memory for a comparison");
  for (int t = 0; t < part->figures->trials; t++) {
    f[at] = figure_of(part, t);
    if (isnan(f[at])) continue;
    figures_split(part->figures, t, f[at], place, units, z + at * units);
    at++;
  }
  for (int p = 0; p < units; p++) {
    double sum = 0;
    for (int t = 0; t < trials; t++) sum += z[t * units + p];
    double mean = part->unit_mean[p] = sum / trials;
    for (int t = 0; t < trials; t++) {
      double rest = z[t * units + p] - f[t] - mean + part->mean;
      squares += rest * rest;
    }
  }
  part->residual = squares / ((trials - 1.0) * (units - 1.0) * trials * units);
  free(z);
}

/* Units that count, numbered in place (else -1). */
static int number_units(const Part *row, const Part *above, int *place, int all) {
  int units = 0;
  for (int u = 0; u < all; u++) place[u] = -1;
  part_units(row, place);
  part_units(above, place);
  for (int u = 0; u < all; u++)
    if (place[u] == 0) place[u] = units++;
  return units;
}

/* What the units add: Vc and the residual. */
static void add_cases(Contrast *c, Part *row, Part *above, const int *place) {
  int units = c->units;
  double *means = malloc(sizeof *means * (size_t)units * 2), squares = 0;
  CHECK(means, "no memory for a comparison");
  row->unit_mean = means;
  above->unit_mean = means + units;
  part_split(row, place, units);
  part_split(above, place, units);
  for (int p = 0; p < units; p++) {
    double rest = row->unit_mean[p] - above->unit_mean[p] - c->value;
    squares += rest * rest;
  }
  c->cases = squares / (units * (units - 1.0));
  c->residual = row->residual + above->residual;
  free(means);
}

static void finish(Contrast *c, double variance, double freedom, bool whole) {
  c->state = CONTRAST_SAME;
  if (variance < NO_SPREAD) return;
  c->state = whole ? CONTRAST_WHOLE : CONTRAST_WIDE;
  c->variance = variance;
  c->freedom = freedom;
  c->p = student_tail(c->value / sqrt(variance), freedom);
}

static double share(double part, double freedom) {
  return part * part / freedom;
}

static void crossed(Contrast *c, Part *row, Part *above, bool fixed) {
  const Figures *figures = row->figures;
  int all = figures_units(figures),
      least = row->trials < above->trials ? row->trials : above->trials;
  int place[all + 1];
  c->units = number_units(row, above, place, all);
  c->state = CONTRAST_FEW;
  if (least < SEEDS_INTERVAL || (!fixed && c->units < UNITS_INTERVAL)) return;
  c->spread_row = row->spread, c->spread_above = above->spread;
  c->cases = c->residual = 0;
  if (!fixed) add_cases(c, row, above, place);
  double seeds = c->spread_row + c->spread_above, variance = seeds + c->cases - c->residual;
  if (variance < seeds) variance = seeds;
  if (variance < c->cases) variance = c->cases;
  double parts = share(c->spread_row, row->trials - 1) + share(c->spread_above, above->trials - 1);
  if (!fixed) parts += share(c->cases, c->units - 1);
  finish(c, variance, variance * variance / parts,
         least >= SEEDS_VERDICT && (fixed || c->units >= UNITS_VERDICT));
}

/* ---- folds ----------------------------------------------------------------------------------- */

static bool has_fold(const Part *part, int fold) {
  for (int t = 0; t < part->figures->trials; t++)
    if (fold_of(part->figures, t) == fold && !isnan(part->all[t])) return true;
  return false;
}

/* The folds that both rows have, each once; at most as many as the row has trials. */
static int common_folds(const Part *row, const Part *above, int *fold) {
  int count = 0;
  for (int t = 0; t < row->figures->trials; t++) {
    int candidate = fold_of(row->figures, t);
    bool seen = false;
    for (int i = 0; i < count; i++) seen = seen || fold[i] == candidate;
    if (!seen && has_fold(row, candidate) && has_fold(above, candidate)) fold[count++] = candidate;
  }
  return count;
}

static void paired(Contrast *c, Part *row, Part *above, const int *fold, int folds) {
  double delta[folds], sum = 0, squares = 0;
  for (int i = 0; i < folds; i++) {
    part_measure(row, fold[i]);
    part_measure(above, fold[i]);
    sum += delta[i] = row->mean - above->mean;
  }
  c->folds = folds;
  c->value = sum / folds;
  for (int i = 0; i < folds; i++) squares += (delta[i] - c->value) * (delta[i] - c->value);
  c->state = CONTRAST_FEW;
  if (folds >= FOLDS_INTERVAL)
    finish(c, squares / (folds * (folds - 1.0)), folds - 1, folds >= FOLDS_VERDICT);
}

/* ---- the difference -------------------------------------------------------------------------- */

Contrast contrast_make(const Figures *row, const Figures *above, const ContrastChoice *choice) {
  CHECK(row->cases == above->cases && row->labels == above->labels, "rows of different cases");
  Contrast c = {CONTRAST_NOTHING, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0, 0, 0, 0};
  double all_row[row->trials + 1], all_above[above->trials + 1];
  int fold[row->trials + 1];
  Part a = part_make(row, choice->collapsed_as_zero, all_row);
  Part b = part_make(above, choice->collapsed_as_zero, all_above);
  c.trials_row = a.trials, c.trials_above = b.trials;
  if (!a.trials || !b.trials) return c;
  int folds = common_folds(&a, &b, fold);
  if (folds > 1) {
    paired(&c, &a, &b, fold, folds);
    return c;
  }
  if (folds == 1) { /* what one of them has beside it compares with nothing */
    part_measure(&a, fold[0]);
    part_measure(&b, fold[0]);
  }
  c.value = a.mean - b.mean;
  c.trials_row = a.trials, c.trials_above = b.trials;
  c.state = CONTRAST_FEW;
  if (folds == 1) crossed(&c, &a, &b, choice->cases_fixed);
  return c;
}

void contrast_interval(const Contrast *contrast, double alpha, double *low, double *high) {
  *low = *high = NAN;
  if (contrast->state != CONTRAST_WIDE && contrast->state != CONTRAST_WHOLE) return;
  double reach = student_critical(alpha, contrast->freedom) * sqrt(contrast->variance);
  *low = contrast->value - reach;
  *high = contrast->value + reach;
}

static bool any_collapsed(const Figures *figures) {
  for (int t = 0; figures->collapsed && t < figures->trials; t++)
    if (figures->collapsed[t]) return true;
  return false;
}

double contrast_claim(const Figures *row, const Figures *above, bool cases_fixed,
                      Contrast *contrast) {
  ContrastChoice choice = {cases_fixed, false};
  *contrast = contrast_make(row, above, &choice);
  if (contrast->state != CONTRAST_WHOLE) return 1;
  if (!any_collapsed(row) && !any_collapsed(above)) return contrast->p;
  if (row->lower) return 1;
  choice.collapsed_as_zero = true;
  Contrast strict = contrast_make(row, above, &choice);
  bool agree = strict.state == CONTRAST_WHOLE && strict.value * contrast->value > 0;
  if (!agree) return 1;
  return fmax(strict.p, contrast->p);
}
