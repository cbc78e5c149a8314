#include "src/cli/verify_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/data/metrics/metric.h"
#include "src/machine/environment.h"
#include "src/store/event.h"
#include "src/store/field.h"
#include "src/store/typed_rows.h"
#include "src/train/config.h"
#include "src/train/evaluation.h"

/* ---- what is stored -------------------------------------------------------------------------- */

static const char figures_sql[] =
    "SELECT m.case_name, m.label, m.name, m.metric, m.value FROM metrics m"
    " JOIN v_attempt v ON v.attempt_id = m.attempt_id JOIN trials t ON t.id = v.trial_id"
    " WHERE t.hash = ?1 AND m.split = 'val' AND m.label > 0 ORDER BY m.metric, m.label, "
    "m.case_name";

typedef struct Figure {
  const char *case_name, *name, *metric;
  int label;
  double value, again; /* NaN: absent */
  bool found;          /* it was predicted again */
} Figure;
static const Column columns[] = {COLUMN(Figure, case_name), COLUMN(Figure, label),
                                 COLUMN(Figure, name),      COLUMN(Figure, metric),
                                 COLUMN(Figure, value),     {0}};

static const char scored_sql[] =
    "SELECT n.binary_hash, n.cpu, n.isa FROM v_attempt v JOIN trials t ON t.id = v.trial_id"
    " JOIN attempts a ON a.id = v.attempt_id JOIN environments n ON n.id = a.environment_id"
    " WHERE t.hash = ?1 AND n.gpu IS NULL";

/* This program on such a processor scored it. */
static bool same_program(Store *store, const char *hash, bool *same, Error *error) {
  static const char *const keys[] = {"binary_hash", "cpu", "isa"};
  json_t *rows, *parameters = json_pack("[s]", hash);
  bool good = store_query(store, scored_sql, parameters, &rows, error);
  json_decref(parameters);
  if (!good) return false;
  json_t *here = environment_capture(NULL, false);
  *same = json_array_size(rows) > 0;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    *same = *same &&
            !strcmp(field_text(json_array_get(rows, 0), keys[i]), field_text_if(here, keys[i]));
  json_decref(here);
  json_decref(rows);
  return true;
}

/* ---- again ----------------------------------------------------------------------------------- */

static void take_line(const char *line, Figure *figure, int count) {
  Event event;
  Error unread = {""};
  json_t *json = json_loads(line, 0, NULL);
  if (json && event_read(json, &event, &unread) && event.kind == EVENT_metric)
    for (int i = 0; i < count; i++) {
      Figure *f = &figure[i];
      if (f->label != event.metric.label || strcmp(f->metric, event.metric.metric) ||
          strcmp(f->case_name, event.metric.case_name))
        continue;
      f->found = true;
      f->again = event.metric.value;
    }
  json_decref(json);
}

static bool predict(const json_t *config, Figure *figure, int count, Error *error) {
  TrainedNetwork network;
  char *text = NULL, *line;
  size_t bytes = 0;
  FILE *events = open_memstream(&text, &bytes);
  CHECK(events, "no memory for figures");
  bool good = trained_network_open(&network, config, error);
  if (good) {
    Evaluated evaluated;
    EvaluationOf of = {.model = &network.model, .cases = &network.cases};
    InferenceOptions options = inference_options(config, &network.cases.dataset.labelling);
    good = evaluation_run(network.plan, &of, &options, events, &evaluated, error);
  }
  trained_network_free(&network);
  CHECK(fclose(events) == 0, "no memory for figures");
  for (char *rest = text; good && (line = strsep(&rest, "\n"));)
    if (line[0]) take_line(line, figure, count);
  free(text);
  return good;
}

/* ---- compared -------------------------------------------------------------------------------- */

static bool same_value(const Figure *f) {
  return f->found && (f->value == f->again || (isnan(f->value) && isnan(f->again)));
}

typedef struct Mean {
  double sum[2];
  int count[2];
} Mean;

static void mean_add(Mean *mean, const double value[2]) {
  for (int k = 0; k < 2; k++) {
    if (isnan(value[k])) continue;
    mean->sum[k] += value[k];
    mean->count[k]++;
  }
}

static double mean_of(const Mean *mean, int k) {
  return mean->count[k] ? mean->sum[k] / mean->count[k] : NAN;
}

/* How far means lie apart, in what is still near: above 1 they do not agree. */
static double apart(const char *metric, double stored, double again) {
  const MetricRow *row = metric_stored(metric);
  bool distance = row && row->unit[0];
  double room = distance ? .02 * fmax(1, fabs(stored)) : .005;
  if (isnan(stored) || isnan(again)) return isnan(stored) && isnan(again) ? 0 : INFINITY;
  return fabs(again - stored) / room;
}

/* Of one metric's figures, by label. */
static void compare_means(const Figure *figure, int count, double *worst, Repeated *r) {
  Mean all = {0};
  for (int i = 0, end; i < count; i = end) {
    Mean label = {0};
    for (end = i; end < count && figure[end].label == figure[i].label; end++)
      mean_add(&label, (double[2]){figure[end].value, figure[end].found ? figure[end].again : NAN});
    mean_add(&all, (double[2]){mean_of(&label, 0), mean_of(&label, 1)});
  }
  double stored = mean_of(&all, 0), again = mean_of(&all, 1);
  double distance = apart(figure->metric, stored, again);
  if (distance <= *worst) return;
  *worst = distance;
  r->stored = stored, r->again = again;
  snprintf(r->metric, sizeof r->metric, "%s", figure->metric);
}

static void compare(const Figure *figure, int count, Repeated *r) {
  double worst = -1;
  for (int i = 0, end; i < count; i = end) {
    for (end = i; end < count && !strcmp(figure[end].metric, figure[i].metric); end++) {
      const Figure *f = &figure[end];
      r->same += same_value(f);
      if (!same_value(f) && !r->first[0])
        snprintf(r->first, sizeof r->first,
                 "%s of %.60s in %.80s is stored as %.6g, predicted %.6g", f->metric, f->name,
                 f->case_name, f->value, f->found ? f->again : NAN);
    }
    compare_means(figure + i, end - i, &worst, r);
  }
  r->figures = count;
  r->agrees = r->exact ? r->same == count : worst <= 1;
}

bool verify_weights(Store *store, const char *hash, json_t *config, DataSeen *seen, Repeated *r,
                    Error *error) {
  Rows rows;
  json_t *trial = NULL, *parameters = json_pack("[s]", hash);
  *r = (Repeated){.first = ""};
  bool good =
      store_query(store, "SELECT data_hash FROM trials WHERE hash = ?1", parameters, &trial, error);
  good =
      good &&
      weights_data(config, hash, field_text(json_array_get(trial, 0), "data_hash"), seen, error) &&
      same_program(store, hash, &r->exact, error);
  json_decref(trial);
  json_decref(parameters);
  if (!good || !store_rows(store, figures_sql, json_pack("[s]", hash), columns, sizeof(Figure),
                           &rows, error))
    return false;
  good = predict(config, rows.row, rows.count, error);
  if (good) compare(rows.row, rows.count, r);
  rows_free(&rows);
  return good;
}
