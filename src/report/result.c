#include "src/report/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/data/sets/json_text.h"
#include "src/report/claim.h"
#include "src/report/code_notes.h"
#include "src/report/default_notes.h"
#include "src/report/paper_marks.h"
#include "src/report/reproduce.h"
#include "src/report/self_test.h"
#include "src/report/start_notes.h"
#include "src/report/tuned_notes.h"

static json_t *text_or_null(const char *text) {
  return text ? json_name(text) : json_null();
}

static const char plans_sql[] =
    "SELECT p.id AS plan_id, p.scale, p.dataset, p.device, p.notes, p.self_test,"
    " e.table_no AS \"table\", e.name AS experiment, e.title, e.metric, e.model, e.axis"
    " FROM plans p JOIN experiments e ON e.id = p.experiment_id"
    " WHERE (e.name = ?1 OR CAST(e.table_no AS TEXT) = ?1 OR ?1 IS NULL)"
    " AND (p.scale = ?2 OR ?2 IS NULL) AND (p.dataset = ?3 OR ?3 IS NULL)"
    " AND (p.device = ?4 OR ?4 IS NULL) AND (p.id = ?5 OR ?5 = 0) AND (e.model = ?6 OR ?6 IS NULL)"
    " AND coalesce(e.model, '') NOT IN (SELECT value FROM json_each(?7))"
    " ORDER BY p.used DESC";

/* Plans p and q have the same tries of rates. */
#define TRIES_OF(PLAN)                                                                             \
  "(SELECT group_concat(w) FROM (SELECT r.key || y.trial_id AS w FROM rows r JOIN tries y"         \
  " ON y.row_id = r.id WHERE r.plan_id = " PLAN " ORDER BY w))"
#define SAME_TRIES TRIES_OF("p.id") " IS " TRIES_OF("q.id")

/* The cells with the most trials of those that contain every trial of cells ?1 in the same row,
 * with the same tries; what looks were planned for stays what it is. */
static const char larger_sql[] =
    "SELECT q.id AS plan_id, q.notes, q.self_test FROM plans p JOIN plans q ON q.experiment_id = "
    "p.experiment_id AND q.scale = p.scale"
    "  AND q.dataset = p.dataset AND q.data_hash = p.data_hash AND q.device = p.device"
    " WHERE p.id = ?1 AND p.id NOT IN (SELECT plan_id FROM sequences) AND " SAME_TRIES
    " AND NOT EXISTS (SELECT 1 FROM rows r JOIN cells c ON c.row_id = r.id WHERE r.plan_id = p.id"
    "  AND NOT EXISTS (SELECT 1 FROM rows s JOIN cells d ON d.row_id = s.id"
    "   WHERE s.plan_id = q.id AND s.key = r.key AND d.trial_id = c.trial_id))"
    " ORDER BY (SELECT count(*) FROM rows r JOIN cells c ON c.row_id = r.id WHERE r.plan_id = q.id)"
    " DESC, q.used DESC LIMIT 1";

/* Cells all of which stand in the same rows of cells ?1, which has more. */
static const char smaller_sql[] =
    "WITH size AS (SELECT r.plan_id, count(*) AS cells FROM rows r JOIN cells c ON c.row_id = r.id"
    "  GROUP BY r.plan_id)"
    " SELECT q.id AS plan_id, q.notes, q.self_test FROM plans p JOIN plans q ON q.experiment_id = "
    "p.experiment_id AND q.scale = p.scale"
    "  AND q.dataset = p.dataset AND q.data_hash = p.data_hash AND q.device = p.device"
    " JOIN size m ON m.plan_id = p.id JOIN size n ON n.plan_id = q.id AND n.cells < m.cells"
    " WHERE p.id = ?1 AND NOT EXISTS ("
    "  SELECT 1 FROM rows r JOIN cells c ON c.row_id = r.id WHERE r.plan_id = q.id"
    "  AND NOT EXISTS (SELECT 1 FROM rows s JOIN cells d ON d.row_id = s.id"
    "   WHERE s.plan_id = p.id AND s.key = r.key AND d.trial_id = c.trial_id))"
    " ORDER BY n.cells";

