#include "src/store/database.h"
#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BUSY_AGAIN_US = 5000 };

/* ---- SQLite ---------------------------------------------------------------------------------- */

/* SQLite does not tell EFBIG from other errors of writing. */
static bool files_are_limited(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

#define AGAIN      ", then run again: nothing stored is lost"
#define NO_SPACE   "; free some disk space" AGAIN
#define NO_WRITING "; make the file and its folder writable, or name another with --db FILE"

/* What can be done about an error of SQLite, by its code and by what the system said. */
static const struct {
  int code, reason; /* reason 0: any */
  const char *advice;
} advices[] = {
    {SQLITE_FULL, 0, NO_SPACE},
    {SQLITE_IOERR, ENOSPC, NO_SPACE},
    {SQLITE_IOERR, EDQUOT, NO_SPACE},
    {SQLITE_CANTOPEN, ENOSPC, NO_SPACE},
    {SQLITE_CANTOPEN, EDQUOT, NO_SPACE},
    {SQLITE_IOERR, EROFS, NO_WRITING},
    {SQLITE_IOERR, 0, "; the disk or the way to it fails, see dmesg: mend it" AGAIN},
    {SQLITE_READONLY, 0, NO_WRITING},
    {SQLITE_CANTOPEN, 0, NO_WRITING},
    {SQLITE_PERM, 0, NO_WRITING},
    {SQLITE_BUSY, 0, "; another program holds the database, try again"},
    {SQLITE_NOTADB, 0, "; move the file away or name another with --db FILE"},
    {SQLITE_CORRUPT, 0, DATABASE_DAMAGED},
};

static const char *advice_on(int code, int reason) {
  if (code == SQLITE_IOERR && files_are_limited())
    return "; the file-size limit (ulimit -f) stops it: raise it" AGAIN;
  for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
    if (advices[i].code == code && (!advices[i].reason || advices[i].reason == reason))
      return advices[i].advice;
  return "";
}

bool database_fail(Store *store, const char *what, Error *error) {
  int code = sqlite3_errcode(store->db) & 0xff, reason = 0;
  if (code == SQLITE_IOERR || code == SQLITE_CANTOPEN) reason = sqlite3_system_errno(store->db);
  store->refused_data = code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH;
  return fail(error, "%s: %s: %s%s%s%s", store->path, what, sqlite3_errmsg(store->db),
              reason ? ": " : "", reason ? strerror(reason) : "", advice_on(code, reason));
}

char *database_name(const char *path) {
  return sqlite3_mprintf(path[0] == '/' ? "%s" : "./%s", path);
}

bool database_exec(Store *store, const char *sql, Error *error) {
  if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK) return true;
  return database_fail(store, "the database refused a statement", error);
}

/* Who was refused has given up what it held, so one of several gets through. */
bool database_insist(Store *store, const char *sql, Error *error) {
  const double end = seconds_now() + DATABASE_BUSY_MS / 1000.;
  int code;
  while ((code = sqlite3_exec(store->db, sql, NULL, NULL, NULL)) != SQLITE_OK &&
         (code & 0xff) == SQLITE_BUSY && seconds_now() < end)
    usleep(BUSY_AGAIN_US);
  return code == SQLITE_OK || database_fail(store, "the database refused a statement", error);
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
  store->refused_data = false;
  return database_exec(store, "BEGIN IMMEDIATE", error);
}

bool database_end(Store *store, bool good, Error *error) {
  if (good && database_exec(store, "COMMIT", error)) return true;
  sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
  return false;
}

/* ---- the schema ------------------------------------------------------------------------------ */

/* The database's schema as a list of forward-only migrations: migrations[i] brings user_version i
 * to i + 1. A migration that has been released is never edited; a change is a new entry.
 *
 * The views are the public interface (they need nothing but SQLite's own functions, so any SQLite
 * program can read them); the tables behind them may change.
 * docs/database.md lists their columns:
 *
 *   v_attempt   the attempt that counts for each trial: its latest one that ended as `done`
 *   v_label     mean of each metric per trial and label over the validation cases; cases with the
 *               label in neither the reference nor the prediction are left out
 *   v_score     the figure of a trial by each metric: mean over its labels of v_label
 *   v_table     one line per row of each plan: mean, sample standard deviation (n - 1) and n over
 *               the trials that are done, by the experiment's metric
 *   v_newest    the plan of each experiment, scale, data set and device that was used last
 *   v_table3 .. v_table7
 *               v_table of one of the paper's tables, newest plan of each scale, data set and
 *               device only */

