#include "src/report/claim.h"
#include "base/error.h"
#include "base/rng.h"
#include "src/store/field.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- statistics -------------------------------------------------------------------------------*/

const char *const claim_names[] = {"no claim", "supported", "not supported", "undecided",
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

double figures_mean(const Figures *figures) {
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
  Difference result = {figures_mean(row) - figures_mean(above), false, NAN, NAN};
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

Claim claim_judge(double paper, const Difference *difference) {
  const double rounding = 1e-12; /* equal figures may differ in the last bit of their sums */
  if (isnan(paper) || fabs(paper) < rounding || isnan(difference->value)) return CLAIM_NONE;
  if (!difference->interval) return CLAIM_TOO_FEW;
  if (difference->low <= rounding && difference->high >= -rounding) return CLAIM_UNDECIDED;
  return (difference->low > 0) == (paper > 0) ? CLAIM_SUPPORTED : CLAIM_NOT_SUPPORTED;
}

Claim claim_collapse(int collapsed, int ended) {
  if (ended == 0) return CLAIM_NONE;
  if (ended < 2) return CLAIM_TOO_FEW;
  if (collapsed == ended) return CLAIM_SUPPORTED;
  return collapsed == 0 ? CLAIM_NOT_SUPPORTED : CLAIM_UNDECIDED;
}

/* --- Kendall --- */

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

/* ---- the claims of a table --------------------------------------------------------------------*/

static const char values_sql[] =
    "SELECT r.position, c.trial_id AS trial, m.value,"
    " dense_rank() OVER (ORDER BY m.case_name) - 1 AS \"case\","
    " dense_rank() OVER (ORDER BY m.label) - 1 AS label"
    " FROM rows r JOIN plans p ON p.id = r.plan_id JOIN experiments e ON e.id = p.experiment_id"
    " JOIN cells c ON c.row_id = r.id JOIN v_attempt v ON v.trial_id = c.trial_id"
    " JOIN metrics m ON m.attempt_id = v.attempt_id AND m.metric = e.metric"
    " WHERE r.plan_id = ?1 AND m.split = 'val' AND m.label > 0 ORDER BY r.position, c.trial_id";

static double number(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static void put(json_t *object, const char *key, double value) {
  if (!isnan(value)) json_object_set_new(object, key, json_real(value));
}

/* How many trials, cases and labels the values of a row (-1: of all) span. */
static Figures extent(const json_t *values, int position) {
  Figures figures = {0, 0, 0, NULL};
  int last = -1, row = -1;
  const json_t *item;
  size_t i;
  json_array_foreach(values, i, item) {
    if (field_whole(item, "case") >= figures.cases) figures.cases = field_whole(item, "case") + 1;
    if (field_whole(item, "label") >= figures.labels)
      figures.labels = field_whole(item, "label") + 1;
    bool same = field_whole(item, "trial") == last && field_whole(item, "position") == row;
    last = field_whole(item, "trial"), row = field_whole(item, "position");
    if (!same && row == position) figures.trials++;
  }
  return figures;
}

/* The row's figures, then so many trials whose every figure is 0. The caller frees value. */
static Figures collect(const json_t *values, int position, int zeros) {
  Figures figures = extent(values, position);
  int size = figures.cases * figures.labels, trial = -1, last = -1;
  figures.trials += zeros;
  figures.value = calloc((size_t)(figures.trials * size + 1), sizeof *figures.value);
  CHECK(figures.value, "no memory for a comparison");
  for (int i = 0; i < (figures.trials - zeros) * size; i++) figures.value[i] = NAN;
  const json_t *item;
  size_t i;
  json_array_foreach(values, i, item) {
    if (field_whole(item, "position") != position) continue;
    trial += field_whole(item, "trial") != last;
    last = field_whole(item, "trial");
    figures.value[trial * size + field_whole(item, "case") * figures.labels +
                  field_whole(item, "label")] = number(item, "value");
  }
  return figures;
}

static Difference compare(const json_t *values, const json_t *row, const json_t *above,
                          bool collapsed) {
  Figures a = collect(values, field_whole(above, "position"),
                      collapsed ? field_whole(above, "collapsed") : 0);
  Figures b =
      collect(values, field_whole(row, "position"), collapsed ? field_whole(row, "collapsed") : 0);
  Difference difference = figures_difference(&b, &a);
  free(a.value);
  free(b.value);
  return difference;
}

static void judge_pair(const json_t *values, json_t *row, const json_t *above) {
  double claimed = number(row, "paper") - number(above, "paper");
  Difference difference = compare(values, row, above, false);
  Claim claim = claim_judge(claimed, &difference);
  if (field_whole(row, "collapsed") + field_whole(above, "collapsed") > 0 && difference.interval) {
    Difference strict = compare(values, row, above, true);
    if (claim_judge(claimed, &strict) != claim) claim = CLAIM_UNDECIDED;
  }
  put(row, "claimed", claimed);
  put(row, "difference", difference.value);
  put(row, "low", difference.low);
  put(row, "high", difference.high);
  if (!isnan(difference.value))
    json_object_set_new(row, "verdict", json_string(claim_names[claim]));
}

/* The paper's word "collapse" is a claim about the row itself. */
static void judge_collapse(json_t *row) {
  const char *word = json_string_value(json_object_get(row, "paper_word"));
  if (!word || strncmp(word, "collapse", 8)) return;
  Claim claim = claim_collapse(field_whole(row, "collapsed"),
                               field_whole(row, "collapsed") + field_whole(row, "done"));
  if (claim != CLAIM_NONE) json_object_set_new(row, "verdict", json_string(claim_names[claim]));
}

static void add_tau(json_t *result, const json_t *rows) {
  size_t size = json_array_size(rows);
  double ours[size + 1], paper[size + 1], p, least;
  int count = 0;
  for (size_t i = 0; i < size; i++) {
    const json_t *row = json_array_get(rows, i);
    if (isnan(number(row, "mean")) || isnan(number(row, "paper"))) continue;
    ours[count] = number(row, "mean");
    paper[count++] = number(row, "paper");
  }
  double value = kendall_tau(ours, paper, count, &p, &least);
  if (isnan(value)) return;
  json_t *tau = json_pack("{s:f,s:i}", "value", value, "rows", count);
  put(tau, "p", p);
  put(tau, "least", least);
  json_object_set_new(result, "tau", tau);
}

static void judge_rows(json_t *result, const json_t *values) {
  const json_t *rows = json_object_get(result, "rows");
  int comparisons = 0;
  for (size_t i = 0; i < json_array_size(rows); i++) {
    json_t *row = json_array_get(rows, i);
    double mean = number(row, "mean"), n = field_whole(row, "n"),
           collapsed = field_whole(row, "collapsed");
    if (i > 0) judge_pair(values, row, json_array_get(rows, i - 1));
    judge_collapse(row);
    comparisons += json_object_get(row, "low") != NULL;
    if (collapsed > 0) put(row, "with_collapsed", isnan(mean) ? 0 : mean * n / (n + collapsed));
  }
  json_object_set_new(result, "comparisons", json_integer(comparisons));
  add_tau(result, rows);
}

bool result_judge(Store *store, json_t *result, Error *error) {
  json_t *values, *parameters = json_pack("[O]", json_object_get(result, "plan_id"));
  bool good = store_query(store, values_sql, parameters, &values, error);
  json_decref(parameters);
  const char *metric = json_string_value(json_object_get(result, "metric"));
  if (good && metric && strcmp(metric, "plan"))
    judge_rows(result, values); /* a plan has no figure */
  json_decref(values);
  return good;
}