/* Parameters: of the newest attempt that got so far as to plan its graph. A row without cells is
 * one without a rate. */
static const char rows_sql[] =
    "SELECT r.position, r.key, r.label, r.paper, r.paper_word, v.mean, v.sd, v.n, v.cells, v.done,"
    " v.planned, v.running, v.failed, v.oom, v.collapsed, v.interrupted, v.timeout, v.builds,"
    " (SELECT a.parameters FROM cells c JOIN attempts a ON a.trial_id = c.trial_id"
    "  WHERE c.row_id = r.id AND a.parameters IS NOT NULL AND a.removed = 0"
    "  ORDER BY a.id DESC LIMIT 1) AS parameters,"
    " (SELECT a.message FROM cells c JOIN trials t ON t.id = c.trial_id"
    "  JOIN attempts a ON a.trial_id = t.id AND a.status = t.status WHERE c.row_id = r.id"
    "  AND t.status IN ('failed', 'oom', 'timeout') AND a.removed = 0 ORDER BY a.id DESC LIMIT 1)"
    "  AS reason,"
    " coalesce(r.against, v.position - 1) AS against, r.against IS NOT NULL AS asked,"
    " (SELECT group_concat(trial_id) FROM (SELECT c.trial_id FROM cells c WHERE c.row_id = r.id"
    "  ORDER BY c.trial_id)) AS trials"
    " FROM rows r LEFT JOIN v_table v ON v.plan_id = r.plan_id AND v.position = r.position"
    " WHERE r.plan_id = ?1 ORDER BY r.position";

static const char labels_sql[] =
    "SELECT r.position, l.label, l.name, avg(l.value) AS mean, count(l.value) AS n,"
    " min(l.value) AS low, max(l.value) AS high,"
    " sum(l.missed) AS missed, sum(l.false_positive) AS false_positive, sum(l.cases) AS cases"
    " FROM rows r JOIN cells c ON c.row_id = r.id JOIN v_label l ON l.trial_id = c.trial_id"
    " JOIN plans p ON p.id = r.plan_id JOIN experiments e ON e.id = p.experiment_id"
    " AND l.metric = coalesce(?2, e.metric) WHERE r.plan_id = ?1"
    " GROUP BY r.position, l.label ORDER BY l.label, r.position";

/* Figures by another metric, to replace those of rows_sql. */
static const char metric_sql[] =
    "SELECT avg(s.value) AS mean, count(s.value) AS n,"
    " CASE WHEN count(s.value) > 1 THEN sqrt(max(0, (sum(s.value * s.value)"
    "  - count(s.value) * avg(s.value) * avg(s.value)) / (count(s.value) - 1))) END AS sd"
    " FROM rows r JOIN cells c ON c.row_id = r.id"
    " LEFT JOIN v_score s ON s.trial_id = c.trial_id AND s.metric = ?2"
    " WHERE r.plan_id = ?1 GROUP BY r.position ORDER BY r.position";

static const char stored_sql[] =
    "SELECT group_concat(DISTINCT s.metric) AS names, sum(s.metric = ?2) AS trials FROM rows r"
    " JOIN cells c ON c.row_id = r.id JOIN v_score s ON s.trial_id = c.trial_id"
    " WHERE r.plan_id = ?1";

static const char counts_sql[] =
    "SELECT count(DISTINCT t.seed) AS seeds, count(DISTINCT t.fold) AS folds,"
    " min(coalesce(json_extract(t.config, '$.split'), '')) AS split,"
    " count(DISTINCT a.id) AS scores, count(DISTINCT coalesce(a.weights_of, a.id)) AS trainings,"
    " avg(a.wall_s) AS trial_s"
    " FROM rows r JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    " LEFT JOIN v_attempt v ON v.trial_id = t.id LEFT JOIN attempts a ON a.id = v.attempt_id"
    " WHERE r.plan_id = ?1";

static const char environment_sql[] =
    "SELECT n.version, n.commit_hash, n.dirty, n.cpu, n.cores, n.gpu, a.ended_at"
    " FROM rows r JOIN cells c ON c.row_id = r.id JOIN v_attempt v ON v.trial_id = c.trial_id"
    " JOIN attempts a ON a.id = v.attempt_id JOIN environments n ON n.id = a.environment_id"
    " WHERE r.plan_id = ?1 ORDER BY a.id DESC LIMIT 1";

