/* What the database holds: identity; the figures of the views against sums done by hand; what an
 * attempt that did not end well leaves behind. Its file: test_store_forms.c. */
#include "base/nearest.h"
#include "src/report/result.h"
#include "src/store/typed_rows.h"
#include "tests/store_files.h"

#include <signal.h>
#include <sys/wait.h>

static void test_lock(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE), *second = open_store(STORE_WRITE);
  Error error = {""};
  int stale;
  assert_true(store_lock(store, &stale, &error));
  assert_int_equal(store_lock_holder(path), getpid());
  assert_false(store_lock(second, &stale, &error));
  char pid[24];
  snprintf(pid, sizeof pid, "process %d ", (int)getpid());
  assert_non_null(strstr(error.text, pid));
  store_close(store);
  assert_int_equal(store_lock_holder(path), 0);
  Error none = {""};
  assert_true(store_lock(second, &stale, &none));
  store_close(second);
}

/* ---- identity -------------------------------------------------------------------------------- */

static void hash_of(const char *config, const char *data, char hash[HASH_BYTES]) {
  Error error = {""};
  json_t *value = json_loads(config, 0, NULL);
  assert_non_null(value);
  if (!trial_hash(value, data, hash, &error)) fail_msg("%s", error.text);
  json_decref(value);
}

static void test_hash(void **state) {
  (void)state;
  char a[HASH_BYTES], b[HASH_BYTES];
  hash_of("{\"lr\": 0.25, \"queries\": 2, \"size\": [40, 48, 48]}", "d", a);
  assert_string_equal(a, "814d5b35ea52af6da157289961b7de2f"); /* stored results stay found */
  hash_of("{\"size\":[40,48,48],\"queries\":2.0,\"lr\":2.5e-1,\"data_dir\":\"/x\",\"data_path\":\"/"
          "y\"}",
          "d", b);
  assert_string_equal(a, b); /* order, number form and place of the data do not matter */
  static const char *const others[] = {"{\"lr\": 0.25, \"queries\": 3, \"size\": [40, 48, 48]}",
                                       "{\"lr\": 0.25, \"queries\": 2, \"size\": [48, 40, 48]}",
                                       "{\"lr\": 0.2500001, \"queries\": 2, \"size\": [40,48,48]}",
                                       "{\"lr\": 0.25, \"queries\": \"2\", \"size\": [40,48,48]}"};
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    hash_of(others[i], "d", b);
    assert_string_not_equal(a, b);
  }
  hash_of("{\"lr\": 0.25, \"queries\": 2, \"size\": [40, 48, 48]}", "other data", b);
  assert_string_not_equal(a, b);
}

/* ---- plans and figures ----------------------------------------------------------------------- */

static void test_experiment_is_idempotent(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *experiment = make_experiment(3, "quick");
  int64_t first, second;
  int count;
  Cell *a = add(store, experiment, &first, &count), *b = add(store, experiment, &second, &count);
  assert_int_equal(count, 6);
  assert_int_equal(first, second);
  for (int i = 0; i < count; i++) assert_int_equal(a[i].id, b[i].id);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM trials"), 6);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM rows"), 2);
  free(a);
  free(b);
  json_decref(experiment);
  store_close(store);
}

/* By hand: label 1: (0.8 + 0 [missed] + 0.4) / 3 = 0.4; label 2: (0.9 + 0.7) / 2 = 0.8 (absent in
 * case 2); label 0 and the training split do not count: (0.4 + 0.8) / 2 = 0.6. */
