/* harness run: list cells, prepare data, run what is missing, print the table, draw the plot. */
#include <string.h>

#include "base/nearest.h"
#include "base/utf8.h"
#include "engine/backend.h"
#include "src/cli/cli.h"
#include "src/cli/cmd_report.h"
#include "src/cli/marks.h"
#include "src/cli/progress.h"
#include "src/cli/schedule.h"
#include "src/cli/until.h"
#include "src/data/batches/loader.h"
#include "src/data/sets/json_text.h"
#include "src/machine/environment.h"
#include "src/report/plot.h"
#include "src/report/table.h"

enum { OVERRIDES_MAX = 256 };

typedef struct Run {
  Common common;
  const char *file;
  char *override[OVERRIDES_MAX];
  int overrides;
  char device[64]; /* "device=cuda", empty: not given */
  int jobs;        /* 0: as many as the processors allow, on a GPU one */
  double timeout_s;
  bool retries, retry[STATUS_COUNT], retry_stale;
  bool dry_run, json;
  bool cases_fixed; /* in the tables it prints; no part of a trial */
  RunFlags flags;
  const char *place; /* "cuda:1" as given; NULL: cpu */
  Experiments experiments;
  Mark **marks; /* of each experiment's trials, before any ran */
  Until until;
  bool goes_on; /* its time was over */
  Store *store;
} Run;

enum {
  KEY_DRY = 'n',
  KEY_JOBS = 'j',
  KEY_DEVICE = 1,
  KEY_RETRY,
  KEY_TIMEOUT,
  KEY_JSON,
#define FLAG(field, option, argument, fallback, least, most, help) KEY_##field,
#define GIVEN(field)
#include "src/train/flags.def"
#undef FLAG
};

