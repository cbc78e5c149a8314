#include "src/store/store.h"
#include "base/paths.h"
#include "src/data/sets/json_text.h"
#include "src/store/database.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Opening: application id, migrations, journal mode by filesystem, the sweep's lock. */

enum {
  HEADER_BYTES = 100,
  BUSY_MS = 10000,
  LOCK_TRIES = 20,
  LOCK_WAIT_US = 50000,
  SWEEP_WAITS = 12000, /* of LOCK_WAIT_US: ten minutes */
  WAITS_UNTOLD = 40
};

static const char *const status_names[STATUS_COUNT] = {
    "planned", "running", "done", "failed", "oom", "collapsed", "interrupted", "timeout"};

const char *status_name(Status status) {
  return status_names[status];
}

bool status_parse(const char *name, Status *status) {
  for (int i = 0; i < STATUS_COUNT; i++) {
    if (strcmp(name, status_names[i])) continue;
    *status = (Status)i;
    return true;
  }
  return false;
}

const char *store_path(const Store *store) {
  return store->path;
}

const char *store_folder(const Store *store) {
  return store->folder;
}

bool store_exists(const char *path) {
  return access(path, F_OK) == 0;
}

static bool make_folder(const char *folder, Error *error) {
  if (!path_make(folder))
    return fail(error, "%s: cannot make the folder for results: %s; name another with --db FILE",
                folder, strerror(errno));
  struct stat information;
  if (stat(folder, &information) || !S_ISDIR(information.st_mode))
    return fail(error,
                "%s: this is not a folder, results cannot be kept there; name another "
                "place with --db FILE",
                folder);
  return true;
}

/* WAL needs shared memory between processes, which network filesystems do not give. The numbers are
 * those of statfs; whatever stands behind FUSE may be one. */
static const struct {
  unsigned type;
  const char *name;
} networks[] = {
    {0x6969, "NFS"},          {0xff534d42, "CIFS"},  {0xfe534d42, "SMB"},    {0x517b, "SMB"},
    {0x0bd00bd0, "Lustre"},   {0x47504653, "GPFS"},  {0x19830326, "BeeGFS"}, {0x01021997, "9P"},
    {0x00c36400, "Ceph"},     {0x5346414f, "AFS"},   {0x6b414653, "AFS"},    {0x73757245, "Coda"},
    {0x20030528, "OrangeFS"}, {0xaad7aaea, "PanFS"}, {0x01161970, "GFS2"},   {0x7461636f, "OCFS2"},
    {0x786f4256, "vboxsf"},   {0x65735546, "FUSE"},
};

static const char *network_of(const char *folder) {
  struct statfs information;
  if (statfs(folder, &information)) return NULL;
  for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++)
    if ((unsigned)information.f_type == networks[i].type) return networks[i].name;
  return NULL;
}

const char *store_network(const Store *store) {
  return network_of(store->folder);
}

/* Nothing in a path means anything to SQLite: not "", not ":memory:", not "file:x". */
static char *plain_name(const char *path) {
  return sqlite3_mprintf(path[0] == '/' ? "%s" : "./%s", path);
}

/* The path as an URI: whatever could end it or stand for another byte is written as %XX. */
static char *uri_of(const char *path, const char *query) {
  char *uri = sqlite3_mprintf("file:%s", path[0] == '/' ? "" : "./");
  for (; uri && *path; path++) {
    bool plain = strchr("/-_.~", *path) || isalnum((unsigned char)*path);
    char *longer = sqlite3_mprintf(plain ? "%z%c" : "%z%%%02X", uri, (unsigned char)*path);
    uri = longer;
  }
  return sqlite3_mprintf("%z?%s", uri, query);
}

