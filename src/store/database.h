/* What the files of src/store/ share: the handle and thin wrappers over SQLite. */
#ifndef STORE_DATABASE_H
#define STORE_DATABASE_H

#include "src/store/store.h"

#include <sqlite3.h>

/* ---- SQLite ---------------------------------------------------------------------------------- */

struct Store {
  sqlite3 *db;
  char *path;
  char *folder;
  bool refused_data; /* the last failure broke a constraint */
  int lock;          /* file descriptor of the lock file, -1: not held */
};

enum { DATABASE_BUSY_MS = 10000 }; /* so long another program is waited for */

/* A path as SQLite opens it, to be freed by sqlite3_free: nothing in it has a meaning, not "", not
 * ":memory:", not "file:x". */
char *database_name(const char *path);
/* One statement of the database's own making, no rows wanted. */
bool database_exec(Store *store, const char *sql, Error *error);
/* The same outside a transaction, of what can be done twice, where SQLite does not wait by itself:
 * it waits for the lock that a statement begins with, but one that reads first and then wants more,
 * such as another journal, is refused at once. */
bool database_insist(Store *store, const char *sql, Error *error);
/* What can be done about a damaged file. */
#define DATABASE_DAMAGED                                                                           \
  "; keep a copy of the file; `sqlite3 FILE .recover | sqlite3 NEW` saves what can be read, and "  \
  "--db NEW in the same folder goes on with it and with the weights there"
/* Writes SQLite's reason and what the user can do; returns false. */
bool database_fail(Store *store, const char *what, Error *error);
bool database_prepare(Store *store, const char *sql, sqlite3_stmt **statement, Error *error);
/* Steps a statement that returns no row, then resets it and clears its bindings. */
bool database_step(Store *store, sqlite3_stmt *statement, Error *error);
/* Prepares, binds by format (i: int64_t, d: double, s: const char * or NULL; upper case D: a
 * double that is stored as NULL when negative), steps and finalizes. */
bool database_run(Store *store, Error *error, const char *sql, const char *format, ...);
/* The first column of the first row as an integer; absent: fallback. Parameters as above. */
bool database_integer(Store *store, Error *error, int64_t fallback, int64_t *value, const char *sql,
                      const char *format, ...);

/* Brings user_version up to count in one transaction, after a backup copy unless it is 0. */
bool database_migrate(Store *store, const char *const *const *list, int count, Error *error);
/* A reader changes no file: it brings a copy in its memory forward, where the form is older. */
bool database_read_current(Store *store, Error *error);

/* BEGIN IMMEDIATE; the end commits when good, otherwise rolls back; returns good and committed. */
bool database_begin(Store *store, Error *error);
bool database_end(Store *store, bool good, Error *error);

/* What is said of an attempt that still read `running` when nobody ran it. */
#define STORE_CUT_OFF "the program that ran it ended first"

/* Whether the tables hold only what the rest of the program relies on without asking: a file that
 * another program made or changed need not. Of the form that is known here. */
bool database_sound(Store *store, Error *error);

/* The present time, UTC ISO-8601 with milliseconds. */
#define NOW "strftime('%Y-%m-%dT%H:%M:%fZ','now')"

/* ---- the schema ------------------------------------------------------------------------------ */

/* Tables and views: database.c. */

enum { STORE_APPLICATION_ID = 0x48524e53 }; /* "HRNS" */

/* migrations[i] is a NULL-ended list of SQL texts that bring user_version i to i + 1. */
extern const char *const *const migrations[];
extern const int migration_count;

#endif
