/* The database: opening, migrating, refusing; identity; the figures of the views against sums done
 * by hand; what an attempt that did not end well leaves behind. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/nearest.h"
#include "src/report/result.h"
#include "src/store/database.h"
#include "src/store/environment.h"
#include "src/store/schema.h"
#include "src/store/store.h"

#include <cmocka.h> /* last: it makes a macro of `fail` */

static char folder[64], path[128];

static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/harness-store-XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/results/harness.db", folder);
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

static Store *open_store(StoreMode mode) {
  Error error = {""};
  Store *store;
  if (!store_open(&store, path, mode, &error)) fail_msg("%s", error.text);
  return store;
}

/* Runs SQL beside the store, as any other program would. */
static void outside(const char *sql) {
  sqlite3 *db;
  char *message = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s: %s", sql, message);
  sqlite3_close(db);
}

static int version_outside(void) {
  sqlite3 *db;
  sqlite3_stmt *statement;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  int version = sqlite3_column_int(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return version;
}

static double ask(Store *store, const char *sql) {
  Error error = {""};
  json_t *rows;
  if (!store_query(store, sql, NULL, &rows, &error)) fail_msg("%s", error.text);
  const json_t *row = json_array_get(rows, 0);
  const json_t *value = json_object_iter_value(json_object_iter((json_t *)row));
  double number = json_is_number(value) ? json_number_value(value) : NAN;
  json_decref(rows);
  return number;
}

static void assert_near(double found, double expected) {
  if (!(fabs(found - expected) < 1e-12)) fail_msg("%.17g is not %.17g", found, expected);
}

static json_t *cell(int row, int queries, int seed) {
  return json_pack("{s:i,s:i,s:i,s:{s:i,s:i,s:f}}", "row", row, "seed", seed, "fold", 0, "config",
                   "queries", queries, "seed", seed, "lr", 0.1);
}

/* Two rows with so many seeds each. */
static json_t *make_plan(int seeds, const char *scale) {
  json_t *cells = json_array();
  for (int row = 0; row < 2; row++)
    for (int seed = 0; seed < seeds; seed++) json_array_append_new(cells, cell(row, row + 1, seed));
  json_t *plan = json_pack(
      "{s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:{s:s,s:s},s:[{s:s,s:s,s:f},{s:s,s:s,s:n}],s:o,s:[s]}",
      "experiment", "query_count", "file", "q.lua", "table", 6, "title", "Number of queries",
      "metric", "dice", "scale", scale, "device", "cpu", "data", "kind", "none", "name", "phantom",
      "rows", "key", "queries=1", "label", "1 x N", "paper", 0.913, "key", "queries=2", "label",
      "2 x N", "paper", "cells", cells, "notes", "a note");
  assert_non_null(plan);
  return plan;
}

static PlannedTrial *add(Store *store, const json_t *plan, int64_t *id, int *count) {
  Error error = {""};
  PlannedTrial *trials;
  if (!store_add_plan(store, plan, "data", id, &trials, count, &error)) fail_msg("%s", error.text);
  return trials;
}

static int64_t environment_of(Store *store) {
  Error error = {""};
  int64_t id;
  json_t *environment = environment_capture(".", NULL, false);
  if (!store_environment(store, environment, &id, &error)) fail_msg("%s", error.text);
  json_decref(environment);
  return id;
}

static json_t *metric(const char *name, int label, int at, double value, const char *situation) {
  char case_name[24];
  snprintf(case_name, sizeof case_name, "case_%d", at);
  json_t *event =
      json_pack("{s:s,s:s,s:s,s:i,s:s,s:s,s:s}", "event", "metric", "split", "val", "case_name",
                case_name, "label", label, "name", name, "metric", "dice", "situation", situation);
  json_object_set_new(event, "value", strcmp(situation, "absent") ? json_real(value) : json_null());
  return event;
}

/* One attempt at a trial with one label per value in one case each. */
static int64_t attempt(Store *store, int64_t trial, Status status, json_t *events) {
  Error error = {""};
  int64_t id;
  AttemptEnd end = {.status = status, .exit_code = -1, .message = "", .train_s = -1, .eval_s = -1};
  bool good = store_start(store, trial, environment_of(store), 1, "logs/x.log", &id, &error) &&
              (status == STATUS_RUNNING ? store_events(store, id, events, &error)
                                        : store_finish(store, id, events, &end, &error));
  if (!good) fail_msg("%s", error.text);
  json_decref(events);
  return id;
}

static json_t *one_value(double value) {
  json_t *events = json_array();
  json_array_append_new(events, metric("spleen", 1, 0, value, "both"));
  return events;
}

/* --- opening --- */

static void test_new_database(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  assert_int_equal((int)ask(store, "PRAGMA user_version"), migration_count);
  assert_int_equal((int)ask(store, "PRAGMA application_id"), STORE_APPLICATION_ID);
  assert_int_equal((int)ask(store, "PRAGMA foreign_keys"), 1);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM sqlite_master WHERE name = 'v_table6'"),
                   1);
  store_close(store);
  char wal[160];
  snprintf(wal, sizeof wal, "%s-wal", path);
  assert_int_not_equal(access(wal, F_OK), 0); /* merged at the end: one file to copy */
  store = open_store(STORE_READ);
  Error error = {""};
  json_t *plan = make_plan(1, "quick");
  PlannedTrial *trials;
  int64_t id;
  int count;
  assert_false(store_add_plan(store, plan, "data", &id, &trials, &count, &error));
  assert_non_null(strstr(error.text, "readonly"));
  json_decref(plan);
  store_close(store);
}