#define STATUS_SET "'planned','running','done','failed','oom','collapsed','interrupted','timeout'"

static const char tables[] =
    "CREATE TABLE environments("
    " id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, captured_at TEXT NOT NULL,"
    " version TEXT NOT NULL, binary_hash TEXT NOT NULL, commit_hash TEXT, dirty INTEGER,"
    " diff TEXT, compiler TEXT NOT NULL, flags TEXT NOT NULL, libraries TEXT NOT NULL,"
    " cpu TEXT NOT NULL, cores INTEGER NOT NULL, memory_bytes INTEGER NOT NULL,"
    " host TEXT NOT NULL, kernel TEXT NOT NULL) STRICT;"
    "CREATE TABLE experiments("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, table_no INTEGER,"
    " title TEXT NOT NULL, metric TEXT NOT NULL, file TEXT NOT NULL, model TEXT, axis TEXT)"
    " STRICT;"
    /* A row of plans is one set of cells asked for together; its hash covers rows and trials. */
    "CREATE TABLE plans("
    " id INTEGER PRIMARY KEY, experiment_id INTEGER NOT NULL REFERENCES experiments(id),"
    " hash TEXT NOT NULL UNIQUE, scale TEXT NOT NULL, dataset TEXT NOT NULL,"
    " data_hash TEXT NOT NULL, device TEXT NOT NULL, notes TEXT NOT NULL,"
    " created_at TEXT NOT NULL, used_at TEXT NOT NULL) STRICT;"
    "CREATE TABLE rows("
    " id INTEGER PRIMARY KEY, plan_id INTEGER NOT NULL REFERENCES plans(id),"
    " position INTEGER NOT NULL, key TEXT NOT NULL, label TEXT NOT NULL, paper REAL,"
    " UNIQUE(plan_id, position), UNIQUE(plan_id, key)) STRICT;"
    "CREATE TABLE trials("
    " id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, config TEXT NOT NULL,"
    " scale TEXT NOT NULL, dataset TEXT NOT NULL, data_hash TEXT NOT NULL,"
    " device TEXT NOT NULL, seed INTEGER NOT NULL, fold INTEGER NOT NULL,"
    " status TEXT NOT NULL DEFAULT 'planned' CHECK(status IN (" STATUS_SET ")),"
    " created_at TEXT NOT NULL) STRICT;"
    "CREATE TABLE cells("
    " row_id INTEGER NOT NULL REFERENCES rows(id),"
    " trial_id INTEGER NOT NULL REFERENCES trials(id),"
    " PRIMARY KEY(row_id, trial_id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX cells_trial ON cells(trial_id);"
    "CREATE TABLE attempts("
    " id INTEGER PRIMARY KEY, trial_id INTEGER NOT NULL REFERENCES trials(id),"
    " number INTEGER NOT NULL, environment_id INTEGER NOT NULL REFERENCES environments(id),"
    " pid INTEGER NOT NULL, started_at TEXT NOT NULL, ended_at TEXT,"
    " status TEXT NOT NULL CHECK(status IN (" STATUS_SET ")),"
    " removed INTEGER NOT NULL DEFAULT 0 CHECK(removed IN (0, 1)),"
    " exit_code INTEGER, signal INTEGER, message TEXT, log TEXT NOT NULL,"
    " peak_bytes INTEGER, parameters INTEGER, flops INTEGER,"
    " train_s REAL, eval_s REAL, wall_s REAL, max_rss_bytes INTEGER,"
    " UNIQUE(trial_id, number)) STRICT;"
    "CREATE TABLE metrics("
    " attempt_id INTEGER NOT NULL REFERENCES attempts(id), split TEXT NOT NULL,"
    " case_name TEXT NOT NULL, label INTEGER NOT NULL, name TEXT NOT NULL,"
    " metric TEXT NOT NULL, value REAL,"
    " situation TEXT NOT NULL CHECK(situation IN ('both','missed','false_positive','absent')),"
    " CHECK((value IS NULL) = (situation = 'absent')),"
    " PRIMARY KEY(attempt_id, split, metric, label, case_name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE curves("
    " attempt_id INTEGER NOT NULL REFERENCES attempts(id), step INTEGER NOT NULL,"
    " loss REAL, class_loss REAL, bce_loss REAL, dice_loss REAL, lr REAL, grad_norm REAL,"
    " clipped INTEGER, PRIMARY KEY(attempt_id, step)) STRICT, WITHOUT ROWID;";

