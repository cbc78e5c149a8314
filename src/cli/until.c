#include "src/cli/until.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "src/cli/estimate.h"
#include "src/cli/growing.h"
#include "src/store/typed_rows.h"

bool until_asked(const Experiments *experiments) {
  for (int p = 0; p < experiments->count; p++)
    if (json_object_get(experiments->item[p].document, "until")) return true;
  return false;
}

int until_threads(const Experiments *experiments) {
  int most = 1;
  for (int p = 0; p < experiments->count; p++) {
    const json_t *document = experiments->item[p].document;
    json_t *cell;
    size_t i;
    if (!json_object_get(document, "until")) continue;
    json_array_foreach(json_object_get(document, "cells"), i, cell) {
      const json_t *config = json_object_get(cell, "config");
      int threads = (int)json_integer_value(json_object_get(config, "threads"));
      if (threads > most) most = threads;
    }
  }
  return most;
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* Seeds are told to be others than from 0 on: what was judged already decides nothing again. */
static void say_fresh(const Until *until, const Growing *growing) {
  int first = growing->sequence.first_seed;
  bool asked = growing->asked_first >= 0;
  if (!until->quiet && first > 0 && !asked)
    fprintf(
        stderr,
        "harness: %s: seeds below %d of these rows were judged before, so fresh ones are taken, "
        "from %d on\n",
        growing_name(growing), first, first);
}

static void say_plan_stays(const Until *until, const Growing *growing) {
  const Sequence *sequence = &growing->sequence;
  if (until->quiet || sequence->budget_s == growing->budget_s) return;
  char kept[TIME_TEXT];
  time_text(sequence->budget_s, kept);
  fprintf(stderr,
          "harness: %s: goes on with its plan, made for a budget of %s: its looks are begun, and "
          "more seeds than they foresee would need fresh ones (first_seed=N). The new budget is "
          "this call's time\n",
          growing_name(growing), kept);
}

/* Stores the plan before its first trial. */
static bool store_plan(Growing *growing, Store *store, Error *error) {
  Experiment *experiment = growing->experiment;
  bool good =
      growing_begin(growing, store, error) &&
      store_add_experiment(store, experiment->document, experiment->data_hash, &experiment->plan_id,
                           &experiment->trial, &experiment->trials, error);
  growing->sequence.plan_id = experiment->plan_id;
  return good && sequence_add(store, &growing->sequence, error);
}

static bool begin_one(Until *until, Growing *growing, Store *store, Error *error) {
  if (!growing_find(growing, store, error)) return false;
  if (growing->found)
    say_plan_stays(until, growing);
  else
    say_fresh(until, growing);
  if (!growing->found && !store_plan(growing, store, error)) return false;
  double trial_s =
      growing->sequence.trial_s > 0 ? growing->sequence.trial_s : growing->known_trial_s;
  until->trial_s = fmax(until->trial_s, trial_s);
  until->budget_s = fmax(until->budget_s, growing->budget_s);
  return true;
}

bool until_begin(Until *until, Experiments *experiments, Store *store, Error *error) {
  if (!growing_list(experiments, &until->item, &until->count, until->quiet, error)) return false;
  for (int i = 0; i < until->count; i++)
    if (!begin_one(until, &until->item[i], store, error)) return false;
  if (until->trial_s > until->budget_s) {
    char trial[TIME_TEXT], budget[TIME_TEXT];
    time_text(until->trial_s, trial);
    time_text(until->budget_s, budget);
    return fail(error, "one trial takes about %s here, which budget=%s does not pay for", trial,
                budget);
  }
  until->deadline = seconds_now() + until->budget_s;
  return true;
}

void until_free(Until *until) {
  for (int i = 0; i < until->count; i++) growing_free(&until->item[i]);
  free(until->item);
  until->item = NULL;
  until->count = 0;
}

/* ---- the looks ------------------------------------------------------------------------------- */

static void say_looks(const Until *until, Growing *growing, Replay *replay) {
  int looks = replay->state.looks;
  for (int k = growing->said; k < looks && !until->quiet; k++) {
    replay_again(replay, k + 1, false);
    growing_print_look(growing, replay, k, stderr);
  }
  growing->said = looks;
  replay_again(replay, growing->sequence.looks.count, false);
}

/* What this row needs. The paper's word that it collapses is judged at the first look alone. */
static int needed(const Growing *growing, const Replay *replay, int row) {
  int least = looks_least(growing->sequence.folds);
  if (!growing->settled) return growing->claimed[row] ? least : 0;
  int next = replay_row_open(replay, row) ? replay->state.next : 0;
  return growing->collapses[row] && next < least ? least : next;
}

static bool step_one(const Until *until, Growing *growing, Store *store, Error *error) {
  Replay replay;
  if (!replay_load(store, &growing->sequence, false, &replay, error)) return false;
  if (growing->settled) say_looks(until, growing, &replay);
  growing->state = replay.state;
  int need[growing->rows];
  for (int r = 0; r < growing->rows; r++) {
    bool lost = r < replay.rows && replay.lost[r];
    need[r] = lost ? 0 : needed(growing, &replay, r);
  }
  replay_free(&replay);
  return growing_extend(growing, need, store, error);
}

static const char seconds_sql[] =
    "SELECT avg(a.wall_s) AS trial_s FROM rows r JOIN cells c ON c.row_id = r.id"
    " JOIN attempts a ON a.trial_id = c.trial_id"
    " WHERE r.plan_id = ?1 AND a.removed = 0 AND a.status IN ('done', 'collapsed')";

/* How long its trials took; 0: none ended. */
static bool measure(Growing *growing, Store *store, Error *error) {
  struct Seconds {
    double trial_s;
  } found = {NAN};
  static const Column columns[] = {COLUMN(struct Seconds, trial_s), {0}};
  json_t *texts, *plan = json_pack("[I]", (json_int_t)growing->sequence.plan_id);
  bool good = store_row(store, seconds_sql, plan, columns, &found, &texts, error);
  json_decref(texts);
  growing->sequence.trial_s = isnan(found.trial_s) ? 0 : found.trial_s;
  return good;
}

/* Once the trials of all first looks have ended, and before one of them is judged, they say how
 * many seeds the budget pays for. */
static bool settle(const Until *until, Store *store, Error *error) {
  double seed_s = 0;
  for (int i = 0; i < until->count; i++) {
    Growing *growing = &until->item[i];
    if (growing->settled) continue;
    if (growing->waiting > 0) return true;
    if (!measure(growing, store, error)) return false;
    seed_s += growing->sequence.trial_s * growing_seed_trials(growing);
  }
  for (int i = 0; i < until->count; i++) {
    Growing *growing = &until->item[i];
    if (growing->settled) continue;
    Sequence *sequence = &growing->sequence;
    sequence->looks = looks_plan_folds(
        looks_affordable(sequence->budget_s * until->jobs, seed_s, sequence->folds),
        sequence->folds);
    if (!sequence_settle(store, sequence, error)) return false;
    growing->settled = true;
    if (!until->quiet) growing_print_plan(growing, stderr);
    if (!step_one(until, growing, store, error)) return false;
  }
  return true;
}

bool until_step(Until *until, Store *store, bool *more, Error *error) {
  *more = false;
  for (int i = 0; i < until->count; i++)
    if (!step_one(until, &until->item[i], store, error)) return false;
  if (!settle(until, store, error)) return false;
  for (int i = 0; i < until->count; i++) {
    const Growing *growing = &until->item[i];
    *more = *more || growing->waiting > 0 || growing->grew;
    until->trial_s = fmax(until->trial_s, growing->sequence.trial_s);
  }
  return true;
}

/* ---- the end --------------------------------------------------------------------------------- */

bool until_end(const Until *until, bool interrupted) {
  bool goes_on = false;
  for (int i = 0; i < until->count; i++) {
    const Growing *growing = &until->item[i];
    bool unfinished = growing->waiting > 0 || growing->grew || !growing->settled;
    if (!until->quiet && !interrupted) growing_print_end(growing, unfinished, stderr);
    goes_on = goes_on || unfinished;
  }
  return goes_on;
}

/* ---- beforehand ------------------------------------------------------------------------------ */

bool until_preview(Until *until, Experiments *experiments, Store *store, const Common *common,
                   FILE *out, Error *error) {
  double seed_s = 0;
  bool known = true;
  until->quiet = true;
  if (!growing_list(experiments, &until->item, &until->count, true, error)) return false;
  for (int i = 0; i < until->count; i++) {
    Growing *growing = &until->item[i];
    if (!growing_find(growing, store, error) ||
        !(growing->found ? step_one(until, growing, store, error)
                         : growing_begin(growing, store, error)))
      return false;
    growing->estimated = out && growing->known_trial_s <= 0;
    if (growing->estimated && !growing->experiment->resolved &&
        !estimate_trial(growing->experiment->document, common->home, common->db,
                        &growing->known_trial_s))
      growing->known_trial_s = 0;
    known = known && growing->known_trial_s > 0;
    seed_s += growing->known_trial_s * growing_seed_trials(growing);
  }
  for (int i = 0; i < until->count && out; i++)
    growing_print_cost(&until->item[i], known ? seed_s : 0, until->jobs, out);
  return true;
}