static const struct argp_option options[] = {
    {"dry-run", 'n', 0, 0, "Show what would run; change nothing", 0},
    {"device", KEY_DEVICE, "cpu|cuda", 0, "Where the trials compute; cuda:1 is the second GPU", 0},
    {"jobs", 'j', "N", 0, "Trials at a time (default: processors / threads of a trial)", 0},
    {"retry", KEY_RETRY, "CLASS,...", 0,
     "Run again what ended so: failed, oom, collapsed, timeout; `all` is these four; `done` may be "
     "named too, and `stale`: what ended with another text of its model's Lua files than today's, "
     "or "
     "scored weights that were replaced. "
     "Earlier attempts are kept",
     0},
    {"timeout", KEY_TIMEOUT, "S", 0, "Stop a trial after S seconds", 0},
    {"json", KEY_JSON, 0, 0, "The table (or, with --dry-run, the cells) as JSON", 0},
#define FLAG(field, option, argument, fallback, least, most, help)                                 \
  {option, KEY_##field, argument, 0, help, 0},
#include "src/train/flags.def"
#undef FLAG
    {0}};

static bool take_retry(char *text, Run *run, Error *error) {
  static const Status all[] = {STATUS_FAILED, STATUS_OOM, STATUS_COLLAPSED, STATUS_TIMEOUT};
  static const char *const names[] = {"failed", "oom",         "collapsed", "timeout",
                                      "done",   "interrupted", "all",       "stale"};
  for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
    Status status = STATUS_PLANNED;
    bool everything = !strcmp(word, "all"), stale = !strcmp(word, "stale");
    for (int i = 0; everything && i < 4; i++) run->retry[all[i]] = true;
    run->retry_stale = run->retry_stale || stale;
    if (everything || stale) continue;
    bool known = status_parse(word, &status) && status >= STATUS_DONE;
    if (!known)
      return fail(error,
                  "--retry \"%s\" is none of failed, oom, collapsed, timeout, done, stale and "
                  "all%s",
                  word, nearest_hint(word, names, 8, NULL).text);
    run->retry[status] = true;
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
  bool taken;
  if (!cli_cases(value, &run->cases_fixed, &taken, error)) return false;
  if (taken) return true;
  if (run->overrides == OVERRIDES_MAX - 1) return fail(error, "too many overrides");
  run->override[run->overrides++] = value;
  return true;
}

static bool take_device(const char *value, Run *run, Error *error) {
  static const char *const names[] = {"cpu", "cuda"};
  int number = 0, used = 0;
  bool numbered = sscanf(value, "cuda:%4d%n", &number, &used) == 1 && !value[used] && number >= 0;
  if (strcmp(value, "cpu") && strcmp(value, "cuda") && !numbered) {
    return fail(error, "--device is cpu or cuda, not \"%s\"%s", value,
                nearest_hint(value, names, 2, NULL).text);
  }
  snprintf(run->device, sizeof run->device, "device=%s", numbered ? "cuda" : value);
  run->flags.device_number = number;
  if (strcmp(value, "cpu")) run->place = value;
  return true;
}

static bool take_flag(const char *option, const char *value, int least, int most, int *flag,
                      Error *error) {
  double number = 1;
  if (value && !cli_number(option, value, least, &number, error)) return false;
  *flag = number <= most ? (int)number : -1;
  if (*flag == number) return true;
  return fail(error, "%s needs a whole number from %d to %d, not \"%s\"", option, least, most,
              value);
}

static bool take(int key, char *value, void *user, Error *error) {
  Run *run = user;
  double number;
  if (key == ' ') return take_operand(value, run, error);
  if (key == KEY_DEVICE) return take_device(value, run, error);
  if (key == KEY_RETRY) run->retries = true;
  if (key == KEY_RETRY) return take_retry(value, run, error);
  if (key == KEY_TIMEOUT) return cli_number("--timeout", value, 0.001, &run->timeout_s, error);
#define FLAG(field, option, argument, fallback, least, most, help)                                 \
  if (key == KEY_##field)                                                                          \
    return take_flag("--" option, value, least, most, &run->flags.field, error);
#include "src/train/flags.def"
#undef FLAG
#undef GIVEN
  if (key == KEY_JOBS) {
    bool good = cli_number("--jobs", value, 1, &number, error);
    if (good) run->jobs = (int)number;
    return good;
  }
  if (key == KEY_DRY) run->dry_run = true;
  if (key == KEY_JSON) run->json = true;
  return true;
}

static const Cli cli = {
    "run",
    "FILE [key=value ...]",
    "  harness run experiments/query_count.lua\n"
    "  harness run experiments/all.lua\n"
    "  harness run experiments/query_count.lua seeds=1 scale=small queries=1,2 --dry-run\n"
    "  harness run experiments/query_count.lua until=decided budget=2h\n",
    "Lists the cells of an experiment, runs those that are missing, each in a process of its own, "
    "and prints the table. Run again, it does only what is still missing. Keys are the "
    "experiment's and the model's options. seeds=N trains so many of each row; until=decided adds "
    "seeds until each claim of the paper is decided or out of reach, or the time of budget=2h (or "
    "90min; 2h where none is given) is over, and the same command goes on. A FILE that lists "
    "experiments runs them in one sweep "
    "and writes the report. FILE may also be what `--dry-run --json` prints.",
    options,
    take};

/* What was never tried, or stopped before its end. */
static bool is_open(const Cell *trial) {
  return trial->status == STATUS_PLANNED || trial->status == STATUS_RUNNING ||
         trial->status == STATUS_INTERRUPTED;
}

static bool wants(const Run *run, int experiment, int i) {
  const Cell *trial = &run->experiments.item[experiment].trial[i];
  return is_open(trial) || run->retry[trial->status] ||
         (run->retry_stale &&
          (run->marks[experiment][i].other_text || run->marks[experiment][i].other_weights));
}

/* What the trials are marked with, once all are listed. */
static bool read_marks(Run *run, Error *error) {
  run->marks = calloc((size_t)run->experiments.count + 1, sizeof(Mark *));
  CHECK(run->marks, "no memory for %d experiments", run->experiments.count);
  bool good = true;
  for (int p = 0; good && p < run->experiments.count; p++) {
    run->marks[p] = marks_read(run->store, run->common.home, &run->experiments.item[p], error);
    good = run->marks[p] != NULL;
  }
  return good;
}

static void free_marks(Run *run) {
  for (int p = 0; run->marks && p < run->experiments.count; p++)
    marks_free(run->marks[p], run->experiments.item[p].trials);
  free(run->marks);
  run->marks = NULL;
}

static int threads_of(const Cell *trial) {
  return (int)json_integer_value(json_object_get(trial->config, "threads"));
}

/* As many trials of so many threads run at a time. */
static int jobs_of(const Run *run, int threads) {
  int fitting = environment_cores() / threads;
  return run->jobs ? run->jobs : run->place || fitting < 1 ? 1 : fitting;
}

/* The trials of one kind (trained, or planned and timed) that are to run, with the most threads any
 * of them wants. */
static bool collect(const Run *run, bool only_planned, Schedule *work, Error *error) {
  work->task = calloc((size_t)experiments_trials(&run->experiments) + 1, sizeof *work->task);
  CHECK(work->task, "no memory for the trials to run");
  work->launch.threads = 1;
  for (int p = 0; p < run->experiments.count; p++) {
    const Experiment *experiment = &run->experiments.item[p];
    for (int i = 0; experiment_only_plans(experiment) == only_planned && i < experiment->trials;
         i++) {
      int threads = threads_of(&experiment->trial[i]);
      if (!wants(run, p, i) || experiments_repeated(&run->experiments, p, i)) continue;
      work->task[work->count++] = (Task){.trial = &experiment->trial[i],
                                         .label = experiments_label(&run->experiments, p, i)};
      if (threads > work->launch.threads) work->launch.threads = threads;
    }
  }
  return tasks_judge(work->task, work->count, run->store, run->common.home, error);
}

/* ---- dry run --------------------------------------------------------------------------------- */

/* The task of a trial; NULL: it is not to run. */
static const Task *task_of(const Schedule *work, const Cell *trial) {
  for (int i = 0; i < work->count; i++)
    if (work->task[i].trial == trial) return &work->task[i];
  return NULL;
}

static void print_dry(const Run *run, int experiment, const Schedule work[2]) {
  for (int i = 0; i < run->experiments.item[experiment].trials; i++) {
    const Cell *trial = &run->experiments.item[experiment].trial[i];
    const Mark *mark = &run->marks[experiment][i];
    const Task *task = task_of(&work[0], trial);
    if (!task) task = task_of(&work[1], trial);
    bool again = !task && experiments_repeated(&run->experiments, experiment, i);
    char *label = experiments_label(&run->experiments, experiment, i);
    printf("%.8s  %-11s  %-7s  %s", trial->hash, status_name(trial->status),
           task ? (task->scores ? "score" : "run") : (again ? "same" : "skip"), label);
    if (task && task->missing[0]) printf("  (trains: %s)", task->missing);
    if (mark->other_text)
      printf(is_open(trial) ? "  (begins anew: %s has changed)" : "  (by another text of %s)",
             mark->file);
    if (mark->other_weights) printf("  (of weights that were replaced)");
    putchar('\n');
    free(label);
  }
}

static bool preview_looks(Run *run, Error *error) {
  if (!until_asked(&run->experiments)) return true;
  run->until.jobs = jobs_of(run, until_threads(&run->experiments));
  return until_preview(&run->until, &run->experiments, run->store, &run->common,
                       run->json ? NULL : stdout, error);
}

static int dry_run(Run *run, Error *error) {
  bool exists = store_exists(run->common.db);
  bool good = experiments_prepare(&run->experiments, run->common.home, false, true, error) &&
              (!exists || store_open(&run->store, run->common.db, STORE_READ, error));
  good = good && preview_looks(run, error);
  for (int p = 0; good && p < run->experiments.count; p++) {
    Experiment *experiment = &run->experiments.item[p];
    good = store_preview(run->store, experiment->document, experiment->data_hash,
                         &experiment->trial, &experiment->trials, error);
  }
  if (!good || !read_marks(run, error)) return cli_error(EXIT_UNFIT, error);
  if (run->json) {
    experiments_print(&run->experiments, stdout);
    return EXIT_DONE;
  }
  Schedule work[2] = {{0}};
  char shared[64];
  good = collect(run, false, &work[0], error) && collect(run, true, &work[1], error);
  for (int p = 0; good && p < run->experiments.count; p++) print_dry(run, p, work);
  if (good) {
    experiments_tell_overridden(&run->experiments, "", stdout);
    marks_tell(&run->experiments, run->marks, "", stdout);
    printf("%d of %d trials would run%s\n", work[0].count + work[1].count,
           experiments_trials(&run->experiments),
           tasks_shared(work[0].task, work[0].count, shared));
  }
  for (int k = 0; k < 2; k++) tasks_free(work[k].task, work[k].count);
  return good ? EXIT_DONE : cli_error(EXIT_UNFIT, error);
}

/* ---- the run --------------------------------------------------------------------------------- */

static bool schedule_kind(Run *run, Schedule *work, bool only_planned, bool *interrupted,
                          Error *error) {
  int cores = environment_cores();
  bool one_by_one = only_planned && !run->jobs; /* they are timed */
  work->jobs = one_by_one ? 1 : jobs_of(run, work->launch.threads);
  if (work->jobs > work->count) work->jobs = work->count;
  work->launch.pin = work->jobs * work->launch.threads <= cores;
  json_t *environment = environment_capture(run->common.home, run->place, run->flags.deterministic);
  bool good = store_environment(run->store, environment, &work->environment, error) &&
              schedule_run(work, interrupted, error);
  json_decref(environment);
  return good;
}

static bool schedule(Run *run, bool *interrupted, Error *error) {
  const char *stand_in = getenv("HARNESS_TRIAL_PROGRAM"); /* for tests: a program in place of us */
  int all = experiments_trials(&run->experiments);
  bool good = true;
  int total = 0;
  run->until.over = false;
  for (int only_planned = 0; only_planned < 2 && good && !*interrupted; only_planned++) {
    char shared[64];
    Schedule work = {.store = run->store,
                     .home = run->common.home,
                     .timeout_s = run->timeout_s,
                     .deadline = run->until.deadline,
                     .trial_s = run->until.trial_s,
                     .quiet = run->common.quiet,
                     .launch = {.program = stand_in && stand_in[0] ? stand_in : "/proc/self/exe",
                                .folder = store_folder(run->store),
                                .flags = run->flags}};
    good = collect(run, only_planned, &work, error);
    total += work.count;
    if (!run->common.quiet && (work.count > 0 || (only_planned && total == 0)))
      fprintf(stderr, "harness: %d of %d trials to run%s\n", work.count, all,
              tasks_shared(work.task, work.count, shared));
    if (good && work.count > 0) good = schedule_kind(run, &work, only_planned, interrupted, error);
    tasks_free(work.task, work.count);
    run->until.over = run->until.over || work.over;
  }
  return good;
}

/* A change of the program or of a model's text marks results, it does not repeat them by itself. */
static void tell_marks(Run *run) {
  Error error = {""};
  free_marks(run);
  if (!read_marks(run, &error))
    fprintf(stderr, "harness: %s\n", error.text);
  else if (!run->common.quiet)
    marks_tell(&run->experiments, run->marks, "harness: ", stderr);
}

typedef struct Outcome {
  int bad, open; /* cells that did not end well; that have not ended */
} Outcome;

/* A collapse where the paper reports one (Table 5, 1 : 1) is the result that was asked for. */
static void add_outcome(const Result *result, Outcome *outcome) {
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    int waiting = row->status[STATUS_PLANNED] + row->status[STATUS_INTERRUPTED];
    bool asked = !strcmp(row->paper_word, "collapse");
    int good = row->status[STATUS_DONE] + (asked ? row->status[STATUS_COLLAPSED] : 0);
    outcome->open += waiting;
    outcome->bad += row->cells - good - waiting;
  }
}

/* The results stand without a picture, so its failure is only told. */
static void draw(const Run *run, const Result *result) {
  Error drawing = {""};
  char path[PLOT_PATH];
  const PlotOf of = {run->store, store_folder(run->store), result, 0};
  bool good = plot_find("", result)->draw(&of, path, &drawing);
  if (!good) fprintf(stderr, "harness: no plot: %s\n", drawing.text);
  if (good && !run->common.quiet) fprintf(stderr, "harness: plot %s\n", path);
}

/* Prints an experiment's table and draws its plot. */
static bool show(const Run *run, int experiment, bool interrupted, Outcome *outcome, Error *error) {
  Result *result;
  ResultChoice choice = {.plan_id = run->experiments.item[experiment].plan_id,
                         .home = run->common.home,
                         .cases_fixed = run->cases_fixed};
  if (!result_load(run->store, &choice, &result, error)) return false;
  if (run->json && experiment > 0) fputs(",\n", stdout);
  if (!run->json && experiment > 0) fputs("\n\n", stdout);
  table_print(result, run->json ? "json" : "text", stdout);
  fflush(stdout);
  add_outcome(result, outcome);
  if (!interrupted) draw(run, result);
  result_free(result);
  return true;
}

/* A list of experiments ends with the report; the results stand without it too. */
static void write_report(const Run *run) {
  Error error = {""};
  char path[4400];
  ResultChoice newest = {.cases_fixed = run->cases_fixed};
  snprintf(path, sizeof path, "%.4300s/report.html", store_folder(run->store));
  if (report_make(&run->common, run->store, &newest, path, &error) != EXIT_DONE)
    fprintf(stderr, "harness: no report: %s\n", error.text);
  else if (!run->common.quiet)
    fprintf(stderr, "harness: report %s\n", path);
}

/* Prints tables and plots; returns the exit code that the state of the rows asks for. */
static int report(Run *run, bool interrupted, Error *error) {
  Outcome outcome = {0, 0};
  bool array = run->json && run->experiments.list;
  if (array) fputs("[\n", stdout);
  for (int p = 0; p < run->experiments.count; p++)
    if (!show(run, p, interrupted, &outcome, error)) return cli_error(EXIT_UNFIT, error);
  if (array) fputs("]\n", stdout);
  fflush(stdout);
  if (run->experiments.list && !interrupted) write_report(run);
  tell_marks(run);
  if (outcome.bad > 0)
    fprintf(stderr, "harness: %d trial%s did not end well; `harness runs list` shows which%s\n",
            outcome.bad, outcome.bad == 1 ? "" : "s",
            run->until.count ? "; what failed was replaced by the next seed"
                             : ", --retry all runs them again");
  if ((interrupted && outcome.open > 0) || run->goes_on) return EXIT_INTERRUPTED;
  return outcome.bad > 0 || outcome.open > 0 ? EXIT_SOME_FAILED : EXIT_DONE;
}

/* What is missing; until claims are decided, look by look. */
static bool run_trials(Run *run, bool *interrupted, Error *error) {
  bool asked = until_asked(&run->experiments), more = false;
  run->until.quiet = run->common.quiet;
  run->until.jobs = asked ? jobs_of(run, until_threads(&run->experiments)) : 1;
  if (asked && (!until_begin(&run->until, &run->experiments, run->store, error) ||
                !until_step(&run->until, run->store, &more, error)))
    return false;
  do {
    if (!experiments_store(&run->experiments, run->store, error) || !read_marks(run, error) ||
        !schedule(run, interrupted, error))
      return false;
    free_marks(run); /* while the trials are those that they are of */
    if (!until_step(&run->until, run->store, &more, error)) return false;
  } while (more && !*interrupted && !run->until.over);
  run->goes_on = until_end(&run->until, *interrupted);
  return more || run->until.count == 0 || experiments_store(&run->experiments, run->store, error);
}

static int execute(Run *run, Error *error) {
  int stale = 0;
  bool interrupted = false;
  for (int p = 0; p < run->experiments.count && !run->place; p++)
    if (!strcmp(json_string_value(json_object_get(run->experiments.item[p].document, "device")),
                "cuda"))
      run->place = "cuda";
  if (run->place && !backend_check(run->place, error)) return cli_error(EXIT_UNFIT, error);
  bool good =
      utf8_check(run->common.db, error) &&
      experiments_prepare(&run->experiments, run->common.home, true, run->common.quiet, error) &&
      store_open(&run->store, run->common.db, STORE_WRITE, error) &&
      store_lock(run->store, &stale, error);
  if (good && !run->common.quiet)
    experiments_tell_overridden(&run->experiments, "harness: ", stderr);
  if (good && stale && !run->common.quiet)
    fprintf(stderr, "harness: %d trial%s of a killed run %s marked interrupted\n", stale,
            stale == 1 ? "" : "s", stale == 1 ? "is" : "are");
  if (!good || !run_trials(run, &interrupted, error)) return cli_error(EXIT_UNFIT, error);
  return report(run, interrupted, error);
}

int command_run(int argc, char **argv) {
  Run run = {.flags = config_flags(NULL)};
  Error error = {""};
  cli_parse(&cli, argc, argv, &run.common, &run);
  if (!run.file) {
    fail(&error, "harness run needs an experiment: FILE, such as experiments/query_count.lua");
    return cli_error(EXIT_USAGE, &error);
  }
  if (run.device[0]) run.override[run.overrides++] = run.device; /* a flag beats a key */
  int code = EXIT_USAGE;
  if (!experiments_read(&run.experiments, run.common.home, run.file, run.overrides, run.override,
                        &error))
    code = cli_error(EXIT_USAGE, &error);
  else if (until_asked(&run.experiments) && run.retries) {
    fail(&error, "until=decided goes by what is stored and replaces what failed by the next seed; "
                 "it takes no --retry");
    code = cli_error(EXIT_USAGE, &error);
  } else
    code = run.dry_run ? dry_run(&run, &error) : execute(&run, &error);
  store_close(run.store);
  until_free(&run.until);
  free_marks(&run);
  experiments_free(&run.experiments);
  return code;
}
