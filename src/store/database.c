#include "src/store/database.h"

#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

/* SQLite does not tell EFBIG from other errors of writing. */
static bool files_are_limited(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

bool database_fail(Store *store, const char *what, Error *error) {
  int code = sqlite3_errcode(store->db) & 0xff;
  const char *advice = "";
  store->refused_data = code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH;
  if (code == SQLITE_FULL)
    advice = "; free some disk space, then run again: nothing stored is lost";
  if (code == SQLITE_IOERR && files_are_limited())
    advice = "; the file-size limit (ulimit -f) stops it: raise it, then run again: nothing stored "
             "is lost";
  if (code == SQLITE_READONLY || code == SQLITE_CANTOPEN || code == SQLITE_PERM)
    advice = "; make the file and its folder writable, or name another with --db FILE";
  if (code == SQLITE_BUSY) advice = "; another program holds the database, try again";
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
    advice = "; move the file away or name another with --db FILE";
  return fail(error, "%s: %s: %s%s", store->path, what, sqlite3_errmsg(store->db), advice);
}

bool database_exec(Store *store, const char *sql, Error *error) {
  if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK) return true;
  return database_fail(store, "the database refused a statement", error);
}

bool database_prepare(Store *store, const char *sql, sqlite3_stmt **statement, Error *error) {
  if (sqlite3_prepare_v2(store->db, sql, -1, statement, NULL) == SQLITE_OK) return true;
  return database_fail(store, "the database refused a statement", error);
}

bool database_step(Store *store, sqlite3_stmt *statement, Error *error) {
  int code = sqlite3_step(statement);
  bool good = code == SQLITE_DONE || code == SQLITE_ROW;
  if (!good) database_fail(store, "writing failed", error);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return good;
}

static void bind(sqlite3_stmt *statement, const char *format, va_list values) {
  for (int i = 0; format[i]; i++) {
    if (format[i] == 'i') sqlite3_bind_int64(statement, i + 1, va_arg(values, int64_t));
    if (format[i] == 's')
      sqlite3_bind_text(statement, i + 1, va_arg(values, const char *), -1, SQLITE_TRANSIENT);
    if (format[i] != 'd' && format[i] != 'D') continue;
    double value = va_arg(values, double);
    if (format[i] == 'd' || value >= 0) sqlite3_bind_double(statement, i + 1, value);
  }
}

bool database_run(Store *store, Error *error, const char *sql, const char *format, ...) {
  sqlite3_stmt *statement;
  if (!database_prepare(store, sql, &statement, error)) return false;
  va_list values;
  va_start(values, format);
  bind(statement, format, values);
  va_end(values);
  bool good = database_step(store, statement, error);
  sqlite3_finalize(statement);
  return good;
}

bool database_integer(Store *store, Error *error, int64_t fallback, int64_t *value, const char *sql,
                      const char *format, ...) {
  sqlite3_stmt *statement;
  *value = fallback;
  if (!database_prepare(store, sql, &statement, error)) return false;
  va_list values;
  va_start(values, format);
  bind(statement, format, values);
  va_end(values);
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL)
    *value = sqlite3_column_int64(statement, 0);
  bool good = code == SQLITE_ROW || code == SQLITE_DONE;
  if (!good) database_fail(store, "reading failed", error);
  sqlite3_finalize(statement);
  return good;
}

bool database_begin(Store *store, Error *error) {
  return database_exec(store, "BEGIN IMMEDIATE", error);
}

bool database_end(Store *store, bool good, Error *error) {
  if (good && database_exec(store, "COMMIT", error)) return true;
  sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
  return false;
}
