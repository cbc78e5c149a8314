#include "src/cli/experiments.h"
#include "base/error.h"
#include "base/nearest.h"
#include "lua/bind.h"
#include "src/cli/experiment_files.h"
#include "src/data/phantom/phantom.h"
#include "src/data/phantom/phantom2d.h"
#include "src/data/phantom/scenes.h"
#include "src/data/plan/plan_file.h"
#include "src/data/prepare/preprocess_folder.h"
#include "src/data/sets/derived.h"
#include "src/data/sets/json_text.h"
#include "src/data/sets/split.h"
#include "src/machine/document.h"
#include "src/store/store.h"
#include "src/train/cases.h"

#include <errno.h>
#include <jansson.h>
#include <omp.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* ---- the data of an experiment --------------------------------------------------------------- */

/* From an experiment's "data" to a data set on disk and its content hash, and what it says about
 * trials. */

static bool take_size(const json_t *value, int size[3], Error *error) {
  for (size_t i = 0; i < 3; i++) {
    const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
    size[i] = (int)json_integer_value(item);
  }
  bool three = json_is_integer(value) || json_array_size(value) == 3;
  if (three && size[0] > 0 && size[1] > 0 && size[2] > 0) return true;
  return fail(error,
              "data.options.size of the experiment needs one or three whole numbers (D, H, W)");
}

static bool take_option(PhantomOptions *options, const char *key, const json_t *value,
                        Error *error) {
  static const char *const names[] = {"size",    "cases",    "validation", "organs",
                                      "anatomy", "noise_hu", "seed"};
  if (!strcmp(key, "size")) return take_size(value, options->size, error);
  if (!json_is_number(value))
    return fail(error, "data.options.%s of the experiment is not a number", key);
  double number = json_number_value(value);
  int *whole = !strcmp(key, "cases")        ? &options->cases
               : !strcmp(key, "validation") ? &options->validation
               : !strcmp(key, "organs")     ? &options->organs
               : !strcmp(key, "anatomy")    ? &options->anatomy
                                            : NULL;
  if (whole)
    *whole = (int)number;
  else if (!strcmp(key, "noise_hu"))
    options->noise_hu = number;
  else if (!strcmp(key, "seed"))
    options->seed = (uint64_t)number;
  else
    return fail(error, "data.options.%s of the experiment is unknown%s", key,
                nearest_hint(key, names, sizeof names / sizeof *names, NULL).text);
  return true;
}

static bool make_scenes(const json_t *from, const char *dir, Error *error) {
  ScenesOptions o = {.cases = (int)json_integer_value(json_object_get(from, "cases")),
                     .validation = (int)json_integer_value(json_object_get(from, "validation")),
                     .seed = (uint64_t)json_integer_value(json_object_get(from, "seed"))};
  return take_size(json_object_get(from, "size"), o.size, error) && scenes_make(&o, dir, error);
}

/* The options of pictures. */
static bool make_phantom2d(const json_t *from, const char *dir, Error *error) {
  Phantom2dOptions o = phantom2d_defaults();
  const json_t *size = json_object_get(from, "size");
  for (size_t i = 0; i < 2; i++) o.size[i] = (int)json_integer_value(json_array_get(size, i));
  o.cases = (int)json_integer_value(json_object_get(from, "cases"));
  o.validation = (int)json_integer_value(json_object_get(from, "validation"));
  o.seed = (uint64_t)json_integer_value(json_object_get(from, "seed"));
  o.variant = (int)json_integer_value(json_object_get(from, "variant"));
  const char *kind = json_string_value(json_object_get(from, "picture"));
  return phantom2d_parse(kind ? kind : "", &o.kind, error) && phantom2d_make(&o, dir, error);
}

static bool make_phantom(const json_t *data, const char *dir, bool quiet, Error *error) {
  PhantomOptions options = phantom_defaults();
  options.anatomy = 1; /* a list of cells from before there was a choice does not name it */
  const char *key;
  json_t *value, *from = json_object_get(data, "options");
  if (!quiet && access(dir, F_OK))
    fprintf(stderr, "harness: making the phantom data set %s\n", dir);
  const char *picture = json_string_value(json_object_get(from, "picture"));
  if (picture && !strcmp(picture, "scenes")) return make_scenes(from, dir, error);
  if (picture) return make_phantom2d(from, dir, error);
  json_object_foreach(from, key, value) {
    if (!take_option(&options, key, value, error)) return false;
  }
  return phantom_make(&options, dir, error);
}

static bool preprocessing_of(const Dataset *dataset, const json_t *wanted, Preprocessing *p,
                             Error *error) {
  return preprocessing_read(p, wanted, dataset->dir, error) &&
         preprocessing_fits(wanted, dataset, error);
}