static json_t *mixed_events(void) {
  json_t *events = json_array();
  json_array_append_new(events, metric("spleen", 1, 0, 0.8, "both"));
  json_array_append_new(events, metric("spleen", 1, 1, 0.0, "missed"));
  json_array_append_new(events, metric("spleen", 1, 2, 0.4, "both"));
  json_array_append_new(events, metric("liver", 2, 0, 0.9, "both"));
  json_array_append_new(events, metric("liver", 2, 1, 0.7, "both"));
  json_array_append_new(events, metric("liver", 2, 2, 0, "absent"));
  json_array_append_new(events, metric("background", 0, 0, 1.0, "both"));
  json_t *training = metric("spleen", 1, 0, 1.0, "both");
  json_object_set_new(training, "split", json_string("train"));
  json_array_append_new(events, training);
  return events;
}

static void test_figures(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *experiment = make_experiment(3, "quick");
  int64_t id;
  int count;
  Cell *trial = add(store, experiment, &id, &count);
  attempt(store, trial[0].id, STATUS_DONE, mixed_events());
  assert_near(ask(store, "SELECT value FROM v_score"), 0.6);
  attempt(store, trial[1].id, STATUS_DONE, one_value(0.7));
  attempt(store, trial[2].id, STATUS_DONE, one_value(0.95));
  attempt(store, trial[3].id, STATUS_DONE, one_value(0.5));
  /* 0.6, 0.7, 0.95: mean 0.75, sd = sqrt((.0225 + .0025 + .04) / 2) = sqrt(.0325) */
  assert_near(ask(store, "SELECT mean FROM v_table6 WHERE position = 0"), 0.75);
  assert_near(ask(store, "SELECT sd FROM v_table6 WHERE position = 0"), sqrt(0.0325));
  assert_int_equal((int)ask(store, "SELECT n FROM v_table6 WHERE position = 0"), 3);
  assert_near(ask(store, "SELECT mean FROM v_table6 WHERE position = 1"), 0.5);
  assert_true(
      isnan(ask(store, "SELECT sd FROM v_table6 WHERE position = 1"))); /* one value: none */
  assert_int_equal((int)ask(store, "SELECT planned FROM v_table6 WHERE position = 1"), 2);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM v_table5"), 0);
  free(trial);
  json_decref(experiment);
  store_close(store);
}

static void test_only_good_attempts_count(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *experiment = make_experiment(1, "quick");
  int64_t id;
  int count;
  Cell *trial = add(store, experiment, &id, &count);
  attempt(store, trial[0].id, STATUS_INTERRUPTED, one_value(0.1));
  attempt(store, trial[0].id, STATUS_FAILED, one_value(0.2));
  attempt(store, trial[0].id, STATUS_RUNNING, one_value(0.3));
  assert_int_equal((int)ask(store, "SELECT count(*) FROM v_score"), 0);
  attempt(store, trial[0].id, STATUS_DONE, one_value(0.9));
  attempt(store, trial[0].id, STATUS_INTERRUPTED, one_value(0.4));
  assert_near(ask(store, "SELECT value FROM v_score"), 0.9);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM attempts"), 5); /* none is erased */
  assert_int_equal((int)ask(store, "SELECT status = 'done' FROM trials WHERE id = 1"), 1);
  Error error = {""};
  assert_true(store_remove(store, trial[0].hash, &error));
  assert_int_equal((int)ask(store, "SELECT count(*) FROM v_score"), 0);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM metrics"), 5);
  assert_int_equal((int)ask(store, "SELECT status = 'planned' FROM trials WHERE id = 1"), 1);
  free(trial);
  json_decref(experiment);
  store_close(store);
}

static void test_stale_becomes_interrupted(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *experiment = make_experiment(1, "quick");
  int64_t id;
  int count, stale;
  Cell *trial = add(store, experiment, &id, &count);
  attempt(store, trial[0].id, STATUS_RUNNING, one_value(0.3));
  attempt(store, trial[1].id, STATUS_DONE, one_value(0.5));
  attempt(store, trial[1].id, STATUS_RUNNING, one_value(0.6));
  Error error = {""};
  assert_true(store_lock(store, &stale, &error));
  assert_int_equal(stale, 2);
  free(trial);
  trial = add(store, experiment, &id, &count);
  assert_int_equal(trial[0].status, STATUS_INTERRUPTED);
  assert_int_equal(trial[1].status, STATUS_DONE); /* its first attempt was good */
  assert_int_equal((int)ask(store, "SELECT count(*) FROM attempts WHERE status = 'running'"), 0);
  free(trial);
  json_decref(experiment);
  store_close(store);
}

