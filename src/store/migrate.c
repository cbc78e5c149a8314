/* A database of an older form is copied, then brought forward; a reader does that in its memory. */
#include "base/whole_file.h"
#include "src/store/database.h"

#include <unistd.h>

static bool copy_whole(sqlite3 *from, sqlite3 *to) {
  sqlite3_backup *work = sqlite3_backup_init(to, "main", from, "main");
  bool good = work && sqlite3_backup_step(work, -1) == SQLITE_DONE;
  if (work) sqlite3_backup_finish(work);
  return good;
}

/* Through SQLite's own backup, so that a journal not yet merged is part of it; by a second handle,
 * since ours holds the lock to write, with which it may not be copied. */
static bool copy_to(const Store *store, const char *path) {
  sqlite3 *from = NULL, *to = NULL;
  char *own = database_name(store->path), *name = database_name(path);
  bool good = own && name && sqlite3_open_v2(own, &from, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
              sqlite3_open(name, &to) == SQLITE_OK && copy_whole(from, to);
  sqlite3_free(own);
  sqlite3_free(name);
  sqlite3_close(from);
  return sqlite3_close(to) == SQLITE_OK && good;
}

static bool backup(const Store *store, int64_t version, Error *error) {
  char path[4200], partial[4210];
  snprintf(path, sizeof path, "%s.v%d.bak", store->path, (int)version);
  if (store_exists(path)) return true; /* an earlier, interrupted migration made it */
  snprintf(partial, sizeof partial, "%s.part", path);
  unlink(partial);
  Error why = {""};
  if (copy_to(store, partial) && whole_rename(partial, path, &why)) return true;
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

/* copies: what is brought forward is kept as it was. With the lock to write in hand, since another
 * program may do the same. */
static bool migrate_from(Store *store, const char *const *const *list, int count, bool copies,
                         Error *error) {
  int64_t version;
  if (!database_begin(store, error)) return false;
  bool good = database_integer(store, error, 0, &version, "PRAGMA user_version", "");
  if (good && copies && version > 0 && version < count) good = backup(store, version, error);
  for (int v = (int)version; good && v < count; v++) good = migrate_once(store, list[v], v, error);
  return database_end(store, good, error);
}

bool database_migrate(Store *store, const char *const *const *list, int count, Error *error) {
  int64_t version;
  if (!database_integer(store, error, 0, &version, "PRAGMA user_version", "")) return false;
  return version >= count || migrate_from(store, list, count, true, error);
}

bool database_read_current(Store *store, Error *error) {
  int64_t version;
  if (!database_integer(store, error, 0, &version, "PRAGMA user_version", "")) return false;
  if (version == migration_count) return true;
  sqlite3 *copy = NULL;
  bool good = sqlite3_open(":memory:", &copy) == SQLITE_OK && copy_whole(store->db, copy);
  sqlite3_close(good ? store->db : copy);
  if (good) store->db = copy;
  return (good || fail(error, "%s: no memory to read a database of an older form", store->path)) &&
         migrate_from(store, migrations, migration_count, false, error) &&
         database_exec(store, "PRAGMA query_only=ON", error);
}
