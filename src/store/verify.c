#include "src/store/verify.h"

#include "src/data/sets/json_text.h"
#include "src/store/checksum.h"
#include "src/store/field.h"

#include <string.h>

enum { FAULTS_MOST = 200 };

/* A query whose every row has a fault as its first column. */
static bool add_faults(Store *store, const char *sql, const char *hash, Verified *v, Error *error) {
  json_t *rows, *row, *parameters = json_pack("[s?]", hash);
  size_t i;
  bool good = store_query(store, sql, parameters, &rows, error);
  json_decref(parameters);
  if (!good) return false;
  json_array_foreach(rows, i, row) {
    json_t *text = json_object_iter_value(json_object_iter(row));
    if (json_is_string(text)) json_array_append(v->faults, text);
  }
  json_decref(rows);
  return true;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* SQLite's own words for what it finds, but for "ok". */
static const char integrity_sql[] =
    "SELECT nullif(integrity_check, 'ok') AS fault FROM pragma_integrity_check(100)";

/* A row that names another which is not there: something was deleted. */
static const char references_sql[] =
    "SELECT 'a row of ' || \"table\" || ' belongs to one of ' || parent || ' that is not there'"
    " AS fault FROM pragma_foreign_key_check LIMIT 100";

/* ---- rows ------------------------------------------------------------------------------------ */

#define OF_TRIAL "(t.hash = ?1 OR ?1 IS NULL)"
#define TRIAL    "'trial ' || substr(t.hash, 1, 8)"
#define ATTEMPT  TRIAL " || ', attempt ' || r.number"

/* How the rows `r` of a table are found, and what one is called. */
static const struct {
  const char *table, *from, *name;
} places[] = {
    {"trials", "trials r JOIN trials t ON t.id = r.id", TRIAL},
    {"attempts", "attempts r JOIN trials t ON t.id = r.trial_id", ATTEMPT},
    {"metrics",
     "metrics r JOIN attempts a ON a.id = r.attempt_id JOIN trials t ON t.id = a.trial_id",
     TRIAL " || ', attempt ' || a.number || ': ' || r.metric || ' of ' || r.name || ' in '"
           " || r.case_name"},
};

/* An attempt knows how many figures it ended with. */
static const char counts_sql[] =
    "SELECT " ATTEMPT " || ': ' || n || ' of its ' || figures || ' figures are there' AS fault FROM"
    " (SELECT a.number, a.trial_id, a.figures, (SELECT count(*) FROM metrics m"
    "   WHERE m.attempt_id = a.id) AS n FROM attempts a) r JOIN trials t ON t.id = r.trial_id"
    " WHERE figures <> n AND " OF_TRIAL " LIMIT 100";

static bool count_rows(Store *store, const char *from, const char *hash, Verified *v,
                       Error *error) {
  json_t *rows, *parameters = json_pack("[s?]", hash);
  char *sql =
      sqlite3_mprintf("SELECT count(*) AS n, coalesce(sum(coalesce(r.checksum, '') = ''), 0)"
                      " AS without FROM %s WHERE " OF_TRIAL,
                      from);
  bool good = sql && store_query(store, sql, parameters, &rows, error);
  json_decref(parameters);
  sqlite3_free(sql);
  if (!good) return false;
  v->rows += json_integer_value(json_object_get(json_array_get(rows, 0), "n"));
  v->without += json_integer_value(json_object_get(json_array_get(rows, 0), "without"));
  json_decref(rows);
  return true;
}

static bool check_rows(Store *store, size_t place, const char *hash, Verified *v, Error *error) {
  char *sum = NULL, *sql = NULL;
  if (!count_rows(store, places[place].from, hash, v, error) ||
      !checksum_of_row(store, places[place].table, "r", &sum, error))
    return false;
  if (sum)
    sql = sqlite3_mprintf("SELECT %s || ' was changed: its checksum is not that of the row' AS"
                          " fault FROM %s WHERE r.checksum <> '' AND r.checksum <> %s AND " OF_TRIAL
                          " LIMIT %d",
                          places[place].name, places[place].from, sum, FAULTS_MOST);
  bool good = sql && add_faults(store, sql, hash, v, error);
  sqlite3_free(sum);
  sqlite3_free(sql);
  return good;
}

bool store_verify(Store *store, const char *hash, Verified *v, Error *error) {
  *v = (Verified){.faults = json_array()};
  bool good = hash || (add_faults(store, integrity_sql, NULL, v, error) &&
                       add_faults(store, references_sql, NULL, v, error));
  for (size_t i = 0; good && i < sizeof places / sizeof *places; i++)
    good = check_rows(store, i, hash, v, error);
  good = good && add_faults(store, counts_sql, hash, v, error);
  if (good) return true;
  json_decref(v->faults);
  v->faults = NULL;
  return false;
}
