/* Looks computed anew from a store of invented trials: what is decided, given up or open when the
 * time is over, whatever was stored in which order. The expected q come from SciPy (t.sf over the
 * same figures, Satterthwaite's degrees of freedom), not from here. */
#include "src/report/replay.h"

#include "tests/store_files.h"

enum { ROWS = 4, CASES = 6 };
static const double paper[ROWS] = {0.50, 0.52, 0.55, 0.50};
static const double means[ROWS] = {0.5, 0.62, 0.64, 0.64};
static const double spreads[ROWS] = {0.02, 0.024, 0.02, 0.018};
static const double wave[12] = {1, -1, .3, -.6, .2, -.1, .8, -.9, .5, -.4, .7, -.5};

static void near_to(double found, double expected) {
  if (!(fabs(found - expected) <= 1e-6 * fabs(expected)))
    fail_msg("%.12g is not %.12g", found, expected);
}

static double figure(int row, int seed, int at_case) {
  return means[row] + spreads[row] * wave[(seed + 2 * row) % 12] + 0.001 * at_case +
         0.004 * ((3 * seed + 2 * at_case + row) % 5);
}

/* Rows of so many seeds each, from first on. */
static json_t *make_rows(const int *seeds, int first) {
  json_t *cells = json_array(), *rows = json_array();
  for (int r = 0; r < ROWS; r++) {
    char key[24];
    snprintf(key, sizeof key, "queries=%d", r + 1);
    json_array_append_new(rows,
                          json_pack("{s:s,s:s,s:f}", "key", key, "label", key, "paper", paper[r]));
    for (int s = 0; s < seeds[r]; s++) json_array_append_new(cells, cell(r, r + 1, first + s));
  }
  json_t *experiment =
      json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:{s:s},s:o,s:o,s:{s:f,s:i}}", "experiment",
                "query_count", "file", "q.lua", "title", "Number of queries", "metric", "dice",
                "scale", "quick", "device", "cpu", "data", "name", "phantom", "rows", rows, "cells",
                cells, "until", "budget_s", 60.0, "first_seed", first);
  assert_non_null(experiment);
  return experiment;
}

static void end_trial(Store *store, int64_t trial, int64_t environment, json_t *events) {
  Error error = {""};
  int64_t id;
  AttemptEnd end = {.status = STATUS_DONE, .exit_code = 0, .message = "", .train_s = 1};
  if (!store_start(store, trial, environment, 1, "logs/x.log", 0, &id, &error) ||
      !store_finish(store, id, events, &end, &error))
    fail_msg("%s", error.text);
  json_decref(events);
}

/* Trials of these rows and seeds that are not stored yet end, the last first. */
static int64_t play(Store *store, const int *seeds) {
  int64_t plan;
  int count;
  json_t *experiment = make_rows(seeds, 0);
  Cell *trial = add(store, experiment, &plan, &count);
  int64_t environment = environment_of(store);
  for (int i = count - 1; i >= 0; i--) {
    if (trial[i].status != STATUS_PLANNED) continue;
    json_t *events = json_array();
    for (int c = 0; c < CASES; c++)
      json_array_append_new(events,
                            metric("spleen", 1, c, figure(trial[i].row, trial[i].seed, c), "both"));
    end_trial(store, trial[i].id, environment, events);
  }
  free(trial);
  json_decref(experiment);
  return plan;
}

static void set_status(int row, int seed, const char *status) {
  char sql[200];
  snprintf(sql, sizeof sql,
           "UPDATE trials SET status = '%s' WHERE seed = %d AND config ->> '$.queries' = %d;",
           status, seed, row + 1);
  outside(sql);
  snprintf(sql, sizeof sql,
           "UPDATE attempts SET status = '%s' WHERE trial_id = (SELECT id FROM trials WHERE seed ="
           " %d AND config ->> '$.queries' = %d)",
           status, seed, row + 1);
  outside(sql);
}

