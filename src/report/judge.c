#include "src/report/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/report/claim.h"
#include "src/store/field.h"

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
