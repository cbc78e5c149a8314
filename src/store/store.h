/* The database of results: one SQLite file, one writing process a host.
 *
 *   store_open
 *   -> (store_lock, store_add_experiment, store_start, store_events, store_finish)*
 *   -> store_close
 *
 * A trial is one resolved configuration on one data set and is named by a hash; an attempt is one
 * try to run it and is never overwritten; metrics and curves belong to attempts. The file's schema
 * and its public views are in database.c. Every function that returns bool writes the reason of a
 * false into its Error. A Store belongs to one thread. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Store Store;

typedef enum StoreMode { STORE_READ, STORE_WRITE } StoreMode;

/* What ended (or did not end) an attempt and so a trial. */
typedef enum Status {
  STATUS_PLANNED,
  STATUS_RUNNING,
  STATUS_DONE,
  STATUS_FAILED,
  STATUS_OOM,
  STATUS_COLLAPSED,
  STATUS_INTERRUPTED,
  STATUS_TIMEOUT,
  STATUS_COUNT
} Status;

const char *status_name(Status status);
bool status_parse(const char *name, Status *status); /* false: no such status */

/* STORE_WRITE makes the file and its folder when absent and migrates an older one after copying it
 * to PATH.vN.bak; STORE_READ wants an existing file and cannot change it: an older one is brought
 * forward in memory. A file made by a newer program, or by another program, or changed by one
 * (sound.c), is refused. On a network filesystem the journal is not WAL. The caller closes *store
 * with store_close. */
bool store_open(Store **store, const char *path, StoreMode mode, Error *error);
void store_close(Store *store);
const char *store_path(const Store *store);
const char *store_folder(const Store *store); /* the folder of the file */
bool store_exists(const char *path);

/* What is said of a file with something in it that this program would not have written. */
#define STORE_CHANGED                                                                              \
  "; another program has changed the file: restore a copy of it, or name another with --db FILE"

/* Takes the lock of the one running sweep (PATH.lock, held until store_close or death). Held
 * already: false, the Error names the process, and its machine where it is another. A damaged file:
 * false. With the lock in hand every attempt that still reads `running` is stale and becomes
 * `interrupted`; *stale says how many; and where another program holds the database for a while,
 * this one waits for minutes. */
bool store_lock(Store *store, int *stale, Error *error);
/* False: the file is damaged, or could not be read. */
bool store_check(Store *store, Error *error);
/* What the database lies on, such as "NFS", where that is shared with other machines; NULL: it is
 * not. One machine at a time may write it there; its journal is not WAL. */
const char *store_network(const Store *store);
/* The process that holds the lock, 0 when none does. */
int store_lock_holder(const char *path);

/* ---- identity (cells.c) ---------------------------------------------------------------------- */

enum { HASH_BYTES = 33 }; /* 32 hexadecimal digits and the end */

/* xxh3-128 of the bytes. */
void text_hash(const char *text, char hash[HASH_BYTES]);
/* Of the canonical JSON text: keys sorted, no blanks, whole numbers without a fraction. */
bool json_hash(const json_t *value, char hash[HASH_BYTES], Error *error);
/* Of (config without the keys that name the machine, data_hash, code epoch). */
bool trial_hash(const json_t *config, const char *data_hash, char hash[HASH_BYTES], Error *error);

/* Of the same without the options that are named: trials with the same one share their training. */
bool training_hash(const json_t *config, const json_t *evaluation, const char *data_hash,
                   char hash[HASH_BYTES], Error *error);

/* The same without the seed. */
bool seedless_hash(const json_t *config, const char *data_hash, char hash[HASH_BYTES],
                   Error *error);
/* Of an experiment's rows, whatever seeds its cells have. */
bool store_rows_hash(const json_t *experiment, const char *data_hash, char hash[HASH_BYTES],
                     Error *error);

/* ---- experiments, cells and trials (cells.c) ------------------------------------------------- */

/* One trial that an experiment asks for; several cells may be the same trial. */
typedef struct Cell {
  int64_t id;
  char hash[HASH_BYTES];
  int row; /* index into the experiment's rows */
  int seed;
  int fold;
  Status status;
  json_t *config;            /* owned by the experiment document */
  const json_t *evaluation;  /* the names of its options that change no training; the same */
  char training[HASH_BYTES]; /* of the configuration without these; "": nothing is trained */
} Cell;

/* Records the experiment document (see experiment_read), inserting trials that are missing, and
 * fills trials[0 .. *count-1] in the document's order (malloced, the caller frees). One
 * transaction. A trial's configuration is kept with "data_path", where data_dir, which may be
 * relative, was found this time. An experiment with "until" and its "first_seed" is the same plan
 * whatever seeds it has: its cells are added to those that are there. With "tries" (lua/bind.h),
 * which are stored trials by then, those become the tries of its rows. */
bool store_add_experiment(Store *store, const json_t *experiment, const char *data_hash,
                          int64_t *plan_id, Cell **trials, int *count, Error *error);
/* The same of its trials alone, which become no plan: tries of rates (tries.h) come before the
 * trials of their rows. */
bool store_add_trials(Store *store, const json_t *experiment, const char *data_hash, Cell **trials,
                      int *count, Error *error);
/* The same without writing: statuses as stored, ids 0 where not stored. store may be NULL. */
bool store_preview(Store *store, const json_t *experiment, const char *data_hash, Cell **trials,
                   int *count, Error *error);

/* Reads id and status as stored now; those of a trial that is not stored stay. */
bool store_state(Store *store, Cell *trial, Error *error);

/* ---- attempts (attempt.c) -------------------------------------------------------------------- */

typedef struct AttemptEnd {
  Status status;
  int exit_code; /* -1: none */
  int signal;    /* 0: none */
  const char *message;
  double train_s, eval_s; /* negative: unknown */
  double wall_s;
  int64_t max_rss_bytes;
} AttemptEnd;

/* environment is what environment_capture returned; the row is shared by equal environments. */
bool store_environment(Store *store, const json_t *environment, int64_t *id, Error *error);
/* A new attempt, status running. log is relative to the database's folder. weights_of: the attempt
 * that trained the weights which this one only scores, 0: it trains. */
bool store_start(Store *store, int64_t trial, int64_t environment, int pid, const char *log,
                 int64_t weights_of, int64_t *attempt, Error *error);
/* Stores an array of events (see event.h; those only told are skipped) in one transaction. */
bool store_events(Store *store, int64_t attempt, const json_t *events, Error *error);
/* The last refusal was about the data (a metric twice, a situation unknown), not about the disk. */
bool store_refused_data(const Store *store);
/* Ends the attempt and sets the trial's status, in one transaction with the last events. A trial
 * that has a good attempt already stays done when a repetition is only interrupted. */
bool store_finish(Store *store, int64_t attempt, const json_t *events, const AttemptEnd *end,
                  Error *error);

/* ---- reading (store.c) ----------------------------------------------------------------------- */

/* Runs one SELECT and returns an array of objects, one a row, keyed by column name; the caller
 * decrefs. parameters: NULL or an array of strings, integers, reals, nulls bound to ?1, ?2 ... */
bool store_query(Store *store, const char *sql, json_t *parameters, json_t **rows, Error *error);
/* Marks a trial's attempts as removed and the trial as planned; nothing is erased. The trial is
 * named by at least 4 leading digits of its hash. */
bool store_remove(Store *store, const char *prefix, Error *error);
/* The trial's full hash from 4 or more leading digits. */
bool store_find(Store *store, const char *prefix, char hash[HASH_BYTES], Error *error);

#endif