static const char points_sql[] =
    "WITH cell AS (SELECT r.position, r.key, r.label, t.config, v.attempt_id FROM rows r"
    "  JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    "  JOIN v_attempt v ON v.trial_id = t.id WHERE r.plan_id = ?1),"
    " figure AS (SELECT attempt_id, metric, value FROM metrics WHERE split = 'plan')"
    " SELECT position, key, label, config ->> '$.scale' AS scale,"
    "  CASE config ->> '$.bridge' WHEN 'standard' THEN 'standard, ' || (config ->> '$.attention')"
    "   WHEN 'fsad' THEN 'FSAD' ELSE config ->> '$.bridge' END AS bridge,"
    "  CASE config ->> '$.bridge' WHEN 'standard' THEN config ->> '$.standard_scales'"
    "   WHEN 'deformable' THEN config ->> '$.query_scales'"
    "   ELSE coalesce(nullif(config ->> '$.value_scales', 0), json_array_length(config, "
    "'$.widths'))"
    " END AS covered,"
    "  a.peak_bytes AS planned_bytes, a.flops, a.parameters,"
    "  (SELECT value FROM figure f WHERE f.attempt_id = a.id AND metric = 'step_s') AS step_s,"
    "  (SELECT value FROM figure f WHERE f.attempt_id = a.id AND metric = 'allocated_bytes')"
    "   AS allocated_bytes,"
    "  (SELECT value FROM figure f WHERE f.attempt_id = a.id AND metric = 'resident_bytes')"
    "   AS resident_bytes"
    " FROM cell JOIN attempts a ON a.id = cell.attempt_id ORDER BY position";

/* ---- the structs' columns -------------------------------------------------------------------- */

typedef struct PlanRow {
  int64_t plan_id;
  int table;
  const char *experiment, *title, *metric, *model, *axis, *scale, *dataset, *device, *notes;
  const char *self_test; /* "": of another kind */
} PlanRow;

/* notes first, and self_test: an experiment file's are lists, and read by themselves. */
static const Column plan_columns[] = {COLUMN(PlanRow, notes),
                                      COLUMN(PlanRow, self_test),
                                      COLUMN(PlanRow, plan_id),
                                      COLUMN(PlanRow, table),
                                      COLUMN(PlanRow, experiment),
                                      COLUMN(PlanRow, title),
                                      COLUMN(PlanRow, metric),
                                      COLUMN(PlanRow, model),
                                      COLUMN(PlanRow, axis),
                                      COLUMN(PlanRow, scale),
                                      COLUMN(PlanRow, dataset),
                                      COLUMN(PlanRow, device),
                                      {0}};
static const Column larger_columns[] = {
    COLUMN(PlanRow, plan_id), COLUMN(PlanRow, notes), COLUMN(PlanRow, self_test), {0}};

#define ENDED(name, as) COLUMN_AS(ResultRow, status[STATUS_##as], name)
static const Column row_columns[] = {
    COLUMN(ResultRow, position),   COLUMN(ResultRow, key),
    COLUMN(ResultRow, label),      COLUMN(ResultRow, paper_word),
    COLUMN(ResultRow, paper),      COLUMN(ResultRow, mean),
    COLUMN(ResultRow, sd),         COLUMN(ResultRow, parameters),
    COLUMN(ResultRow, n),          COLUMN(ResultRow, cells),
    COLUMN(ResultRow, builds),     ENDED("planned", PLANNED),
    ENDED("running", RUNNING),     ENDED("done", DONE),
    ENDED("failed", FAILED),       ENDED("oom", OOM),
    ENDED("collapsed", COLLAPSED), ENDED("interrupted", INTERRUPTED),
    ENDED("timeout", TIMEOUT),     COLUMN(ResultRow, reason),
    COLUMN(ResultRow, trials),     COLUMN(ResultRow, against),
    COLUMN(ResultRow, asked),      {0}};
static const Column figure_columns[] = {
    COLUMN(ResultRow, mean), COLUMN(ResultRow, n), COLUMN(ResultRow, sd), {0}};

