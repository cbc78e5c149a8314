/* What lies beside a database that is joined into another: logs and weights. */
#ifndef CLI_BRING_H
#define CLI_BRING_H

#include "src/store/merge.h"

typedef struct Bring {
  const char *from, *to; /* the databases' folders */
} Bring;

/* MergeFrom.bring, user a Bring: the attempt's log; the weights where they are the attempt's, and
 * either it is done, or the trial is not done here and came further there. */
bool bring_files(void *user, const MergeAttempt *attempt, Error *error);

/* Joins the database and what lies beside it into the store's. */
bool bring_database(Store *store, const char *path, bool ended, const json_t *overruled,
                    MergeCount *count, Error *error);

#endif
