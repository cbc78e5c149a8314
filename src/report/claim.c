#include "src/report/claim.h"
#include "base/error.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- statistics ------------------------------------------------------------------------------ */

const char *const claim_words[] = {"no claim", "supported", "not supported", "undecided",
                                   "too few seeds"};

/* One trial's figure when case c is drawn times[c] times; NaN when none of its cases is. */
static double trial_mean(const Figures *figures, int trial, const int *times) {
  double total = 0;
  int labels = 0;
  for (int label = 0; label < figures->labels; label++) {
    double sum = 0;
    int count = 0;
    for (int c = 0; c < figures->cases; c++) {
      double value = figures->value[(trial * figures->cases + c) * figures->labels + label];
      if (times[c] == 0 || isnan(value)) continue;
      sum += times[c] * value;
      count += times[c];
    }
    if (count) total += sum / count;
    labels += count > 0;
  }
  return labels ? total / labels : NAN;
}

/* Mean over trials, the trial t counted times[t] times. */
static double row_mean(const Figures *figures, const int *trial_times, const int *case_times) {
  double sum = 0;
  int count = 0;
  for (int t = 0; t < figures->trials; t++) {
    double value = trial_times[t] ? trial_mean(figures, t, case_times) : NAN;
    if (isnan(value)) continue;
    sum += trial_times[t] * value;
    count += trial_times[t];
  }
  return count ? sum / count : NAN;
}

double bootstrap_mean(const Figures *figures) {
  int trials[figures->trials + 1], cases[figures->cases + 1];
  for (int t = 0; t < figures->trials; t++) trials[t] = 1;
  for (int c = 0; c < figures->cases; c++) cases[c] = 1;
  return row_mean(figures, trials, cases);
}

/* n - 1 draws of n. */
static void draw(Rng *rng, int count, int *times) {
  memset(times, 0, sizeof *times * (size_t)count);
  for (int i = 0; i < count - 1; i++) times[rng_below(rng, (uint32_t)count)]++;
}

/* Share of the resamples below the interval: the normal's tail beyond the t quantile. */
static double tail(int freedom) {
  static const double t975[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262};
  enum { LISTED = sizeof t975 / sizeof t975[0] };
  const double z = 1.959964, z3 = z * z * z, z5 = z3 * z * z, v = freedom;
  double t = z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v);
  if (freedom <= LISTED) t = t975[freedom - 1];
  return 0.5 * erfc(t / sqrt(2));
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

Difference figures_difference(const Figures *row, const Figures *above) {
  CHECK(row->cases == above->cases && row->labels == above->labels, "rows of different cases");
  Difference result = {bootstrap_mean(row) - bootstrap_mean(above), false, NAN, NAN};
  if (isnan(result.value) || row->trials < 2 || above->trials < 2 || row->cases < 2) return result;
  int cases[row->cases], trials[row->trials], others[above->trials], count = 0;
  double *found = malloc(sizeof *found * BOOTSTRAP_RESAMPLES);
  CHECK(found, "no memory for a bootstrap");
  for (int i = 0; i < BOOTSTRAP_RESAMPLES; i++) {
    Rng rng = rng_make(0, RNG_BOOTSTRAP, (uint64_t)i);
    draw(&rng, row->cases, cases);
    draw(&rng, row->trials, trials);
    draw(&rng, above->trials, others);
    double value = row_mean(row, trials, cases) - row_mean(above, others, cases);
    if (!isnan(value)) found[count++] = value;
  }
  int freedom = row->trials + above->trials - 2;
  if (row->cases - 1 < freedom) freedom = row->cases - 1;
  qsort(found, (size_t)count, sizeof *found, ascending);
  int edge = (int)(tail(freedom) * count);
  result.interval = count > 0;
  if (count > 0) result.low = found[edge], result.high = found[count - 1 - edge];
  free(found);
  return result;
}

