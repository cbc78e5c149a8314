/* harness run --dry-run: what would run. */
#include "src/cli/run.h"

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
      printf(run_is_open(trial) ? "  (begins anew: %s has changed)" : "  (by another text of %s)",
             mark->file);
    if (mark->other_weights) printf("  (of weights that were replaced)");
    putchar('\n');
    free(label);
  }
}

static bool preview_looks(Run *run, Error *error) {
  if (!until_asked(&run->experiments)) return true;
  run->until.jobs = run_jobs(run, until_threads(&run->experiments));
  return until_preview(&run->until, &run->experiments, run->store, &run->common,
                       run->json ? NULL : stdout, error);
}

int run_dry(Run *run, Error *error) {
  bool exists = store_exists(run->common.db);
  bool good = experiments_prepare(&run->experiments, run->common.home, false, true, error) &&
              (!exists || store_open(&run->store, run->common.db, STORE_READ, error));
  good = good && preview_looks(run, error);
  for (int p = 0; good && p < run->experiments.count; p++) {
    Experiment *experiment = &run->experiments.item[p];
    good = store_preview(run->store, experiment->document, experiment->data_hash,
                         &experiment->trial, &experiment->trials, error);
  }
  if (!good || !run_mark(run, error)) return cli_error(EXIT_UNFIT, error);
  if (run->json) {
    experiments_print(&run->experiments, stdout);
    return EXIT_DONE;
  }
  Schedule work[2] = {{0}};
  char shared[64];
  good = run_collect(run, false, &work[0], error) && run_collect(run, true, &work[1], error);
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
