/* What a trial's process reports becomes rows: attempts, metrics, curves. */
#include <string.h>

#include "src/store/database.h"
#include "src/store/event.h"

static void bind_number(sqlite3_stmt *statement, int at, const json_t *value) {
  if (json_is_integer(value)) sqlite3_bind_int64(statement, at, json_integer_value(value));
  if (json_is_real(value)) sqlite3_bind_double(statement, at, json_real_value(value));
}

static void bind_text(sqlite3_stmt *statement, int at, const json_t *value) {
  if (json_is_string(value))
    sqlite3_bind_text(statement, at, json_string_value(value), -1, SQLITE_TRANSIENT);
}

static bool store_event(Store *store, const EventRow *row, sqlite3_stmt *statement, int64_t attempt,
                        const json_t *event, Error *error) {
  int at = 1;
  sqlite3_bind_int64(statement, at++, attempt);
  for (const EventField *field = row->field; field->name; field++) {
    if (!field->stored) continue;
    const json_t *value = json_object_get(event, field->name);
    bind_number(statement, at, value);
    bind_text(statement, at++, value);
  }
  return database_step(store, statement, error);
}

static bool insert_kind(Store *store, const EventRow *row, int64_t attempt, const json_t *events,
                        Error *error) {
  sqlite3_stmt *statement = NULL;
  char *sql = event_sql(row);
  bool good = true;
  for (size_t i = 0; sql && good && i < json_array_size(events); i++) {
    const json_t *event = json_array_get(events, i);
    const char *name = json_string_value(json_object_get(event, "event"));
    if (!name || strcmp(name, row->name)) continue;
    good = statement || database_prepare(store, sql, &statement, error);
    good = good && store_event(store, row, statement, attempt, event, error);
  }
  sqlite3_finalize(statement);
  free(sql);
  return good;
}

static bool insert_events(Store *store, int64_t attempt, const json_t *events, Error *error) {
  for (int k = 0; k < EVENT_COUNT; k++)
    if (!insert_kind(store, &event_table[k], attempt, events, error)) return false;
  return true;
}

bool store_refused_data(const Store *store) {
  return store->refused_data;
}

bool store_events(Store *store, int64_t attempt, const json_t *events, Error *error) {
  if (json_array_size(events) == 0) return true;
  return database_begin(store, error) &&
         database_end(store, insert_events(store, attempt, events, error), error);
}

static bool start(Store *store, int64_t trial, int64_t environment, int pid, const char *log,
                  int64_t weights_of, int64_t *attempt, Error *error) {
  bool good = database_run(store, error,
                           "INSERT INTO attempts(trial_id, number, environment_id, pid,"
                           " started_at, status, log, weights_of) VALUES(?1,"
                           " (SELECT count(*) + 1 FROM attempts WHERE trial_id = ?1), ?2, ?3, " NOW
                           ", 'running', ?4, nullif(?5, 0))",
                           "iiisi", trial, environment, (int64_t)pid, log, weights_of);
  if (good) *attempt = sqlite3_last_insert_rowid(store->db);
  return good && database_run(store, error, "UPDATE trials SET status = 'running' WHERE id = ?1",
                              "i", trial);
}

bool store_start(Store *store, int64_t trial, int64_t environment, int pid, const char *log,
                 int64_t weights_of, int64_t *attempt, Error *error) {
  int64_t begun = 0;
  *attempt = 0; /* a number that is not its own may be another attempt's */
  if (!database_begin(store, error) ||
      !database_end(store, start(store, trial, environment, pid, log, weights_of, &begun, error),
                    error))
    return false;
  *attempt = begun;
  return true;
}

/* What has ended does not end again. */
static bool end_attempt(Store *store, int64_t attempt, const AttemptEnd *end, Error *error) {
  return database_run(store, error,
                      "UPDATE attempts SET ended_at = " NOW ", status = ?2, exit_code = ?3,"
                      " signal = nullif(?4, 0), message = nullif(?5, ''), train_s = ?6,"
                      " eval_s = ?7, wall_s = ?8, max_rss_bytes = ?9,"
                      " figures = (SELECT count(*) FROM metrics WHERE attempt_id = ?1)"
                      " WHERE id = ?1 AND status = 'running'",
                      "isiisDDDi", attempt, status_name(end->status), (int64_t)end->exit_code,
                      (int64_t)end->signal, end->message, end->train_s, end->eval_s, end->wall_s,
                      end->max_rss_bytes) &&
         (sqlite3_changes(store->db) == 1 ||
          fail(error, "%s: attempt %lld is not running and cannot end as %s", store->path,
               (long long)attempt, status_name(end->status)));
}

static bool finish(Store *store, int64_t attempt, const json_t *events, const AttemptEnd *end,
                   Error *error) {
  const char *keeps = end->status == STATUS_INTERRUPTED ? "yes" : "no";
  return insert_events(store, attempt, events, error) && end_attempt(store, attempt, end, error) &&
         database_run(store, error,
                      "UPDATE attempts SET exit_code = NULL WHERE id = ?1 AND exit_code < 0", "i",
                      attempt) &&
         database_run(store, error,
                      "UPDATE trials SET status = CASE WHEN ?3 = 'yes' AND id IN"
                      " (SELECT trial_id FROM v_attempt) THEN 'done' ELSE ?2 END"
                      " WHERE id = (SELECT trial_id FROM attempts WHERE id = ?1)",
                      "iss", attempt, status_name(end->status), keeps);
}

bool store_finish(Store *store, int64_t attempt, const json_t *events, const AttemptEnd *end,
                  Error *error) {
  return database_begin(store, error) &&
         database_end(store, finish(store, attempt, events, end, error), error);
}

bool store_environment(Store *store, const json_t *environment, int64_t *id, Error *error) {
  static const char *const fields[] = {
      "version",        "binary_hash", "commit",        "dirty",         "diff",
      "compiler",       "flags",       "libraries",     "cpu",           "cores",
      "memory_bytes",   "host",        "kernel",        "gpu",           "gpu_driver",
      "gpu_capability", "gpu_bytes",   "gpu_libraries", "deterministic", "isa"};
  char hash[HASH_BYTES];
  if (!json_hash(environment, hash, error)) return false;
  sqlite3_stmt *statement;
  if (!database_prepare(store,
                        "INSERT OR IGNORE INTO environments(hash, captured_at, version,"
                        " binary_hash, commit_hash, dirty, diff, compiler, flags, libraries, cpu,"
                        " cores, memory_bytes, host, kernel, gpu, gpu_driver, gpu_capability,"
                        " gpu_bytes, gpu_libraries, deterministic, isa) VALUES(?1, " NOW
                        ", ?2, ?3, ?4,"
                        " ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,"
                        " ?20, ?21)",
                        &statement, error))
    return false;
  sqlite3_bind_text(statement, 1, hash, -1, SQLITE_STATIC);
  for (int i = 0; i < (int)(sizeof fields / sizeof fields[0]); i++) {
    const json_t *value = json_object_get(environment, fields[i]);
    bind_number(statement, i + 2, value);
    bind_text(statement, i + 2, value);
  }
  bool good = database_step(store, statement, error);
  sqlite3_finalize(statement);
  return good && database_integer(store, error, 0, id,
                                  "SELECT id FROM environments WHERE hash = ?1", "s", hash);
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
