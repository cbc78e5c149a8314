#include "src/store/checksum.h"

#include <string.h>
#include <xxhash.h>

const char *const checksum_tables[] = {"trials", "attempts", "metrics", NULL};

/* By which a trigger finds the row again. */
static const char *key_of(const char *table) {
  return strcmp(table, "metrics") ? "id = NEW.id"
                                  : "attempt_id = NEW.attempt_id AND split = NEW.split AND metric ="
                                    " NEW.metric AND label = NEW.label AND case_name ="
                                    " NEW.case_name";
}

/* ---- the function ---------------------------------------------------------------------------- */

static void add_value(XXH3_state_t *state, sqlite3_value *value) {
  int type = sqlite3_value_type(value), length = 0;
  XXH3_64bits_update(state, &type, sizeof type);
  if (type == SQLITE_INTEGER) {
    int64_t whole = sqlite3_value_int64(value);
    XXH3_64bits_update(state, &whole, sizeof whole);
  } else if (type == SQLITE_FLOAT) {
    double real = sqlite3_value_double(value);
    XXH3_64bits_update(state, &real, sizeof real);
  } else {
    const void *bytes = sqlite3_value_blob(value); /* of a text, too */
    length = sqlite3_value_bytes(value);
    XXH3_64bits_update(state, &length, sizeof length);
    if (bytes) XXH3_64bits_update(state, bytes, (size_t)length);
  }
}

static void row_sum(sqlite3_context *context, int count, sqlite3_value **values) {
  char text[17];
  XXH3_state_t *state = XXH3_createState();
  if (!state) {
    sqlite3_result_error_nomem(context);
    return;
  }
  XXH3_64bits_reset(state);
  for (int i = 0; i + 1 < count; i += 2) {
    if (sqlite3_value_type(values[i + 1]) == SQLITE_NULL) continue;
    add_value(state, values[i]);
    add_value(state, values[i + 1]);
  }
  snprintf(text, sizeof text, "%016llx", (unsigned long long)XXH3_64bits_digest(state));
  XXH3_freeState(state);
  sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

bool checksum_function(Store *store, Error *error) {
  int code = sqlite3_create_function(store->db, "row_sum", -1,
                                     SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
                                     row_sum, NULL, NULL);
  return code == SQLITE_OK || database_fail(store, "cannot compute checksums", error);
}

/* ---- expressions ----------------------------------------------------------------------------- */

/* A text that a query makes of the table's columns; NULL: it has no checksums. */
static bool list_columns(Store *store, const char *table, const char *row, const char *sql,
                         char **list, Error *error) {
  json_t *rows, *parameters = json_pack("[s, s]", table, row);
  *list = NULL;
  bool good = store_query(store, sql, parameters, &rows, error);
  json_decref(parameters);
  if (!good) return false;
  const char *text = json_string_value(json_object_get(json_array_get(rows, 0), "list"));
  if (text) *list = sqlite3_mprintf("%s", text);
  good = !text || *list || fail(error, "no memory for a statement");
  json_decref(rows);
  return good;
}

#define COLUMNS_OF                                                                                 \
  " FROM pragma_table_info(?1, 'main') WHERE name <> 'checksum' AND EXISTS"                        \
  " (SELECT 1 FROM pragma_table_info(?1, 'main') WHERE name = 'checksum')"

/* Another program may have called a column anything. */
#define NAME_OF_COLUMN "'\"' || replace(name, '\"', '\"\"') || '\"'"

bool checksum_of_row(Store *store, const char *table, const char *row, char **sum, Error *error) {
  return list_columns(store, table, row,
                      "SELECT 'row_sum(' || group_concat(quote(name) || ', ' ||"
                      " iif(?2 = '', '', ?2 || '.') || " NAME_OF_COLUMN ", ', ') || ')' AS"
                      " list" COLUMNS_OF,
                      sum, error);
}

bool checksum_taken(Store *store, const char *table, const char *row, char **value, Error *error) {
  char *sum = NULL;
  *value = NULL;
  if (!checksum_of_row(store, table, row, &sum, error)) return false;
  if (!sum) return true;
  *value = sqlite3_mprintf("iif(%s.checksum = %s, NULL, coalesce(%s.checksum, ''))", row, sum, row);
  sqlite3_free(sum);
  return *value || fail(error, "no memory for a statement");
}

/* ---- keeping them ---------------------------------------------------------------------------- */

/* The checksum is of the row as it lies there when the trigger runs: another may have changed it
 * since NEW. */
static bool keep(Store *store, const char *table, Error *error) {
  char *sum = NULL, *before = NULL, *columns = NULL, *sql = NULL;
  bool good = checksum_of_row(store, table, "", &sum, error) &&
              checksum_of_row(store, table, "OLD", &before, error) &&
              list_columns(store, table, "",
                           "SELECT group_concat(" NAME_OF_COLUMN ", ', ') AS list" COLUMNS_OF,
                           &columns, error);
  if (good)
    sql = sqlite3_mprintf(
        "CREATE TEMP TRIGGER sum_new_%s AFTER INSERT ON main.%s WHEN NEW.checksum IS NULL"
        " BEGIN UPDATE %s SET checksum = %s WHERE %s; END;"
        "CREATE TEMP TRIGGER sum_changed_%s AFTER UPDATE OF %s ON main.%s"
        " WHEN OLD.checksum = %s BEGIN UPDATE %s SET checksum = %s WHERE %s; END",
        table, table, table, sum, key_of(table), table, columns, table, before, table, sum,
        key_of(table));
  good =
      good && (sql || fail(error, "no memory for a statement")) && database_exec(store, sql, error);
  sqlite3_free(sum);
  sqlite3_free(before);
  sqlite3_free(columns);
  sqlite3_free(sql);
  return good;
}

bool checksum_keep(Store *store, Error *error) {
  for (int i = 0; checksum_tables[i]; i++)
    if (!keep(store, checksum_tables[i], error)) return false;
  return true;
}