/* A copy through SQLite's own backup, so that a journal not yet merged is part of it. */
static bool backup(Store *store, int64_t version, Error *error) {
  char path[4200];
  snprintf(path, sizeof path, "%s.v%d.bak", store->path, (int)version);
  if (store_exists(path)) return true; /* an earlier, interrupted migration made it */
  char partial[4210];
  snprintf(partial, sizeof partial, "%s.part", path);
  unlink(partial);
  sqlite3 *copy = NULL;
  char *name = plain_name(partial);
  bool good = name && sqlite3_open(name, &copy) == SQLITE_OK;
  sqlite3_free(name);
  sqlite3_backup *work = good ? sqlite3_backup_init(copy, "main", store->db, "main") : NULL;
  good = work && sqlite3_backup_step(work, -1) == SQLITE_DONE;
  if (work) sqlite3_backup_finish(work);
  if (sqlite3_close(copy) != SQLITE_OK) good = false;
  if (good && rename(partial, path) == 0) return true;
  unlink(partial);
  return fail(error,
              "%s: cannot write the copy %s that is kept before the database is brought to "
              "a newer form; free disk space or make the folder writable",
              store->path, path);
}

static bool migrate_once(Store *store, const char *const *texts, int version, Error *error) {
  bool good = true;
  for (int i = 0; good && texts[i]; i++) good = database_exec(store, texts[i], error);
  char sql[128];
  snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
           STORE_APPLICATION_ID, version + 1);
  return good && database_exec(store, sql, error);
}

static bool migrate_from(Store *store, const char *const *const *list, int count, Error *error) {
  int64_t version;
  if (!database_begin(store, error)) return false;
  /* another process may have migrated while this one waited */
  bool good = database_integer(store, error, 0, &version, "PRAGMA user_version", "");
  for (int v = (int)version; good && v < count; v++) good = migrate_once(store, list[v], v, error);
  return database_end(store, good, error);
}

bool database_migrate(Store *store, const char *const *const *list, int count, Error *error) {
  int64_t version;
  if (!database_integer(store, error, 0, &version, "PRAGMA user_version", "")) return false;
  if (version >= count) return true;
  if (version > 0 && !backup(store, version, error)) return false;
  return migrate_from(store, list, count, error);
}

/* A reader changes no file: it brings a copy in its memory forward, where the form is older. */
static bool read_current(Store *store, Error *error) {
  int64_t version;
  if (!database_integer(store, error, 0, &version, "PRAGMA user_version", "")) return false;
  if (version == migration_count) return true;
  sqlite3 *copy = NULL;
  bool good = sqlite3_open(":memory:", &copy) == SQLITE_OK;
  sqlite3_backup *work = good ? sqlite3_backup_init(copy, "main", store->db, "main") : NULL;
  good = work && sqlite3_backup_step(work, -1) == SQLITE_DONE;
  if (work) sqlite3_backup_finish(work);
  sqlite3_close(good ? store->db : copy);
  if (good) store->db = copy;
  return (good || fail(error, "%s: no memory to read a database of an older form", store->path)) &&
         migrate_from(store, migrations, migration_count, error) &&
         database_exec(store, "PRAGMA query_only=ON", error);
}

/* Ours, and not from the future? */
static bool recognise(Store *store, Error *error) {
  int64_t application, objects, version;
  if (!database_integer(store, error, 0, &objects, "SELECT count(*) FROM sqlite_master", "") ||
      !database_integer(store, error, 0, &application, "PRAGMA application_id", "") ||
      !database_integer(store, error, 0, &version, "PRAGMA user_version", ""))
    return false;
  if (objects > 0 && application != STORE_APPLICATION_ID)
    return fail(error,
                "%s: this is another program's SQLite file (application id %lld, expected "
                "%d); name another with --db FILE",
                store->path, (long long)application, STORE_APPLICATION_ID);
  if (version > migration_count)
    return fail(error,
                "%s: the database has form %lld, this program knows up to %d: it was written "
                "by a newer harness; update this one (git pull, make) or name another file "
                "with --db FILE",
                store->path, (long long)version, migration_count);
  return true;
}

/* A reader needs the -shm file beside a WAL database; where it cannot be made (a read-only disk),
 * the file cannot change either, and SQLite may be told so. Beside one that is not WAL, as on a
 * network file system, a journal may be left of a program that was killed as it wrote: until that
 * is rolled back the file cannot be read. */
