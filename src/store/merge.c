/* The other database is copied beside ours (schema `other`, in a temporary file), brought to our
 * form where it is older; the rest is SQL from one to the other. */
#include "src/store/merge.h"

#include <stddef.h>
#include <string.h>

#include "base/paths.h"
#include "src/store/checksum.h"
#include "src/store/database.h"
#include "src/store/typed_rows.h"

/* ---- the copy -------------------------------------------------------------------------------- */

static bool copy_of(Store *store, Store *other, Error *error) {
  sqlite3_backup *work = sqlite3_backup_init(store->db, "other", other->db, "main");
  bool good = work && sqlite3_backup_step(work, -1) == SQLITE_DONE;
  if (work) sqlite3_backup_finish(work);
  return good || fail(error, "%s: cannot be read whole: %s; is the disk of TMPDIR full?",
                      other->path, sqlite3_errmsg(store->db));
}

static bool attach(Store *store, const char *path, Error *error) {
  Store *other;
  if (path_same(store->path, path))
    return fail(error, "%s: this is the database itself; name another to join into it", path);
  if (!store_open(&other, path, STORE_READ, error)) return false;
  bool good = database_exec(store, "ATTACH '' AS other", error) && copy_of(store, other, error);
  store_close(other);
  return good;
}

static void detach(Store *store) {
  sqlite3_exec(store->db, "DROP TABLE IF EXISTS temp.fresh", NULL, NULL, NULL);
  sqlite3_exec(store->db, "DROP VIEW IF EXISTS temp.twin", NULL, NULL, NULL);
  sqlite3_exec(store->db, "DETACH other", NULL, NULL, NULL);
}

/* ---- what is new ----------------------------------------------------------------------------- */

/* The same attempt there and here. */
static const char twin_sql[] =
    "CREATE TEMP VIEW twin AS SELECT a.id AS source, m.id AS target"
    " FROM other.attempts a JOIN other.trials t ON t.id = a.trial_id"
    " JOIN other.environments e ON e.id = a.environment_id"
    " JOIN main.trials mt ON mt.hash = t.hash JOIN main.environments me ON me.hash = e.hash"
    " JOIN main.attempts m ON m.trial_id = mt.id AND m.environment_id = me.id"
    "  AND m.pid = a.pid AND m.started_at = a.started_at";

/* One that was thought to be cut off and has ended after all. */
#define REVIVED                                                                                    \
  "(SELECT w.target FROM temp.twin w JOIN other.attempts b ON b.id = w.source"                     \
  " JOIN main.attempts m ON m.id = w.target WHERE m.status = 'interrupted'"                        \
  " AND m.message = '" STORE_CUT_OFF "' AND b.status <> 'running'"                                 \
  " AND coalesce(b.message, '') <> '" STORE_CUT_OFF "')"

#define TIME_AS_NAME "replace(replace(replace(a.started_at, '-', ''), ':', ''), '.', '')"

/* ?1: running ones are cut off; ?2: a JSON list of trials that are overruled; ?3: the folder is the
 * same, and so are its files. */
static const char fresh_sql[] =
    "INSERT INTO temp.fresh SELECT a.id, NULL, t.hash, e.hash,"
    " iif(a.status = 'running', 'interrupted', a.status), a.log,"
    " iif(?3, a.log, 'logs/' || t.hash || '-' || " TIME_AS_NAME " || '-' || a.pid || '.log'),"
    " coalesce((SELECT status FROM main.trials WHERE hash = t.hash), ''),"
    " a.id = (SELECT max(id) FROM other.attempts WHERE trial_id = a.trial_id),"
    " a.status = 'done' AND t.hash IN (SELECT value FROM json_each(?2))"
    " FROM other.attempts a JOIN other.trials t ON t.id = a.trial_id"
    " JOIN other.environments e ON e.id = a.environment_id"
    " WHERE (?1 OR a.status <> 'running') AND a.id NOT IN"
    " (SELECT source FROM temp.twin WHERE target NOT IN " REVIVED ")";