static const Column label_columns[] = {COLUMN(ResultLabel, label),
                                       COLUMN(ResultLabel, position),
                                       COLUMN(ResultLabel, name),
                                       COLUMN(ResultLabel, mean),
                                       COLUMN(ResultLabel, low),
                                       COLUMN(ResultLabel, high),
                                       COLUMN(ResultLabel, n),
                                       COLUMN(ResultLabel, missed),
                                       COLUMN(ResultLabel, false_positive),
                                       COLUMN(ResultLabel, cases),
                                       {0}};

static const Column point_columns[] = {COLUMN(ResultPoint, position),
                                       COLUMN(ResultPoint, covered),
                                       COLUMN(ResultPoint, key),
                                       COLUMN(ResultPoint, label),
                                       COLUMN(ResultPoint, scale),
                                       COLUMN(ResultPoint, bridge),
                                       COLUMN(ResultPoint, planned_bytes),
                                       COLUMN(ResultPoint, flops),
                                       COLUMN(ResultPoint, parameters),
                                       COLUMN(ResultPoint, step_s),
                                       COLUMN(ResultPoint, allocated_bytes),
                                       COLUMN(ResultPoint, resident_bytes),
                                       {0}};

static const Column count_columns[] = {COLUMN(Result, seeds),
                                       COLUMN(Result, folds),
                                       COLUMN(Result, split),
                                       COLUMN(Result, scores),
                                       COLUMN(Result, trainings),
                                       COLUMN(Result, trial_s),
                                       {0}};

static const Column environment_columns[] = {
    COLUMN(ResultEnvironment, version),  COLUMN(ResultEnvironment, commit_hash),
    COLUMN(ResultEnvironment, dirty),    COLUMN(ResultEnvironment, cpu),
    COLUMN(ResultEnvironment, cores),    COLUMN(ResultEnvironment, gpu),
    COLUMN(ResultEnvironment, ended_at), {0}};

/* ---- loading --------------------------------------------------------------------------------- */

static bool rows_of(const Result *r, Store *store, const char *sql, const char *metric,
                    const Column *columns, size_t bytes, Rows *rows, Error *error) {
  json_t *parameters = json_pack("[I, o]", (json_int_t)r->plan_id, text_or_null(metric));
  return store_rows(store, sql, parameters, columns, bytes, rows, error);
}

/* *found (may be NULL): there is such a row; else *row stays. */
static bool row_of(Result *r, Store *store, const char *sql, const Column *columns, void *row,
                   bool *found, Error *error) {
  json_t *texts, *parameters = json_pack("[I]", (json_int_t)r->plan_id);
  bool good = store_row(store, sql, parameters, columns, row, &texts, error);
  if (found) *found = texts != NULL;
  if (texts) json_array_append_new(r->texts, texts);
  return good;
}

/* What nobody has judged yet. */
static void rows_clear(Result *r) {
  for (int i = 0; i < r->rows; i++) {
    ResultRow *row = &r->row[i];
    if (row->against == i) row->against = -1;
    row->against_label = row->against >= 0 ? r->row[row->against].label : "-";
    row->claimed = row->difference = row->low = row->high = row->with_collapsed = row->within = NAN;
    row->p_claim = 1;
    row->p = row->p_corrected = row->corrected_low = row->corrected_high = row->seeds_needed = NAN;
    row->verdict = "";
  }
  r->family.sigma = r->family.detectable = r->family.floor = NAN;
}

static bool same_kind(const PlanRow *a, const PlanRow *b) {
  return !strcmp(a->experiment, b->experiment) && !strcmp(a->scale, b->scale) &&
         !strcmp(a->dataset, b->dataset) && !strcmp(a->device, b->device);
}

/* Kinds of results that are stored beside the one chosen, each once. */
static json_t *list_others(const PlanRow *plan, int plans) {
  json_t *others = json_array();
  for (int i = 1; i < plans; i++) {
    bool seen = false;
    for (int k = 0; k < i; k++) seen = seen || same_kind(&plan[i], &plan[k]);
    if (seen) continue;
    char text[512];
    snprintf(text, sizeof text, "%s: scale %s, data set %s, device %s", plan[i].experiment,
             plan[i].scale, plan[i].dataset, plan[i].device);
    json_array_append_new(others, json_string(text));
  }
  return others;
}

