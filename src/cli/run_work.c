/* Which trials of a run are to run, and how they are handed out. */
#include <stdlib.h>
#include <string.h>

#include "src/cli/run.h"
#include "src/machine/environment.h"

bool run_is_open(const Cell *trial) {
  return trial->status == STATUS_PLANNED || trial->status == STATUS_RUNNING ||
         trial->status == STATUS_INTERRUPTED;
}

static bool wants(const Run *run, const Round *round, int experiment, int i) {
  const Cell *trial = &round->experiments.item[experiment].trial[i];
  const Mark *mark = &round->marks[experiment][i];
  return run_is_open(trial) || run->retry[trial->status] ||
         (run->retry_stale && (mark->other_text || mark->other_weights));
}

bool run_mark(const Run *run, Round *round, Error *error) {
  const Experiments *experiments = &round->experiments;
  round->marks = calloc((size_t)experiments->count + 1, sizeof(Mark *));
  CHECK(round->marks, "no memory for %d experiments", experiments->count);
  bool good = true;
  for (int p = 0; good && p < experiments->count; p++) {
    round->marks[p] = marks_read(run->store, run->common.home, &experiments->item[p], error);
    good = round->marks[p] != NULL;
  }
  return good;
}

void run_unmark(Round *round) {
  for (int p = 0; round->marks && p < round->experiments.count; p++)
    marks_free(round->marks[p], round->experiments.item[p].trials);
  free(round->marks);
  round->marks = NULL;
}

static int threads_of(const Cell *trial) {
  return (int)json_integer_value(json_object_get(trial->config, "threads"));
}

int run_jobs(const Run *run, int threads) {
  int fitting = environment_cores() / threads;
  return run->jobs ? run->jobs : run->place || fitting < 1 ? 1 : fitting;
}

bool run_collect(const Run *run, const Round *round, bool only_planned, Schedule *work,
                 Error *error) {
  const Experiments *experiments = &round->experiments;
  work->task = calloc((size_t)experiments_trials(experiments) + 1, sizeof *work->task);
  CHECK(work->task, "no memory for the trials to run");
  work->launch.threads = 1;
  for (int p = 0; p < experiments->count; p++) {
    const Experiment *experiment = &experiments->item[p];
    for (int i = 0; experiment_only_plans(experiment) == only_planned && i < experiment->trials;
         i++) {
      int threads = threads_of(&experiment->trial[i]);
      if (!wants(run, round, p, i) || experiments_repeated(experiments, p, i)) continue;
      work->task[work->count++] =
          (Task){.trial = &experiment->trial[i], .label = experiments_label(experiments, p, i)};
      if (threads > work->launch.threads) work->launch.threads = threads;
    }
  }
  return tasks_judge(work->task, work->count, run->store, run->common.home, error);
}

static bool schedule_kind(Run *run, Schedule *work, bool only_planned, bool *interrupted,
                          Error *error) {
  int cores = environment_cores();
  bool one_by_one = only_planned && !run->jobs; /* they are timed */
  work->jobs = one_by_one ? 1 : run_jobs(run, work->launch.threads);
  if (work->jobs > work->count) work->jobs = work->count;
  work->launch.pin = work->jobs * work->launch.threads <= cores;
  json_t *environment = environment_capture(run->place, run->flags.deterministic);
  bool good = store_environment(run->store, environment, &work->environment, error) &&
              schedule_run(work, interrupted, error);
  json_decref(environment);
  return good;
}

bool run_schedule(Run *run, Round *round, bool *interrupted, Error *error) {
  const char *stand_in = getenv("HARNESS_TRIAL_PROGRAM"); /* for tests: a program in place of us */
  int all = experiments_trials(&round->experiments);
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
    good = run_collect(run, round, only_planned, &work, error);
    total += work.count;
    if (!run->common.quiet && (work.count > 0 || (only_planned && total == 0)))
      fprintf(stderr, "harness: %d of %d %s to run%s\n", work.count, all, round->what,
              tasks_shared(work.task, work.count, shared));
    if (good && work.count > 0) good = schedule_kind(run, &work, only_planned, interrupted, error);
    tasks_free(work.task, work.count);
    run->until.over = run->until.over || work.over;
  }
  return good;
}
