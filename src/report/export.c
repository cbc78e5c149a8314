#include "src/report/export.h"

#include <math.h>
#include <string.h>

#include "src/data/metrics/metric.h"
#include "src/data/sets/json_text.h"
#include "src/machine/document.h"
#include "src/report/quote.h"

const char *const export_forms[EXPORT_FORMS] = {"csv", "jsonl"};

static const char trials_sql[] =
    "SELECT e.name AS experiment, r.key, t.hash, t.scale, t.dataset, t.device, t.seed, t.fold,"
    " v.attempt_id, n.commit_hash FROM plans p JOIN experiments e ON e.id = p.experiment_id"
    " JOIN rows r ON r.plan_id = p.id JOIN cells c ON c.row_id = r.id"
    " JOIN trials t ON t.id = c.trial_id JOIN v_attempt v ON v.trial_id = t.id"
    " JOIN attempts a ON a.id = v.attempt_id JOIN environments n ON n.id = a.environment_id"
    " WHERE (e.name = ?1 OR CAST(e.table_no AS TEXT) = ?1 OR ?1 IS NULL)"
    " AND (p.scale = ?2 OR ?2 IS NULL) AND (p.dataset = ?3 OR ?3 IS NULL)"
    " AND (p.device = ?4 OR ?4 IS NULL) AND (p.id = ?5 OR ?5 = 0) AND (e.model = ?6 OR ?6 IS NULL)"
    " AND coalesce(e.model, '') NOT IN (SELECT value FROM json_each(?7))"
    " GROUP BY e.name, r.key, t.id ORDER BY e.name, min(r.position), t.seed, t.fold, t.id";

static const char figures_sql[] =
    "SELECT split, case_name, label, name, metric, value, situation FROM metrics"
    " WHERE attempt_id = ?1 AND (metric = ?2 OR ?2 IS NULL)"
    " ORDER BY split, metric, case_name, label";

typedef struct Trial {
  const char *experiment, *key, *hash, *scale, *dataset, *device, *commit;
  int seed, fold;
  int64_t attempt;
} Trial;
static const Column trial_columns[] = {COLUMN(Trial, experiment),
                                       COLUMN(Trial, key),
                                       COLUMN(Trial, hash),
                                       COLUMN(Trial, scale),
                                       COLUMN(Trial, dataset),
                                       COLUMN(Trial, device),
                                       COLUMN(Trial, seed),
                                       COLUMN(Trial, fold),
                                       COLUMN_AS(Trial, attempt, "attempt_id"),
                                       COLUMN_AS(Trial, commit, "commit_hash"),
                                       {0}};

typedef struct Figure {
  const char *split, *case_name, *name, *metric, *situation;
  int label;
  double value;
} Figure;
static const Column figure_columns[] = {COLUMN(Figure, split),     COLUMN(Figure, case_name),
                                        COLUMN(Figure, label),     COLUMN(Figure, name),
                                        COLUMN(Figure, metric),    COLUMN(Figure, value),
                                        COLUMN(Figure, situation), {0}};

/* A line's fields, by which both forms are written. */
static json_t *fields(const Trial *t, const Figure *f) {
  DocumentOf of = {t->experiment, f->metric, t->commit};
  return document_make(
      "figure", of,
      json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:i, s:s, s:o, s:s}", "row", t->key,
                "trial", t->hash, "scale", t->scale, "dataset", t->dataset, "device", t->device,
                "seed", t->seed, "fold", t->fold, "split", f->split, "case", f->case_name, "class",
                f->label, "structure", f->name, "value",
                isnan(f->value) ? json_null() : json_real(f->value), "situation", f->situation));
}

static void put_field(const json_t *value, FILE *out) {
  char text[NUMBER_TEXT];
  if (json_is_string(value)) quote_csv(json_string_value(value), out);
  if (json_is_integer(value)) fprintf(out, "%lld", (long long)json_integer_value(value));
  if (json_is_real(value)) fputs(json_number_text(json_real_value(value), text), out);
}

/* The names of the fields, or their values; the form's own are left out. */
static void put_csv(const json_t *line, bool names, FILE *out) {
  const char *key;
  json_t *value;
  bool first = true;
  json_object_foreach((json_t *)line, key, value) {
    if (!strcmp(key, "schema") || !strcmp(key, "document")) continue;
    if (!first) fputc(',', out);
    first = false;
    if (names)
      fputs(key, out);
    else
      put_field(value, out);
  }
  fputs("\r\n", out);
}

static void put_head(FILE *out) {
  static const Trial trial = {"", "", "", "", "", "", "", 0, 0, 0};
  static const Figure figure = {"", "", "", "", "", 0, 0};
  json_t *line = fields(&trial, &figure);
  put_csv(line, true, out);
  json_decref(line);
}

static bool put_trial(Store *store, const Trial *trial, const char *metric, ExportForm form,
                      FILE *out, int64_t *lines, Error *error) {
  Rows figures;
  if (!store_rows(store, figures_sql, json_pack("[I, s?]", (json_int_t)trial->attempt, metric),
                  figure_columns, sizeof(Figure), &figures, error))
    return false;
  for (int i = 0; i < figures.count; i++) {
    json_t *line = fields(trial, (Figure *)figures.row + i);
    if (form == EXPORT_JSONL)
      json_line(line, out);
    else
      put_csv(line, false, out);
    json_decref(line);
  }
  *lines += figures.count;
  rows_free(&figures);
  return true;
}

static json_t *text_or_null(const char *text) {
  return text ? json_name(text) : json_null();
}

bool export_write(Store *store, const ResultChoice *choice, ExportForm form, FILE *out,
                  int64_t *lines, Error *error) {
  Rows trials;
  *lines = 0;
  json_t *parameters = json_pack(
      "[o, o, o, o, I, o, s]", text_or_null(choice->what), text_or_null(choice->scale),
      text_or_null(choice->dataset), text_or_null(choice->device), (json_int_t)choice->plan_id,
      text_or_null(choice->paper), choice->other_papers ? choice->other_papers : "[]");
  if (!store_rows(store, trials_sql, parameters, trial_columns, sizeof(Trial), &trials, error))
    return false;
  bool good = true;
  if (form == EXPORT_CSV) put_head(out);
  for (int i = 0; good && i < trials.count; i++)
    good = put_trial(store, (Trial *)trials.row + i, choice->metric, form, out, lines, error);
  rows_free(&trials);
  return good;
}