static void test_only_what_runs_is_ended(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *experiment = make_experiment(1, "quick");
  int64_t id, none = 77;
  int count;
  Cell *trial = add(store, experiment, &id, &count);
  int64_t done = attempt(store, trial[0].id, STATUS_DONE, one_value(0.9));
  Error error = {""}, again = {""};
  assert_false(store_start(store, 4711, environment_of(store), 1, "x", 0, &none, &error));
  assert_int_equal(none, 0); /* not the number of a line that is there */
  AttemptEnd end = {.status = STATUS_INTERRUPTED, .exit_code = -1, .train_s = -1, .eval_s = -1};
  assert_false(store_finish(store, done, NULL, &end, &again));
  assert_non_null(strstr(again.text, "is not running"));
  assert_near(ask(store, "SELECT value FROM v_score"), 0.9);
  free(trial);
  json_decref(experiment);
  store_close(store);
}

static void test_bad_metric_is_refused_whole(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *experiment = make_experiment(1, "quick");
  int64_t id, row;
  int count;
  Cell *trial = add(store, experiment, &id, &count);
  Error error = {""};
  assert_true(store_start(store, trial[0].id, environment_of(store), 1, "x", 0, &row, &error));
  json_t *events = one_value(0.5), *bad = metric("liver", 2, 0, 0.5, "guessed");
  json_array_append_new(events, bad);
  assert_false(store_events(store, row, events, &error));
  assert_int_equal((int)ask(store, "SELECT count(*) FROM metrics"), 0); /* all or nothing */
  json_decref(events);
  free(trial);
  json_decref(experiment);
  store_close(store);
}

/* ---- rows as structs ------------------------------------------------------------------------- */

typedef struct Line {
  const char *word, *none;
  int small;
  int64_t large;
  double half, unknown;
} Line;

static const Column line_columns[] = {COLUMN(Line, word),
                                      COLUMN(Line, none),
                                      COLUMN(Line, small),
                                      COLUMN(Line, large),
                                      COLUMN(Line, half),
                                      COLUMN(Line, unknown),
                                      {0}};

static void test_rows_are_structs(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  Rows rows;
  Error error = {""};
  assert_true(store_rows(store,
                         "SELECT 'a' AS word, NULL AS none, 3 AS small, 1 << 40 AS large,"
                         " 0.5 AS half, NULL AS unknown UNION ALL SELECT 'b', 'c', ?1, 5, 6, 7.5",
                         json_pack("[i]", 4), line_columns, sizeof(Line), &rows, &error));
  const Line *line = rows.row;
  assert_int_equal(rows.count, 2);
  assert_string_equal(line[0].word, "a");
  assert_string_equal(line[0].none, "");
  assert_true(line[0].small == 3 && line[0].large == (int64_t)1 << 40 && line[0].half == 0.5);
  assert_true(isnan(line[0].unknown));
  assert_string_equal(line[1].none, "c");
  assert_true(line[1].small == 4 && line[1].half == 6 && line[1].unknown == 7.5);
  rows_free(&rows);
  assert_false(
      store_rows(store, "SELECT nothing", NULL, line_columns, sizeof(Line), &rows, &error));
  store_close(store);
}

