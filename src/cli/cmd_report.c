/* harness report: which experiments, what is stored of them, and into which file. */
#include "src/report/report.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lua/bind.h"
#include "src/cli/figures.h"
#include "src/cli/report.h"
#include "src/data/plan/plan_file.h"
#include "src/store/field.h"

/* ---- experiments --------------------------------------------------------------------------------
 */

/* The cells that an experiment's file asks for at a scale ("" or several, as in quick+paper: as the
 * file has it); null when it cannot be read. */
static json_t *wanted_plan(const char *home, const char *name, const char *scale) {
  char path[4200], override[100], *overrides[] = {override};
  json_t *cells = NULL;
  Error error = {""};
  snprintf(path, sizeof path, "%.4000s/experiments/%.80s.lua", home, name);
  snprintf(override, sizeof override, "scale=%.80s", scale);
  bool one = scale[0] && !strchr(scale, '+');
  bool good = experiment_read(home, path, one, overrides, plan_of_data, &cells, &error);
  return good && cells ? cells : json_null();
}

/* Adds one experiment; listed: also when nothing is stored of it. */
static bool add_experiment(const Common *common, Store *store, const ResultChoice *choice,
                           const char *name, const char *file, bool listed, json_t *experiments,
                           Error *error) {
  json_t *result = NULL;
  ResultChoice one = *choice;
  one.what = name;
  if (!result_load(store, &one, &result, error)) return false;
  if (!result && !listed) return true;
  const char *scale = result ? field_text(result, "scale") : choice->scale ? choice->scale : "";
  json_array_append_new(experiments,
                        json_pack("{s:s,s:s,s:o,s:o}", "name", name, "file", file, "wanted",
                                  listed ? wanted_plan(common->home, name, scale) : json_null(),
                                  "result", result ? result : json_null()));
  return true;
}

/* Those of experiments/all.lua in its order, then what else is stored. */
static bool find_experiments(const Common *common, Store *store, const ResultChoice *choice,
                             json_t *experiments, Error *error) {
  char path[4200], file[100];
  json_t *list = NULL, *stored = NULL, *name, *row;
  Error unread = {""};
  snprintf(path, sizeof path, "%.4000s/experiments/all.lua", common->home);
  if (!experiment_read(common->home, path, 0, NULL, NULL, &list, &unread)) list = json_object();
  bool good =
      store_query(store, "SELECT name, file FROM experiments ORDER BY id", NULL, &stored, error);
  const json_t *names = json_object_get(list, "experiments");
  size_t i, k;
  json_array_foreach(names, i, name) {
    if (!good) break;
    snprintf(file, sizeof file, "experiments/%.80s.lua", json_string_value(name));
    good = add_experiment(common, store, choice, json_string_value(name), file, true, experiments,
                          error);
  }
  json_array_foreach(stored, i, row) {
    bool listed = false;
    json_array_foreach(names, k, name) listed =
        listed || !strcmp(json_string_value(name), field_text(row, "name"));
    if (good && !listed)
      good = add_experiment(common, store, choice, field_text(row, "name"), field_text(row, "file"),
                            false, experiments, error);
  }
  json_decref(stored);
  json_decref(list);
  return good;
}

/* ---- the file -----------------------------------------------------------------------------------
 */

static bool write_file(Report *report, const char *path, Error *error) {
  char part[4400];
  bool to_file = strcmp(path, "-") != 0;
  snprintf(part, sizeof part, "%.4300s.part", path);
  report->out = to_file ? fopen(part, "w") : stdout;
  if (!report->out)
    return fail(error, "%s: the report cannot be written: %s", part, strerror(errno));
  bool good = report_write(report, error), whole = !ferror(report->out);
  if (!to_file) return good && fflush(stdout) == 0 && whole;
  whole = fclose(report->out) == 0 && whole;
  if (good && !whole) good = fail(error, "%s: could not be written whole: is the disk full?", part);
  if (good && rename(part, path))
    good = fail(error, "%s: cannot take the report's name: %s", path, strerror(errno));
  if (!good) unlink(part);
  return good;
}

int report_make(const Common *common, Store *store, const ResultChoice *choice, const char *path,
                Error *error) {
  Report report = {.store = store,
                   .experiments = json_array(),
                   .pictures = json_array(),
                   .open = json_array(),
                   .options = experiment_options(common->home, error)};
  bool good = report.options && find_experiments(common, store, choice, report.experiments, error);
  const json_t *experiment;
  size_t i;
  int stored = 0;
  json_array_foreach(report.experiments, i, experiment) {
    const json_t *result = json_object_get(experiment, "result");
    if (!json_is_object(result)) continue;
    stored++;
    figures_report(common, store, result, report.pictures, report.open);
  }
  if (good && !stored)
    fail(error, "%s: nothing is stored to report; `harness run experiments/all.lua` makes results",
         common->db);
  int code = !good ? EXIT_UNFIT : stored ? EXIT_DONE : EXIT_NOTHING;
  if (code == EXIT_DONE && !write_file(&report, path, error)) code = EXIT_UNFIT;
  json_decref(report.experiments);
  json_decref(report.pictures);
  json_decref(report.open);
  json_decref(report.options);
  return code;
}

/* ---- command ------------------------------------------------------------------------------------
 */

typedef struct Request {
  ResultChoice choice;
  const char *out;
} Request;

enum { KEY_SCALE = 1, KEY_DATASET, KEY_DEVICE };

static const struct argp_option options[] = {
    {"out", 'o', "FILE", 0,
     "Write there (-: standard output; default: report.html beside the "
     "database)",
     0},
    {"scale", KEY_SCALE, "NAME", 0, "Of the results at this scale", 0},
    {"dataset", KEY_DATASET, "NAME", 0, "Of the results on this data set", 0},
    {"device", KEY_DEVICE, "NAME", 0, "Of the results from this device", 0},
    {0}};

static bool take(int key, char *value, void *user, Error *error) {
  (void)error;
  Request *request = user;
  if (key == 'o') request->out = value;
  if (key == KEY_SCALE) request->choice.scale = value;
  if (key == KEY_DATASET) request->choice.dataset = value;
  if (key == KEY_DEVICE) request->choice.device = value;
  return key != ' ';
}

static const Cli cli = {
    "report",
    "",
    "  harness report\n  harness report --out report.html --scale small\n",
    "Writes one HTML file that needs nothing beside itself: which claims held, every table with "
    "the paper's numbers beside ours, the plots, what was skipped, failed, collapsed or is "
    "missing with the command that runs it, configuration and environment. Of several results of "
    "an experiment the newest run's is shown. Prints the file's path; exit code 5 when nothing is "
    "stored.",
    options,
    take};

int command_report(int argc, char **argv) {
  Common common;
  Request request = {.out = NULL};
  Error error = {""};
  Store *store = NULL;
  char path[4400];
  cli_parse(&cli, argc, argv, &common, &request);
  int code = EXIT_NOTHING;
  if (!store_exists(common.db)) {
    fail(&error, "%s: nothing is stored yet; `harness run FILE` makes results", common.db);
  } else if (!store_open(&store, common.db, STORE_READ, &error)) {
    code = EXIT_UNFIT;
  } else {
    snprintf(path, sizeof path, "%.4300s/report.html", store_folder(store));
    const char *out = request.out ? request.out : path;
    code = report_make(&common, store, &request.choice, out, &error);
    if (code == EXIT_DONE && strcmp(out, "-")) printf("%s\n", out);
  }
  store_close(store);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}
