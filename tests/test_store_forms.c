/* The database's file: made, brought forward from every older form, refused where it is
 * another's. */
#include "src/store/database.h"
#include "tests/injected.h"
#include "tests/store_files.h"

#include <sys/stat.h>
#include <sys/wait.h>

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
  const char *const *list[24];
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

/* ---- what older programs stored ------------------------------------------------------------- */

/* Of the texts of each migration as they were first committed: none is ever edited, since files of
 * its form are about. A new form adds a line. */
static const char *const committed[] = {
    "7f2e0797ec1fe4541377e25a32d7173d", "7c7198670d0514c2fd5bf6a4a72c60bc",
    "e7976ceaabb908e84bb1dc73b1127e50", "1546dad8b52bd07868721882eaba7631",
    "23c8b4e055d2bf590d4a2fc4b30149f9", "f34c37890af4840d0dcbf075a1cedb68",
    "24429885b88b5f262fdce2104cf6d914", "2d5a25188b3912278e44dfa8fc707066",
    "4d8cd1afe81850f85fde674bd480947d", "b6274aa2c8368fa9534f25305c13a70d",
    "9f649f06bd832104f3e8bdf8da13dbf7", "1fa2d137dcaaaff1fd2e5b2376e43d22",
    "4cada4dbd5a346ca1d3226248409f5cb", "3f46be477105662a288202b767ddc616",
    "9278096386b7bf9418a3a76c2271de13", "de56aa080d3b1cd5426aef3107dd2c98",
    "244992478208865949d2e2eda90ddc06",
};

static void test_no_migration_is_edited(void **state) {
  (void)state;
  assert_int_equal(migration_count, sizeof committed / sizeof committed[0]);
  for (int v = 0; v < migration_count; v++) {
    char *all = sqlite3_mprintf(""), hash[HASH_BYTES];
    for (int i = 0; migrations[v][i]; i++) all = sqlite3_mprintf("%z%s", all, migrations[v][i]);
    text_hash(all, hash);
    sqlite3_free(all);
    if (strcmp(hash, committed[v]))
      fail_msg("form %d: its texts have the hash %s, not \"%s\": were they edited?", v + 1, hash,
               committed[v]);
  }
}

/* A line in every table that the first form has. */
static const char stored[] =
    "INSERT INTO environments(id, hash, captured_at, version, binary_hash, compiler, flags,"
    " libraries, cpu, cores, memory_bytes, host, kernel)"
    " VALUES(3, 'e', 't', '0.1', 'b', 'gcc', '-O3', '{}', 'cpu', 2, 5, 'h', 'k');"
    "INSERT INTO rows(id, plan_id, position, key, label, paper)"
    " VALUES(4, 1, 0, 'queries=1', '1 x N', 0.9);"
    "INSERT INTO trials(id, hash, config, scale, dataset, data_hash, device, seed, fold, status,"
    " created_at) VALUES(5, '0123456789abcdef0123456789abcdef', '{\"lr\":0.1}', 'quick', 'd', 'x', "
    "'cpu', 1, 0, 'done', 't'),"
    " (6, '123456789abcdef0123456789abcdef0', '{}', 'quick', 'd', 'x', 'cpu', 2, 0, 'running', "
    "'t');"
    "INSERT INTO cells(row_id, trial_id) VALUES(4, 5), (4, 6);"
    "INSERT INTO attempts(id, trial_id, number, environment_id, pid, started_at, ended_at, status,"
    " removed, exit_code, message, log, parameters, train_s)"
    " VALUES(7, 5, 1, 3, 99, 't', 'u', 'failed', 0, 1, 'why', 'l', 1000, 1.5),"
    " (8, 5, 2, 3, 99, 't', 'u', 'done', 0, 0, NULL, 'l', 1000, 1.5),"
    " (9, 6, 1, 3, 99, 't', NULL, 'running', 0, NULL, NULL, 'l', NULL, NULL);"
    "INSERT INTO metrics(attempt_id, split, case_name, label, name, metric, value, situation)"
    " VALUES(8, 'val', 'c', 1, 'spleen', 'dice', 0.75, 'both'),"
    " (8, 'val', 'c', 2, 'liver', 'dice', NULL, 'absent');"
    "INSERT INTO curves(attempt_id, step, loss, lr, clipped) VALUES(8, 1, 0.5, 0.1, 0);";

/* All that the first form has columns for. */
static char *all_stored(void) {
  static const char *const columns[] = {
      "hash, version, cpu, cores FROM environments",
      "name, table_no, metric, file FROM experiments",
      "hash, scale, dataset, created_at FROM plans",
      "plan_id, position, key, label, paper FROM rows",
      "hash, config, seed, fold, status FROM trials",
      "row_id, trial_id FROM cells",
      "trial_id, number, status, exit_code, message, parameters, train_s FROM attempts",
      "attempt_id, case_name, label, name, metric, value, situation FROM metrics",
      "attempt_id, step, loss, lr, clipped FROM curves"};
  sqlite3 *db;
  char *all = sqlite3_mprintf("");
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
    sqlite3_stmt *statement;
    char *sql = sqlite3_mprintf("SELECT %s ORDER BY 1, 2", columns[i]);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW)
      for (int c = 0; c < sqlite3_column_count(statement); c++)
        all = sqlite3_mprintf("%z%s|", all, sqlite3_column_text(statement, c));
    sqlite3_finalize(statement);
    sqlite3_free(sql);
  }
  sqlite3_close(db);
  return all;
}

