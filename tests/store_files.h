/* A database in a folder of its own, which is made before each test and removed after it, and small
 * plans and attempts to put there. Static: every test program has its own. Include behind the
 * headers of what is tested: cmocka makes a macro of `fail`. */
#ifndef TESTS_STORE_FILES_H
#define TESTS_STORE_FILES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "src/machine/environment.h"
#include "src/store/database.h"
#include "src/store/store.h"

#include <cmocka.h>

static char folder[64], path[128];

__attribute__((unused)) static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/harness-store-XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/results/harness.db", folder);
  return 0;
}

__attribute__((unused)) static int remove_folder(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

__attribute__((unused)) static Store *open_store(StoreMode mode) {
  Error error = {""};
  Store *store;
  if (!store_open(&store, path, mode, &error)) fail_msg("%s", error.text);
  return store;
}

/* Runs SQL beside the store, as any other program would. */
__attribute__((unused)) static void outside(const char *sql) {
  sqlite3 *db;
  char *message = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL); /* nothing depends on it */
  if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s: %s", sql, message);
  sqlite3_close(db);
}

__attribute__((unused)) static double ask(Store *store, const char *sql) {
  Error error = {""};
  json_t *rows;
  if (!store_query(store, sql, NULL, &rows, &error)) fail_msg("%s", error.text);
  const json_t *row = json_array_get(rows, 0);
  const json_t *value = json_object_iter_value(json_object_iter((json_t *)row));
  double number = json_is_number(value) ? json_number_value(value) : NAN;
  json_decref(rows);
  return number;
}

__attribute__((unused)) static void assert_near(double found, double expected) {
  if (!(fabs(found - expected) < 1e-12)) fail_msg("%.17g is not %.17g", found, expected);
}

__attribute__((unused)) static json_t *cell(int row, int queries, int seed) {
  return json_pack("{s:i,s:i,s:i,s:{s:i,s:i,s:f}}", "row", row, "seed", seed, "fold", 0, "config",
                   "queries", queries, "seed", seed, "lr", 0.1);
}

/* Two rows with so many seeds each. */
__attribute__((unused)) static json_t *make_experiment(int seeds, const char *scale) {
  json_t *cells = json_array();
  for (int row = 0; row < 2; row++)
    for (int seed = 0; seed < seeds; seed++) json_array_append_new(cells, cell(row, row + 1, seed));
  json_t *experiment = json_pack(
      "{s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:{s:s,s:s},s:[{s:s,s:s,s:f},{s:s,s:s,s:n}],s:o,s:[s]}",
      "experiment", "query_count", "file", "q.lua", "table", 6, "title", "Number of queries",
      "metric", "dice", "scale", scale, "device", "cpu", "data", "kind", "none", "name", "phantom",
      "rows", "key", "queries=1", "label", "1 x N", "paper", 0.913, "key", "queries=2", "label",
      "2 x N", "paper", "cells", cells, "notes", "a note");
  assert_non_null(experiment);
  return experiment;
}

__attribute__((unused)) static Cell *add(Store *store, const json_t *experiment, int64_t *id,
                                         int *count) {
  Error error = {""};
  Cell *trials;
  if (!store_add_experiment(store, experiment, "data", id, &trials, count, &error))
    fail_msg("%s", error.text);
  return trials;
}

__attribute__((unused)) static int64_t environment_of(Store *store) {
  Error error = {""};
  int64_t id;
  json_t *environment = environment_capture(NULL, false);
  if (!store_environment(store, environment, &id, &error)) fail_msg("%s", error.text);
  json_decref(environment);
  return id;
}

__attribute__((unused)) static json_t *metric(const char *name, int label, int at, double value,
                                              const char *situation) {
  char case_name[24];
  snprintf(case_name, sizeof case_name, "case_%d", at);
  json_t *event =
      json_pack("{s:s,s:s,s:s,s:i,s:s,s:s,s:s}", "event", "metric", "split", "val", "case_name",
                case_name, "label", label, "name", name, "metric", "dice", "situation", situation);
  json_object_set_new(event, "value", strcmp(situation, "absent") ? json_real(value) : json_null());
  return event;
}

/* One attempt at a trial with one label per value in one case each. */
__attribute__((unused)) static int64_t attempt(Store *store, int64_t trial, Status status,
                                               json_t *events) {
  Error error = {""};
  int64_t id;
  AttemptEnd end = {.status = status, .exit_code = -1, .message = "", .train_s = -1, .eval_s = -1};
  bool good = store_start(store, trial, environment_of(store), 1, "logs/x.log", 0, &id, &error) &&
              (status == STATUS_RUNNING ? store_events(store, id, events, &error)
                                        : store_finish(store, id, events, &end, &error));
  if (!good) fail_msg("%s", error.text);
  json_decref(events);
  return id;
}

__attribute__((unused)) static json_t *one_value(double value) {
  json_t *events = json_array();
  json_array_append_new(events, metric("spleen", 1, 0, value, "both"));
  return events;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

#endif