static const char views[] =
    "CREATE VIEW v_attempt AS"
    " SELECT trial_id, max(id) AS attempt_id FROM attempts"
    " WHERE status = 'done' AND removed = 0 GROUP BY trial_id;"
    "CREATE VIEW v_label AS"
    " SELECT a.trial_id, a.attempt_id, m.metric, m.label, max(m.name) AS name,"
    "  avg(m.value) AS value, count(m.value) AS cases,"
    "  sum(m.situation = 'missed') AS missed,"
    "  sum(m.situation = 'false_positive') AS false_positive,"
    "  sum(m.situation = 'absent') AS absent"
    " FROM v_attempt a JOIN metrics m ON m.attempt_id = a.attempt_id"
    " WHERE m.split = 'val' AND m.label > 0"
    " GROUP BY a.trial_id, a.attempt_id, m.metric, m.label;"
    "CREATE VIEW v_score AS"
    " SELECT trial_id, attempt_id, metric, avg(value) AS value, count(value) AS labels"
    " FROM v_label GROUP BY trial_id, attempt_id, metric;"
    "CREATE VIEW v_table AS"
    " WITH cell AS ("
    "  SELECT r.id AS row_id, t.id AS trial_id, t.status, s.value, n.binary_hash"
    "  FROM rows r JOIN plans p ON p.id = r.plan_id"
    "  JOIN experiments e ON e.id = p.experiment_id"
    "  JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    "  LEFT JOIN v_score s ON s.trial_id = t.id AND s.metric = e.metric"
    "  LEFT JOIN attempts a ON a.id = s.attempt_id"
    "  LEFT JOIN environments n ON n.id = a.environment_id),"
    " means AS (SELECT row_id, avg(value) AS mean FROM cell GROUP BY row_id),"
    " figures AS ("
    "  SELECT c.row_id, m.mean, count(c.value) AS n,"
    "   CASE WHEN count(c.value) > 1"
    "    THEN sqrt(sum((c.value - m.mean) * (c.value - m.mean)) / (count(c.value) - 1)) END AS sd,"
    "   count(*) AS cells, sum(c.status = 'done') AS done,"
    "   sum(c.status = 'planned') AS planned, sum(c.status = 'running') AS running,"
    "   sum(c.status = 'failed') AS failed, sum(c.status = 'oom') AS oom,"
    "   sum(c.status = 'collapsed') AS collapsed,"
    "   sum(c.status = 'interrupted') AS interrupted, sum(c.status = 'timeout') AS timeout,"
    "   count(DISTINCT c.binary_hash) AS builds"
    "  FROM cell c JOIN means m ON m.row_id = c.row_id GROUP BY c.row_id)"
    " SELECT e.table_no, e.name AS experiment, p.id AS plan_id, p.scale, p.dataset, p.device,"
    "  r.position, r.key, r.label, r.paper, f.mean, f.sd, f.n, f.cells, f.done, f.planned,"
    "  f.running, f.failed, f.oom, f.collapsed, f.interrupted, f.timeout, f.builds"
    " FROM plans p JOIN experiments e ON e.id = p.experiment_id"
    " JOIN rows r ON r.plan_id = p.id JOIN figures f ON f.row_id = r.id;"
    "CREATE VIEW v_newest AS"
    " SELECT id AS plan_id FROM plans p WHERE NOT EXISTS ("
    "  SELECT 1 FROM plans q WHERE q.experiment_id = p.experiment_id AND q.scale = p.scale"
    "  AND q.dataset = p.dataset AND q.device = p.device"
    "  AND (q.used_at > p.used_at OR (q.used_at = p.used_at AND q.id > p.id)));"