static void test_older_database_is_migrated(void **state) {
  (void)state;
  static const char *const first[] = {"", NULL};
  static const char *const second[] = {"ALTER TABLE trials ADD COLUMN tag TEXT", NULL};
  static const char *const broken[] = {"CREATE TABLE half(x)", "no SQL", NULL};
  const char *const *list[16];
  const int now = migration_count;
  for (int i = 0; i < now; i++) list[i] = first;
  list[now] = second;
  list[now + 1] = broken;
  Store *store = open_store(STORE_WRITE);
  Error error = {""}, refused = {""};
  json_t *plan = make_plan(1, "quick");
  int64_t id;
  int count;
  free(add(store, plan, &id, &count));
  json_decref(plan);
  assert_true(database_migrate(store, list, now + 1, &error));
  assert_int_equal((int)ask(store, "PRAGMA user_version"), now + 1);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM trials WHERE tag IS NULL"), 2);
  assert_false(database_migrate(store, list, now + 2, &refused)); /* whole or not at all */
  assert_int_equal((int)ask(store, "PRAGMA user_version"), now + 1);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM sqlite_master WHERE name = 'half'"), 0);
  store_close(store);
  char own[128];
  strcpy(own, path);
  snprintf(path, sizeof path, "%.100s.v%d.bak", own, now);
  store = open_store(STORE_READ); /* the copy is whole and still of the old form */
  assert_int_equal((int)ask(store, "PRAGMA user_version"), now);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM trials"), 2);
  store_close(store);
}

/* A database as the program of that form left it: three plans of one kind, used in another order
 * than they were made. */
static void make_older(int version) {
  char sql[200], results[128];
  snprintf(results, sizeof results, "%s/results", folder);
  assert_true(mkdir(results, 0777) == 0 || version > 1);
  unlink(path);
  for (int v = 0; v < version; v++)
    for (int i = 0; migrations[v][i]; i++) outside(migrations[v][i]);
  snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
           STORE_APPLICATION_ID, version);
  outside(sql);
  outside("INSERT INTO experiments(id, name, table_no, title, metric, file)"
          " VALUES(1, 'query_count', 6, 't', 'dice', 'q.lua')");
  for (int id = 1; id <= 3; id++) {
    snprintf(
        sql, sizeof sql,
        "INSERT INTO plans(id, experiment_id, hash, scale, dataset, data_hash, device, notes,"
        " created_at, used_at) VALUES(%d, 1, 'h%d', 'quick', 'd', 'x', 'cpu', '[]', '2024-0%d',"
        " '2025-0%d')",
        id, id, id, id == 2 ? 9 : id);
    outside(sql);
  }
}

