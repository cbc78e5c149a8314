#include "src/report/row_figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "src/data/metrics/metric.h"
#include "src/data/sets/split.h"
#include "src/store/typed_rows.h"

/* A trial counts by the attempt that counts; one that collapsed has none. */
static const char trials_sql[] =
    "SELECT r.position, t.id AS trial, t.fold, v.attempt_id IS NULL AS collapsed,"
    " coalesce(?2, e.metric) AS metric FROM rows r"
    " JOIN plans p ON p.id = r.plan_id JOIN experiments e ON e.id = p.experiment_id"
    " JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    " LEFT JOIN v_attempt v ON v.trial_id = t.id WHERE r.plan_id = ?1"
    " AND (v.attempt_id IS NOT NULL OR t.status = 'collapsed')"
    " ORDER BY r.position, t.seed, t.fold, t.id";

/* ?1 plan, ?2 metric or NULL. */
#define VALUES                                                                                     \
  " FROM rows r JOIN plans p ON p.id = r.plan_id JOIN experiments e ON e.id = p.experiment_id"     \
  " JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"                            \
  " JOIN v_attempt v ON v.trial_id = t.id"                                                         \
  " JOIN metrics m ON m.attempt_id = v.attempt_id AND m.metric = coalesce(?2, e.metric)"           \
  " WHERE r.plan_id = ?1 AND m.split = 'val' AND m.label > 0"

static const char values_sql[] = "SELECT r.position, t.id AS trial, m.label, m.value,"
                                 " dense_rank() OVER (ORDER BY m.case_name) - 1 AS at_case,"
                                 " dense_rank() OVER (ORDER BY m.label) - 1 AS at_label" VALUES
                                 " ORDER BY r.position, t.seed, t.fold, t.id";

static const char cases_sql[] =
    "SELECT DISTINCT m.case_name AS name" VALUES " ORDER BY m.case_name";

typedef struct Trial {
  int position, fold, collapsed;
  int64_t trial;
  const char *metric;
} Trial;

typedef struct Value {
  int position, label, at_case, at_label;
  int64_t trial;
  double value;
} Value;

typedef struct CaseName {
  const char *name;
} CaseName;

static const Column trial_columns[] = {COLUMN(Trial, position), COLUMN(Trial, trial),
                                       COLUMN(Trial, fold),     COLUMN(Trial, collapsed),
                                       COLUMN(Trial, metric),   {0}};
static const Column value_columns[] = {COLUMN(Value, position),
                                       COLUMN(Value, trial),
                                       COLUMN(Value, label),
                                       COLUMN(Value, at_case),
                                       COLUMN(Value, at_label),
                                       COLUMN(Value, value),
                                       {0}};
static const Column case_columns[] = {COLUMN(CaseName, name), {0}};

static void *memory(size_t count, size_t bytes) {
  void *block = calloc(count + 1, bytes);
  CHECK(block, "no memory for a comparison");
  return block;
}

/* Cases are sorted, so a patient's stand together. */
static void find_units(RowFigures *figures, const Rows *cases) {
  const CaseName *item = cases->row;
  int *unit = figures->unit = memory((size_t)cases->count, sizeof *unit), at = -1;
  for (int c = 0; c < cases->count; c++) {
    size_t length = split_patient(item[c].name);
    bool same = c > 0 && length && !strncmp(item[c].name, item[c - 1].name, length);
    at += !same;
    figures->patients = figures->patients || same;
    unit[c] = at;
  }
}

/* The rows' trials, every value NaN. */
static void take_trials(RowFigures *figures, const Rows *trials, int cases) {
  const Trial *trial = trials->row;
  const MetricRow *metric = trials->count ? metric_stored(trial->metric) : NULL;
  bool lower = metric && metric->better == METRIC_LOWER;
  for (int i = 0; i < trials->count; i++)
    if (trial[i].position >= figures->rows) figures->rows = trial[i].position + 1;
  figures->row = memory((size_t)figures->rows, sizeof *figures->row);
  for (int r = 0; r < figures->rows; r++) {
    int count = 0;
    for (int i = 0; i < trials->count; i++) count += trial[i].position == r;
    int *fold = memory((size_t)count, sizeof *fold);
    bool *collapsed = memory((size_t)count, sizeof *collapsed);
    size_t size = (size_t)count * (size_t)cases * (size_t)figures->labels;
    double *value = memory(size, sizeof *value);
    for (size_t k = 0; k < size; k++) value[k] = NAN;
    int at = 0;
    for (int i = 0; i < trials->count; i++) {
      if (trial[i].position != r) continue;
      fold[at] = trial[i].fold;
      collapsed[at++] = trial[i].collapsed;
    }
    figures->row[r] =
        (Figures){count, cases, figures->labels, value, figures->unit, fold, collapsed, lower};
  }
}

/* Values and trials come in one order; a trial may have no value. */
static void take_values(RowFigures *figures, const Rows *trials, const Rows *values) {
  const Trial *trial = trials->row, *end = trial + trials->count;
  const Value *value = values->row;
  int at = 0;
  for (int i = 0; i < values->count; i++) {
    const Value *v = &value[i];
    while (trial < end && (trial->position != v->position || trial->trial != v->trial)) {
      at = trial + 1 < end && trial[1].position == trial->position ? at + 1 : 0;
      trial++;
    }
    CHECK(trial < end, "figures of a trial that is none of the table's");
    Figures *row = &figures->row[v->position];
    figures->label[v->at_label] = v->label;
    row->value[(at * row->cases + v->at_case) * row->labels + v->at_label] = v->value;
  }
}

bool row_figures_load(Store *store, int64_t plan_id, const char *metric, RowFigures *figures,
                      Error *error) {
  *figures = (RowFigures){0};
  Rows trials = {0}, values = {0}, cases = {0};
  bool good = store_rows(store, trials_sql, json_pack("[I, s?]", (json_int_t)plan_id, metric),
                         trial_columns, sizeof(Trial), &trials, error) &&
              store_rows(store, values_sql, json_pack("[I, s?]", (json_int_t)plan_id, metric),
                         value_columns, sizeof(Value), &values, error) &&
              store_rows(store, cases_sql, json_pack("[I, s?]", (json_int_t)plan_id, metric),
                         case_columns, sizeof(CaseName), &cases, error);
  for (int i = 0; good && i < values.count; i++) {
    const Value *value = (Value *)values.row + i;
    if (value->at_label >= figures->labels) figures->labels = value->at_label + 1;
  }
  if (good) {
    figures->label = memory((size_t)figures->labels, sizeof *figures->label);
    find_units(figures, &cases);
    take_trials(figures, &trials, cases.count);
    take_values(figures, &trials, &values);
  }
  rows_free(&trials);
  rows_free(&values);
  rows_free(&cases);
  return good;
}

void row_figures_free(RowFigures *figures) {
  for (int r = 0; r < figures->rows; r++) {
    free(figures->row[r].value);
    free((int *)figures->row[r].fold);
    free((bool *)figures->row[r].collapsed);
  }
  free(figures->row);
  free(figures->unit);
  free(figures->label);
  *figures = (RowFigures){0};
}

Figures row_figures_of(const RowFigures *figures, int row, int label, double *value) {
  Figures one = figures->row[row];
  for (int i = 0; i < one.trials * one.cases; i++) value[i] = one.value[i * one.labels + label];
  one.labels = 1;
  one.value = value;
  return one;
}
