/* harness run: plan, prepare data, run what is missing, print the table, draw the plot. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/nearest.h"
#include "lua/bind.h"
#include "src/cli/cli.h"
#include "src/cli/prepare.h"
#include "src/cli/progress.h"
#include "src/cli/schedule.h"
#include "src/report/plot.h"
#include "src/report/table.h"
#include "src/store/environment.h"

enum { OVERRIDES_MAX = 256 };

typedef struct Run {
  Common common;
  const char *file;
  char *override[OVERRIDES_MAX];
  int overrides;
  char device[64]; /* "device=cuda", empty: not given */
  int jobs;        /* 0: as many as the processors allow */
  double timeout_s;
  bool retry[STATUS_COUNT];
  bool dry_run, json, profile;
  /* what the plan came to */
  json_t *plan;
  char data_hash[HASH_BYTES];
  Store *store;
  int64_t plan_id;
  PlannedTrial *trial;
  int trials;
} Run;

enum {
  KEY_DEVICE = 1,
  KEY_JOBS = 'j',
  KEY_RETRY = 2,
  KEY_DRY = 'n',
  KEY_TIMEOUT = 3,
  KEY_JSON = 4,
  KEY_PROFILE = 5
};

static const struct argp_option options[] = {
    {"dry-run", 'n', 0, 0, "Show what would run; change nothing", 0},
    {"device", KEY_DEVICE, "cpu|cuda", 0, "Where the trials compute", 0},
    {"jobs", 'j', "N", 0, "Trials at a time (default: processors / threads of a trial)", 0},
    {"retry", KEY_RETRY, "CLASS,...", 0,
     "Run again what ended so: failed, oom, collapsed, timeout; `all` is these four; `done` may be "
     "named too. Earlier attempts are kept",
     0},
    {"timeout", KEY_TIMEOUT, "S", 0, "Stop a trial after S seconds", 0},
    {"profile", KEY_PROFILE, 0, 0,
     "Time every op of the trials that run and print where their training steps went (finished "
     "trials: with --retry done)",
     0},
    {"json", KEY_JSON, 0, 0, "The table (or, with --dry-run, the plan) as JSON", 0},
    {0}};

static bool take_retry(char *text, bool retry[STATUS_COUNT], Error *error) {
  static const Status all[] = {STATUS_FAILED, STATUS_OOM, STATUS_COLLAPSED, STATUS_TIMEOUT};
  static const char *const names[] = {"failed", "oom",         "collapsed", "timeout",
                                      "done",   "interrupted", "all"};
  for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
    Status status = STATUS_PLANNED;
    bool everything = strcmp(word, "all") == 0;
    for (int i = 0; everything && i < 4; i++) retry[all[i]] = true;
    if (everything) continue;
    bool known = status_parse(word, &status) && status >= STATUS_DONE;
    const char *near = nearest_name(word, names, 7);
    if (!known)
      return fail(error,
                  "--retry does not know \"%s\"%s%s; known: failed, oom, collapsed, "
                  "timeout, done, all",
                  word, near ? ", nearest: " : "", near ? near : "");
    retry[status] = true;
  }
  return true;
}

static bool take_operand(char *value, Run *run, Error *error) {
  if (!run->file) {
    run->file = value;
    return true;
  }
  if (!strchr(value, '='))
    return fail(error, "\"%s\" is no override; write key=value, such as seeds=1 (one FILE a run)",
                value);
  if (run->overrides == OVERRIDES_MAX - 1) return fail(error, "too many overrides");
  run->override[run->overrides++] = value;
  return true;
}

static bool take_device(const char *value, Run *run, Error *error) {
  static const char *const names[] = {"cpu", "cuda"};
  if (strcmp(value, "cpu") && strcmp(value, "cuda")) {
    const char *near = nearest_name(value, names, 2);
    return fail(error, "--device is cpu or cuda, not \"%s\"%s%s", value, near ? "; nearest: " : "",
                near ? near : "");
  }
  snprintf(run->device, sizeof run->device, "device=%s", value);
  return true;
}

static bool take(int key, char *value, void *user, Error *error) {
  Run *run = user;
  double number;
  if (key == ' ') return take_operand(value, run, error);
  if (key == KEY_DEVICE) return take_device(value, run, error);
  if (key == KEY_RETRY) return take_retry(value, run->retry, error);
  if (key == KEY_TIMEOUT) return cli_number("--timeout", value, 0.001, &run->timeout_s, error);
  if (key == KEY_JOBS) {
    bool good = cli_number("--jobs", value, 1, &number, error);
    if (good) run->jobs = (int)number;
    return good;
  }
  if (key == KEY_DRY) run->dry_run = true;
  if (key == KEY_JSON) run->json = true;
  if (key == KEY_PROFILE) run->profile = true;
  return true;
}

