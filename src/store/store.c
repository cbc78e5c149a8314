#include "src/store/store.h"
#include "base/paths.h"
#include "src/data/sets/json_text.h"
#include "src/store/checksum.h"
#include "src/store/database.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Opening: application id, journal mode by filesystem. */

enum { HEADER_BYTES = 100 };

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
  char *name = still ? uri_of(store->path, "immutable=1") : database_name(store->path);
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
  sqlite3_busy_timeout(store->db, DATABASE_BUSY_MS);
  if (!database_exec(store, "PRAGMA foreign_keys=ON", error) || !recognise(store, error))
    return false;
  if (mode == STORE_READ)
    return database_exec(store, "PRAGMA query_only=ON", error) &&
           database_read_current(store, error) && database_sound(store, error) &&
           checksum_function(store, error);
  /* EXTRA: the folder is synced after the journal is gone, or the last commit may come back. */
  const char *journal = network_of(store->folder)
                            ? "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA"
                            : "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL";
  return database_insist(store, journal, error) &&
         database_migrate(store, migrations, migration_count, error) &&
         database_sound(store, error) && checksum_function(store, error) &&
         checksum_keep(store, error);
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
