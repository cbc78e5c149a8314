/* A task of a sweep: takes a unit, runs its trials into a shard of its own, takes the next. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/paths.h"
#include "src/cli/place_file.h"
#include "src/cli/slurm.h"
#include "src/machine/environment.h"

static const double LOOK_S = 5, TOUCH_S = 60, GRACE_S = 120;

typedef struct Worker {
  const Common *common;
  SlurmSite site;
  Claims claims;
  json_t *plan;
  Store *store;
  int64_t environment;
  double price;     /* seconds of a unit's cost, the highest so far; 0: not known */
  const char *unit; /* that it runs, */
  int number;       /* taken as that */
  bool lost;        /* another took it over */
  double looked, touched;
} Worker;

/* ---- signals --------------------------------------------------------------------------------- */

static volatile sig_atomic_t time_is_over, stopped;

static void on_signal(int number) {
  if (number == SIGUSR1) time_is_over = 1;
  stopped = 1;
}

/* While trials run, TERM is the schedule's. */
static void listen(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
}

/* Schedule.goes_on. */
static bool goes_on(void *user) {
  Worker *w = user;
  double now = seconds_now();
  if (now - w->touched > TOUCH_S) slurm_alive(&w->site), w->touched = now;
  if (now - w->looked > LOOK_S) {
    w->lost = w->lost || claims_lost(&w->claims, w->unit, w->number);
    w->looked = now;
  }
  return !stopped && !w->lost;
}

/* ---- the plan -------------------------------------------------------------------------------- */

json_t *slurm_plan(const char *folder, Error *error) {
  json_error_t syntax;
  char path[4600];
  snprintf(path, sizeof path, "%.4000s/plan.json", folder);
  json_t *plan = json_load_file(path, 0, &syntax);
  if (plan && json_integer_value(json_object_get(plan, "form")) == 1) return plan;
  if (plan)
    fail(error, "%s: a plan of another form; use the program that wrote it", path);
  else
    fail(error, "%s: %s; `harness slurm FILE` writes it", path, syntax.text);
  json_decref(plan);
  return NULL;
}

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

static bool same_program(const json_t *plan, Error *error) {
  char binary[17];
  environment_binary(binary);
  return !strcmp(binary, text_of(plan, "program")) ||
         fail(error,
              "this program is another than the one that planned the sweep (%s, it was %s): "
              "wait until its tasks have ended, or `harness slurm cancel`, and submit again",
              binary, text_of(plan, "program"));
}