static const Cli cli = {
    "run",
    "FILE [key=value ...]",
    "  harness run experiments/query_count.lua\n"
    "  harness run experiments/query_count.lua seeds=1 scale=small queries=1,2 --dry-run\n",
    "Plans the cells of an experiment, runs those that are missing, each in a process of its own, "
    "and prints the table. Run again, it does only what is still missing. Keys are the "
    "experiment's and the model's options. FILE may also be a plan as `--dry-run --json` prints "
    "it.",
    options,
    take};

/* --- planning --- */

static bool ends_with(const char *text, const char *end) {
  size_t a = strlen(text), b = strlen(end);
  return a >= b && strcmp(text + a - b, end) == 0;
}

static bool read_plan(Run *run, Error *error) {
  if (access(run->file, R_OK))
    return fail(error, "%s: cannot read the experiment: %s", run->file, strerror(errno));
  if (!ends_with(run->file, ".json")) {
    if (run->device[0]) run->override[run->overrides++] = run->device; /* a flag beats a key */
    return experiment_plan(run->common.home, run->file, run->overrides, run->override, &run->plan,
                           error);
  }
  json_error_t syntax;
  if (run->overrides || run->device[0])
    return fail(error, "%s: a finished plan takes no overrides; give them to the experiment file",
                run->file);
  run->plan = json_load_file(run->file, 0, &syntax);
  if (run->plan) return true;
  return fail(error, "%s:%d:%d: the plan is not JSON: %s", run->file, syntax.line, syntax.column,
              syntax.text);
}

static bool wants(const Run *run, const PlannedTrial *trial) {
  bool open = trial->status == STATUS_PLANNED || trial->status == STATUS_RUNNING ||
              trial->status == STATUS_INTERRUPTED;
  return open || run->retry[trial->status];
}

/* Two cells may be the same trial (a default that is also a variant): it runs once. */
static bool repeated(const Run *run, int index) {
  for (int i = 0; i < index; i++)
    if (strcmp(run->trial[i].hash, run->trial[index].hash) == 0) return true;
  return false;
}

static const char *row_key(const Run *run, int row) {
  const json_t *rows = json_object_get(run->plan, "rows");
  return json_string_value(json_object_get(json_array_get(rows, (size_t)row), "key"));
}

static char *trial_label(const Run *run, const PlannedTrial *trial) {
  bool folds = false;
  for (int i = 0; i < run->trials; i++) folds = folds || run->trial[i].fold != run->trial[0].fold;
  char text[256];
  int used = snprintf(text, sizeof text, "%.200s seed %d", row_key(run, trial->row), trial->seed);
  if (folds) snprintf(text + used, sizeof text - (size_t)used, " fold %d", trial->fold);
  return strdup(text);
}

static int threads_of(const Run *run) {
  int most = 1;
  for (int i = 0; i < run->trials; i++) {
    int threads = (int)json_integer_value(json_object_get(run->trial[i].config, "threads"));
    if (threads > most) most = threads;
  }
  return most;
}

/* --- dry run --- */

static void print_dry(const Run *run) {
  int todo = 0;
  for (int i = 0; i < run->trials; i++) {
    bool again = repeated(run, i), runs = !again && wants(run, &run->trial[i]);
    char *label = trial_label(run, &run->trial[i]);
    printf("%.8s  %-11s  %-7s  %s\n", run->trial[i].hash, status_name(run->trial[i].status),
           runs ? "run" : (again ? "same" : "skip"), label);
    free(label);
    todo += runs;
  }
  printf("%d of %d trials would run\n", todo, run->trials);
}

static int dry_run(Run *run, Error *error) {
  bool exists = store_exists(run->common.db);
  bool good =
      data_prepare(json_object_get(run->plan, "data"), false, true, run->data_hash, error) &&
      (!exists || store_open(&run->store, run->common.db, STORE_READ, error)) &&
      store_preview(run->store, run->plan, run->data_hash, &run->trial, &run->trials, error);
  if (!good) return cli_error(EXIT_UNFIT, error);
  if (!run->json) print_dry(run);
  if (run->json) json_dumpf(run->plan, stdout, JSON_INDENT(1));
  if (run->json) putchar('\n');
  return EXIT_DONE;
}

/* --- the run --- */

static bool schedule(Run *run, bool *interrupted, Error *error) {
  const char *stand_in = getenv("HARNESS_TRIAL_PROGRAM"); /* for tests: a program in place of us */
  int cores = environment_cores(), threads = threads_of(run);
  int fitting = cores / threads > 1 ? cores / threads : 1;
  Schedule work = {.store = run->store,
                   .threads = threads,
                   .timeout_s = run->timeout_s,
                   .quiet = run->common.quiet,
                   .profile = run->profile,
                   .home = run->common.home,
                   .program = stand_in && stand_in[0] ? stand_in : "/proc/self/exe"};
  PlannedTrial *todo[run->trials + 1];
  char *label[run->trials + 1];
  for (int i = 0; i < run->trials; i++) {
    if (!wants(run, &run->trial[i]) || repeated(run, i)) continue;
    todo[work.count] = &run->trial[i];
    label[work.count++] = trial_label(run, &run->trial[i]);
  }
  if (!run->common.quiet)
    fprintf(stderr, "harness: %d of %d trials to run\n", work.count, run->trials);
  bool good = true;
  if (work.count > 0) {
    bool plans = json_object_get(run->trial[0].config, "kind") != NULL; /* times them: one by one */
    work.jobs = run->jobs ? run->jobs : plans ? 1 : fitting;
    if (work.jobs > work.count) work.jobs = work.count;
    work.pin = work.jobs * threads <= cores;
    work.todo = todo;
    work.label = label;
    json_t *environment = environment_capture(run->common.home);
    good = store_environment(run->store, environment, &work.environment, error) &&
           schedule_run(&work, interrupted, error);
    json_decref(environment);
  }
  for (int i = 0; i < work.count; i++) free(label[i]);
  return good;
}