static int open_file(Store *store, StoreMode mode) {
  char wal[4200], journal[4200];
  snprintf(wal, sizeof wal, "%s-wal", store->path);
  snprintf(journal, sizeof journal, "%s-journal", store->path);
  bool still = mode == STORE_READ && access(store->folder, W_OK) && !store_exists(wal);
  bool broken = !still && store_exists(journal);
  int flags = mode == STORE_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
              : still             ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
              : broken            ? SQLITE_OPEN_READWRITE
                                  : SQLITE_OPEN_READONLY;
  char *name = still ? uri_of(store->path, "immutable=1") : plain_name(store->path);
  int code = name ? sqlite3_open_v2(name, &store->db, flags, NULL) : SQLITE_NOMEM;
  sqlite3_free(name);
  return code;
}

/* SQLite takes what is too short for its header for a new database, and would overwrite it. */
static bool has_header(const char *path, Error *error) {
  struct stat information;
  bool cut = !stat(path, &information) && S_ISREG(information.st_mode) && information.st_size > 0 &&
             information.st_size < HEADER_BYTES;
  return !cut || fail(error,
                      "%s: the file is cut short, %lld bytes are no database; move it away or name "
                      "another with --db FILE",
                      path, (long long)information.st_size);
}

static bool connect(Store *store, StoreMode mode, Error *error) {
  if (!has_header(store->path, error)) return false;
  if (open_file(store, mode) != SQLITE_OK)
    return database_fail(store, "cannot open the database", error);
  sqlite3_extended_result_codes(store->db, 1);
  sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_busy_timeout(store->db, BUSY_MS);
  if (!database_exec(store, "PRAGMA foreign_keys=ON", error) || !recognise(store, error))
    return false;
  if (mode == STORE_READ)
    return database_exec(store, "PRAGMA query_only=ON", error) && read_current(store, error) &&
           database_sound(store, error);
  /* EXTRA: the folder is synced after the journal is gone, or the last commit may come back. */
  const char *journal = network_of(store->folder)
                            ? "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA"
                            : "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL";
  return database_exec(store, journal, error) &&
         database_migrate(store, migrations, migration_count, error) &&
         database_sound(store, error);
}

bool store_open(Store **out, const char *path, StoreMode mode, Error *error) {
  *out = NULL;
  if (mode == STORE_READ && !store_exists(path))
    return fail(error, "%s: there is no database yet; `harness run FILE` makes one", path);
  Store *store = calloc(1, sizeof *store);
  CHECK(store, "no memory for a database handle");
  store->lock = -1;
  store->path = strdup(path);
  char *copy = strdup(path);
  store->folder = strdup(dirname(copy));
  free(copy);
  bool good = mode == STORE_READ || make_folder(store->folder, error);
  if (good && connect(store, mode, error)) {
    *out = store;
    return true;
  }
  store_close(store);
  return false;
}

void store_close(Store *store) {
  if (!store) return;
  sqlite3_close(store->db); /* the last connection merges and removes the -wal file */
  if (store->lock >= 0) close(store->lock);
  free(store->path);
  free(store->folder);
  free(store);
}

/* ---- the lock -------------------------------------------------------------------------------- */

static void lock_path(const char *path, char text[4200]) {
  snprintf(text, 4200, "%s.lock", path);
}

typedef struct Holder {
  int pid;
  char host[256]; /* "": of a program that did not say it */
} Holder;

static Holder read_holder(int file) {
  char text[300] = "";
  Holder holder = {0};
  ssize_t got = pread(file, text, sizeof text - 1, 0);
  if (got > 0) sscanf(text, "%d %255s", &holder.pid, holder.host);
  return holder;
}

