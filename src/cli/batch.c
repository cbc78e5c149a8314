#include "src/cli/batch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lua/bind.h"
#include "src/cli/prepare.h"
#include "src/data/plan/plan_file.h"
#include "src/data/sets/json_text.h"

static bool ends_with(const char *text, const char *end) {
  size_t a = strlen(text), b = strlen(end);
  return a >= b && strcmp(text + a - b, end) == 0;
}

static bool read_json(const char *file, int overrides, json_t **plan, Error *error) {
  if (overrides)
    return fail(error, "%s: a finished plan takes no overrides; give them to the experiment file",
                file);
  *plan = json_file_load(file, 0, error);
  return *plan != NULL;
}

static bool read_file(const char *home, const char *file, int count, char **overrides,
                      json_t **plan, Error *error) {
  if (access(file, R_OK))
    return fail(error, "%s: cannot read the experiment: %s", file, strerror(errno));
  if (ends_with(file, ".json")) return read_json(file, count, plan, error);
  return experiment_plan(home, file, count, overrides, plan_of_data, plan, error);
}

static void make_room(Batch *batch, size_t parts) {
  batch->part = calloc(parts + 1, sizeof *batch->part);
  CHECK(batch->part, "no memory for %zu plans", parts);
}

static bool read_list(Batch *batch, const json_t *names, const char *home, const char *file,
                      int count, char **overrides, Error *error) {
  const char *slash = strrchr(file, '/');
  int folder = slash ? (int)(slash - file) + 1 : 0;
  make_room(batch, json_array_size(names));
  batch->list = true;
  for (size_t i = 0; i < json_array_size(names); i++) {
    char path[4200];
    Part *part = &batch->part[batch->parts++];
    json_t *name = json_array_get(names, i), **plan = &part->plan;
    if (json_is_object(name)) { /* of a list of finished plans */
      *plan = json_incref(name);
      part->finished = true;
      continue;
    }
    snprintf(path, sizeof path, "%.*s%.80s.lua", folder, file, json_string_value(name));
    if (!read_file(home, path, count, overrides, plan, error)) return false;
    if (json_object_get(*plan, "experiments"))
      return fail(error, "%s: lists %s, which is a list itself", file, path);
  }
  return true;
}

bool batch_read(Batch *batch, const char *home, const char *file, int count, char **overrides,
                Error *error) {
  json_t *plan = NULL;
  *batch = (Batch){NULL, 0, false};
  if (!read_file(home, file, count, overrides, &plan, error)) return false;
  const json_t *names = json_object_get(plan, "experiments");
  if (names) {
    bool good = read_list(batch, names, home, file, count, overrides, error);
    json_decref(plan);
    return good;
  }
  make_room(batch, 1);
  batch->part[batch->parts++] = (Part){.plan = plan, .finished = ends_with(file, ".json")};
  return true;
}

void batch_free(Batch *batch) {
  for (int p = 0; p < batch->parts; p++) {
    free(batch->part[p].trial);
    json_decref(batch->part[p].plan);
  }
  free(batch->part);
  *batch = (Batch){NULL, 0, false};
}

bool batch_prepare(Batch *batch, const char *home, bool make, bool quiet, Error *error) {
  for (int p = 0; p < batch->parts; p++) {
    const json_t *data = json_object_get(batch->part[p].plan, "data");
    const Part *same = NULL;
    for (int i = 0; i < p && !same; i++)
      if (json_equal(data, json_object_get(batch->part[i].plan, "data"))) same = &batch->part[i];
    if (same)
      strcpy(batch->part[p].data_hash, same->data_hash);
    else if (!data_prepare(data, home, make, quiet, batch->part[p].data_hash, error))
      return false;
    if (!data_settle(batch->part[p].plan, batch->part[p].finished, error)) return false;
  }
  return true;
}

bool batch_repeated(const Batch *batch, int part, int trial) {
  const char *hash = batch->part[part].trial[trial].hash;
  for (int p = 0; p <= part; p++)
    for (int t = 0; t < (p < part ? batch->part[p].trials : trial); t++)
      if (strcmp(batch->part[p].trial[t].hash, hash) == 0) return true;
  return false;
}

int batch_trials(const Batch *batch) {
  int count = 0;
  for (int p = 0; p < batch->parts; p++)
    for (int t = 0; t < batch->part[p].trials; t++) count += !batch_repeated(batch, p, t);
  return count;
}

char *batch_label(const Batch *batch, int part, int trial) {
  const Part *own = &batch->part[part];
  const PlannedTrial *one = &own->trial[trial];
  const json_t *row = json_array_get(json_object_get(own->plan, "rows"), (size_t)one->row);
  const char *experiment = json_string_value(json_object_get(own->plan, "experiment"));
  bool folds = false;
  for (int i = 0; i < own->trials; i++) folds = folds || own->trial[i].fold != own->trial[0].fold;
  char text[320];
  int used = batch->list ? snprintf(text, sizeof text, "%.60s ", experiment) : 0;
  used += snprintf(text + used, sizeof text - (size_t)used, "%.200s seed %d",
                   json_string_value(json_object_get(row, "key")), one->seed);
  if (folds) snprintf(text + used, sizeof text - (size_t)used, " fold %d", one->fold);
  char *label = strdup(text);
  CHECK(label, "no memory for a label");
  return label;
}

bool part_plans(const Part *part) {
  return part->trials > 0 && json_object_get(part->trial[0].config, "kind") != NULL;
}
