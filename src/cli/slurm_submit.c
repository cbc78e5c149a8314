/* What a round of a run still lacks becomes a plan, a job script and an array job. */
#define _GNU_SOURCE /* asprintf */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/paths.h"
#include "base/whole_file.h"
#include "src/cli/claims.h"
#include "src/cli/slurm.h"
#include "src/machine/environment.h"

/* ---- units of work --------------------------------------------------------------------------- */

/* Steps times voxels: what orders trials, and what a worker learns the price of. */
static double cost_of(const json_t *config) {
  const json_t *patch = json_object_get(config, "patch"), *batch = json_object_get(config, "batch");
  double cost = json_number_value(json_object_get(config, "steps"));
  for (size_t i = 0; i < json_array_size(patch); i++)
    cost *= json_number_value(json_array_get(patch, i));
  if (json_is_number(batch)) cost *= json_number_value(batch);
  return cost > 0 ? cost : 1;
}

/* Where a task's trial stands: its experiment and its cell there. */
static json_t *place_of(const Round *round, const Task *task) {
  for (int p = 0; p < round->experiments.count; p++) {
    const Experiment *one = &round->experiments.item[p];
    if (task->trial < one->trial || task->trial >= one->trial + one->trials) continue;
    bool goes_on =
        task->trial->status == STATUS_INTERRUPTED || task->trial->status == STATUS_TIMEOUT;
    return json_pack("{s:i,s:i,s:s,s:b}", "experiment", p, "cell", (int)(task->trial - one->trial),
                     "label", task->label, "goes_on", goes_on);
  }
  CHECK(false, "a task of no experiment");
}

static void add_trial(json_t *unit, const Round *round, const Task *task) {
  double cost = json_number_value(json_object_get(unit, "cost"));
  double own = task->scores ? 0 : cost_of(task->trial->config);
  json_object_set_new(unit, "cost", json_real(cost + own));
  json_array_append_new(json_object_get(unit, "trials"), json_string(task->trial->hash));
  json_array_append_new(json_object_get(unit, "cells"), place_of(round, task));
}

static json_t *new_unit(const Task *task) {
  return json_pack("{s:s,s:s,s:f,s:[],s:[]}", "name", task->trial->hash, "label", task->label,
                   "cost", 0.0, "trials", "cells");
}

/* Trials that share a training are one unit: one of them trains, and the others score what it kept.
 * Those of a training whose weights are kept here are left: *kept. */
static void add_tasks(json_t *units, const Round *round, const Schedule *work, int *kept) {
  json_t *of = json_object(); /* a training's unit, by its hash; null: it is kept here */
  for (int i = 0; i < work->count; i++) {
    const Task *task = &work->task[i];
    const char *training = task->trial->training;
    json_t *unit = training[0] ? json_object_get(of, training) : NULL;
    if (!unit) {
      unit = task->scores ? json_null() : new_unit(task);
      if (training[0]) json_object_set(of, training, unit);
      if (!json_is_null(unit)) json_array_append(units, unit);
      json_decref(unit);
    }
    if (json_is_null(unit))
      ++*kept;
    else
      add_trial(unit, round, task);
  }
  json_decref(of);
}

static int by_cost(const void *a, const void *b) {
  double x = json_number_value(json_object_get(*(json_t *const *)a, "cost"));
  double y = json_number_value(json_object_get(*(json_t *const *)b, "cost"));
  return x > y ? -1 : x < y;
}

static json_t *longest_first(json_t *units) {
  size_t count = json_array_size(units);
  json_t **list = calloc(count + 1, sizeof *list), *sorted = json_array();
  CHECK(list, "no memory for %zu units", count);
  for (size_t i = 0; i < count; i++) list[i] = json_array_get(units, i);
  qsort(list, count, sizeof *list, by_cost);
  for (size_t i = 0; i < count; i++) json_array_append(sorted, list[i]);
  free(list);
  json_decref(units);
  return sorted;
}