static bool list_fresh(Store *store, const MergeFrom *from, const char *folder, Error *error) {
  char *overruled = from->overruled ? json_dumps(from->overruled, JSON_COMPACT) : NULL;
  bool good = database_exec(store, twin_sql, error) &&
              database_exec(store,
                            "CREATE TEMP TABLE fresh(source INTEGER PRIMARY KEY, target INTEGER,"
                            " hash TEXT, environment TEXT, status TEXT, log TEXT, kept_log TEXT,"
                            " here TEXT, newest INTEGER, overruled INTEGER)",
                            error) &&
              database_run(store, error, fresh_sql, "isi", (int64_t)from->ended,
                           overruled ? overruled : "[]", (int64_t)path_same(folder, store->folder));
  free(overruled);
  return good;
}

static bool bring(Store *store, const MergeFrom *from, Error *error) {
  static const Column columns[] = {COLUMN(MergeAttempt, hash),      COLUMN(MergeAttempt, status),
                                   COLUMN(MergeAttempt, log),       COLUMN(MergeAttempt, kept_log),
                                   COLUMN(MergeAttempt, here),      COLUMN(MergeAttempt, newest),
                                   COLUMN(MergeAttempt, overruled), {0}};
  Rows rows;
  if (!from->bring) return true;
  if (!store_rows(store,
                  "SELECT hash, status, log, kept_log, here, newest, overruled FROM temp.fresh"
                  " ORDER BY source",
                  NULL, columns, sizeof(MergeAttempt), &rows, error))
    return false;
  bool good = true;
  for (int i = 0; good && i < rows.count; i++)
    good = from->bring(from->user, (MergeAttempt *)rows.row + i, error);
  rows_free(&rows);
  return good;
}

/* ---- from one to the other ------------------------------------------------------------------- */

/* A table's columns are taken over as they are, whichever they are, but for its id, for `own`,
 * which become `values`, and for its checksum (checksum_taken); of rows `r` of the other. */
typedef struct Copy {
  enum { NEW, SHARED, RUN } kind; /* SHARED: what both have is left as it is; RUN: `from` is SQL */
  const char *table, *own, *values, *from;
} Copy;

#define PLAN "JOIN other.plans q ON q.id = r.plan_id JOIN main.plans p ON p.hash = q.hash"
#define PLACE                                                                                      \
  " r JOIN other.rows o ON o.id = r.row_id JOIN other.plans q ON q.id = o.plan_id"                 \
  " JOIN main.plans p ON p.hash = q.hash"                                                          \
  " JOIN main.rows w ON w.plan_id = p.id AND w.position = o.position"                              \
  " JOIN other.trials u ON u.id = r.trial_id JOIN main.trials t ON t.hash = u.hash"
#define FRESH(table) "temp.fresh f JOIN other." table " r ON r.attempt_id = f.source"

