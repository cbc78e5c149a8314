/* Reading: rows as JSON, so that the report needs no SQLite; names of trials; soft removal. */
#include <ctype.h>
#include <string.h>

#include "src/store/database.h"

static void bind_parameters(sqlite3_stmt *statement, json_t *parameters) {
  for (size_t i = 0; i < json_array_size(parameters); i++) {
    json_t *value = json_array_get(parameters, i);
    int at = (int)i + 1;
    if (json_is_integer(value)) sqlite3_bind_int64(statement, at, json_integer_value(value));
    if (json_is_real(value)) sqlite3_bind_double(statement, at, json_real_value(value));
    if (json_is_string(value))
      sqlite3_bind_text(statement, at, json_string_value(value), -1, SQLITE_TRANSIENT);
  }
}

static json_t *column(sqlite3_stmt *statement, int i) {
  int type = sqlite3_column_type(statement, i);
  if (type == SQLITE_INTEGER) return json_integer(sqlite3_column_int64(statement, i));
  if (type == SQLITE_FLOAT) return json_real(sqlite3_column_double(statement, i));
  if (type == SQLITE_TEXT) return json_string((const char *)sqlite3_column_text(statement, i));
  return json_null();
}

bool store_query(Store *store, const char *sql, json_t *parameters, json_t **rows, Error *error) {
  sqlite3_stmt *statement;
  *rows = NULL;
  if (!database_prepare(store, sql, &statement, error)) return false;
  bind_parameters(statement, parameters);
  json_t *list = json_array();
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    json_t *row = json_object();
    for (int i = 0; i < sqlite3_column_count(statement); i++)
      json_object_set_new(row, sqlite3_column_name(statement, i), column(statement, i));
    json_array_append_new(list, row);
  }
  bool good = code == SQLITE_DONE;
  if (!good) database_fail(store, "reading failed", error);
  sqlite3_finalize(statement);
  if (good) *rows = list;
  if (!good) json_decref(list);
  return good;
}

bool store_find(Store *store, const char *prefix, char hash[HASH_BYTES], Error *error) {
  size_t length = strlen(prefix);
  bool hexadecimal = length >= 4 && length < HASH_BYTES;
  for (size_t i = 0; i < length; i++)
    hexadecimal = hexadecimal && isxdigit((unsigned char)prefix[i]);
  if (!hexadecimal)
    return fail(error,
                "\"%s\" names no trial: give 4 to 32 leading hexadecimal digits as `harness "
                "runs list` prints them",
                prefix);
  json_t *parameters = json_pack("[s]", prefix), *rows;
  bool good =
      store_query(store, "SELECT hash FROM trials WHERE substr(hash, 1, length(?1)) = lower(?1)",
                  parameters, &rows, error);
  json_decref(parameters);
  if (!good) return false;
  size_t found = json_array_size(rows);
  if (found == 1) strcpy(hash, json_string_value(json_object_get(json_array_get(rows, 0), "hash")));
  json_decref(rows);
  if (found == 1) return true;
  return fail(error, "%s: %zu trials begin with \"%s\"%s", store->path, found, prefix,
              found ? "; give more digits" : "; `harness runs list` prints them all");
}

static bool remove_attempts(Store *store, const char *hash, Error *error) {
  int64_t running;
  if (!database_integer(store, error, 0, &running,
                        "SELECT count(*) FROM trials WHERE hash = ?1 AND status = 'running'", "s",
                        hash))
    return false;
  if (running && store_lock_holder(store->path))
    return fail(error, "trial %.8s is running (process %d); stop that run first", hash,
                store_lock_holder(store->path));
  return database_run(store, error,
                      "UPDATE attempts SET removed = 1 WHERE trial_id ="
                      " (SELECT id FROM trials WHERE hash = ?1)",
                      "s", hash) &&
         database_run(store, error, "UPDATE trials SET status = 'planned' WHERE hash = ?1", "s",
                      hash);
}

bool store_remove(Store *store, const char *prefix, Error *error) {
  char hash[HASH_BYTES];
  return store_find(store, prefix, hash, error) && database_begin(store, error) &&
         database_end(store, remove_attempts(store, hash, error), error);
}