static void test_every_older_form_is_brought_forward(void **state) {
  (void)state;
  for (int version = 1; version < 6; version++) { /* with 6 they are numbered */
    make_older(version);
    Store *store = open_store(STORE_READ); /* a reader leaves the file as it is */
    assert_int_equal((int)ask(store, "SELECT plan_id FROM v_newest"), 2);
    store_close(store);
    assert_int_equal(version_outside(), version);
    store = open_store(STORE_WRITE);
    assert_int_equal((int)ask(store, "PRAGMA user_version"), migration_count);
    assert_int_equal((int)ask(store, "SELECT plan_id FROM v_newest"), 2);
    assert_int_equal((int)ask(store, "SELECT used FROM plans WHERE id = 1"), 1);
    assert_int_equal((int)ask(store, "SELECT used FROM plans WHERE id = 3"), 2);
    assert_int_equal((int)ask(store, "SELECT count(*) FROM bench_rows"), 0);
    assert_int_equal((int)ask(store, "SELECT count(*) FROM v_table6"), 0);
    store_close(store);
  }
}

static void refuse(const char *expected) {
  Error error = {""};
  Store *store;
  assert_false(store_open(&store, path, STORE_WRITE, &error));
  assert_null(store);
  if (!strstr(error.text, expected)) fail_msg("\"%s\" lacks \"%s\"", error.text, expected);
  Error again = {""};
  assert_false(store_open(&store, path, STORE_READ, &again));
}

static void test_newer_database_is_refused(void **state) {
  (void)state;
  store_close(open_store(STORE_WRITE));
  outside("PRAGMA user_version=99");
  refuse("newer harness");
  char present[64];
  snprintf(present, sizeof present, "PRAGMA user_version=%d", migration_count);
  outside(present); /* untouched by the refusal */
  store_close(open_store(STORE_WRITE));
}

static void test_strangers_are_refused(void **state) {
  (void)state;
  store_close(open_store(STORE_WRITE));
  outside("PRAGMA application_id=7");
  refuse("another program");
  FILE *file = fopen(path, "w");
  for (int i = 0; i < 4096; i++) fputs("this is no database ", file);
  fclose(file);
  refuse("not a database");
}

static void test_place_of_results_is_a_file(void **state) {
  (void)state;
  char results[128];
  snprintf(results, sizeof results, "%s/results", folder);
  fclose(fopen(results, "w"));
  refuse("not a folder");
}

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

/* --- identity --- */

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

/* --- plans and figures --- */

static void test_plan_is_idempotent(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *plan = make_plan(3, "quick");
  int64_t first, second;
  int count;
  PlannedTrial *a = add(store, plan, &first, &count), *b = add(store, plan, &second, &count);
  assert_int_equal(count, 6);
  assert_int_equal(first, second);
  for (int i = 0; i < count; i++) assert_int_equal(a[i].id, b[i].id);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM trials"), 6);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM rows"), 2);
  free(a);
  free(b);
  json_decref(plan);
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
  json_t *plan = make_plan(3, "quick");
  int64_t id;
  int count;
  PlannedTrial *trial = add(store, plan, &id, &count);
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
  json_decref(plan);
  store_close(store);
}

static void test_only_good_attempts_count(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *plan = make_plan(1, "quick");
  int64_t id;
  int count;
  PlannedTrial *trial = add(store, plan, &id, &count);
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
  json_decref(plan);
  store_close(store);
}