static const Copy copies[] = {
    {SHARED, "environments", "", "", "other.environments r"},
    {SHARED, "texts", "", "", "other.texts r"},
    {SHARED, "experiments", "", "", "other.experiments r"},
    {SHARED, "trials", "status", "'planned'",
     "other.trials r WHERE r.hash IN (SELECT hash FROM temp.fresh) OR r.id IN"
     " (SELECT trial_id FROM other.cells UNION SELECT trial_id FROM other.tries)"},
    {NEW, "plans", "experiment_id, used",
     "x.id, (SELECT coalesce(max(used), 0) FROM main.plans) + row_number() OVER (ORDER BY r.used)",
     "other.plans r JOIN other.experiments y ON y.id = r.experiment_id"
     " JOIN main.experiments x ON x.name = y.name"
     " WHERE r.hash NOT IN (SELECT hash FROM main.plans)"},
    {SHARED, "rows", "plan_id", "p.id", "other.rows r " PLAN},
    {SHARED, "sequences", "plan_id", "p.id", "other.sequences r " PLAN},
    {SHARED, "cells", "row_id, trial_id", "w.id, t.id", "other.cells" PLACE},
    {SHARED, "tries", "row_id, trial_id", "w.id, t.id", "other.tries" PLACE},
    {NEW, "attempts",
     "trial_id, environment_id, number, status, log, weights_of, removed, ended_at, message",
     "t.id, e.id, (SELECT coalesce(max(number), 0) FROM main.attempts WHERE trial_id = t.id)"
     " + row_number() OVER (PARTITION BY t.id ORDER BY r.id), f.status, f.kept_log, NULL,"
     " max(r.removed, f.overruled), coalesce(r.ended_at, " NOW "),"
     " iif(r.status = 'running', '" STORE_CUT_OFF "', r.message)",
     "temp.fresh f JOIN other.attempts r ON r.id = f.source JOIN main.trials t ON t.hash = f.hash"
     " JOIN main.environments e ON e.hash = f.environment ORDER BY r.id"},
    {RUN, NULL, NULL, NULL,
     "UPDATE temp.fresh SET target = (SELECT target FROM temp.twin WHERE source = fresh.source)"},
    {RUN, NULL, NULL, NULL,
     "UPDATE main.attempts SET weights_of = (SELECT w.target FROM temp.fresh f"
     " JOIN other.attempts a ON a.id = f.source JOIN temp.twin w ON w.source = a.weights_of"
     " WHERE f.target = attempts.id) WHERE id IN (SELECT target FROM temp.fresh)"},
    {SHARED, "remarks", "trial_id", "t.id",
     "other.remarks r JOIN other.trials u ON u.id = r.trial_id"
     " JOIN main.trials t ON t.hash = u.hash"},
    {NEW, "metrics", "attempt_id", "f.target", FRESH("metrics")},
    {NEW, "curves", "attempt_id", "f.target", FRESH("curves")},
    {NEW, "attempt_files", "attempt_id", "f.target", FRESH("attempt_files")},
    {RUN, NULL, NULL, NULL,
     "UPDATE main.trials SET status = iif(id IN (SELECT trial_id FROM main.v_attempt), 'done',"
     " coalesce((SELECT status FROM main.attempts WHERE trial_id = trials.id AND removed = 0"
     "  ORDER BY id DESC LIMIT 1), 'planned'))"
     " WHERE id IN (SELECT m.trial_id FROM main.attempts m JOIN temp.fresh f ON f.target = m.id)"
     " AND NOT EXISTS (SELECT 1 FROM main.attempts WHERE trial_id = trials.id"
     "  AND status = 'running')"},
    {NEW, "bench_runs", "environment_id", "e.id",
     "other.bench_runs r JOIN other.environments y ON y.id = r.environment_id"
     " JOIN main.environments e ON e.hash = y.hash WHERE NOT EXISTS (SELECT 1 FROM main.bench_runs"
     " WHERE environment_id = e.id AND started_at = r.started_at AND command = r.command)"},
    {SHARED, "bench_rows", "run_id", "b.id",
     "other.bench_rows r JOIN other.bench_runs q ON q.id = r.run_id"
     " JOIN other.environments y ON y.id = q.environment_id"
     " JOIN main.environments e ON e.hash = y.hash JOIN main.bench_runs b"
     " ON b.environment_id = e.id AND b.started_at = q.started_at AND b.command = q.command"},
};

/* "r.a, r.b" of those columns that are not among `own`; "": there are none. */
static bool columns_of(Store *store, const Copy *copy, const char *head, char **list,
                       Error *error) {
  json_t *parameters = json_pack("[s, s, s]", copy->table, head, copy->own), *rows;
  bool good = store_query(
      store,
      "SELECT group_concat(?2 || '\"' || replace(name, '\"', '\"\"') || '\"', ', ') AS list"
      " FROM pragma_table_info(?1, 'main') WHERE name NOT IN ('id', 'checksum')"
      " AND instr(', ' || ?3 || ',', ', ' || name || ',') = 0",
      parameters, &rows, error);
  json_decref(parameters);
  if (!good) return false;
  const char *text = json_string_value(json_object_get(json_array_get(rows, 0), "list"));
  *list = sqlite3_mprintf("%s", text ? text : "");
  json_decref(rows);
  return *list || fail(error, "no memory for a statement");
}

/* ", checksum" and what becomes of it, where the table has one. */
static bool checksum_of(Store *store, const Copy *copy, const char **name, char **value,
                        Error *error) {
  char *taken = NULL;
  if (!checksum_taken(store, copy->table, "r", &taken, error)) return false;
  *name = taken ? ", checksum" : "";
  *value = sqlite3_mprintf("%s%s", taken ? ", " : "", taken ? taken : "");
  sqlite3_free(taken);
  return *value || fail(error, "no memory for a statement");
}