/* What the round lacks, longest first; *threads that a trial wants at most. */
static bool list_units(const Run *run, const Round *round, json_t **units, int *threads, int *kept,
                       Error *error) {
  bool good = true;
  *units = json_array();
  *threads = 1;
  *kept = 0;
  for (int only_planned = 0; good && only_planned < 2; only_planned++) {
    Schedule work = {.store = run->store};
    good = run_collect(run, round, only_planned, &work, error);
    if (good) add_tasks(*units, round, &work, kept);
    if (good && work.count && work.launch.threads > *threads) *threads = work.launch.threads;
    tasks_free(work.task, work.count);
  }
  *units = longest_first(*units);
  return good;
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* A unit that was done and is asked for again (it failed and --retry names that, or was taken back)
 * has another turn, and so has one that was given up. What became done while this program looked is
 * no reason: `done`, the names of before. */
static bool take_turn(const Claims *claims, json_t *unit, const json_t *done, Error *error) {
  char name[CLAIM_NAME];
  const char *hash = json_string_value(json_array_get(json_object_get(unit, "trials"), 0));
  bool over = true;
  for (int turn = 0; over; turn++) {
    ClaimState state;
    snprintf(name, sizeof name, "%.32s.%d", hash, turn);
    if (!claims_look(claims, name, &state, error)) return false;
    over = json_object_get(done, name) || state.given_up;
  }
  json_object_set_new(unit, "name", json_string(name));
  return true;
}

static bool take_turns(SlurmSite *site, json_t *units, const json_t *done, Error *error) {
  const Claims claims = {
      .folder = site->folder, .worker = site->worker, .lives = slurm_lives, .user = site};
  json_t *unit;
  size_t i;
  json_array_foreach(units, i, unit) {
    if (!take_turn(&claims, unit, done, error)) return false;
  }
  return true;
}

/* ---- the folder ------------------------------------------------------------------------------ */

static void add_name(char **name, const char *text) {
  char *longer;
  int length = asprintf(&longer, "%s%s", *name, text);
  CHECK(length >= 0, "no memory for a name");
  free(*name);
  *name = longer;
}

/* NAME-HASH: the file's name, and the hash of all trials that the round asks for. */
static char *sweep_folder(const Run *run, const Round *round) {
  const char *slash = strrchr(run->file, '/');
  char *name = strdup(slash ? slash + 1 : run->file), *hashes = strdup(""), hash[HASH_BYTES];
  CHECK(name && hashes, "no memory for a name");
  if (strrchr(name, '.')) *strrchr(name, '.') = 0;
  for (char *at = name; *at; at++)
    if (!isalnum((unsigned char)*at) && *at != '_') *at = '-';
  if (round == &run->starts) add_name(&name, "-starts");
  if (round == &run->tries) add_name(&name, "-tries");
  for (int p = 0; p < round->experiments.count; p++)
    for (int i = 0; i < round->experiments.item[p].trials; i++)
      add_name(&hashes, round->experiments.item[p].trial[i].hash);
  text_hash(hashes, hash);
  char *root = slurm_root(run->common.db), *folder;
  int length = asprintf(&folder, "%s/%.80s-%.8s", root, name, hash);
  CHECK(length >= 0, "no memory for a path");
  free(root);
  free(name);
  free(hashes);
  return folder;
}

static bool make_folders(const char *folder, Error *error) {
  static const char *const names[] = {"claims", "done", "shards", "log", "arrays"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    char *path = path_join(folder, names[i]);
    bool good =
        path_make(path) || fail(error, "%s: cannot make the folder: %s", path, strerror(errno));
    free(path);
    if (!good) return false;
  }
  return true;
}

/* ---- its files ------------------------------------------------------------------------------- */

/* Numbers as they are: a trial is known by them. */
static bool write_json(const char *folder, const json_t *plan, Error *error) {
  char *path = path_join(folder, "plan.json");
  char *text = json_dumps(plan, JSON_COMPACT | JSON_SORT_KEYS);
  CHECK(text, "a plan cannot be written as JSON");
  bool good = whole_text(path, text, error);
  free(text);
  free(path);
  return good;
}

static bool write_plan(const Run *run, const Round *round, const char *folder, json_t *units,
                       Error *error) {
  json_t *documents = json_array(), *hashes = json_array(), *flags = json_object();
  char *results = realpath(store_folder(run->store), NULL), binary[17];
  environment_binary(binary);
  config_put_flags(flags, &run->flags);
  for (int p = 0; p < round->experiments.count; p++) {
    json_array_append(documents, round->experiments.item[p].document);
    json_array_append_new(hashes, json_string(round->experiments.item[p].data_hash));
  }
  json_t *plan =
      json_pack("{s:i,s:s,s:o,s:o,s:O,s:o,s:s,s:s}", "form", 1, "program", binary, "experiments",
                documents, "data", hashes, "units", units, "flags", flags, "place",
                run->place ? run->place : "", "results", results ? results : "");
  free(results);
  CHECK(plan, "a plan cannot be written as JSON");
  bool good = write_json(folder, plan, error);
  json_decref(plan);
  return good;
}

/* ---- a round --------------------------------------------------------------------------------- */

/* The units that are done by now, as keys. */
static json_t *done_now(const char *folder) {
  char *path = path_join(folder, "done");
  json_t *names = slurm_names(path), *done = json_object(), *name;
  size_t i;
  json_array_foreach(names, i, name) {
    json_object_set_new(done, json_string_value(name), json_true());
  }
  json_decref(names);
  free(path);
  return done;
}

/* What the shards have brought to the trials of the round. */
static bool read_states(Run *run, Round *round, Error *error) {
  for (int p = 0; p < round->experiments.count; p++)
    for (int i = 0; i < round->experiments.item[p].trials; i++)
      if (!store_state(run->store, &round->experiments.item[p].trial[i], error)) return false;
  if (round == &run->starts) starts_reopen(&round->experiments, store_folder(run->store));
  run_unmark(round);
  return run_mark(run, round, error);
}

static void tell_waiting(const Run *run, const SlurmSite *site, int units, int tasks) {
  if (!run->common.quiet)
    fprintf(stderr,
            "harness: %d task%s of %s %s in the queue, for %d of the %s; `harness slurm status` "
            "shows them, and the same command later joins what they came to\n",
            tasks, tasks == 1 ? "" : "s", strrchr(site->folder, '/') + 1, tasks == 1 ? "is" : "are",
            units, "trials that are missing");
}

static bool submit_units(Slurm *slurm, Round *round, SlurmSite *site, json_t *units, int threads,
                         const json_t *done, Error *error) {
  char array[32];
  int count = (int)json_array_size(units), tasks = slurm_tasks(slurm, count);
  if (!take_turns(site, units, done, error) ||
      !write_plan(&slurm->run, round, site->folder, units, error) ||
      !slurm_submit(slurm, site->folder, tasks, threads, array, error))
    return false;
  slurm->run.submitted = true;
  if (!slurm->run.common.quiet)
    fprintf(stderr,
            "harness: job %s with %d task%s for %d of the %s: %s\nharness: `harness slurm status` "
            "shows them, and the same command later joins what they came to\n",
            array, tasks, tasks == 1 ? "" : "s", count, round->what, site->folder);
  return true;
}

static bool hand_out(Slurm *slurm, Round *round, SlurmSite *site, Error *error) {
  Run *run = &slurm->run;
  json_t *done = done_now(site->folder), *units = NULL;
  MergeCount count;
  int threads = 1, kept = 0, queued = 0;
  bool good = slurm_join(run->store, site, &count, error) && read_states(run, round, error) &&
              list_units(run, round, &units, &threads, &kept, error);
  if (good && count.attempts && !run->common.quiet)
    fprintf(stderr, "harness: %d attempt%s of %d trial%s joined\n", count.attempts,
            count.attempts == 1 ? "" : "s", count.trials, count.trials == 1 ? "" : "s");
  if (good && kept)
    fprintf(
        stderr,
        "harness: %d trial%s only score%s weights that are kept here: `harness run` does that\n",
        kept, kept == 1 ? "" : "s", kept == 1 ? "s" : "");
  if (good && json_array_size(units)) {
    queued = slurm_open_tasks(site);
    if (queued > 0) {
      run->submitted = true;
      tell_waiting(run, site, (int)json_array_size(units), queued);
    } else
      good = make_folders(site->folder, error) &&
             submit_units(slurm, round, site, units, threads, done, error);
  }
  json_decref(units);
  json_decref(done);
  return good;
}

bool slurm_hand_out(Run *run, Round *round, bool *interrupted, Error *error) {
  SlurmSite site;
  char *folder = sweep_folder(run, round);
  (void)interrupted;
  if (experiments_trials(&round->experiments) == 0) {
    free(folder);
    return true;
  }
  slurm_site(&site, folder, false);
  bool good = hand_out((Slurm *)run, round, &site, error);
  slurm_site_free(&site);
  free(folder);
  return good;
}

/* ---- what would be submitted ----------------------------------------------------------------- */

/* Of the first round that lacks something: the others wait for it. */
int slurm_dry(Run *run, Error *error) {
  const Slurm *slurm = (const Slurm *)run;
  const Round *rounds[] = {&run->starts, &run->tries, &run->tables};
  int code = run_dry(run, error), threads, kept;
  for (int i = 0; i < 3 && code == EXIT_DONE; i++) {
    json_t *units = NULL;
    if (rounds[i]->experiments.count == 0) continue;
    bool good = list_units(run, rounds[i], &units, &threads, &kept, error);
    size_t count = good ? json_array_size(units) : 0;
    json_decref(units);
    if (!good) return cli_error(EXIT_UNFIT, error);
    if (count == 0) continue;
    char *folder = sweep_folder(run, rounds[i]);
    printf("one job would be submitted for the %s:\n", rounds[i]->what);
    slurm_job_print(slurm, folder, slurm_tasks(slurm, (int)count), threads, stdout);
    free(folder);
    break;
  }
  return code;
}
