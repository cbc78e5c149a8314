#include "src/report/claim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "src/report/judge_looks.h"
#include "src/report/row_figures.h"
#include "src/statistics/kendall.h"
#include "src/statistics/looks.h"
#include "src/statistics/power.h"

/* The row's figures; without a trial where nothing is stored. */
static Figures figures_at(const RowFigures *figures, int position) {
  Figures none = {0};
  if (position < figures->rows) return figures->row[position];
  if (figures->rows) none.cases = figures->row[0].cases, none.labels = figures->row[0].labels;
  return none;
}

static void judge_pair(const RowFigures *figures, const Result *result, ResultRow *row,
                       Contrast *contrast) {
  const ResultRow *above = &result->row[row->against];
  bool fixed = result->family.cases_fixed;
  Figures a = figures_at(figures, above->position), b = figures_at(figures, row->position);
  row->p_claim = contrast_claim(&b, &a, fixed, contrast);
  row->claimed = row->paper - above->paper;
  row->difference = contrast->value;
  row->p = contrast->p;
  contrast_interval(contrast, CLAIM_ALPHA, &row->low, &row->high);
}

/* ---- what the seeds can see ------------------------------------------------------------------ */

/* Variance of a row's trials; false: fewer than two. */
static bool row_variance(const Figures *row, double *variance, int *freedom) {
  double mean = figures_mean(row), squares = 0;
  int count = 0;
  for (int t = 0; t < row->trials; t++) {
    double f = figures_trial(row, t, false);
    if (isnan(f)) continue;
    squares += (f - mean) * (f - mean);
    count++;
  }
  if (count < 2) return false;
  *variance = squares / (count - 1);
  *freedom = count - 1;
  return true;
}

/* Pooled over the rows: the root of their mean variance. */
static void pool_seeds(ResultFamily *family, const RowFigures *figures) {
  double sum = 0, variance;
  int rows = 0, freedom;
  for (int r = 0; r < figures->rows; r++) {
    if (!row_variance(&figures->row[r], &variance, &freedom)) continue;
    sum += variance;
    family->freedom += freedom;
    rows++;
  }
  if (rows) family->sigma = sqrt(sum / rows);
}

static void fewer(int *least, int count) {
  if (*least == 0 || count < *least) *least = count;
}

/* The units and, where folds are units, their spread instead of the seeds'. */
static void pool_pairs(ResultFamily *family, const Contrast *pairs, int count) {
  double cases = 0, folds = 0;
  int intervals = 0, paired = 0;
  for (int i = 0; i < count; i++) {
    const Contrast *c = &pairs[i];
    if (c->state == CONTRAST_NOTHING) continue;
    family->same = family->same || c->state == CONTRAST_SAME;
    fewer(&family->seeds, c->trials_row < c->trials_above ? c->trials_row : c->trials_above);
    if (c->folds) fewer(&family->folds, c->folds);
    if (c->units) fewer(&family->units, c->units);
    if (isnan(c->variance)) continue;
    cases += power_tau(c) * power_tau(c);
    folds += c->folds * c->variance;
    intervals++, paired += c->folds > 0;
  }
  if (intervals) family->tau = sqrt(cases / intervals);
  if (!family->folds) return;
  family->sigma = paired ? sqrt(folds / paired) : NAN; /* the rows' is not the differences' */
  family->seeds = family->folds;
}

static Power power_of(const ResultFamily *family) {
  return (Power){family->sigma, family->tau, family->cases_fixed ? 0 : family->units,
                 family->claims};
}

static void find_power(ResultFamily *family) {
  const double no_spread = 1e-12; /* copies say nothing of what would be seen */
  if (!(family->sigma > no_spread)) family->sigma = NAN;
  if (isnan(family->sigma)) return;
  Power power = power_of(family);
  if (family->folds) {
    family->detectable = power_detectable_folds(family->sigma, family->folds, family->claims);
    return;
  }
  if (!family->cases_fixed && family->units < UNITS_INTERVAL) return; /* tau is not known */
  family->detectable = power_detectable(&power, family->seeds);
  family->floor = power_floor(&power);
}

/* ---- the claims of a table ------------------------------------------------------------------- */

double claim_within(const ResultRow *row) {
  bool open = !strcmp(row->verdict, claim_names[CLAIM_UNDECIDED]) ||
              !strcmp(row->verdict, claim_names[CLAIM_OUT_OF_REACH]);
  if (!open || !row_question(row)) return NAN;
  return fmax(fabs(row->corrected_low), fabs(row->corrected_high));
}

bool claim_shown(const ResultRow *row) {
  for (int claim = 0; claim < CLAIMS; claim++)
    if (!strcmp(row->verdict, claim_names[claim])) return claim_is_decided((Claim)claim);
  return false;
}

/* An undecided claim is out of reach where neither the paper's difference nor ours would show with
 * the most seeds that until=decided adds, or as many as there are. */
static Claim reach(const ResultFamily *family, const ResultRow *row, Claim claim) {
  if (claim != CLAIM_UNDECIDED || family->folds || isnan(family->sigma) || row_question(row))
    return claim;
  Power power = power_of(family);
  double larger = fmax(fabs(row->claimed), fabs(row->difference));
  return power_seeds(&power, larger) > fmax(LOOKS_MOST, family->seeds) ? CLAIM_OUT_OF_REACH : claim;
}

