/* The database's file: made, brought forward from every older form, refused where it is
 * another's. */
#include "src/store/database.h"
#include "tests/store_files.h"

#include <sys/stat.h>

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
  json_t *experiment = make_experiment(1, "quick");
  Cell *trials;
  int64_t id;
  int count;
  assert_false(store_add_experiment(store, experiment, "data", &id, &trials, &count, &error));
  assert_non_null(strstr(error.text, "readonly"));
  json_decref(experiment);
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
  json_t *experiment = make_experiment(1, "quick");
  int64_t id;
  int count;
  free(add(store, experiment, &id, &count));
  json_decref(experiment);
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

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(test_new_database),
      CASE(test_older_database_is_migrated),
      CASE(test_every_older_form_is_brought_forward),
      CASE(test_newer_database_is_refused),
      CASE(test_strangers_are_refused),
      CASE(test_place_of_results_is_a_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
