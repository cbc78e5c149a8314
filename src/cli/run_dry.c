/* harness run --dry-run: what would run. */
#include <string.h>

#include "engine/backend.h"
#include "src/cli/data_recall.h"
#include "src/cli/forecast.h"
#include "src/cli/run.h"

/* The task of a trial; NULL: it is not to run. */
static const Task *task_of(const Schedule *work, const Cell *trial) {
  for (int i = 0; i < work->count; i++)
    if (work->task[i].trial == trial) return &work->task[i];
  return NULL;
}

static void print_trial(const Round *round, int experiment, int i, const Schedule work[2],
                        Forecast *forecast) {
  const Experiments *experiments = &round->experiments;
  const Cell *trial = &experiments->item[experiment].trial[i];
  const Mark *mark = &round->marks[experiment][i];
  const Task *task = task_of(&work[0], trial);
  if (!task) task = task_of(&work[1], trial);
  bool again = !task && experiments_repeated(experiments, experiment, i);
  char *label = experiments_label(experiments, experiment, i);
  printf("%.8s  %-11s  %-7s  %s", trial->hash, status_name(trial->status),
         task ? (task->scores ? "score" : "run") : (again ? "same" : "skip"), label);
  if (task && task->missing[0]) printf("  (trains: %s)", task->missing);
  if (mark->other_text)
    printf(run_is_open(trial) ? "  (begins anew: %s has changed)" : "  (by another text of %s)",
           mark->file);
  if (mark->other_weights) printf("  (of weights that were replaced)");
  Error why = {""};
  const json_t *document = experiments->item[experiment].document;
  if (forecast && task && !task->scores && !forecast_add(forecast, document, trial, &why))
    printf("  (would fail: %s)", why.text);
  putchar('\n');
  free(label);
}

/* Its trials, a line each, and how many would run. */
static bool print_round(const Run *run, const Round *round, Forecast *forecast, Error *error) {
  const Experiments *experiments = &round->experiments;
  Schedule work[2] = {{0}};
  char shared[64];
  bool good = run_collect(run, round, false, &work[0], error) &&
              run_collect(run, round, true, &work[1], error);
  for (int p = 0; good && p < experiments->count; p++)
    for (int i = 0; i < experiments->item[p].trials; i++) print_trial(round, p, i, work, forecast);
  if (good && round == &run->tables) experiments_tell(experiments, "", stdout);
  if (good) marks_tell(experiments, round->marks, "", stdout);
  if (good)
    printf("%d of %d %s would run%s\n", work[0].count + work[1].count,
           experiments_trials(experiments), round->what,
           tasks_shared(work[0].task, work[0].count, shared));
  for (int k = 0; k < 2; k++) tasks_free(work[k].task, work[k].count);
  return good;
}

/* Of rows without a rate yet no trial can be named, nor looks be planned. waiting: their trials. */
static bool drop_waiting(const Run *run, Experiment *experiment, const Tuning *tuning, json_t *seen,
                         int *waiting, Error *error) {
  json_t *document = experiment->document;
  if (run->json || (!tuning->open && !tuning->lost)) return true;
  if (json_object_get(document, "until"))
    printf("%s: its looks are planned once all rates are known\n",
           json_string_value(json_object_get(document, "experiment")));
  json_object_del(document, "until");
  return tuning_drop(experiment, seen, waiting, error);
}

/* What the tries choose already. */
static bool preview_choices(Run *run, int *waiting, Error *error) {
  Experiments *tables = &run->tables.experiments;
  json_t *seen = json_object();
  bool good = true;
  for (int p = 0; good && p < tables->count; p++) {
    Experiment *experiment = &tables->item[p];
    Tuning tuning = {0};
    good = tuning_choose(experiment, &run->tries.experiments.item[p], run->store, run->json,
                         &tuning, error) &&
           drop_waiting(run, experiment, &tuning, seen, waiting, error);
    run->tuning.open += tuning.open;
    run->tuning.lost += tuning.lost;
  }
  json_decref(seen);
  return good;
}

