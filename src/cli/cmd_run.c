/* harness run: list cells, prepare data, run what is missing, print the table, draw the plot. */
#include <signal.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/backend.h"
#include "src/cli/cmd_report.h"
#include "src/cli/run.h"
#include "src/report/plot.h"
#include "src/report/table.h"

/* A change of the program or of a model's text marks results, it does not repeat them by itself. */
static void tell_marks(Run *run) {
  Error error = {""};
  Round *rounds[] = {&run->starts, &run->tries, &run->tables};
  for (int i = 0; i < 3; i++) {
    run_unmark(rounds[i]);
    if (!run_mark(run, rounds[i], &error))
      fprintf(stderr, "harness: %s\n", error.text);
    else if (!run->common.quiet)
      marks_tell(&rounds[i]->experiments, rounds[i]->marks, "harness: ", stderr);
  }
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
  ResultChoice choice = {.plan_id = run->tables.experiments.item[experiment].plan_id,
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
  bool array = run->json && run->tables.experiments.list;
  if (array) fputs("[\n", stdout);
  for (int p = 0; p < run->tables.experiments.count; p++)
    if (!show(run, p, interrupted, &outcome, error)) return cli_error(EXIT_UNFIT, error);
  if (array) fputs("]\n", stdout);
  fflush(stdout);
  if (run->tables.experiments.list && !interrupted) write_report(run);
  tell_marks(run);
  if (outcome.bad > 0)
    fprintf(stderr, "harness: %d trial%s did not end well; `harness runs list` shows which%s\n",
            outcome.bad, outcome.bad == 1 ? "" : "s",
            run->until.count ? "; what failed was replaced by the next seed"
                             : ", --retry all runs them again");
  /* open: also where a trial alone was told to end */
  if (outcome.open > 0 || run->goes_on) return EXIT_INTERRUPTED;
  return outcome.bad > 0 || run->tuning.lost ? EXIT_SOME_FAILED : EXIT_DONE;
}

/* What others start from and is missing. *there: all of it has weights by now; *open: what has none
 * was stopped, and goes on. */
static bool run_starts(Run *run, bool *interrupted, bool *there, bool *open, Error *error) {
  Experiments *starts = &run->starts.experiments;
  const char *folder = store_folder(run->store);
  if (!experiments_add_trials(starts, run->store, error)) return false;
  starts_reopen(starts, folder);
  if (starts->count && (!run_mark(run, &run->starts, error) ||
                        !run->hand_out(run, &run->starts, interrupted, error)))
    return false;
  *there = starts_lost(starts, folder, open) == 0;
  if (!*there)
    fprintf(stderr, "harness: trials wait for what they start from; the same command goes on\n");
  return true;
}

/* The tries of rates that are missing, and what they choose. *known: every row's rate is. */
static bool run_tries(Run *run, bool *interrupted, bool *known, Error *error) {
  Experiments *tables = &run->tables.experiments, *tries = &run->tries.experiments;
  Tuning *tuning = &run->tuning;
  *known = true;
  if (!tuning_asked(tables)) return true;
  tuning_list(tables, tries);
  if (!experiments_add_trials(tries, run->store, error) || !run_mark(run, &run->tries, error) ||
      !run->hand_out(run, &run->tries, interrupted, error))
    return false;
  for (int p = 0; p < tables->count; p++)
    if (!tuning_choose(&tables->item[p], &tries->item[p], run->store, false, tuning, error))
      return false;
  *known = tuning->open == 0 && !*interrupted;
  if (!*known)
    fprintf(stderr,
            "harness: %d of %d tries of rates have ended, and trials wait for what they choose; "
            "the same command goes on\n",
            tuning->tries - tuning->open, tuning->tries);
  if (*known && tuning->lost && until_asked(tables))
    return fail(error, "until=decided needs a rate for every row; --retry all, without until, runs "
                       "the tries that failed again");
  return true;
}

/* What is missing; until claims are decided, look by look; then those whose steps hang on what
 * others took. */
static bool run_trials(Run *run, bool *interrupted, Error *error) {
  int moved = 0, waiting = 0;
  bool asked = until_asked(&run->tables.experiments), more = false;
  run->until.quiet = run->common.quiet;
  run->until.jobs = asked ? run_jobs(run, until_threads(&run->tables.experiments)) : 1;
  if (asked && (!until_begin(&run->until, &run->tables.experiments, run->store, error) ||
                !until_step(&run->until, run->store, &more, error)))
    return false;
  if (!as_long_settle(&run->tables.experiments, run->store, &moved, &waiting, error)) return false;
  do {
    if (!experiments_store(&run->tables.experiments, run->store, error) ||
        !run_mark(run, &run->tables, error) ||
        !run->hand_out(run, &run->tables, interrupted, error))
      return false;
    run_unmark(&run->tables); /* while the trials are those that they are of */
    moved = waiting = 0;
    if (!until_step(&run->until, run->store, &more, error) ||
        !as_long_settle(&run->tables.experiments, run->store, &moved, &waiting, error))
      return false;
  } while ((more || moved) && !*interrupted && !run->until.over);
  if (waiting && !run->common.quiet)
    fprintf(stderr,
            "harness: %d trial%s for what others' trainings take before %s steps are known\n",
            waiting, waiting == 1 ? " waits" : "s wait", waiting == 1 ? "its" : "their");
  run->goes_on = until_end(&run->until, *interrupted);
  return more || run->until.count == 0 ||
         experiments_store(&run->tables.experiments, run->store, error);
}

/* SQLite's locks between machines are not to be relied on. */
static void tell_network(const Run *run) {
  const char *network = store_network(run->store);
  if (network && !run->common.quiet)
    fprintf(stderr,
            "harness: %s lies on a file system that machines share (%s): write it from one at a "
            "time; give others a database of their own (--db FILE), `harness merge` joins them\n",
            store_path(run->store), network);
}

static int execute(Run *run, Error *error) {
  int stale = 0;
  bool interrupted = false;
  for (int p = 0; p < run->tables.experiments.count && !run->place; p++)
    if (!strcmp(
            json_string_value(json_object_get(run->tables.experiments.item[p].document, "device")),
            "cuda"))
      run->place = "cuda";
  bool here = run_is_here(run);
  if (here && run->place && !backend_check(run->place, error)) return cli_error(EXIT_UNFIT, error);
  bool good = utf8_check(run->common.db, error) &&
              experiments_prepare(&run->tables.experiments, run->common.home, true,
                                  run->common.quiet, error) &&
              starts_settle(&run->tables.experiments, &run->starts.experiments, run->common.home,
                            true, run->common.quiet, error) &&
              store_open(&run->store, run->common.db, STORE_WRITE, error) &&
              (!here || store_lock(run->store, &stale, error));
  if (good && here) tell_network(run);
  if (good && !run->common.quiet) experiments_tell(&run->tables.experiments, "harness: ", stderr);
  if (good && stale && !run->common.quiet)
    fprintf(stderr, "harness: %d trial%s of a killed run %s marked interrupted\n", stale,
            stale == 1 ? "" : "s", stale == 1 ? "is" : "are");
  bool there = false, open = false, known = false;
  if (!good || !run_starts(run, &interrupted, &there, &open, error))
    return cli_error(EXIT_UNFIT, error);
  if (!there && run->submitted) return EXIT_DONE;
  if (!there) return interrupted || open ? EXIT_INTERRUPTED : EXIT_SOME_FAILED;
  if (!run_tries(run, &interrupted, &known, error)) return cli_error(EXIT_UNFIT, error);
  if (!known) return run->submitted ? EXIT_DONE : EXIT_INTERRUPTED;
  if (!run_trials(run, &interrupted, error)) return cli_error(EXIT_UNFIT, error);
  return run->submitted ? EXIT_DONE : report(run, interrupted, error);
}

static int read_and_execute(Run *run, Error *error) {
  Experiments *tables = &run->tables.experiments;
  if (run->device[0]) run->override[run->overrides++] = run->device; /* a flag beats a key */
  if (!experiments_read(tables, run->common.home, run->file, run->overrides, run->override, error))
    return cli_error(EXIT_USAGE, error);
  bool until = until_asked(tables);
  if (until && run->retries)
    fail(error, "until=decided goes by what is stored and replaces what failed by the next seed; "
                "it takes no --retry");
  else if (until && !run_is_here(run))
    fail(error,
         "until=decided looks at what is stored before it asks for more; on a cluster give a "
         "number, such as seeds=8");
  if (error->text[0]) return cli_error(EXIT_USAGE, error);
  return run->dry_run ? run->dry(run, error) : execute(run, error);
}

int run_file(Run *run) {
  Error error = {""};
  int code = read_and_execute(run, &error);
  store_close(run->store);
  until_free(&run->until);
  run_unmark(&run->starts);
  run_unmark(&run->tries);
  run_unmark(&run->tables);
  experiments_free(&run->starts.experiments);
  experiments_free(&run->tries.experiments);
  experiments_free(&run->tables.experiments);
  return code;
}

int command_run(int argc, char **argv) {
  Run run = run_defaults();
  Error error = {""};
  signal(SIGUSR1, SIG_IGN); /* while no trial runs there is nothing to keep */
  cli_parse(&run_cli, argc, argv, &run.common, &run);
  if (run.file) return run_file(&run);
  fail(&error, "harness run needs an experiment: FILE, such as experiments/query_count.lua");
  return cli_error(EXIT_USAGE, &error);
}