Claim claim_of(double paper, const Difference *difference) {
  const double rounding = 1e-12; /* equal figures may differ in the last bit of their sums */
  if (isnan(paper) || fabs(paper) < rounding || isnan(difference->value)) return CLAIM_NONE;
  if (!difference->interval) return CLAIM_TOO_FEW;
  if (difference->low <= rounding && difference->high >= -rounding) return CLAIM_UNDECIDED;
  return (difference->low > 0) == (paper > 0) ? CLAIM_SUPPORTED : CLAIM_NOT_SUPPORTED;
}

Claim collapse_of(int collapsed, int ended) {
  if (ended == 0) return CLAIM_NONE;
  if (ended < 2) return CLAIM_TOO_FEW;
  if (collapsed == ended) return CLAIM_SUPPORTED;
  return collapsed == 0 ? CLAIM_NOT_SUPPORTED : CLAIM_UNDECIDED;
}

/* ---- Kendall --------------------------------------------------------------------------------- */

/* Concordant minus discordant pairs of a[i] and b[order[i]]. */
static int concordance(const double *a, const double *b, const int *order, int count) {
  int sum = 0;
  for (int i = 0; i < count; i++)
    for (int k = 0; k < i; k++) {
      double x = a[i] - a[k], y = b[order[i]] - b[order[k]];
      sum += ((x > 0) - (x < 0)) * ((y > 0) - (y < 0));
    }
  return sum;
}

typedef struct Permuted {
  const double *a, *b;
  int count, observed, most;  /* most: the largest concordance of any order */
  long all, reached, extreme; /* orders; as far from 0 as observed; as far as the largest */
} Permuted;

static void permute(Permuted *state, int *order, int fixed) {
  if (fixed == state->count) {
    int value = abs(concordance(state->a, state->b, order, state->count));
    state->all++;
    state->reached += value >= abs(state->observed);
    if (value > state->most) state->most = value, state->extreme = 0;
    state->extreme += value == state->most;
    return;
  }
  for (int i = fixed; i < state->count; i++) {
    int first = order[fixed];
    order[fixed] = order[i], order[i] = first;
    permute(state, order, fixed + 1);
    order[i] = order[fixed], order[fixed] = first;
  }
}

static int untied(const double *value, int count) {
  int pairs = 0;
  for (int i = 0; i < count; i++)
    for (int k = 0; k < i; k++) pairs += value[i] != value[k];
  return pairs;
}

double kendall_tau(const double *a, const double *b, int count, double *p, double *least) {
  int order[count + 1];
  for (int i = 0; i < count; i++) order[i] = i;
  double pairs_a = untied(a, count), pairs_b = untied(b, count);
  *p = *least = NAN;
  if (pairs_a == 0 || pairs_b == 0) return NAN;
  Permuted state = {.a = a, .b = b, .count = count};
  state.observed = concordance(a, b, order, count);
  if (count <= TAU_EXACT_MOST) {
    permute(&state, order, 0);
    *p = (double)state.reached / (double)state.all;
    *least = (double)state.extreme / (double)state.all;
  }
  return state.observed / sqrt(pairs_a * pairs_b);
}

/* ---- the claims of a table ------------------------------------------------------------------- */

static const char values_sql[] =
    "SELECT r.position, c.trial_id AS trial, m.value,"
    " dense_rank() OVER (ORDER BY m.case_name) - 1 AS at_case,"
    " dense_rank() OVER (ORDER BY m.label) - 1 AS label"
    " FROM rows r JOIN plans p ON p.id = r.plan_id JOIN experiments e ON e.id = p.experiment_id"
    " JOIN cells c ON c.row_id = r.id JOIN v_attempt v ON v.trial_id = c.trial_id"
    " JOIN metrics m ON m.attempt_id = v.attempt_id AND m.metric = e.metric"
    " WHERE r.plan_id = ?1 AND m.split = 'val' AND m.label > 0 ORDER BY r.position, c.trial_id";

typedef struct Value {
  int position, at_case, label;
  int64_t trial;
  double value;
} Value;

