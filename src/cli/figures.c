/* Pictures for which trained weights are run again: their trials, and who asks for them. */
#include "src/cli/figures.h"

#include "base/paths.h"
#include "src/data/sets/json_text.h"
#include "src/train/config.h"

#include <string.h>
#include <sys/stat.h>

bool figure_take(int key, char *value, void *user, Error *error) {
  FigureRequest *r = user;
  if (key == FIGURE_CASE) return cli_number("--case", value, 1, &r->number, error);
  if (key == FIGURE_SCALE) r->scale = value;
  if (key == 'o') r->output = value;
  if (key == ' ' && r->what) return false;
  if (key == ' ') r->what = value;
  return true;
}

static const char trials_sql[] =
    "SELECT t.hash, t.data_hash, t.config, t.seed, coalesce(r.label, '') AS label, r.position"
    " FROM v_attempt v JOIN trials t ON t.id = v.trial_id"
    " LEFT JOIN cells c ON c.trial_id = t.id LEFT JOIN rows r ON r.id = c.row_id"
    " WHERE (t.hash = ?1 OR ?1 IS NULL) AND (r.plan_id = ?2 OR ?2 = 0)"
    " AND t.config ->> '$.kind' IS NULL ORDER BY v.attempt_id DESC, r.id";

const char *figure_folder(const FigureRequest *r, const Store *store) {
  if (r->output) path_make(r->output); /* what could not be made is told by who writes there */
  return r->output ? r->output : store_folder(store);
}

json_t *figure_config(const FigureRequest *r, Store *store, const json_t *trial) {
  Error error = {""};
  json_t *config = weights_config(r->common.home, store, config_text(trial, "hash"),
                                  config_text(trial, "config"), &error);
  if (error.text[0]) fprintf(stderr, "harness: %s\n", error.text);
  return config;
}

bool figure_open(const FigureRequest *r, TrainedNetwork *network, const json_t *trial,
                 json_t *config, Error *error) {
  *network = (TrainedNetwork){0};
  return weights_data(config, config_text(trial, "hash"), config_text(trial, "data_hash"), r->seen,
                      error) &&
         trained_network_open(network, config, error);
}

bool figure_trials(Store *store, const char *hash, int64_t plan_id, json_t **trials, Error *error) {
  json_t *parameters = json_array();
  json_array_append_new(parameters, hash ? json_name(hash) : json_null());
  json_array_append_new(parameters, json_integer(plan_id));
  bool good = store_query(store, trials_sql, parameters, trials, error);
  json_decref(parameters);
  return good;
}

json_t *figure_pick(const FigureRequest *r, Store *store, const json_t *trials, json_int_t position,
                    json_t **config) {
  json_t *trial, *best = NULL;
  size_t i;
  json_array_foreach(trials, i, trial) {
    if (config_int(trial, "position") != position) continue;
    if (best && config_int(best, "seed") <= config_int(trial, "seed")) continue;
    json_t *found = figure_config(r, store, trial);
    if (!found) continue;
    json_decref(*config);
    *config = found;
    best = trial;
  }
  return best;
}

bool figure_is_newer(const char *path, const json_t *config) {
  struct stat picture, weights;
  return stat(path, &picture) == 0 && stat(config_text(config, "checkpoint"), &weights) == 0 &&
         (picture.st_mtim.tv_sec > weights.st_mtim.tv_sec ||
          (picture.st_mtim.tv_sec == weights.st_mtim.tv_sec &&
           picture.st_mtim.tv_nsec > weights.st_mtim.tv_nsec));
}

static const struct {
  const char *word, *experiment;
  const Figure *figure;
} figures[] = {
#define PLOT(id, word, of, caption)
#define FIGURE(id, word, experiment, caption) {word, experiment, &id##_figure},
#include "src/report/plots.def"
#undef FIGURE
#undef PLOT
};
enum { FIGURES = sizeof figures / sizeof *figures };

void figures_report(const Common *common, Report *report, const Result *result) {
  DataSeen seen = {.dir = ""};
  const FigureRequest request = {.common = *common, .number = 1, .seen = &seen};
  for (int f = 0; f < FIGURES; f++)
    if (!strcmp(result->experiment, figures[f].experiment))
      figures[f].figure->report(&request, report, result);
}

static int run(const Figure *figure, int argc, char **argv) {
  DataSeen seen = {.dir = ""};
  FigureRequest request = {.number = 1, .seen = &seen};
  Error error = {""};
  Store *store = NULL;
  cli_parse(&figure->cli, argc, argv, &request.common, &request);
  int code = EXIT_NOTHING;
  if (!store_exists(request.common.db))
    fail(&error, "%s: nothing is stored yet; `harness run FILE` makes results", request.common.db);
  else if (!store_open(&store, request.common.db, STORE_READ, &error))
    code = EXIT_UNFIT;
  else
    code = figure->draw(&request, store, &error);
  store_close(store);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}

bool command_figure(int argc, char **argv, int *code) {
  for (int f = 0; argc > 1 && f < FIGURES; f++) {
    if (strcmp(argv[1], figures[f].word) != 0) continue;
    *code = run(figures[f].figure, argc - 1, argv + 1);
    return true;
  }
  return false;
}