/* A change of the program marks results, it does not repeat them by itself. */
static void tell_other_builds(const Run *run) {
  static const char sql[] =
      "SELECT count(DISTINCT c.trial_id) AS trials FROM rows r JOIN cells c ON c.row_id = r.id"
      " JOIN v_attempt v ON v.trial_id = c.trial_id JOIN attempts a ON a.id = v.attempt_id"
      " JOIN environments n ON n.id = a.environment_id"
      " WHERE r.plan_id = ?1 AND n.binary_hash <> ?2";
  char binary[17];
  Error error = {""};
  json_t *rows;
  environment_binary(binary);
  json_t *parameters = json_pack("[I,s]", (json_int_t)run->plan_id, binary);
  bool good = store_query(run->store, sql, parameters, &rows, &error);
  json_decref(parameters);
  if (!good) return;
  json_int_t count = json_integer_value(json_object_get(json_array_get(rows, 0), "trials"));
  json_decref(rows);
  if (count > 0 && !run->common.quiet)
    fprintf(stderr,
            "harness: %lld of these trials ran with another build of the program; --retry "
            "done repeats them\n",
            (long long)count);
}

/* Prints table and plot; returns the exit code that the state of the rows asks for. */
static int report(Run *run, bool interrupted, Error *error) {
  json_t *result;
  ResultChoice choice = {.plan = run->plan_id};
  if (!result_load(run->store, &choice, &result, error)) return cli_error(EXIT_UNFIT, error);
  table_print(result, run->json ? "json" : "text", stdout);
  fflush(stdout);
  int bad = 0, open = 0;
  const json_t *row;
  size_t i;
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    int done = (int)json_integer_value(json_object_get(row, "done"));
    int cells = (int)json_integer_value(json_object_get(row, "cells"));
    int waiting = (int)(json_integer_value(json_object_get(row, "planned")) +
                        json_integer_value(json_object_get(row, "interrupted")));
    open += waiting;
    bad += cells - done - waiting;
  }
  Error drawing = {""};
  char path[4400];
  if (!interrupted && plot_experiment(result, store_folder(run->store), path, &drawing)) {
    if (!run->common.quiet) fprintf(stderr, "harness: plot %s\n", path);
  } else if (drawing.text[0]) {
    fprintf(stderr, "harness: no plot: %s\n", drawing.text); /* the results stand without it */
  }
  json_decref(result);
  tell_other_builds(run);
  if (bad > 0)
    fprintf(stderr,
            "harness: %d trial%s did not end well; `harness runs list` shows which, "
            "--retry all runs %s again\n",
            bad, bad == 1 ? "" : "s", bad == 1 ? "it" : "them");
  if (interrupted && open > 0) return EXIT_INTERRUPTED;
  return bad > 0 || open > 0 ? EXIT_SOME_FAILED : EXIT_DONE;
}

static int execute(Run *run, Error *error) {
  int stale = 0;
  bool interrupted = false;
  bool good = data_prepare(json_object_get(run->plan, "data"), true, run->common.quiet,
                           run->data_hash, error) &&
              store_open(&run->store, run->common.db, STORE_WRITE, error) &&
              store_lock(run->store, &stale, error);
  if (good && stale && !run->common.quiet)
    fprintf(stderr, "harness: %d trial%s of a killed run %s marked interrupted\n", stale,
            stale == 1 ? "" : "s", stale == 1 ? "is" : "are");
  good = good &&
         store_add_plan(run->store, run->plan, run->data_hash, &run->plan_id, &run->trial,
                        &run->trials, error) &&
         schedule(run, &interrupted, error);
  if (!good) return cli_error(EXIT_UNFIT, error);
  return report(run, interrupted, error);
}

int command_run(int argc, char **argv) {
  Run run = {.file = NULL};
  Error error = {""};
  cli_parse(&cli, argc, argv, &run.common, &run);
  if (!run.file) {
    fail(&error, "harness run needs an experiment: FILE, such as experiments/query_count.lua");
    return cli_error(EXIT_USAGE, &error);
  }
  if (!read_plan(&run, &error)) return cli_error(EXIT_USAGE, &error);
  int code = run.dry_run ? dry_run(&run, &error) : execute(&run, &error);
  free(run.trial);
  store_close(run.store);
  json_decref(run.plan);
  return code;
}