/* What the experiment's trials need of the prepared volumes and is not there yet. */
static bool make_cache(Dataset *dataset, const json_t *wanted, const char *home, bool quiet,
                       Error *error) {
  Preprocessing preprocessing;
  if (!preprocessing_of(dataset, wanted, &preprocessing, error)) return false;
  if (preprocess_fresh(dataset, &preprocessing, NULL)) return true;
  free(dataset->derived);
  dataset->derived = derived_make(dataset->dir, home, NULL, error);
  if (!dataset->derived) return false;
  PreprocessOptions options = {.jobs = omp_get_num_procs(), .quiet = quiet};
  PreprocessOutcome outcome;
  return preprocess_folder(dataset, &preprocessing, &options, &outcome, error);
}

/* Whether training could go on to its end: what is prepared already was read when it was made. */
static bool judge(const Dataset *dataset, const json_t *wanted, bool quiet, Error *error) {
  if (!wanted) return dataset_sound(dataset, NULL, quiet, error);
  Preprocessing preprocessing;
  if (!preprocessing_of(dataset, wanted, &preprocessing, error)) return false;
  bool *fresh = calloc((size_t)dataset->cases, sizeof *fresh);
  CHECK(fresh, "out of memory for %d cases", dataset->cases);
  preprocess_fresh(dataset, &preprocessing, fresh);
  bool sound = dataset_sound(dataset, fresh, quiet, error);
  free(fresh);
  return sound;
}

/* data: {"kind": "phantom" | "folder" | "none", "name", "dir", "options", "preprocessing"}. A
 * phantom is made when it is not there, unless make is false: then its hash is the text "not made
 * yet". Volumes to be prepared by an experiment's preprocessing are, with make. */
static bool data_prepare(const json_t *data, const char *home, bool make, bool quiet,
                         char hash[HASH_BYTES], Error *error) {
  const char *kind = json_string_value(json_object_get(data, "kind"));
  const char *dir = json_string_value(json_object_get(data, "dir"));
  if (kind && !strcmp(kind, "none")) {
    strcpy(hash, "none");
    return true;
  }
  if (!kind || !dir)
    return fail(error, "the experiment needs the texts \"data.kind\" and \"data.dir\"");
  bool phantom = !strcmp(kind, "phantom");
  if (!phantom && strcmp(kind, "folder"))
    return fail(error, "data.kind of the experiment is \"%s\"; known: phantom, folder, none", kind);
  if (phantom && !make && access(dir, F_OK)) {
    strcpy(hash, DATA_NOT_MADE);
    return true;
  }
  if (phantom && make && !make_phantom(data, dir, quiet, error)) return false;
  Dataset dataset;
  if (!dataset_open(&dataset, dir, error)) return false;
  bool good = dataset_hash(&dataset, hash, error);
  const json_t *wanted = json_object_get(data, "preprocessing");
  dataset.derived = derived_find(dir, home);
  if (good && make && wanted) good = make_cache(&dataset, wanted, home, quiet, error);
  if (good && !phantom && !(make && wanted)) good = judge(&dataset, wanted, quiet, error);
  dataset_free(&dataset);
  return good;
}

/* The schemes of files that are trained on as they are; NULL where all are as they were before
 * channels' names could ask for others. */
static json_t *schemes_of(const Dataset *dataset) {
  json_t *schemes = json_array();
  bool others = false;
  for (int i = 0; i < dataset->channels; i++) {
    Scheme scheme = scheme_of_channel(dataset->channel_name[i]);
    others |= scheme != SCHEME_CT && scheme != SCHEME_ZSCORE;
    json_array_append_new(schemes, json_string(scheme_names[scheme]));
  }
  if (others) return schemes;
  json_decref(schemes);
  return NULL;
}

static void cell_settle(json_t *config, bool resolved, const Dataset *dataset) {
  json_t *preprocessing = json_object_get(config, "preprocessing");
  if (preprocessing)
    json_object_set_new(preprocessing, "method", json_integer(PREPROCESSING_METHOD));
  if (resolved) return;
  const char *rule = split_rule(dataset);
  json_t *schemes = preprocessing ? NULL : schemes_of(dataset);
  if (rule) json_object_set_new(config, "split", json_string(rule));
  if (schemes) json_object_set_new(config, "schemes", schemes);
}

static bool cells_settle(json_t *cells, bool resolved, const Dataset *dataset, Error *error) {
  json_t *cell;
  size_t i;
  json_array_foreach(cells, i, cell) {
    json_t *config = json_object_get(cell, "config");
    cell_settle(config, resolved, dataset);
    Split split;
    if (!cases_split(&split, dataset, config, error)) return false;
    split_free(&split);
  }
  return true;
}