/* The plan's claims, with looks at up to so many seeds; it is stored and read again. */
static Sequence begin(Store *store, int64_t plan, int most) {
  Error error = {""};
  bool found;
  SequenceClaim claims[] = {{1, 0, 0.02}, {2, 1, 0.03}, {3, 2, -0.05}};
  Sequence sequence = {.plan_id = plan,
                       .rows_hash = "rows",
                       .folds = 1,
                       .budget_s = 60,
                       .trial_s = 1.5,
                       .looks = looks_plan(most),
                       .claim = claims,
                       .claims = 3};
  if (!sequence_add(store, &sequence, &error) || !sequence_settle(store, &sequence, &error) ||
      !sequence_find(store, "rows", -1, &sequence, &found, &error))
    fail_msg("%s", error.text);
  assert_true(found);
  return sequence;
}

static Replay replay(Store *store, const Sequence *sequence) {
  Error error = {""};
  Replay found;
  if (!replay_load(store, sequence, false, &found, &error)) fail_msg("%s", error.text);
  return found;
}

/* ---- what is stored of a plan ---------------------------------------------------------------- */

static void a_plan_is_kept_and_its_looks_are_settled_once(void **state) {
  (void)state;
  Error error = {""};
  Store *store = open_store(STORE_WRITE);
  int64_t plan = play(store, (int[]){1, 1, 1, 1});
  Sequence sequence = begin(store, plan, 12), again;
  bool found;
  assert_int_equal(sequence.plan_id, plan);
  assert_int_equal(sequence.looks.most, 12);
  assert_int_equal(sequence.looks.count, 4);
  near_to(sequence.looks.weight[2], 0.35416667);
  near_to(sequence.claim[2].paper, -0.05);
  sequence.looks = looks_plan(30);
  assert_true(sequence_settle(store, &sequence, &error)); /* alpha is spent: most cannot grow */
  assert_true(sequence_of_plan(store, plan, &again, &found, &error));
  assert_int_equal(again.looks.most, 12);
  sequence_free(&again);
  assert_true(sequence_of_plan(store, plan + 1, &again, &found, &error));
  assert_false(found);
  sequence_free(&sequence);
  store_close(store);
}

/* The rows are the same whatever seeds they have, so that the cells of one plan grow. */
static void a_plan_grows(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  int64_t plan = play(store, (int[]){2, 2, 2, 2});
  assert_int_equal(play(store, (int[]){2, 3, 5, 3}), plan);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM plans"), 1);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM cells"), 13);
  int count;
  int64_t other;
  json_t *fresh = make_rows((int[]){2, 2, 2, 2}, 12);
  free(add(store, fresh, &other, &count));
  assert_int_not_equal(other, plan);
  json_decref(fresh);
  store_close(store);
}

/* ---- looks ----------------------------------------------------------------------------------- */

static void looks_end_with_every_claim_decided_or_given_up(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  int64_t plan = play(store, (int[]){5, 5, 5, 4});
  Sequence sequence = begin(store, plan, 12);
  Replay r = replay(store, &sequence);
  assert_int_equal(r.state.looks, 0); /* a seed of the last row is missing */
  assert_int_equal(r.state.next, 5);
  replay_free(&r);
  play(store, (int[]){5, 5, 5, 5});
  r = replay(store, &sequence);
  assert_int_equal(r.state.looks, 1);
  assert_int_equal(r.claim[0].claim, CLAIM_SUPPORTED);
  near_to(r.claim[0].adjusted, 1.327099669e-05);
  near_to(r.claim[1].p, 0.04979411854);
  near_to(r.claim[1].q, 0.2868141228);
  assert_int_equal(r.state.next, 7);
  assert_false(replay_row_open(&r, 0)); /* the first row has no open claim and needs no more */
  assert_true(replay_row_open(&r, 1));
  replay_free(&r);
  play(store, (int[]){5, 10, 10, 10});
  r = replay(store, &sequence);
  assert_int_equal(r.state.looks, 3);
  assert_int_equal(r.state.open, 0);
  assert_int_equal(r.state.next, 0);
  near_to(r.claim[1].adjusted, 0.02447871383);
  assert_int_equal(r.claim[1].claim, CLAIM_SUPPORTED);
  assert_int_equal(r.claim[2].claim, CLAIM_OUT_OF_REACH);
  assert_true(r.claim[1].low > 0 && r.claim[2].low < 0 && r.claim[2].high > 0);
  replay_again(&r, 2, false); /* as it was told then */
  near_to(r.claim[1].q, 0.08360026171);
  assert_int_equal(r.claim[2].claim, CLAIM_UNDECIDED);
  replay_free(&r);
  sequence_free(&sequence);
  store_close(store);
}