static bool copy_rows(Store *store, const Copy *copy, Error *error) {
  char *names = NULL, *values = NULL, *sum = NULL, *sql = NULL;
  const char *sum_name = "";
  if (copy->kind == RUN) return database_exec(store, copy->from, error);
  bool good = columns_of(store, copy, "", &names, error) &&
              columns_of(store, copy, "r.", &values, error) &&
              checksum_of(store, copy, &sum_name, &sum, error);
  const char *comma = good && names[0] && copy->own[0] ? ", " : "";
  if (good)
    sql = sqlite3_mprintf("INSERT INTO main.%s(%s%s%s%s) %s SELECT %s%s%s%s FROM %s%s", copy->table,
                          names, comma, copy->own, sum_name,
                          copy->kind == SHARED ? "SELECT * FROM (" : "", values, comma,
                          copy->values, sum, copy->from,
                          copy->kind == SHARED ? ") WHERE true ON CONFLICT DO NOTHING" : "");
  good = good && sql && database_exec(store, sql, error);
  sqlite3_free(names);
  sqlite3_free(values);
  sqlite3_free(sum);
  sqlite3_free(sql);
  return good;
}

/* Another program may have joined the same since the list was made; and what was thought to be cut
 * off makes room for what it came to. */
static const char settle_sql[] =
    "DELETE FROM temp.fresh WHERE source IN"
    " (SELECT source FROM temp.twin WHERE target NOT IN " REVIVED ");"
    "CREATE TEMP TABLE revived AS SELECT target FROM temp.twin WHERE target IN " REVIVED
    " AND source IN (SELECT source FROM temp.fresh);"
    "DELETE FROM main.metrics WHERE attempt_id IN (SELECT target FROM temp.revived);"
    "DELETE FROM main.curves WHERE attempt_id IN (SELECT target FROM temp.revived);"
    "DELETE FROM main.attempt_files WHERE attempt_id IN (SELECT target FROM temp.revived);"
    "DELETE FROM main.attempts WHERE id IN (SELECT target FROM temp.revived);"
    "DROP TABLE temp.revived";

static bool tally(Store *store, MergeCount *count, Error *error) {
  static const struct {
    size_t offset;
    const char *sql;
  } list[] = {
      {offsetof(MergeCount, attempts), "SELECT count(*) FROM temp.fresh"},
      {offsetof(MergeCount, trials), "SELECT count(DISTINCT hash) FROM temp.fresh"},
      {offsetof(MergeCount, plans),
       "SELECT count(*) FROM other.plans WHERE hash NOT IN (SELECT hash FROM main.plans)"},
      {offsetof(MergeCount, running), "SELECT count(*) FROM other.attempts WHERE status = 'running'"
                                      " AND id NOT IN (SELECT source FROM temp.fresh)"
                                      " AND id NOT IN (SELECT source FROM temp.twin)"},
      {offsetof(MergeCount, decided),
       "SELECT count(DISTINCT f.hash) FROM temp.fresh f JOIN main.trials t ON t.hash = f.hash"
       " JOIN main.v_attempt v ON v.trial_id = t.id WHERE f.status = 'done'"
       " AND f.overruled = 0"},
  };
  for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
    int64_t number;
    if (!database_integer(store, error, 0, &number, list[i].sql, "")) return false;
    *(int *)((char *)count + list[i].offset) = (int)number;
  }
  return true;
}

static bool join(Store *store, MergeCount *count, Error *error) {
  bool good = database_exec(store, settle_sql, error) && tally(store, count, error);
  for (size_t i = 0; good && i < sizeof copies / sizeof copies[0]; i++)
    good = copy_rows(store, &copies[i], error);
  return good;
}

static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
  CHECK(folder, "no memory for a path");
  return folder;
}

bool store_merge(Store *store, const MergeFrom *from, MergeCount *count, Error *error) {
  char *folder = folder_of(from->path);
  *count = (MergeCount){0};
  bool good = attach(store, from->path, error) && list_fresh(store, from, folder, error) &&
              bring(store, from, error) && database_begin(store, error) &&
              database_end(store, join(store, count, error), error);
  detach(store);
  free(folder);
  return good;
}