/* Puts into an experiment's cells, those to come and those of its tries of rates, what is known
 * with the data set alone: "split" (src/data/sets/split.h); of planned volumes the "method" of
 * preprocess.h; of others "schemes" of intensities that no channel could have before. Those of a
 * resolved one are left as they are, but for the method, since volumes are made by today's. Errors,
 * before any trial starts: a fold of a cell that the data set does not have, or that cannot be
 * divided for tries. A phantom that is not made yet settles nothing. */
static bool data_settle(json_t *document, bool resolved, Error *error) {
  const json_t *data = json_object_get(document, "data");
  const char *kind = json_string_value(json_object_get(data, "kind"));
  const char *dir = json_string_value(json_object_get(data, "dir"));
  if (!kind || !dir || !strcmp(kind, "none") || (!strcmp(kind, "phantom") && access(dir, F_OK)))
    return true;
  Dataset dataset;
  if (!dataset_open(&dataset, dir, error)) return false;
  const json_t *tries = json_object_get(document, "tries");
  bool good = cells_settle(json_object_get(document, "cells"), resolved, &dataset, error) &&
              cells_settle(json_object_get(document, "later"), resolved, &dataset, error) &&
              cells_settle(json_object_get(tries, "cells"), resolved, &dataset, error);
  dataset_free(&dataset);
  return good;
}

/* ---- the experiments ------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end) {
  size_t a = strlen(text), b = strlen(end);
  return a >= b && strcmp(text + a - b, end) == 0;
}

static bool read_json(const char *file, int overrides, json_t **document, Error *error) {
  if (overrides)
    return fail(error,
                "%s: cells as `--dry-run --json` prints them take no overrides; give them to the "
                "experiment file",
                file);
  *document = json_file_load(file, 0, error);
  return *document != NULL;
}

static bool read_file(const char *home, const char *file, int count, char **overrides,
                      json_t **document, Error *error) {
  if (access(file, R_OK))
    return fail(error, "%s: cannot read the experiment: %s", file, strerror(errno));
  if (ends_with(file, ".json")) return read_json(file, count, document, error);
  return experiment_read(home, file, count, overrides, plan_of_data, document, error);
}

static void make_items(Experiments *experiments, size_t count) {
  experiments->item = calloc(count + 1, sizeof *experiments->item);
  CHECK(experiments->item, "no memory for %zu experiments", count);
}

static bool read_list(Experiments *experiments, const json_t *names, const char *home,
                      const char *file, int count, char **overrides, Error *error) {
  const char *slash = strrchr(file, '/');
  int folder = slash ? (int)(slash - file) + 1 : 0;
  make_items(experiments, json_array_size(names));
  experiments->list = true;
  for (size_t i = 0; i < json_array_size(names); i++) {
    char path[4200];
    Experiment *experiment = &experiments->item[experiments->count++];
    json_t *name = json_array_get(names, i), **document = &experiment->document;
    if (json_is_object(name)) { /* of a list of resolved ones */
      *document = json_incref(name);
      experiment->resolved = true;
      continue;
    }
    snprintf(path, sizeof path, "%.*s%.80s.lua", folder, file, json_string_value(name));
    if (!read_file(home, path, count, overrides, document, error)) return false;
    if (json_object_get(*document, "experiments"))
      return fail(error, "%s: lists %s, which is a list itself", file, path);
  }
  return true;
}

bool experiments_read(Experiments *experiments, const char *home, const char *typed, int count,
                      char **overrides, Error *error) {
  json_t *document = NULL;
  char file[EXPERIMENT_PATH];
  *experiments = (Experiments){NULL, 0, false};
  if (!experiment_meant(home, typed, file, error) ||
      !read_file(home, file, count, overrides, &document, error))
    return false;
  const json_t *names = json_object_get(document, "experiments");
  if (names) {
    bool good = read_list(experiments, names, home, file, count, overrides, error);
    json_decref(document);
    return good;
  }
  make_items(experiments, 1);
  experiments->item[experiments->count++] =
      (Experiment){.document = document, .resolved = ends_with(file, ".json")};
  return true;
}

void experiments_free(Experiments *experiments) {
  for (int p = 0; p < experiments->count; p++) {
    free(experiments->item[p].trial);
    json_decref(experiments->item[p].document);
  }
  free(experiments->item);
  *experiments = (Experiments){NULL, 0, false};
}

