#include "src/report/result.h"
#include "src/report/coverage.h"

#include <string.h>

#include "src/data/sets/json_text.h"
#include "src/report/claim.h"

static json_t *text_or_null(const char *text) {
  return text ? json_name(text) : json_null();
}

static const char plans_sql[] =
    "SELECT p.id AS plan_id, p.scale, p.dataset, p.device, p.data_hash, p.notes, p.experiment_id,"
    " e.table_no AS \"table\", e.name AS experiment, e.title, e.metric, e.model, e.axis"
    " FROM plans p JOIN experiments e ON e.id = p.experiment_id"
    " WHERE (e.name = ?1 OR CAST(e.table_no AS TEXT) = ?1 OR ?1 IS NULL)"
    " AND (p.scale = ?2 OR ?2 IS NULL) AND (p.dataset = ?3 OR ?3 IS NULL)"
    " AND (p.device = ?4 OR ?4 IS NULL) AND (p.id = ?5 OR ?5 = 0)"
    " ORDER BY p.used DESC";

/* The plan with the most trials among those that contain every trial of plan ?1 in the same row. */
static const char larger_sql[] =
    "SELECT q.id AS plan_id, q.notes,"
    " (SELECT count(*) FROM rows r JOIN cells c ON c.row_id = r.id WHERE r.plan_id = q.id) AS size"
    " FROM plans p JOIN plans q ON q.experiment_id = p.experiment_id AND q.scale = p.scale"
    "  AND q.dataset = p.dataset AND q.data_hash = p.data_hash AND q.device = p.device"
    " WHERE p.id = ?1 AND NOT EXISTS ("
    "  SELECT 1 FROM rows r JOIN cells c ON c.row_id = r.id WHERE r.plan_id = p.id"
    "  AND NOT EXISTS (SELECT 1 FROM rows s JOIN cells d ON d.row_id = s.id"
    "   WHERE s.plan_id = q.id AND s.key = r.key AND d.trial_id = c.trial_id))"
    " ORDER BY size DESC, q.used DESC LIMIT 1";

/* Parameters: of the newest attempt that got so far as to plan its graph. */
static const char rows_sql[] =
    "SELECT v.position, v.key, v.label, v.paper, r.paper_word, v.mean, v.sd, v.n, v.cells, v.done,"
    " v.planned, v.running, v.failed, v.oom, v.collapsed, v.interrupted, v.timeout, v.builds,"
    " (SELECT a.parameters FROM cells c JOIN attempts a ON a.trial_id = c.trial_id"
    "  WHERE c.row_id = r.id AND a.parameters IS NOT NULL AND a.removed = 0"
    "  ORDER BY a.id DESC LIMIT 1) AS parameters"
    " FROM v_table v JOIN rows r ON r.plan_id = v.plan_id AND r.position = v.position"
    " WHERE v.plan_id = ?1 ORDER BY v.position";

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
    "SELECT NULL AS paper, NULL AS paper_word, avg(s.value) AS mean, count(s.value) AS n,"
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
    " min(coalesce(json_extract(t.config, '$.split'), '')) AS split"
    " FROM rows r JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    " WHERE r.plan_id = ?1";

static const char environment_sql[] =
    "SELECT n.version, n.commit_hash, n.dirty, n.cpu, n.cores, a.ended_at"
    " FROM rows r JOIN cells c ON c.row_id = r.id JOIN v_attempt v ON v.trial_id = c.trial_id"
    " JOIN attempts a ON a.id = v.attempt_id JOIN environments n ON n.id = a.environment_id"
    " WHERE r.plan_id = ?1 ORDER BY a.id DESC LIMIT 1";

/* Runs a query about one plan, and about one metric (may be NULL). */
static bool about_metric(Store *store, const char *sql, json_int_t plan_id, const char *metric,
                         json_t **rows, Error *error) {
  json_t *parameters = json_pack("[I, o]", plan_id, text_or_null(metric));
  bool good = store_query(store, sql, parameters, rows, error);
  json_decref(parameters);
  return good;
}

static bool about(Store *store, const char *sql, json_int_t plan_id, json_t **rows, Error *error) {
  return about_metric(store, sql, plan_id, NULL, rows, error);
}

static bool same_kind(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"experiment", "scale", "dataset", "device"};
  for (int i = 0; i < 4; i++)
    if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i]))) return false;
  return true;
}

