/* A database that another program has made or changed: bytes of a file, or statements of SQL that
 * change one of ours. Then what is stored is listed, and every table printed in every format. */
#include "src/report/table.h"
#include "src/train/config_sound.h"
#include "tests/fuzz/fuzz.h"
#include "tests/store_files.h"

#include <unistd.h>

static char *template;
static size_t template_bytes;

static void make_template(void) {
  Store *store;
  Error error = {""};
  int64_t plan;
  int count;
  snprintf(path, sizeof path, "%s/results/harness.db", fuzz_folder());
  CHECK(store_open(&store, path, STORE_WRITE, &error), "%s", error.text);
  json_t *experiment = make_experiment(2, "quick");
  Cell *trials = add(store, experiment, &plan, &count);
  for (int i = 0; i < count; i++) attempt(store, trials[i].id, STATUS_DONE, one_value(.5 + .1 * i));
  free(trials);
  json_decref(experiment);
  store_close(store);
  FILE *file = fopen(path, "rb");
  CHECK(file && fseek(file, 0, SEEK_END) == 0, "%s: not read", path);
  template_bytes = (size_t)ftell(file);
  rewind(file);
  template = malloc(template_bytes);
  CHECK(template && fread(template, 1, template_bytes, file) == template_bytes, "%s: not read",
        path);
  fclose(file);
}

/* Not: other files, and what never ends. */
static int allow(void *user, int action, const char *a, const char *b, const char *c,
                 const char *d) {
  (void)user, (void)a, (void)b, (void)c, (void)d;
  return action == SQLITE_ATTACH || action == SQLITE_RECURSIVE ? SQLITE_DENY : SQLITE_OK;
}

static int stop(void *user) {
  (void)user;
  return 1;
}

static void change(const char *sql) {
  sqlite3 *db;
  CHECK(sqlite3_open(path, &db) == SQLITE_OK, "%s: not opened", path);
  sqlite3_set_authorizer(db, allow, NULL);
  sqlite3_progress_handler(db, 200000, stop, NULL);
  sqlite3_exec(db, sql, NULL, NULL, NULL);
  sqlite3_close(db);
}

static void print_tables(Store *store, FILE *out) {
  static const char *const what[] = {"query_count", "6", NULL};
  for (int i = 0; i < 3; i++) {
    ResultChoice choice = {.what = what[i]};
    Result *result = NULL;
    Error error = {""};
    bool good = result_load(store, &choice, &result, &error);
    fuzz_judge(good, &error);
    for (int f = 0; good && result && f < TABLE_FORMATS; f++)
      table_print(result, table_formats[f], out);
    if (good) result_free(result);
  }
}

static void list_trials(Store *store) {
  json_t *rows, *row;
  size_t i;
  Error error = {""};
  bool good = store_query(store, "SELECT hash, config FROM trials LIMIT 50", NULL, &rows, &error);
  fuzz_judge(good, &error);
  json_array_foreach(rows, i, row) {
    char hash[HASH_BYTES];
    const char *named = json_string_value(json_object_get(row, "hash"));
    Error unknown = {""};
    if (named) fuzz_judge(store_find(store, named, hash, &unknown), &unknown);
    const char *kept = json_string_value(json_object_get(row, "config"));
    json_t *config = kept ? json_loads(kept, 0, NULL) : NULL;
    Error unsound = {""};
    fuzz_judge(config_sound(config, &unsound), &unsound);
    json_decref(config);
  }
  json_decref(rows);
}

static void read_database(StoreMode mode, FILE *out) {
  Store *store;
  Error error = {""};
  bool good = store_open(&store, path, mode, &error);
  fuzz_judge(good, &error);
  if (!good) return;
  list_trials(store);
  print_tables(store, out);
  store_close(store);
}

static void clean(void) {
  static const char *const ends[] = {"-wal", "-shm", "-journal", ".lock"};
  char name[200];
  for (int i = 0; i < 4; i++) {
    snprintf(name, sizeof name, "%s%s", path, ends[i]);
    unlink(name);
  }
}

void fuzz_database(const uint8_t *data, size_t bytes) {
  static FILE *none;
  if (!template) make_template();
  if (!none) none = fopen("/dev/null", "w");
  bool file = bytes >= 16 && !memcmp(data, "SQLite format 3", 16);
  clean();
  fuzz_write("results/harness.db", file ? (const char *)data : template,
             file ? bytes : template_bytes);
  char *sql = file ? NULL : fuzz_text(data, bytes);
  if (sql) change(sql);
  free(sql);
  read_database(STORE_READ, none);
  clean();
  read_database(STORE_WRITE, none);
}