static const Column value_columns[] = {COLUMN(Value, position), COLUMN(Value, at_case),
                                       COLUMN(Value, label),    COLUMN(Value, trial),
                                       COLUMN(Value, value),    {0}};

/* How many trials, cases and labels the values span; trials: of the row at this position. */
static Figures extent(const Rows *values, int position) {
  Figures figures = {0, 0, 0, NULL};
  const Value *value = values->row;
  for (int i = 0; i < values->count; i++) {
    const Value *v = &value[i];
    if (v->at_case >= figures.cases) figures.cases = v->at_case + 1;
    if (v->label >= figures.labels) figures.labels = v->label + 1;
    bool same = i > 0 && v->trial == v[-1].trial && v->position == v[-1].position;
    figures.trials += !same && v->position == position;
  }
  return figures;
}

/* The row's figures, then so many trials whose every figure is 0. The caller frees value. */
static Figures collect(const Rows *values, int position, int zeros) {
  Figures figures = extent(values, position);
  int size = figures.cases * figures.labels, trial = -1;
  int64_t last = -1;
  figures.trials += zeros;
  figures.value = calloc((size_t)(figures.trials * size + 1), sizeof *figures.value);
  CHECK(figures.value, "no memory for a comparison");
  for (int i = 0; i < (figures.trials - zeros) * size; i++) figures.value[i] = NAN;
  for (const Value *v = values->row, *end = v + values->count; v < end; v++) {
    if (v->position != position) continue;
    trial += v->trial != last;
    last = v->trial;
    figures.value[trial * size + v->at_case * figures.labels + v->label] = v->value;
  }
  return figures;
}

static Difference compare(const Rows *values, const ResultRow *row, const ResultRow *above,
                          bool collapsed) {
  Figures a = collect(values, above->position, collapsed ? above->status[STATUS_COLLAPSED] : 0);
  Figures b = collect(values, row->position, collapsed ? row->status[STATUS_COLLAPSED] : 0);
  Difference difference = figures_difference(&b, &a);
  free(a.value);
  free(b.value);
  return difference;
}

static void judge_pair(const Rows *values, ResultRow *row, const ResultRow *above) {
  Difference difference = compare(values, row, above, false);
  row->claimed = row->paper - above->paper;
  Claim claim = claim_of(row->claimed, &difference);
  if (row->status[STATUS_COLLAPSED] + above->status[STATUS_COLLAPSED] > 0 && difference.interval) {
    Difference strict = compare(values, row, above, true);
    if (claim_of(row->claimed, &strict) != claim) claim = CLAIM_UNDECIDED;
  }
  row->difference = difference.value;
  row->low = difference.low;
  row->high = difference.high;
  if (!isnan(difference.value)) row->verdict = claim_words[claim];
}

/* The paper's word "collapse" is a claim about the row itself. */
static void judge_collapse(ResultRow *row) {
  int collapsed = row->status[STATUS_COLLAPSED];
  if (strncmp(row->paper_word, "collapse", 8)) return;
  Claim claim = collapse_of(collapsed, collapsed + row->status[STATUS_DONE]);
  if (claim != CLAIM_NONE) row->verdict = claim_words[claim];
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

bool result_judge(Store *store, Result *result, Error *error) {
  if (result->plans) return true; /* a plan has no figure */
  Rows values;
  if (!store_rows(store, values_sql, json_pack("[I]", (json_int_t)result->plan_id), value_columns,
                  sizeof(Value), &values, error))
    return false;
  for (int i = 0; i < result->rows; i++) {
    ResultRow *row = &result->row[i];
    int collapsed = row->status[STATUS_COLLAPSED];
    if (i > 0) judge_pair(&values, row, row - 1);
    judge_collapse(row);
    result->comparisons += !isnan(row->low);
    if (collapsed > 0)
      row->with_collapsed = isnan(row->mean) ? 0 : row->mean * row->n / (row->n + collapsed);
  }
  result->tau = find_tau(result);
  rows_free(&values);
  return true;
}