static void set_metric(Result *r, const char *metric) {
  json_t *text = json_name(metric);
  json_array_append_new(r->texts, text);
  r->metric = json_string_value(text);
}

/* The rows' figures by another metric than the experiment's. */
static bool use_metric(Result *r, Store *store, const char *metric, Error *error) {
  struct Stored {
    const char *names;
    int trials;
  } stored = {"", 0};
  static const Column columns[] = {
      COLUMN(struct Stored, names), COLUMN(struct Stored, trials), {0}};
  json_t *texts, *parameters = json_pack("[I, o]", (json_int_t)r->plan_id, text_or_null(metric));
  bool good = store_row(store, stored_sql, parameters, columns, &stored, &texts, error);
  if (good && !stored.trials)
    good = fail(error, "no trial of %s stored the metric \"%s\"; stored: %s", r->experiment, metric,
                stored.names);
  json_decref(texts);
  Rows figures;
  if (!good ||
      !rows_of(r, store, metric_sql, metric, figure_columns, sizeof *r->row, &figures, error))
    return false;
  for (int i = 0; i < r->rows && i < figures.count; i++) {
    const ResultRow *figure = (ResultRow *)figures.row + i;
    r->row[i].mean = figure->mean, r->row[i].sd = figure->sd, r->row[i].n = figure->n;
    r->row[i].paper = NAN, r->row[i].paper_word = "";
  }
  rows_free(&figures);
  set_metric(r, metric);
  return true;
}

/* What is stored about the result's plan. */
static bool add_figures(Result *r, Store *store, const char *metric, Error *error) {
  Rows *rows = &r->held[0], *labels = &r->held[1], *points = &r->held[2];
  r->plans = !strcmp(r->metric, "plan");
  bool good =
      rows_of(r, store, rows_sql, NULL, row_columns, sizeof *r->row, rows, error) &&
      rows_of(r, store, labels_sql, metric, label_columns, sizeof *r->label, labels, error) &&
      row_of(r, store, counts_sql, count_columns, r, NULL, error) &&
      row_of(r, store, environment_sql, environment_columns, &r->environment, &r->measured,
             error) &&
      tuned_read(store, r, error) && starts_read(store, r, error) &&
      (!r->plans ||
       rows_of(r, store, points_sql, NULL, point_columns, sizeof *r->point, points, error));
  r->row = rows->row, r->rows = rows->count;
  r->label = labels->row, r->labels = labels->count;
  r->point = points->row, r->points = points->count;
  rows_clear(r);
  return good;
}

static Result *result_make(void) {
  Result *r = calloc(1, sizeof *r);
  CHECK(r, "no memory for a result");
  r->texts = json_array();
  r->tau.value = r->trial_s = NAN;
  r->split = "";
  return r;
}

/* plan: of a struct that lives as long as the result's texts. */
static void take_plan(Result *r, const PlanRow *plan) {
  r->plan_id = plan->plan_id, r->table = plan->table, r->experiment = plan->experiment;
  r->title = plan->title, r->metric = plan->metric, r->model = plan->model, r->axis = plan->axis;
  r->scale = plan->scale, r->dataset = plan->dataset, r->device = plan->device;
}

/* A claim that could have been decided, whether it was or not: who adds seeds to those that were
 * not until they are errs more often, too. */
static bool judged(const ResultRow *row) {
  return row_judged(row) && row->verdict[0] && strcmp(row->verdict, claim_names[CLAIM_TOO_FEW]);
}

/* A claim judged by fewer seeds in an earlier, smaller result. */
static void compare_earlier(Result *r, const Result *earlier) {
  for (int i = 0; i < earlier->rows; i++)
    for (int k = 0; k < r->rows && judged(&earlier->row[i]); k++)
      if (!strcmp(earlier->row[i].key, r->row[k].key) && r->row[k].n > earlier->row[i].n)
        r->family.earlier = earlier->row[i].n;
}