/* How a process ends that reads small from these columns. */
static int end_of(Store *store, const char *sql) {
  static const Column columns[] = {COLUMN(Line, small), {0}};
  pid_t child = fork();
  if (child == 0) {
    Error error = {""};
    Rows rows;
    close(2);
    store_rows(store, sql, NULL, columns, sizeof(Line), &rows, &error);
    _exit(0);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_misspelt_columns_end_the_program(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  assert_int_equal(end_of(store, "SELECT 1 AS small"), 0);
  assert_int_equal(end_of(store, "SELECT 1 AS smal"), SIGABRT);
  assert_int_equal(end_of(store, "SELECT 1 AS small, 2 AS other"), SIGABRT);
  store_close(store);
}

/* Which another program may have written. */
static void test_other_kinds_are_refused(void **state) {
  (void)state;
  static const Column columns[] = {COLUMN(Line, small), {0}};
  Store *store = open_store(STORE_WRITE);
  Error error = {""};
  Rows rows;
  assert_false(
      store_rows(store, "SELECT 'one' AS small", NULL, columns, sizeof(Line), &rows, &error));
  assert_non_null(strstr(error.text, "damaged: small holds a text, not a number"));
  store_close(store);
}

static int64_t cells_shown(Store *store, const char *scale, size_t *others) {
  Error error = {""};
  Result *result;
  ResultChoice choice = {.what = "6", .scale = scale};
  if (!result_load(store, &choice, &result, &error)) fail_msg("%s", error.text);
  if (!result) return 0;
  int64_t id = result->plan_id;
  *others = json_array_size(result->others);
  result_free(result);
  return id;
}

static void test_which_cells_are_shown(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *three = make_experiment(3, "quick"), *one = make_experiment(1, "quick"),
         *small = make_experiment(1, "small");
  json_t *config = json_object_get(json_array_get(json_object_get(small, "cells"), 0), "config");
  json_object_set_new(config, "width", json_integer(2));
  int64_t a, b, c;
  int count;
  size_t others;
  assert_int_equal(cells_shown(store, NULL, &others), 0);
  free(add(store, three, &a, &count));
  outside("UPDATE plans SET used_at = '2199-01-01T00:00:00.000Z'"); /* the clock was ahead */
  free(add(store, one, &b, &count));
  assert_int_not_equal(a, b);
  assert_int_equal(cells_shown(store, NULL, &others), a); /* one seed is part of three */
  assert_int_equal(others, 0);
  free(add(store, small, &c, &count));
  assert_int_equal(cells_shown(store, NULL, &others), c); /* never mixed with the other scale */
  assert_int_equal(others, 1);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM v_newest"), 2);
  assert_int_equal(cells_shown(store, "quick", &others), a);
  assert_int_equal(cells_shown(store, "paper", &others), 0);
  free(add(store, one, &b, &count)); /* used again */
  assert_int_equal(cells_shown(store, NULL, &others), a);
  json_decref(three);
  json_decref(one);
  json_decref(small);
  store_close(store);
}

static void test_nearest(void **state) {
  (void)state;
  static const char *const names[] = {"run", "table", "plot", "runs", NULL, "doctor", "queries"};
  assert_string_equal(nearest_name("tabel", names, 7), "table");
  assert_string_equal(nearest_name("rum", names, 7), "run");
  assert_string_equal(nearest_name("doc", names, 7), "doctor");
  assert_string_equal(nearest_name("QUERIE", names, 7), "queries");
  assert_null(nearest_name("banana", names, 7));
  assert_int_equal(nearest_distance("ab", "ba"), 1);
  assert_int_equal(nearest_distance("kitten", "sitting"), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(test_lock),
      CASE(test_experiment_is_idempotent),
      CASE(test_figures),
      CASE(test_only_good_attempts_count),
      CASE(test_stale_becomes_interrupted),
      CASE(test_only_what_runs_is_ended),
      CASE(test_bad_metric_is_refused_whole),
      CASE(test_rows_are_structs),
      CASE(test_misspelt_columns_end_the_program),
      CASE(test_other_kinds_are_refused),
      CASE(test_which_cells_are_shown),
      cmocka_unit_test(test_hash),
      cmocka_unit_test(test_nearest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