static void test_every_form_keeps_what_is_stored(void **state) {
  (void)state;
  for (int version = 1; version <= migration_count; version++) {
    make_older(version);
    outside(stored);
    char *before = all_stored();
    assert_non_null(strstr(before, "|0.75|both|"));
    Store *store = open_store(STORE_READ);
    assert_near(ask(store, "SELECT mean FROM v_table WHERE n = 1 AND running = 1"), 0.75);
    store_close(store);
    store = open_store(STORE_WRITE);
    assert_near(ask(store, "SELECT mean FROM v_table WHERE n = 1 AND running = 1"), 0.75);
    assert_int_equal((int)ask(store, "PRAGMA user_version"), migration_count);
    Error error = {""};
    if (!store_check(store, &error)) fail_msg("%s", error.text);
    store_close(store);
    char *after = all_stored();
    assert_string_equal(before, after);
    sqlite3_free(before);
    sqlite3_free(after);
  }
  injected("a database of an older form, each that was ever committed", migration_count - 1, 0);
}

/* ---- several at once ------------------------------------------------------------------------- */

/* One of many that open a file that is not there, and store. Returns its exit code. */
static int open_and_store(int number) {
  Error error = {""};
  Store *store;
  json_t *experiment = make_experiment(2, "quick");
  json_object_set_new(experiment, "experiment", json_sprintf("e%d", number));
  Cell *trials;
  int64_t id;
  int count;
  bool good = store_open(&store, path, STORE_WRITE, &error) &&
              store_add_experiment(store, experiment, "data", &id, &trials, &count, &error);
  if (!good) fprintf(stderr, "process %d: %s\n", number, error.text);
  json_decref(experiment);
  store_close(store);
  return !good;
}

/* older: the file is there, of that form and with three plans, and is brought forward by one. */
static void many_open_at_once(int older) {
  enum { PROCESSES = 6 };
  pid_t child[PROCESSES];
  if (older) make_older(older);
  for (int i = 0; i < PROCESSES; i++)
    if ((child[i] = fork()) == 0) _exit(open_and_store(i));
  for (int i = 0; i < PROCESSES; i++) {
    int status;
    assert_int_equal(waitpid(child[i], &status, 0), child[i]);
    assert_int_equal(status, 0);
  }
  Store *store = open_store(STORE_READ);
  assert_int_equal((int)ask(store, "SELECT count(*) FROM plans"), PROCESSES + (older ? 3 : 0));
  assert_int_equal((int)ask(store, "SELECT count(*) FROM trials"), 4); /* the same of all */
  store_close(store);
  remove_folder(NULL);
  make_folder(NULL);
}

static void test_many_open_a_file_at_once(void **state) {
  (void)state;
  const char *soak = getenv("SOAK");
  const int turns = soak && soak[0] ? 100 : 2;
  for (int turn = 0; turn < turns; turn++) many_open_at_once(0);
  for (int turn = 0; turn < turns; turn++) many_open_at_once(1);
  injected("six programs open and fill one database at once, a new one or one of an older form",
           2 * turns, 0);
}

/* Another program, which holds the file by SQLite alone for a while, whenever it is told to. It is
 * begun before this one has a database open: SQLite's handles are no child's. */
typedef struct Other {
  pid_t process;
  int tell, hear;
} Other;

static void hold(const char *sql) {
  sqlite3 *db;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
  assert_int_equal(write(STDOUT_FILENO, "", 1), 1);
  usleep(300000);
  sqlite3_close(db);
}

static Other begin_other(const char *first, const char *second) {
  int to[2], from[2];
  char byte;
  assert_true(pipe(to) == 0 && pipe(from) == 0);
  Other other = {fork(), to[1], from[0]};
  if (other.process == 0) {
    close(to[1]);
    dup2(from[1], STDOUT_FILENO);
    if (read(to[0], &byte, 1) == 1) hold(first);
    if (read(to[0], &byte, 1) == 1) hold(second);
    _exit(0);
  }
  close(to[0]);
  close(from[1]);
  return other;
}

static void let_hold(const Other *other) {
  char byte = 0;
  assert_int_equal(write(other->tell, &byte, 1), 1);
  assert_int_equal(read(other->hear, &byte, 1), 1);
}

/* Another journal needs the file for itself, and SQLite refuses at once who has begun to read. */
static void test_who_holds_the_file_is_waited_for(void **state) {
  (void)state;
  static const char reads[] = "BEGIN; SELECT count(*) FROM sqlite_master";
  static const char writes[] = "BEGIN IMMEDIATE; SELECT count(*) FROM sqlite_master";
  int status;
  Error error = {""};
  Store *store = NULL;
  store_close(open_store(STORE_WRITE)); /* makes the folder, too */
  unlink(path);
  Other other = begin_other(writes, reads);
  let_hold(&other);
  if (!store_open(&store, path, STORE_WRITE, &error)) fail_msg("to WAL: %s", error.text);
  let_hold(&other);
  if (!database_insist(store, "PRAGMA journal_mode=DELETE", &error))
    fail_msg("from WAL: %s", error.text);
  assert_int_equal(waitpid(other.process, &status, 0), other.process);
  assert_int_equal(status, 0);
  store_close(store);
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
      cmocka_unit_test(test_no_migration_is_edited),
      CASE(test_every_form_keeps_what_is_stored),
      CASE(test_many_open_a_file_at_once),
      CASE(test_who_holds_the_file_is_waited_for),
      CASE(test_newer_database_is_refused),
      CASE(test_strangers_are_refused),
      CASE(test_place_of_results_is_a_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