/* The same seed gives other bits on another kind of machine, so what one array runs is of one. */
static bool same_machine(const Worker *w, const json_t *environment, Error *error) {
  static const char *const keys[] = {"cpu", "isa", "gpu"};
  char name[CLAIM_NAME + 16], path[4600];
  bool mine, good;
  json_t *own = json_object(), *first;
  for (int i = 0; i < 3; i++)
    if (json_object_get(environment, keys[i]))
      json_object_set(own, keys[i], json_object_get(environment, keys[i]));
  snprintf(name, sizeof name, "machine.%.*s", (int)strcspn(w->site.worker, "_-"), w->site.worker);
  char *text = json_dumps(own, JSON_SORT_KEYS | JSON_COMPACT);
  good = claims_put_once(w->site.folder, name, text, w->site.worker, &mine, error);
  snprintf(path, sizeof path, "%.4000s/%s", w->site.folder, name);
  first = good ? json_load_file(path, 0, NULL) : NULL;
  if (good && !json_equal(first, own)) {
    char *other = json_dumps(first, JSON_SORT_KEYS | JSON_COMPACT);
    good =
        fail(error,
             "this node is of another kind than that the array began on, and the same seed gives "
             "other bits on it: %s, not %s; ask for nodes of one kind, as by --partition or "
             "--sbatch --constraint=NAME",
             text, other ? other : "?");
    free(other);
  }
  free(text);
  json_decref(first);
  json_decref(own);
  return good;
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* The longest open unit that fits the time left, else the longest: it is saved when the time is
 * over, and goes on elsewhere. NULL: nothing is open. */
static bool choose(Worker *w, const json_t **unit, ClaimState *state, Error *error) {
  double left = slurm_time_left(&w->site);
  const json_t *one;
  size_t i;
  *unit = NULL;
  json_array_foreach(json_object_get(w->plan, "units"), i, one) {
    ClaimState of;
    if (!claims_look(&w->claims, text_of(one, "name"), &of, error)) return false;
    if (of.done || of.held || of.given_up) continue;
    bool fits = w->price * json_number_value(json_object_get(one, "cost")) <= left;
    if (*unit && !fits) continue;
    *unit = one;
    *state = of;
    if (fits) break;
  }
  return true;
}

/* Chooses until one was got; NULL: nothing is open. */
static bool take_unit(Worker *w, const json_t **unit, ClaimState *state, Error *error) {
  bool taken = false;
  while (!taken) {
    char host[64] = "";
    if (!choose(w, unit, state, error)) return false;
    if (!*unit) return true;
    gethostname(host, sizeof host - 1);
    json_t *what =
        json_pack("{s:s,s:i,s:O,s:O}", "host", host, "pid", (int)getpid(), "label",
                  json_object_get(*unit, "label"), "trials", json_object_get(*unit, "trials"));
    bool good = claims_take(&w->claims, text_of(*unit, "name"), state, what, &taken, error);
    json_decref(what);
    if (!good) return false;
  }
  return true;
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

/* From a folder of results that may have it. */
static bool place_from(const Worker *w, const char *folder, const char *hash, bool *placed,
                       Error *error) {
  *placed = weights_there(folder, hash);
  return !*placed || path_same(folder, store_folder(w->store)) ||
         weights_place(folder, store_folder(w->store), hash, error);
}

/* From whoever had the unit last and saved something. A copy: of one that was cut off and still
 * writes nothing arrives here. */
static bool place_of_turn(const Worker *w, const char *unit, int taken, const char *hash,
                          bool *placed, Error *error) {
  *placed = false;
  for (int g = taken - 1; g >= 0 && !*placed; g--) {
    char folder[4600];
    json_t *claim = claims_read(w->site.folder, unit, g);
    snprintf(folder, sizeof folder, "%.4000s/shards/%.160s", w->site.folder,
             text_of(claim, "worker"));
    json_decref(claim);
    if (!place_from(w, folder, hash, placed, error)) return false;
  }
  return true;
}

/* A turn that was given up leaves its checkpoint to the next; after one that was done it is begun
 * anew. */
static bool place_checkpoint(const Worker *w, const char *unit, int taken, const char *hash,
                             bool goes_on_here, bool *placed, Error *error) {
  char name[CLAIM_NAME];
  const char *dot = strrchr(unit, '.');
  int turn = dot ? atoi(dot + 1) : 0;
  if (!place_of_turn(w, unit, taken, hash, placed, error)) return false;
  for (int t = turn - 1; t >= 0 && !*placed; t--) {
    ClaimState state;
    snprintf(name, sizeof name, "%.*s.%d", (int)(dot - unit), unit, t);
    if (!claims_look(&w->claims, name, &state, error)) return false;
    if (state.done) return true;
    if (!place_of_turn(w, name, state.taken, hash, placed, error)) return false;
  }
  return *placed || !goes_on_here ||
         place_from(w, text_of(w->plan, "results"), hash, placed, error);
}

/* ---- running --------------------------------------------------------------------------------- */

/* The trials of a unit as cells of their experiments. */
typedef struct Unit {
  Task *task;
  int tasks;
  json_t *documents; /* what the cells point into */
  Cell **cells;      /* of each document */
  int experiments;
} Unit;

static void unit_free(Unit *unit) {
  tasks_free(unit->task, unit->tasks);
  for (int p = 0; unit->cells && p < unit->experiments; p++) free(unit->cells[p]);
  free(unit->cells);
  json_decref(unit->documents);
}

/* The experiment with those of its cells alone that the unit has. */
static json_t *part_of(const Worker *w, const json_t *unit, int experiment) {
  const json_t *documents = json_object_get(w->plan, "experiments"), *place;
  json_t *part = json_copy(json_array_get(documents, (size_t)experiment)), *cells = json_array();
  size_t i;
  json_array_foreach(json_object_get(unit, "cells"), i, place) {
    if (json_integer_value(json_object_get(place, "experiment")) != experiment) continue;
    size_t at = (size_t)json_integer_value(json_object_get(place, "cell"));
    json_array_append(cells, json_array_get(json_object_get(part, "cells"), at));
  }
  json_object_set_new(part, "cells", cells);
  return part;
}

static bool list_cells(Worker *w, const json_t *json, int experiment, Unit *unit, Error *error) {
  const json_t *hashes = json_object_get(w->plan, "data"), *place;
  json_t *part = part_of(w, json, experiment);
  int count = 0, used = 0;
  size_t i;
  json_array_append_new(unit->documents, part);
  if (json_array_size(json_object_get(part, "cells")) == 0) return true;
  if (!store_add_trials(w->store, part,
                        json_string_value(json_array_get(hashes, (size_t)experiment)),
                        &unit->cells[experiment], &count, error))
    return false;
  json_array_foreach(json_object_get(json, "cells"), i, place) {
    if (json_integer_value(json_object_get(place, "experiment")) != experiment) continue;
    char *label = strdup(text_of(place, "label"));
    CHECK(label && used < count, "a plan's cells do not fit its experiment");
    unit->task[unit->tasks++] = (Task){.trial = &unit->cells[experiment][used++], .label = label};
  }
  return true;
}

static bool unit_list(Worker *w, const json_t *json, Unit *unit, Error *error) {
  *unit = (Unit){.documents = json_array()};
  unit->experiments = (int)json_array_size(json_object_get(w->plan, "experiments"));
  unit->cells = calloc((size_t)unit->experiments + 1, sizeof *unit->cells);
  unit->task = calloc(json_array_size(json_object_get(json, "cells")) + 1, sizeof *unit->task);
  CHECK(unit->cells && unit->task, "no memory for a unit of work");
  for (int p = 0; p < unit->experiments; p++)
    if (!list_cells(w, json, p, unit, error)) return false;
  return tasks_judge(unit->task, unit->tasks, w->store, w->common->home, error);
}

/* What its trials go on from or start from lies in the shard then. */
static bool unit_place(Worker *w, const json_t *json, int taken, Unit *unit, Error *error) {
  for (int i = 0; i < unit->tasks; i++) {
    Cell *trial = unit->task[i].trial;
    const json_t *place = json_array_get(json_object_get(json, "cells"), (size_t)i);
    bool goes = json_is_true(json_object_get(place, "goes_on")), placed, there;
    const char *start = json_string_value(json_object_get(trial->config, "pretrained"));
    if (!place_checkpoint(w, text_of(json, "name"), taken, trial->hash, goes, &placed, error) ||
        (start && !place_from(w, text_of(w->plan, "results"), start, &there, error)))
      return false;
    if (placed) trial->status = STATUS_INTERRUPTED; /* it goes on (job.c) */
  }
  return true;
}

static bool ended(const Unit *unit) {
  for (int i = 0; i < unit->tasks; i++)
    if (run_is_open(unit->task[i].trial)) return false;
  return true;
}

static Schedule schedule_of(Worker *w, const Unit *unit) {
  const char *stand_in = getenv("HARNESS_TRIAL_PROGRAM"); /* as of `harness run` */
  Schedule work = {.store = w->store,
                   .home = w->common->home,
                   .task = unit->task,
                   .count = unit->tasks,
                   .environment = w->environment,
                   .jobs = 1,
                   .quiet = w->common->quiet,
                   .patient = true,
                   .goes_on = goes_on,
                   .user = w,
                   .launch = {.program = stand_in && stand_in[0] ? stand_in : "/proc/self/exe",
                              .folder = store_folder(w->store),
                              .threads = 1,
                              .grace_s = GRACE_S,
                              .flags = config_flags(json_object_get(w->plan, "flags"))}};
  for (int i = 0; i < unit->tasks; i++) {
    int threads = (int)json_integer_value(json_object_get(unit->task[i].trial->config, "threads"));
    if (threads > work.launch.threads) work.launch.threads = threads;
  }
  return work;
}

/* Its end, told to the others: only after it is stored. */
static bool unit_close(Worker *w, const json_t *json, const Unit *unit, double wall_s,
                       Error *error) {
  bool first = true;
  if (!ended(unit)) return w->lost || claims_give_back(&w->claims, w->unit, w->number, error);
  json_t *what = json_pack("{s:O}", "trials", json_object_get(json, "trials"));
  bool good = claims_finish(&w->claims, w->unit, what, &first, error);
  json_decref(what);
  if (good && !first)
    fprintf(stderr, "harness: %s: another worker was done with it before, and that counts\n",
            text_of(json, "label"));
  double cost = json_number_value(json_object_get(json, "cost"));
  if (cost > 0 && wall_s / cost > w->price) w->price = wall_s / cost;
  return good;
}

static bool run_unit(Worker *w, const json_t *json, int taken, Error *error) {
  Unit unit;
  bool interrupted = false;
  double begun = seconds_now();
  w->unit = text_of(json, "name");
  w->number = taken;
  w->lost = false;
  fprintf(stderr, "harness: %s takes %s%s\n", w->site.worker, text_of(json, "label"),
          taken ? ", which another had" : "");
  bool good = unit_list(w, json, &unit, error) && unit_place(w, json, taken, &unit, error);
  if (good) {
    Schedule work = schedule_of(w, &unit);
    good = schedule_run(&work, &interrupted, error);
    listen();
    if (interrupted) stopped = 1;
  }
  if (w->lost)
    fprintf(stderr, "harness: %s: another worker has taken it over\n", text_of(json, "label"));
  good = good && unit_close(w, json, &unit, seconds_now() - begun, error);
  unit_free(&unit);
  return good;
}

/* ---- the worker ------------------------------------------------------------------------------ */

static bool open_shard(Worker *w, Error *error) {
  char path[4600];
  snprintf(path, sizeof path, "%.4000s/shards/%.160s/checkpoints", w->site.folder, w->site.worker);
  if (!path_make(path)) return fail(error, "%s: cannot make it: %s", path, strerror(errno));
  snprintf(path, sizeof path, "%.4000s/shards/%.160s/harness.db", w->site.folder, w->site.worker);
  if (!store_open(&w->store, path, STORE_WRITE, error)) return false; /* nobody else writes it */
  const char *place = text_of(w->plan, "place");
  RunFlags flags = config_flags(json_object_get(w->plan, "flags"));
  json_t *environment = environment_capture(place[0] ? place : NULL, flags.deterministic);
  bool good = same_machine(w, environment, error) &&
              store_environment(w->store, environment, &w->environment, error);
  json_decref(environment);
  slurm_alive(&w->site);
  w->touched = seconds_now();
  return good;
}

static bool pull(Worker *w, Error *error) {
  const json_t *unit;
  ClaimState state;
  while (!stopped) {
    if (!take_unit(w, &unit, &state, error)) return false;
    if (!unit) break;
    if (!run_unit(w, unit, state.taken, error)) return false;
  }
  return true;
}

int slurm_work(const Common *common, const char *folder, Error *error) {
  Worker w = {.common = common};
  listen();
  slurm_site(&w.site, folder, true);
  w.claims =
      (Claims){.folder = folder, .worker = w.site.worker, .lives = slurm_lives, .user = &w.site};
  w.plan = slurm_plan(folder, error);
  bool good = w.plan && same_program(w.plan, error) && claims_folders(&w.claims, error) &&
              open_shard(&w, error) && pull(&w, error);
  store_close(w.store);
  json_decref(w.plan);
  slurm_site_free(&w.site);
  if (!good) return cli_error(EXIT_UNFIT, error);
  if (time_is_over) return SLURM_REQUEUE;
  return stopped ? EXIT_INTERRUPTED : EXIT_DONE;
}
