#include "src/cli/as_long.h"

#include <math.h>
#include <string.h>

#include "src/store/typed_rows.h"

/* Seconds of a step of the row's first trial in the fold, as its last good training had them; NaN:
 * none is stored. One that went on from a checkpoint counts the steps that it did. */
static bool step_seconds(const Experiment *experiment, json_int_t row, json_int_t fold,
                         Store *store, double *seconds, json_int_t *steps, Error *error) {
  static const char sql[] =
      "SELECT a.train_s / (t.config ->> '$.steps' - coalesce(a.first_step, 0)) AS step_s"
      " FROM attempts a JOIN v_attempt v ON v.attempt_id = a.id JOIN trials t ON t.id = v.trial_id"
      " WHERE t.hash = ?1 AND a.status IN ('done', 'collapsed') AND a.train_s > 0"
      " AND a.weights_of IS NULL AND t.config ->> '$.steps' > coalesce(a.first_step, 0)";
  typedef struct StepTime {
    double step_s;
  } StepTime;
  static const Column columns[] = {COLUMN(StepTime, step_s), {0}};
  StepTime found = {NAN};
  const json_t *cell, *config = NULL;
  size_t i;
  json_array_foreach(json_object_get(experiment->document, "cells"), i, cell) {
    if (!config && json_integer_value(json_object_get(cell, "row")) == row &&
        json_integer_value(json_object_get(cell, "fold")) == fold)
      config = json_object_get(cell, "config");
  }
  char hash[HASH_BYTES];
  json_t *texts = NULL;
  if (config && store &&
      (!trial_hash(config, experiment->data_hash, hash, error) ||
       !store_row(store, sql, json_pack("[s]", hash), columns, &found, &texts, error)))
    return false;
  json_decref(texts);
  *seconds = found.step_s;
  *steps = json_integer_value(json_object_get(config, "steps"));
  return true;
}

/* Two digits of it: what more there is in a time is noise. */
static json_int_t rounded(double steps) {
  double unit = pow(10, floor(log10(steps)) - 1);
  return unit < 1 ? (json_int_t)fmax(1, round(steps))
                  : (json_int_t)(round(steps / unit) * unit + .5);
}

/* Its warm-up stays the same share. */
static void set_steps(json_t *config, json_int_t steps) {
  json_int_t had = json_integer_value(json_object_get(config, "steps")),
             warmup = json_integer_value(json_object_get(config, "warmup"));
  double scaled = (double)warmup * (double)steps / (double)had;
  if (warmup > 0) json_object_set_new(config, "warmup", json_integer(lround(scaled)));
  json_object_set_new(config, "steps", json_integer(steps));
}

/* *steps: 0: not known yet. */
static bool steps_of(const Experiment *experiment, const json_t *cell, Store *store,
                     json_int_t *steps, Error *error) {
  const json_t *rows = json_object_get(cell, "as_long");
  json_int_t fold = json_integer_value(json_object_get(cell, "fold")), as_steps, by_steps;
  double as_step, by_step;
  if (!step_seconds(experiment, json_integer_value(json_object_get(rows, "as")), fold, store,
                    &as_step, &as_steps, error) ||
      !step_seconds(experiment, json_integer_value(json_object_get(rows, "by")), fold, store,
                    &by_step, &by_steps, error))
    return false;
  bool known = as_step > 0 && by_step > 0;
  *steps = known ? rounded((double)as_steps * as_step / by_step) : 0;
  return true;
}

bool as_long_settle(Experiments *experiments, Store *store, int *moved, int *waiting,
                    Error *error) {
  for (int p = 0; p < experiments->count; p++) {
    Experiment *experiment = &experiments->item[p];
    json_t *cells = json_object_get(experiment->document, "cells");
    json_t *later = json_object_get(experiment->document, "later");
    for (size_t i = 0; i < json_array_size(later);) {
      json_t *cell = json_array_get(later, i);
      json_int_t steps;
      if (!steps_of(experiment, cell, store, &steps, error)) return false;
      *moved += steps > 0;
      *waiting += steps == 0;
      if (steps == 0) {
        i++;
        continue;
      }
      set_steps(json_object_get(cell, "config"), steps);
      json_array_append(cells, cell);
      json_array_remove(later, i);
    }
  }
  return true;
}