#define TABLE_VIEW(N)                                                                              \
  "CREATE VIEW v_table" N " AS SELECT * FROM v_table WHERE table_no = " N                          \
  " AND plan_id IN (SELECT plan_id FROM v_newest);"
    TABLE_VIEW("3") TABLE_VIEW("4") TABLE_VIEW("5") TABLE_VIEW("6") TABLE_VIEW("7");

static const char *const version_1[] = {tables, views, NULL};

/* bench_runs.machine is machine_json of machine/ceilings.h; the *_list columns are JSON arrays of
 * every sample in microseconds. */
static const char bench_tables[] =
    "CREATE TABLE bench_runs("
    " id INTEGER PRIMARY KEY, environment_id INTEGER NOT NULL REFERENCES environments(id),"
    " started_at TEXT NOT NULL, command TEXT NOT NULL, limit_s REAL NOT NULL,"
    " noise_target REAL NOT NULL, threads INTEGER NOT NULL, copy_gbps REAL NOT NULL,"
    " fma_gflops REAL NOT NULL, machine TEXT NOT NULL, warning TEXT NOT NULL) STRICT;"
    "CREATE TABLE bench_rows("
    " run_id INTEGER NOT NULL REFERENCES bench_runs(id), position INTEGER NOT NULL,"
    " kernel TEXT NOT NULL, case_name TEXT NOT NULL, pass TEXT NOT NULL, shape TEXT NOT NULL,"
    " device TEXT NOT NULL, dtype TEXT NOT NULL, threads INTEGER NOT NULL,"
    " error REAL, tolerance REAL, reference TEXT, wrong INTEGER NOT NULL CHECK(wrong IN (0, 1)),"
    " timing TEXT NOT NULL CHECK(timing IN ('cold','hot')), median_us REAL, q1_us REAL,"
    " q3_us REAL, min_us REAL, samples INTEGER NOT NULL, noise_met INTEGER NOT NULL,"
    " hot_median_us REAL, flops REAL, bytes REAL, gflops REAL, gbps REAL, ceiling_us REAL,"
    " ceiling_pct REAL, bound TEXT NOT NULL, peak_bytes REAL, baseline TEXT, baseline_us REAL,"
    " speedup REAL, speedup_low REAL, speedup_high REAL, baseline_bytes REAL,"
    " cold_list TEXT NOT NULL, hot_list TEXT NOT NULL, baseline_list TEXT NOT NULL,"
    " PRIMARY KEY(run_id, position)) STRICT, WITHOUT ROWID;";

static const char *const version_2[] = {bench_tables, NULL};

/* What the paper prints in place of a number: "collapse". */
static const char paper_words[] = "ALTER TABLE rows ADD COLUMN paper_word TEXT;";

static const char *const version_3[] = {paper_words, NULL};

/* Dice of a few validation patches on the way (nnU-Net's pseudo Dice); with it the other columns of
 * a curve became means over the steps since the point before, clipped their number. */
static const char validation_dice[] = "ALTER TABLE curves ADD COLUMN val_dice REAL;";

static const char *const version_4[] = {validation_dice, NULL};

/* gpu and the like: NULL on the CPU. deterministic: 1 where `--deterministic` was given.
 * determinism: bitwise, ulp or none, as a repeated step showed; NULL: not probed. */
static const char gpus[] = "ALTER TABLE environments ADD COLUMN gpu TEXT;"
                           "ALTER TABLE environments ADD COLUMN gpu_driver TEXT;"
                           "ALTER TABLE environments ADD COLUMN gpu_capability TEXT;"
                           "ALTER TABLE environments ADD COLUMN gpu_bytes INTEGER;"
                           "ALTER TABLE environments ADD COLUMN gpu_libraries TEXT;"
                           "ALTER TABLE environments ADD COLUMN deterministic INTEGER;"
                           "ALTER TABLE attempts ADD COLUMN determinism TEXT;";

