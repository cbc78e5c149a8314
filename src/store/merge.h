/* Joins another database into this one: shards of a sweep that ran on several machines, or what two
 * people trained. Trials and tables are known by their hashes, an attempt by its trial, its
 * environment, its process and when it began, so that the same database joined twice, or by way of
 * a third, is there once. The other one is only read, in one moment: programs may be writing it. */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include "src/store/store.h"

/* An attempt that is there and not here. */
typedef struct MergeAttempt {
  const char *hash, *status;  /* of its trial; how it ended */
  const char *log, *kept_log; /* relative to the other's folder, and to this one's */
  const char *here;           /* the state of its trial here; "": not known here */
  int newest;                 /* 1: of its trial there, so the weights there are its */
  int overruled;              /* 1: see MergeFrom */
} MergeAttempt;

typedef struct MergeFrom {
  const char *path;
  bool ended; /* nobody writes it any more: what reads `running` was cut off and is interrupted.
                 Otherwise that is left for the next time */
  const json_t *overruled; /* hashes of trials of which what is done is kept and does not count, as
                              another's do; NULL: none */
  /* Called for each such attempt before any is stored: brings what lies beside the other database.
   * NULL: nothing is brought. */
  bool (*bring)(void *user, const MergeAttempt *attempt, Error *error);
  void *user;
} MergeFrom;

typedef struct MergeCount {
  int attempts, trials; /* that came, and of how many trials */
  int plans;            /* tables that came */
  int running;          /* attempts that were left, since they run */
  int decided; /* trials that had a figure here already: what came counts now, as the latest */
} MergeCount;

/* All of it or nothing. Of a trial that has an attempt that is done the state is `done`, else that
 * of its newest attempt. */
bool store_merge(Store *store, const MergeFrom *from, MergeCount *count, Error *error);

#endif