/* The tries of rates. *waiting: trials that hang on what they choose. */
static bool preview_tries(Run *run, Forecast *forecast, int *waiting, Error *error) {
  Experiments *tables = &run->tables.experiments, *tries = &run->tries.experiments;
  if (!tuning_asked(tables)) return true;
  tuning_list(tables, tries);
  return experiments_preview(tries, run->store, error) && preview_choices(run, waiting, error) &&
         (run->json ||
          (run_mark(run, &run->tries, error) && print_round(run, &run->tries, forecast, error)));
}

/* What others start from, as it is stored. */
static bool preview_starts(Run *run, Forecast *forecast, Error *error) {
  Experiments *starts = &run->starts.experiments;
  if (!starts->count) return true;
  if (!experiments_preview(starts, run->store, error)) return false;
  if (run->store) starts_reopen(starts, store_folder(run->store));
  return run->json ||
         (run_mark(run, &run->starts, error) && print_round(run, &run->starts, forecast, error));
}

static bool preview_looks(Run *run, Error *error) {
  Experiments *experiments = &run->tables.experiments;
  bool known = !run->tuning.open && !run->tuning.lost;
  if (!until_asked(experiments) || (run->json && !known)) return true;
  run->until.jobs = run_jobs(run, until_threads(experiments));
  return until_preview(&run->until, experiments, run->store, &run->common,
                       run->json ? NULL : stdout, error);
}

/* What a run asks of its device. */
static bool device_works(Run *run, Error *error) {
  for (int p = 0; p < run->tables.experiments.count && !run->place; p++) {
    const json_t *device = json_object_get(run->tables.experiments.item[p].document, "device");
    if (!strcmp(json_string_value(device), "cuda")) run->place = "cuda";
  }
  return !run->place || !run_is_here(run) || backend_check(run->place, error);
}

/* Shows everything. */
static int preview(Run *run, Forecast *forecast, Error *error) {
  Experiments *experiments = &run->tables.experiments;
  bool exists = store_exists(run->common.db);
  int waiting = 0, moved = 0, later = 0;
  bool good =
      (run->json || device_works(run, error)) &&
      experiments_prepare(experiments, run->common.home, false, true, error) &&
      starts_settle(experiments, &run->starts.experiments, run->common.home, false, true, error) &&
      (!exists || store_open(&run->store, run->common.db, STORE_READ, error)) &&
      data_recall(experiments, run->store, error) &&
      data_recall(&run->starts.experiments, run->store, error) &&
      preview_starts(run, forecast, error) && preview_tries(run, forecast, &waiting, error) &&
      preview_looks(run, error) && as_long_settle(experiments, run->store, &moved, &later, error);
  for (int p = 0; good && p < experiments->count; p++) {
    Experiment *experiment = &experiments->item[p];
    good = store_preview(run->store, experiment->document, experiment->data_hash,
                         &experiment->trial, &experiment->trials, error);
  }
  if (!good || !run_mark(run, &run->tables, error)) return cli_error(EXIT_UNFIT, error);
  if (run->json) {
    experiments_print(experiments, stdout);
    return EXIT_DONE;
  }
  if (!print_round(run, &run->tables, forecast, error)) return cli_error(EXIT_UNFIT, error);
  if (waiting) printf("%d more wait for the rates that the tries choose\n", waiting);
  if (later) printf("%d more wait for what others' trainings take\n", later);
  return EXIT_DONE;
}

/* The hours, and the code that says whether all could run. */
static int tell_forecast(const Run *run, const Forecast *forecast) {
  forecast_print(forecast, run->place ? "cuda" : "cpu",
                 run_jobs(run, forecast->threads > 0 ? forecast->threads : 1), stdout);
  return forecast->failing ? EXIT_UNFIT : EXIT_DONE;
}

int run_dry(Run *run, Error *error) {
  Forecast forecast = {.home = run->common.home, .db = run->common.db};
  bool here = run_is_here(run); /* what can be built elsewhere is not known here */
  int code = preview(run, here ? &forecast : NULL, error);
  if (code == EXIT_DONE && !run->json && here) code = tell_forecast(run, &forecast);
  forecast_free(&forecast);
  return code;
}