int store_lock_holder(const char *path) {
  char name[4200];
  lock_path(path, name);
  int file = open(name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  bool held = flock(file, LOCK_SH | LOCK_NB) != 0;
  int pid = held ? read_holder(file).pid : 0;
  close(file);
  return pid;
}

static bool mark_stale(Store *store, int *stale, Error *error) {
  int64_t count;
  bool good =
      database_integer(store, error, 0, &count,
                       "SELECT count(*) FROM attempts WHERE status = 'running'", "") &&
      database_exec(store,
                    "UPDATE trials SET status = CASE WHEN id IN (SELECT trial_id FROM v_attempt)"
                    " THEN 'done' ELSE 'interrupted' END WHERE status = 'running';"
                    "UPDATE attempts SET status = 'interrupted', ended_at = " NOW ","
                    " message = '" STORE_CUT_OFF "' WHERE status = 'running'",
                    error);
  *stale = (int)count;
  return good;
}

/* A process that was just killed holds its lock until it is gone, so a moment is granted. */
static bool take_lock(int file) {
  for (int i = 0; i < LOCK_TRIES; i++) {
    if (flock(file, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK && errno != EINTR) return false;
    usleep(LOCK_WAIT_US);
  }
  errno = EWOULDBLOCK;
  return false;
}

static void host_name(char host[256]) {
  if (gethostname(host, 256)) strcpy(host, "?");
  host[255] = 0;
}

static bool tell_holder(const Store *store, const Holder *holder, Error *error) {
  char here[256];
  host_name(here);
  if (!holder->host[0] || !strcmp(holder->host, here))
    return fail(error,
                "%s: process %d is running trials into this database; wait for it, stop it "
                "(kill %d), or name another with --db FILE",
                store->path, holder->pid, holder->pid);
  return fail(
      error,
      "%s: process %d of machine %s is running trials into this database; wait for it, stop "
      "it there, or give this machine a database of its own with --db FILE: `harness "
      "merge` joins them",
      store->path, holder->pid, holder->host);
}

static bool write_holder(int file, const char *name, Error *error) {
  char text[300], host[256];
  host_name(host);
  int length = snprintf(text, sizeof text, "%d %s\n", (int)getpid(), host);
  return (!ftruncate(file, 0) && pwrite(file, text, (size_t)length, 0) == length) ||
         fail(error, "%s: cannot write the lock file: %s", name, strerror(errno));
}

/* A sweep of days does not end because another program holds the database for a while: it says so,
 * waits, and gives up where it is asked to stop. */
static int wait_for_others(void *user, int waits) {
  sigset_t pending;
  bool asked = !sigpending(&pending) &&
               (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1);
  if (asked || waits >= SWEEP_WAITS) return 0;
  if (waits == WAITS_UNTOLD)
    fprintf(stderr, "harness: another program holds %s; waiting for it\n", (const char *)user);
  usleep(LOCK_WAIT_US);
  return 1;
}

bool store_lock(Store *store, int *stale, Error *error) {
  char name[4200];
  lock_path(store->path, name);
  int file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return fail(error, "%s: cannot open the lock file: %s", name, strerror(errno));
  if (!take_lock(file)) {
    int reason = errno;
    Holder holder = read_holder(file);
    close(file);
    return reason == EWOULDBLOCK
               ? tell_holder(store, &holder, error)
               : fail(error, "%s: cannot lock: %s; name a database on another disk with --db FILE",
                      name, strerror(reason));
  }
  store->lock = file;
  sqlite3_busy_handler(store->db, wait_for_others, store->path);
  if (!write_holder(file, name, error) || !store_check(store, error)) return false;
  bool good = database_begin(store, error);
  return good && database_end(store, mark_stale(store, stale, error), error);
}

bool store_check(Store *store, Error *error) {
  json_t *rows;
  if (!store_query(store, "PRAGMA quick_check(1)", NULL, &rows, error)) return false;
  const char *word = json_string_value(json_object_get(json_array_get(rows, 0), "quick_check"));
  bool whole = word && !strcmp(word, "ok");
  char found[200];
  snprintf(found, sizeof found, "%s", word ? word : "unreadable");
  for (char *p = found; *p; p++)
    if (*p == '\n') *p = ' ';
  if (!whole) fail(error, "%s: the database is damaged (%s)" DATABASE_DAMAGED, store->path, found);
  json_decref(rows);
  return whole;
}

/* ---- queries --------------------------------------------------------------------------------- */

/* Reading: rows as JSON, so that the report needs no SQLite; names of trials; soft removal. */

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

/* A number that is not finite, which JSON cannot hold, is null; bytes of no UTF-8 are shown. */
static json_t *column(sqlite3_stmt *statement, int i) {
  int type = sqlite3_column_type(statement, i);
  if (type == SQLITE_INTEGER) return json_integer(sqlite3_column_int64(statement, i));
  double number = type == SQLITE_FLOAT ? sqlite3_column_double(statement, i) : NAN;
  if (isfinite(number)) return json_real(number);
  if (type != SQLITE_TEXT) return json_null();
  return json_name((const char *)sqlite3_column_text(statement, i));
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