static const char *const version_5[] = {gpus, NULL};

/* Which plan was used last must not follow the clock, which may be set back: each use takes the
 * next number. Older plans are numbered in the order of used_at, which stays for the eye. */
static const char uses[] =
    "ALTER TABLE plans ADD COLUMN used INTEGER NOT NULL DEFAULT 0;"
    "UPDATE plans SET used = (SELECT count(*) FROM plans q WHERE q.used_at < plans.used_at"
    " OR (q.used_at = plans.used_at AND q.id <= plans.id));"
    "DROP VIEW v_newest;"
    "CREATE VIEW v_newest AS"
    " SELECT id AS plan_id FROM plans p WHERE NOT EXISTS ("
    "  SELECT 1 FROM plans q WHERE q.experiment_id = p.experiment_id AND q.scale = p.scale"
    "  AND q.dataset = p.dataset AND q.device = p.device AND q.used > p.used);";

static const char *const version_6[] = {uses, NULL};

/* isa: the instructions in use, "v3" or "kernels v4+bf16, libraries v3"; NULL: not recorded.
 * not_timed: why a row has no time; NULL: it has one, or wrong says why. */
static const char processors[] = "ALTER TABLE environments ADD COLUMN isa TEXT;"
                                 "ALTER TABLE bench_rows ADD COLUMN not_timed TEXT;";

static const char *const version_7[] = {processors, NULL};

/* The Lua files that an attempt's model came from; without any: not known, or it ended before.
 * texts: hash of the bytes, code_hash of lua_tokens; text with %XX for bytes that are not UTF-8.
 * first_step: of the checkpoint that the attempt went on from, 0: it began anew; NULL: unknown. */
static const char codes[] =
    "CREATE TABLE texts(hash TEXT PRIMARY KEY, code_hash TEXT NOT NULL, text TEXT NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE attempt_files("
    " attempt_id INTEGER NOT NULL REFERENCES attempts(id), file TEXT NOT NULL,"
    " text_hash TEXT NOT NULL REFERENCES texts(hash),"
    " PRIMARY KEY(attempt_id, file)) STRICT, WITHOUT ROWID;"
    "ALTER TABLE attempts ADD COLUMN first_step INTEGER;"
    "CREATE VIEW v_code AS"
    " SELECT f.attempt_id, f.file, f.text_hash, t.code_hash, t.text"
    " FROM attempt_files f JOIN texts t ON t.hash = f.text_hash;"
    "CREATE TRIGGER v_code_insert INSTEAD OF INSERT ON v_code BEGIN"
    " INSERT OR IGNORE INTO texts(hash, code_hash, text)"
    "  VALUES(NEW.text_hash, NEW.code_hash, NEW.text);"
    " INSERT OR REPLACE INTO attempt_files(attempt_id, file, text_hash)"
    "  VALUES(NEW.attempt_id, NEW.file, NEW.text_hash);"
    "END;";

static const char *const version_8[] = {codes, NULL};

/* Of an attempt's parameters, how many a step changes; the others are frozen. NULL: all. */
static const char trained[] = "ALTER TABLE attempts ADD COLUMN trained INTEGER;";

static const char *const version_9[] = {trained, NULL};

/* weights_of: the attempt that trained the weights which this one only scored, or ended badly
 * before there were any; NULL: it trained. One that was to score and began anew has trained. */
static const char scores[] =
    "ALTER TABLE attempts ADD COLUMN weights_of INTEGER REFERENCES attempts(id);"
    "CREATE TRIGGER attempts_trained AFTER UPDATE OF first_step ON attempts"
    " WHEN NEW.first_step = 0 AND NEW.weights_of IS NOT NULL BEGIN"
    " UPDATE attempts SET weights_of = NULL WHERE id = NEW.id;"
    "END;";

static const char *const version_10[] = {scores, NULL};

/* Of plans whose seeds are added until their claims are decided (sequence.h): most, trial_s and
 * looks are NULL until the first trials have ended; claims and looks are JSON lists. */