static void test_stale_becomes_interrupted(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *plan = make_plan(1, "quick");
  int64_t id;
  int count, stale;
  PlannedTrial *trial = add(store, plan, &id, &count);
  attempt(store, trial[0].id, STATUS_RUNNING, one_value(0.3));
  attempt(store, trial[1].id, STATUS_DONE, one_value(0.5));
  attempt(store, trial[1].id, STATUS_RUNNING, one_value(0.6));
  Error error = {""};
  assert_true(store_lock(store, &stale, &error));
  assert_int_equal(stale, 2);
  free(trial);
  trial = add(store, plan, &id, &count);
  assert_int_equal(trial[0].status, STATUS_INTERRUPTED);
  assert_int_equal(trial[1].status, STATUS_DONE); /* its first attempt was good */
  assert_int_equal((int)ask(store, "SELECT count(*) FROM attempts WHERE status = 'running'"), 0);
  free(trial);
  json_decref(plan);
  store_close(store);
}

static void test_bad_metric_is_refused_whole(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *plan = make_plan(1, "quick");
  int64_t id, row;
  int count;
  PlannedTrial *trial = add(store, plan, &id, &count);
  Error error = {""};
  assert_true(store_start(store, trial[0].id, environment_of(store), 1, "x", &row, &error));
  json_t *events = one_value(0.5), *bad = metric("liver", 2, 0, 0.5, "guessed");
  json_array_append_new(events, bad);
  assert_false(store_events(store, row, events, &error));
  assert_int_equal((int)ask(store, "SELECT count(*) FROM metrics"), 0); /* all or nothing */
  json_decref(events);
  free(trial);
  json_decref(plan);
  store_close(store);
}

static int64_t plan_shown(Store *store, const char *scale, size_t *others) {
  Error error = {""};
  json_t *result;
  ResultChoice choice = {.what = "6", .scale = scale};
  if (!result_load(store, &choice, &result, &error)) fail_msg("%s", error.text);
  if (!result) return 0;
  int64_t id = json_integer_value(json_object_get(result, "plan_id"));
  *others = json_array_size(json_object_get(result, "others"));
  json_decref(result);
  return id;
}

static void test_which_plan_is_shown(void **state) {
  (void)state;
  Store *store = open_store(STORE_WRITE);
  json_t *three = make_plan(3, "quick"), *one = make_plan(1, "quick"),
         *small = make_plan(1, "small");
  json_t *config = json_object_get(json_array_get(json_object_get(small, "cells"), 0), "config");
  json_object_set_new(config, "width", json_integer(2));
  int64_t a, b, c;
  int count;
  size_t others;
  assert_int_equal(plan_shown(store, NULL, &others), 0);
  free(add(store, three, &a, &count));
  outside("UPDATE plans SET used_at = '2199-01-01T00:00:00.000Z'"); /* the clock was ahead */
  free(add(store, one, &b, &count));
  assert_int_not_equal(a, b);
  assert_int_equal(plan_shown(store, NULL, &others), a); /* one seed is part of three */
  assert_int_equal(others, 0);
  free(add(store, small, &c, &count));
  assert_int_equal(plan_shown(store, NULL, &others), c); /* never mixed with the other scale */
  assert_int_equal(others, 1);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM v_newest"), 2);
  assert_int_equal(plan_shown(store, "quick", &others), a);
  assert_int_equal(plan_shown(store, "paper", &others), 0);
  free(add(store, one, &b, &count)); /* used again */
  assert_int_equal(plan_shown(store, NULL, &others), a);
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

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(test_new_database),
      CASE(test_older_database_is_migrated),
      CASE(test_every_older_form_is_brought_forward),
      CASE(test_newer_database_is_refused),
      CASE(test_strangers_are_refused),
      CASE(test_place_of_results_is_a_file),
      CASE(test_lock),
      CASE(test_plan_is_idempotent),
      CASE(test_figures),
      CASE(test_only_good_attempts_count),
      CASE(test_stale_becomes_interrupted),
      CASE(test_bad_metric_is_refused_whole),
      CASE(test_which_plan_is_shown),
      cmocka_unit_test(test_hash),
      cmocka_unit_test(test_nearest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