bool experiments_prepare(Experiments *experiments, const char *home, bool make, bool quiet,
                         Error *error) {
  for (int p = 0; p < experiments->count; p++) {
    const json_t *data = json_object_get(experiments->item[p].document, "data");
    const Experiment *same = NULL;
    for (int i = 0; i < p && !same; i++)
      if (json_equal(data, json_object_get(experiments->item[i].document, "data")))
        same = &experiments->item[i];
    if (same)
      strcpy(experiments->item[p].data_hash, same->data_hash);
    else if (!data_prepare(data, home, make, quiet, experiments->item[p].data_hash, error))
      return false;
    if (!data_settle(experiments->item[p].document, experiments->item[p].resolved, error))
      return false;
  }
  return true;
}

void experiments_print(const Experiments *experiments, FILE *out) {
  json_t *documents = json_array();
  for (int p = 0; p < experiments->count; p++) {
    json_t *document = json_copy(experiments->item[p].document);
    json_object_del(document, "origins"); /* of `harness config` */
    json_array_append_new(documents, document);
  }
  json_t *one = experiments->list ? NULL : json_array_get(documents, 0);
  const DocumentOf of = {json_string_value(json_object_get(one, "experiment")),
                         json_string_value(json_object_get(one, "metric")), NULL};
  json_t *more = one ? json_incref(one) : json_pack("{s:O}", "experiments", documents);
  document_print(document_make(one ? "experiment" : "experiments", of, more), out);
  json_decref(documents);
}

static void tell(const json_t *texts, const char *head, FILE *out) {
  const json_t *text;
  size_t i;
  json_array_foreach(texts, i, text) fprintf(out, "%s%s\n", head, json_string_value(text));
}

void experiments_tell(const Experiments *experiments, const char *head, FILE *out) {
  for (int p = 0; p < experiments->count; p++) {
    const json_t *document = experiments->item[p].document;
    tell(json_object_get(document, "overridden"), head, out);
    tell(json_object_get(document, "cautions"), head, out);
  }
}

static void forget(Experiment *experiment) {
  free(experiment->trial);
  experiment->trial = NULL;
  experiment->trials = 0;
}

bool experiments_add_trials(Experiments *experiments, Store *store, Error *error) {
  for (int p = 0; p < experiments->count; p++) {
    Experiment *one = &experiments->item[p];
    forget(one);
    if (!store_add_trials(store, one->document, one->data_hash, &one->trial, &one->trials, error))
      return false;
  }
  return true;
}

bool experiments_preview(Experiments *experiments, Store *store, Error *error) {
  for (int p = 0; p < experiments->count; p++) {
    Experiment *one = &experiments->item[p];
    forget(one);
    if (!store_preview(store, one->document, one->data_hash, &one->trial, &one->trials, error))
      return false;
  }
  return true;
}

bool experiments_store(Experiments *experiments, Store *store, Error *error) {
  for (int p = 0; p < experiments->count; p++) {
    Experiment *experiment = &experiments->item[p];
    free(experiment->trial);
    experiment->trial = NULL;
    if (!store_add_experiment(store, experiment->document, experiment->data_hash,
                              &experiment->plan_id, &experiment->trial, &experiment->trials, error))
      return false;
  }
  return true;
}

bool experiments_repeated(const Experiments *experiments, int experiment, int trial) {
  const char *hash = experiments->item[experiment].trial[trial].hash;
  for (int p = 0; p <= experiment; p++)
    for (int t = 0; t < (p < experiment ? experiments->item[p].trials : trial); t++)
      if (strcmp(experiments->item[p].trial[t].hash, hash) == 0) return true;
  return false;
}

int experiments_trials(const Experiments *experiments) {
  int count = 0;
  for (int p = 0; p < experiments->count; p++)
    for (int t = 0; t < experiments->item[p].trials; t++)
      count += !experiments_repeated(experiments, p, t);
  return count;
}

char *experiments_label(const Experiments *experiments, int experiment, int trial) {
  const Experiment *own = &experiments->item[experiment];
  const Cell *one = &own->trial[trial];
  const json_t *row = json_array_get(json_object_get(own->document, "rows"), (size_t)one->row);
  const char *name = json_string_value(json_object_get(own->document, "experiment"));
  bool folds = false;
  for (int i = 0; i < own->trials; i++) folds = folds || own->trial[i].fold != own->trial[0].fold;
  char text[320];
  int used = experiments->list ? snprintf(text, sizeof text, "%.60s ", name) : 0;
  used += snprintf(text + used, sizeof text - (size_t)used, "%.200s seed %d",
                   json_string_value(json_object_get(row, "key")), one->seed);
  if (folds) snprintf(text + used, sizeof text - (size_t)used, " fold %d", one->fold);
  char *label = strdup(text);
  CHECK(label, "no memory for a label");
  return label;
}

bool experiment_only_plans(const Experiment *experiment) {
  return experiment->trials > 0 && json_object_get(experiment->trial[0].config, "kind") != NULL;
}