static const char sequences[] =
    "CREATE TABLE sequences("
    " plan_id INTEGER PRIMARY KEY REFERENCES plans(id), rows_hash TEXT NOT NULL,"
    " first_seed INTEGER NOT NULL, folds INTEGER NOT NULL, budget_s REAL NOT NULL,"
    " claims TEXT NOT NULL, started_at TEXT NOT NULL, trial_s REAL, most INTEGER,"
    " looks TEXT) STRICT;";

static const char *const version_11[] = {sequences, NULL};

/* Of kind "self_test": {"relabelings", "shapes": [{"rows", "seeds"}]}; NULL: of another kind. */
static const char self_tests[] = "ALTER TABLE plans ADD COLUMN self_test TEXT;";

static const char *const version_12[] = {self_tests, NULL};

/* That a trial was tried to find the learning rate of a row (tries.h); it is none of its cells. */
static const char tries[] = "CREATE TABLE tries("
                            " row_id INTEGER NOT NULL REFERENCES rows(id),"
                            " trial_id INTEGER NOT NULL REFERENCES trials(id),"
                            " PRIMARY KEY(row_id, trial_id)) STRICT, WITHOUT ROWID;"
                            "CREATE INDEX tries_trial ON tries(trial_id);";

static const char *const version_13[] = {tries, NULL};

/* against: position of the row that this one is compared with, itself for none; NULL: the row
 * above, and only where the paper claims a difference. */
static const char compared[] = "ALTER TABLE rows ADD COLUMN against INTEGER;";

static const char *const version_14[] = {compared, NULL};

/* checksum: of the row's other columns (checksum.h); NULL: an older program wrote the row, '': it
 * came so from another database. figures: how many rows of metrics the attempt ended with; NULL: it
 * has not ended, or not known. */
static const char checksums[] = "ALTER TABLE trials ADD COLUMN checksum TEXT;"
                                "ALTER TABLE attempts ADD COLUMN figures INTEGER;"
                                "ALTER TABLE attempts ADD COLUMN checksum TEXT;"
                                "ALTER TABLE metrics ADD COLUMN checksum TEXT;";

static const char *const version_15[] = {checksums, NULL};

/* What people say of trials: a word to find them by, or a sentence. v_figure: figures case by case,
 * of the attempts that count. */
static const char remarks[] =
    "CREATE TABLE remarks("
    " trial_id INTEGER NOT NULL REFERENCES trials(id),"
    " kind TEXT NOT NULL CHECK(kind IN ('tag','note')), text TEXT NOT NULL, at TEXT NOT NULL,"
    " PRIMARY KEY(trial_id, kind, text)) STRICT, WITHOUT ROWID;"
    "CREATE VIEW v_figure AS"
    " SELECT e.name AS experiment, x.key AS \"row\", t.hash AS trial, t.scale, t.dataset, t.device,"
    "  t.seed, t.fold, m.split, m.case_name, m.label, m.name, m.metric, m.value, m.situation"
    " FROM (SELECT DISTINCT p.experiment_id, r.key, c.trial_id FROM plans p"
    "  JOIN rows r ON r.plan_id = p.id JOIN cells c ON c.row_id = r.id) x"
    " JOIN experiments e ON e.id = x.experiment_id JOIN trials t ON t.id = x.trial_id"
    " JOIN v_attempt v ON v.trial_id = t.id JOIN metrics m ON m.attempt_id = v.attempt_id;";

static const char *const version_16[] = {remarks, NULL};

/* What a training took of the processors, of all its threads: other work beside it does not
 * lengthen that. NULL: a device computed, an older program wrote the row, or nothing trained. */
static const char processor_times[] = "ALTER TABLE attempts ADD COLUMN processor_s REAL;";

static const char *const version_17[] = {processor_times, NULL};

const char *const *const migrations[] = {version_1,  version_2,  version_3,  version_4,  version_5,
                                         version_6,  version_7,  version_8,  version_9,  version_10,
                                         version_11, version_12, version_13, version_14, version_15,
                                         version_16, version_17};
const int migration_count = sizeof migrations / sizeof migrations[0];
