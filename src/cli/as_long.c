#include "src/cli/as_long.h"

#include <math.h>
#include <string.h>

#include "src/store/typed_rows.h"

/* Seconds of a step. NaN: none is stored, or not in processor time. */
typedef struct StepTime {
  double clock_s, processor_s;
  int64_t steps; /* of the whole training */
} StepTime;

/* Of the row's first trial in the fold, as its last good training had them. One that went on from a
 * checkpoint counts the steps that it did. */
static bool step_time(const Experiment *experiment, json_int_t row, json_int_t fold, Store *store,
                      StepTime *time, Error *error) {
  static const char sql[] =
      "SELECT train_s / steps AS clock_s, processor_s / steps AS processor_s FROM"
      " (SELECT a.train_s, a.processor_s, t.config ->> '$.steps' - coalesce(a.first_step, 0) AS"
      "  steps FROM attempts a JOIN v_attempt v ON v.attempt_id = a.id"
      "  JOIN trials t ON t.id = v.trial_id WHERE t.hash = ?1 AND a.status IN ('done', 'collapsed')"
      "  AND a.train_s > 0 AND a.weights_of IS NULL) WHERE steps > 0";
  static const Column columns[] = {COLUMN(StepTime, clock_s), COLUMN(StepTime, processor_s), {0}};
  const json_t *cell, *config = NULL;
  size_t i;
  json_array_foreach(json_object_get(experiment->document, "cells"), i, cell) {
    if (!config && json_integer_value(json_object_get(cell, "row")) == row &&
        json_integer_value(json_object_get(cell, "fold")) == fold)
      config = json_object_get(cell, "config");
  }
  *time = (StepTime){NAN, NAN, json_integer_value(json_object_get(config, "steps"))};
  char hash[HASH_BYTES];
  json_t *texts = NULL;
  if (config && store &&
      (!trial_hash(config, experiment->data_hash, hash, error) ||
       !store_row(store, sql, json_pack("[s]", hash), columns, time, &texts, error)))
    return false;
  json_decref(texts);
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

/* In processor time where both have it: what else ran beside one of them lengthened that by the
 * clock. */
static double steps_as_long(const StepTime *as, const StepTime *by) {
  double ratio = as->processor_s / by->processor_s;
  return (double)as->steps * (ratio > 0 ? ratio : as->clock_s / by->clock_s);
}

/* *steps: 0: not known yet. */
static bool steps_of(const Experiment *experiment, const json_t *cell, Store *store,
                     json_int_t *steps, Error *error) {
  const json_t *rows = json_object_get(cell, "as_long");
  json_int_t fold = json_integer_value(json_object_get(cell, "fold"));
  StepTime as, by;
  if (!step_time(experiment, json_integer_value(json_object_get(rows, "as")), fold, store, &as,
                 error) ||
      !step_time(experiment, json_integer_value(json_object_get(rows, "by")), fold, store, &by,
                 error))
    return false;
  double long_as = steps_as_long(&as, &by);
  *steps = long_as > 0 ? rounded(long_as) : 0;
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