/* Each look at a table is another chance of a false verdict. */
static bool find_earlier(Result *r, Store *store, Error *error) {
  Rows plans;
  if (r->looks.found || r->self_test) return true; /* its looks are counted; it claims nothing */
  if (r->plans ||
      !rows_of(r, store, smaller_sql, NULL, larger_columns, sizeof(PlanRow), &plans, error))
    return r->plans;
  bool good = true;
  for (int i = 0; good && i < plans.count; i++) {
    Result *earlier = NULL;
    const ResultChoice choice = {.plan_id = ((PlanRow *)plans.row)[i].plan_id,
                                 .cases_fixed = r->family.cases_fixed,
                                 .alone = true};
    good = result_load(store, &choice, &earlier, error);
    if (earlier) compare_earlier(r, earlier);
    result_free(earlier);
  }
  rows_free(&plans);
  return good;
}

/* What the rows' figures come to. metric: another than the experiment's, or NULL. */
static bool judge(Result *r, Store *store, const PlanRow *plan, const ResultChoice *choice,
                  const char *metric, Error *error) {
  if (metric && !use_metric(r, store, metric, error)) return false;
  if (plan->self_test[0])
    return self_test_load(store, r, plan->self_test, metric, &r->self_test, error);
  if (metric) return true;
  return result_judge(store, r, error) && (choice->alone || find_earlier(r, store, error));
}

bool result_load(Store *store, const ResultChoice *choice, Result **out, Error *error) {
  *out = NULL;
  Rows plans;
  json_t *parameters = json_pack(
      "[o,o,o,o,I,o,s]", text_or_null(choice->what), text_or_null(choice->scale),
      text_or_null(choice->dataset), text_or_null(choice->device), (json_int_t)choice->plan_id,
      text_or_null(choice->paper), choice->other_papers ? choice->other_papers : "[]");
  if (!store_rows(store, plans_sql, parameters, plan_columns, sizeof(PlanRow), &plans, error))
    return false;
  if (!plans.count) {
    rows_free(&plans);
    return true;
  }
  Result *r = result_make();
  PlanRow plan = *(PlanRow *)plans.row;
  r->held[3] = plans;
  r->others = list_others(plans.row, plans.count);
  take_plan(r, &plan);
  bool other = choice->metric && strcmp(choice->metric, r->metric);
  bool good = choice->plan_id || row_of(r, store, larger_sql, larger_columns, &plan, NULL, error);
  r->plan_id = plan.plan_id;
  r->family.cases_fixed = choice->cases_fixed;
  good = good && add_figures(r, store, choice->metric, error) &&
         code_judge(store, choice->home, r, error) &&
         defaults_judge(store, choice->home, r, error) &&
         judge(r, store, &plan, choice, other ? choice->metric : NULL, error);
  r->notes = json_loads(plan.notes, 0, NULL);
  if (!choice->alone && !other) paper_find(choice->home, r);
  if (good && choice->home && !choice->alone)
    r->reproduce = reproduce_result(store, choice->home, r);
  if (good) *out = r;
  if (!good) result_free(r);
  return good;
}

Result *result_of_file(const json_t *document) {
  Result *r = result_make();
  const json_t *rows = json_object_get(document, "rows");
  PlanRow head;
  row_read(document, plan_columns + 2, &head);
  json_array_append(r->texts, (json_t *)document);
  take_plan(r, &head);
  r->notes = json_incref(json_object_get(document, "notes"));
  r->rows = (int)json_array_size(rows);
  r->row = r->held[0].row = calloc((size_t)r->rows + 1, sizeof *r->row);
  CHECK(r->row, "no memory for %d rows", r->rows);
  for (int i = 0; i < r->rows; i++) {
    row_read(json_array_get(rows, (size_t)i), row_columns, &r->row[i]);
    r->row[i].status[STATUS_PLANNED] = 1;
  }
  rows_clear(r);
  return r;
}

void result_free(Result *r) {
  if (!r) return;
  for (int i = 0; i < RESULT_HELD; i++) rows_free(&r->held[i]);
  self_test_free(r->self_test);
  json_t *json[] = {r->otherwise, r->mixed_files, r->notes, r->paper, r->others, r->texts};
  for (size_t i = 0; i < sizeof json / sizeof *json; i++) json_decref(json[i]);
  free(r->tuned);
  free(r->reproduce);
  free(r);
}
