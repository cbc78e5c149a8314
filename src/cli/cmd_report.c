/* harness report: which experiments, what is stored of them, and into which file. */
#include "src/report/report.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/whole_file.h"
#include "lua/bind.h"
#include "src/cli/cmd_report.h"
#include "src/cli/figures.h"
#include "src/data/plan/plan_file.h"
#include "src/store/field.h"

/* ---- experiments ----------------------------------------------------------------------------- */

/* The cells that an experiment's file asks for at a scale ("" or several, as in quick+paper: as the
 * file has it); NULL when it cannot be read. */
static json_t *wanted_plan(const char *home, const char *name, const char *scale) {
  char path[4200], override[100], *overrides[] = {override};
  json_t *cells = NULL;
  Error error = {""};
  snprintf(path, sizeof path, "%.4000s/experiments/%.80s.lua", home, name);
  snprintf(override, sizeof override, "scale=%.80s", scale);
  bool one = scale[0] && !strchr(scale, '+');
  return experiment_read(home, path, one, overrides, plan_of_data, &cells, &error) ? cells : NULL;
}

/* Adds one experiment; listed: also when nothing is stored of it. */
static bool add_experiment(const Common *common, const ResultChoice *choice, const char *name,
                           const char *file, bool listed, Report *report, Error *error) {
  Result *result = NULL;
  ResultChoice one = *choice;
  one.home = common->home;
  one.what = name;
  if (!result_load(report->store, &one, &result, error)) return false;
  if (!result && !listed) return true;
  const char *scale = result ? result->scale : choice->scale ? choice->scale : "";
  report->experiment[report->experiments++] = (ReportExperiment){
      name, file, listed ? wanted_plan(common->home, name, scale) : NULL, result};
  return true;
}

typedef struct Known {
  const char *name, *file;
} Known;

static const Column known_columns[] = {COLUMN(Known, name), COLUMN(Known, file), {0}};

/* Those of experiments/all.lua, as {"name", "file"}. */
static json_t *listed_experiments(const char *home) {
  char path[4200], file[100];
  json_t *all = NULL, *list = json_array(), *name;
  Error unread = {""};
  size_t i;
  snprintf(path, sizeof path, "%.4000s/experiments/all.lua", home);
  if (!experiment_read(home, path, 0, NULL, NULL, &all, &unread)) return list;
  json_array_foreach(json_object_get(all, "experiments"), i, name) {
    snprintf(file, sizeof file, "experiments/%.80s.lua", json_string_value(name));
    json_array_append_new(list, json_pack("{s:O,s:s}", "name", name, "file", file));
  }
  json_decref(all);
  return list;
}

/* The listed ones in their order, then what else is stored. names, stored: keep the texts. */
static bool find_experiments(const Common *common, const ResultChoice *choice, Report *report,
                             const json_t *listed, Rows *stored, Error *error) {
  size_t count = json_array_size(listed);
  bool good = store_rows(report->store, "SELECT name, file FROM experiments ORDER BY id", NULL,
                         known_columns, sizeof(Known), stored, error);
  report->experiment = calloc(count + (size_t)stored->count + 1, sizeof *report->experiment);
  CHECK(report->experiment, "no memory for the report");
  for (size_t i = 0; good && i < count; i++) {
    Known known;
    row_read(json_array_get(listed, i), known_columns, &known);
    good = add_experiment(common, choice, known.name, known.file, true, report, error);
  }
  for (int i = 0; good && i < stored->count; i++) {
    const Known *known = (Known *)stored->row + i;
    bool twice = false;
    for (size_t k = 0; k < count; k++)
      twice = twice || !strcmp(field_text(json_array_get(listed, k), "name"), known->name);
    good = twice || add_experiment(common, choice, known->name, known->file, false, report, error);
  }
  return good;
}

/* ---- the file -------------------------------------------------------------------------------- */

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
  if (!good) unlink(part);
  return good && whole_place(part, path, error);
}

int report_make(const Common *common, Store *store, const ResultChoice *choice, const char *path,
                Error *error) {
  Report report = {.store = store,
                   .home = common->home,
                   .options = experiment_options(common->home, EVERY_MODEL, error)};
  json_t *listed = listed_experiments(common->home);
  Rows known = {0};
  bool good = report.options && find_experiments(common, choice, &report, listed, &known, error);
  int stored = 0;
  for (int i = 0; i < report.experiments; i++) {
    if (!report.experiment[i].result) continue;
    stored++;
    figures_report(common, &report, report.experiment[i].result);
  }
  if (good && !stored)
    fail(error, "%s: nothing is stored to report; `harness run experiments/all.lua` makes results",
         common->db);
  int code = !good ? EXIT_UNFIT : stored ? EXIT_DONE : EXIT_NOTHING;
  if (code == EXIT_DONE && !write_file(&report, path, error)) code = EXIT_UNFIT;
  report_free(&report);
  rows_free(&known);
  json_decref(listed);
  return code;
}

/* ---- command --------------------------------------------------------------------------------- */

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
  Request *request = user;
  bool taken = false;
  if (key == ' ' && !cli_cases(value, &request->choice.cases_fixed, &taken, error)) return false;
  if (taken) return true;
  if (key == 'o') request->out = value;
  if (key == KEY_SCALE) request->choice.scale = value;
  if (key == KEY_DATASET) request->choice.dataset = value;
  if (key == KEY_DEVICE) request->choice.device = value;
  return key != ' ';
}

static const Cli cli = {
    "report",
    "[cases=fixed]",
    "  harness report\n  harness report --out report.html --scale small\n",
    "Writes one HTML file that needs nothing beside itself: which claims held, every table with "
    "the paper's numbers beside ours, the plots, what was skipped, failed, collapsed or is "
    "missing with the command that runs it, configuration and environment. Of several results of "
    "an experiment the newest run's is shown. With cases=fixed intervals and verdicts are for "
    "these "
    "cases only. Prints the file's path; exit code 5 when nothing is "
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