static void what_failed_is_replaced_by_the_next_seed(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  int64_t plan = play(store, (int[]){5, 5, 5, 5});
  Sequence sequence = begin(store, plan, 7);
  set_status(1, 2, "failed");
  Replay r = replay(store, &sequence);
  assert_int_equal(r.state.looks, 0);
  replay_free(&r);
  play(store, (int[]){5, 8, 7, 7});
  r = replay(store, &sequence);
  assert_int_equal(r.state.looks, 2);
  near_to(r.claim[0].q, 4.939417862e-06);
  near_to(r.claim[1].q, 0.01854694641);
  near_to(r.claim[1].p, 0.009084218652);
  assert_int_equal(r.claim[1].claim, CLAIM_SUPPORTED);
  assert_int_equal(r.claim[2].claim, CLAIM_OUT_OF_REACH);
  replay_free(&r);
  /* One that may still end holds up every later one: which are the first is not known yet. */
  set_status(1, 2, "interrupted");
  r = replay(store, &sequence);
  assert_int_equal(r.state.looks, 0);
  assert_int_equal(r.row[1].trials, 2);
  replay_free(&r);
  sequence_free(&sequence);
  store_close(store);
}

/* A collapsed trial has ended; a claim that would change with it at 0 is not decided. */
static void a_collapsed_trial_has_ended(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  int64_t plan = play(store, (int[]){5, 5, 5, 5});
  Sequence sequence = begin(store, plan, 7);
  set_status(1, 2, "collapsed");
  Replay r = replay(store, &sequence);
  assert_int_equal(r.state.looks, 1);
  assert_int_equal(r.row[1].trials, 5);
  assert_true(r.row[1].collapsed[2]);
  near_to(r.claim[0].q, 1);
  assert_int_equal(r.claim[0].claim, CLAIM_UNDECIDED);
  replay_free(&r);
  sequence_free(&sequence);
  store_close(store);
}

static void a_row_that_only_fails_is_given_up(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  int64_t plan = play(store, (int[]){5, 7, 7, 9});
  Sequence sequence = begin(store, plan, 7);
  for (int seed = 0; seed < 6; seed++) set_status(3, seed, "failed");
  Replay r = replay(store, &sequence);
  assert_true(r.lost[3]);
  assert_int_equal(r.state.looks, 2);
  assert_int_equal(r.claim[0].claim, CLAIM_SUPPORTED);
  assert_int_equal(r.claim[2].claim, CLAIM_UNDECIDED);
  assert_int_equal(r.claim[2].looks, 0);
  assert_int_equal(r.state.next, 0);
  replay_free(&r);
  sequence_free(&sequence);
  store_close(store);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_plan_is_kept_and_its_looks_are_settled_once),
      CASE(a_plan_grows),
      CASE(looks_end_with_every_claim_decided_or_given_up),
      CASE(what_failed_is_replaced_by_the_next_seed),
      CASE(a_collapsed_trial_has_ended),
      CASE(a_row_that_only_fails_is_given_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