static void judge_claims(Result *result, const Contrast *pairs) {
  ResultFamily *family = &result->family;
  double p[result->rows + 1], adjusted[result->rows + 1], paper[result->rows + 1];
  Contrast contrast_of[result->rows + 1];
  Claim claim_of[result->rows + 1];
  Power power = power_of(family);
  int m = 0;
  for (int i = 0; i < result->rows; i++) {
    if (!row_judged(&result->row[i])) continue;
    paper[m] = result->row[i].claimed;
    contrast_of[m] = pairs[i];
    p[m++] = result->row[i].p_claim;
  }
  family->level = family_judge(m, paper, contrast_of, p, adjusted, claim_of);
  for (int i = 0, k = 0; i < result->rows; i++) {
    ResultRow *row = &result->row[i];
    const Contrast *contrast = &pairs[i];
    if (!row_judged(row)) continue;
    double corrected = adjusted[k];
    Claim claim = reach(family, row, claim_of[k++]);
    family->decided += corrected <= CLAIM_ALPHA;
    if (claim != CLAIM_NONE) row->verdict = claim_names[claim];
    if (!isnan(family->sigma) && !family->folds && !row_question(row))
      row->seeds_needed = power_seeds(&power, row->claimed);
    if (isnan(row->p)) continue;
    row->p_corrected = corrected;
    contrast_interval(contrast, family->level, &row->corrected_low, &row->corrected_high);
    row->within = claim_within(row);
  }
}

/* The paper's word "collapse" is a claim about the row itself. */
static void judge_collapse(ResultRow *row) {
  int collapsed = row->status[STATUS_COLLAPSED];
  if (strncmp(row->paper_word, "collapse", 8)) return;
  Claim claim = claim_collapse(collapsed, collapsed + row->status[STATUS_DONE]);
  if (claim != CLAIM_NONE) row->verdict = claim_names[claim];
}

static ResultTau find_tau(const Result *result) {
  double ours[result->rows + 1], paper[result->rows + 1];
  ResultTau tau = {.rows = 0};
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    if (isnan(row->mean) || isnan(row->paper)) continue;
    ours[tau.rows] = row->mean;
    paper[tau.rows++] = row->paper;
  }
  tau.value = kendall_tau(ours, paper, tau.rows, &tau.p, &tau.least);
  return tau;
}

/* ---- structures ------------------------------------------------------------------------------ */

static ResultLabel *label_at(Result *result, int position, int label) {
  for (int i = 0; i < result->labels; i++)
    if (result->label[i].position == position && result->label[i].label == label)
      return &result->label[i];
  return NULL;
}

/* One structure of two rows; p NaN where there is too little for a verdict. */
static double compare_label(const RowFigures *figures, int row, int above, int label, bool fixed,
                            double *difference) {
  size_t cases = (size_t)figures->row[row].cases;
  double *a = malloc(sizeof *a * ((size_t)figures->row[above].trials * cases + 1));
  double *b = malloc(sizeof *b * ((size_t)figures->row[row].trials * cases + 1));
  CHECK(a && b, "no memory for a comparison");
  Figures of_above = row_figures_of(figures, above, label, a);
  Figures of_row = row_figures_of(figures, row, label, b);
  Contrast contrast;
  double p = contrast_claim(&of_row, &of_above, fixed, &contrast);
  *difference = contrast.value;
  free(a);
  free(b);
  return contrast.state == CONTRAST_WHOLE ? p : NAN;
}

/* Structures are a family of their own: every one in every row against the compared row. */
static void judge_labels(Result *result, const RowFigures *figures) {
  int most = (result->rows + 1) * (figures->labels + 1), count = 0;
  double *p = malloc(sizeof *p * (size_t)most), difference;
  ResultLabel **label = malloc(sizeof *label * (size_t)most);
  int *sign = malloc(sizeof *sign * (size_t)most);
  CHECK(p && label && sign, "no memory for a comparison");
  for (int i = 0; i < result->rows; i++)
    for (int l = 0; result->row[i].against >= 0 && l < figures->labels; l++) {
      int row = result->row[i].position, above = result->row[result->row[i].against].position;
      if (row >= figures->rows || above >= figures->rows) continue;
      label[count] = label_at(result, row, figures->label[l]);
      p[count] = compare_label(figures, row, above, l, result->family.cases_fixed, &difference);
      sign[count] = difference > 0 ? 1 : -1;
      count += label[count] && !isnan(p[count]);
    }
  result->family.structures = count;
  holm_adjust(p, count, p);
  for (int k = 0; k < count; k++)
    if (p[k] <= CLAIM_ALPHA) label[k]->above = sign[k];
  free(p);
  free(label);
  free(sign);
}

/* ---- a table --------------------------------------------------------------------------------- */

bool result_judge(Store *store, Result *result, Error *error) {
  if (result->plans) return true; /* a plan has no figure */
  RowFigures figures;
  ResultFamily *family = &result->family;
  if (!row_figures_load(store, result->plan_id, NULL, &figures, error)) return false;
  for (int r = 0; r < figures.rows; r++) family->lower = family->lower || figures.row[r].lower;
  Contrast *pairs = calloc((size_t)result->rows + 1, sizeof *pairs);
  CHECK(pairs, "no memory for a comparison");
  for (int i = 0; i < result->rows; i++) {
    ResultRow *row = &result->row[i];
    int collapsed = row->status[STATUS_COLLAPSED];
    pairs[i].state = CONTRAST_NOTHING;
    if (row->against >= 0) judge_pair(&figures, result, row, &pairs[i]);
    family->claims += row_judged(row);
    family->questions += row_question(row);
    judge_collapse(row);
    result->comparisons += !isnan(row->low);
    if (collapsed > 0 && !family->lower)
      row->with_collapsed = isnan(row->mean) ? 0 : row->mean * row->n / (row->n + collapsed);
  }
  family->patients = figures.patients;
  pool_seeds(family, &figures);
  pool_pairs(family, pairs, result->rows);
  find_power(family);
  judge_claims(result, pairs);
  judge_labels(result, &figures);
  result->tau = find_tau(result);
  free(pairs);
  row_figures_free(&figures);
  return judge_looks(store, result, error);
}