static const char *word(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

/* Kinds of results that are stored beside the one chosen, each once. */
static json_t *list_others(const json_t *plans) {
  json_t *others = json_array();
  for (size_t i = 1; i < json_array_size(plans); i++) {
    const json_t *plan = json_array_get(plans, i);
    bool seen = false;
    for (size_t k = 0; k < i; k++) seen = seen || same_kind(plan, json_array_get(plans, k));
    if (seen) continue;
    char text[512];
    snprintf(text, sizeof text, "%s: scale %s, data set %s, device %s", word(plan, "experiment"),
             word(plan, "scale"), word(plan, "dataset"), word(plan, "device"));
    json_array_append_new(others, json_string(text));
  }
  return others;
}

static bool use_larger(Store *store, json_t *result, Error *error) {
  json_t *larger;
  json_int_t plan_id = json_integer_value(json_object_get(result, "plan_id"));
  if (!about(store, larger_sql, plan_id, &larger, error)) return false;
  json_object_update(result, json_array_get(larger, 0));
  json_decref(larger);
  return true;
}

/* The rows' figures by another metric than the experiment's. */
static bool use_metric(Store *store, json_t *result, const char *metric, Error *error) {
  json_int_t plan_id = json_integer_value(json_object_get(result, "plan_id"));
  json_t *stored = NULL, *figures = NULL, *rows = json_object_get(result, "rows");
  bool good = about_metric(store, stored_sql, plan_id, metric, &stored, error) &&
              about_metric(store, metric_sql, plan_id, metric, &figures, error);
  const json_t *names = json_array_get(stored, 0);
  if (good && !json_integer_value(json_object_get(names, "trials")))
    good = fail(error, "no trial of %s stored the metric \"%s\"; stored: %s",
                word(result, "experiment"), metric, word(names, "names"));
  for (size_t i = 0; good && i < json_array_size(rows); i++)
    json_object_update(json_array_get(rows, i), json_array_get(figures, i));
  json_object_set_new(result, "metric", json_string(metric));
  json_decref(stored);
  json_decref(figures);
  return good;
}

/* Adds what is stored about the plan that result names. */
static bool add_figures(Store *store, json_t *result, const char *metric, Error *error) {
  json_int_t plan_id = json_integer_value(json_object_get(result, "plan_id"));
  json_t *rows = NULL, *labels = NULL, *counts = NULL, *environment = NULL;
  bool good = about(store, rows_sql, plan_id, &rows, error) &&
              about_metric(store, labels_sql, plan_id, metric, &labels, error) &&
              about(store, counts_sql, plan_id, &counts, error) &&
              about(store, environment_sql, plan_id, &environment, error);
  if (good) {
    json_object_update(result, json_array_get(counts, 0));
    json_object_set(result, "rows", rows);
    json_object_set(result, "labels", labels);
    if (json_array_size(environment))
      json_object_set(result, "environment", json_array_get(environment, 0));
  }
  json_decref(rows);
  json_decref(labels);
  json_decref(counts);
  json_decref(environment);
  bool plans = good && strcmp(word(result, "metric"), "plan") == 0;
  return good && (!plans || coverage_load(store, result, error));
}

bool result_load(Store *store, const ResultChoice *choice, json_t **out, Error *error) {
  *out = NULL;
  json_t *plans, *parameters = json_array();
  json_array_append_new(parameters, text_or_null(choice->what));
  json_array_append_new(parameters, text_or_null(choice->scale));
  json_array_append_new(parameters, text_or_null(choice->dataset));
  json_array_append_new(parameters, text_or_null(choice->device));
  json_array_append_new(parameters, json_integer(choice->plan_id));
  bool good = store_query(store, plans_sql, parameters, &plans, error);
  json_decref(parameters);
  if (!good || json_array_size(plans) == 0) {
    json_decref(plans);
    return good;
  }
  json_t *result = json_copy(json_array_get(plans, 0));
  json_object_set_new(result, "others", list_others(plans));
  json_decref(plans);
  bool other = choice->metric && strcmp(choice->metric, word(result, "metric"));
  good = (choice->plan_id || use_larger(store, result, error)) &&
         add_figures(store, result, choice->metric, error) &&
         (other ? use_metric(store, result, choice->metric, error)
                : result_judge(store, result, error));
  json_t *notes = json_loads(word(result, "notes"), 0, NULL);
  json_object_set_new(result, "notes", notes ? notes : json_array());
  if (good) *out = result;
  if (!good) json_decref(result);
  return good;
}

const char *result_status(const json_t *row) {
  static const Status gravest[] = {STATUS_RUNNING,   STATUS_FAILED,  STATUS_OOM,
                                   STATUS_COLLAPSED, STATUS_TIMEOUT, STATUS_INTERRUPTED,
                                   STATUS_PLANNED};
  for (size_t i = 0; i < sizeof gravest / sizeof gravest[0]; i++)
    if (json_integer_value(json_object_get(row, status_name(gravest[i]))) > 0)
      return status_name(gravest[i]);
  return status_name(STATUS_DONE);
}
