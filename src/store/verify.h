/* Whether a database is as it was written. */
#ifndef STORE_VERIFY_H
#define STORE_VERIFY_H

#include "src/store/store.h"

typedef struct Verified {
  int64_t rows;    /* of trials, attempts and metrics, so many were looked at */
  int64_t without; /* of them: with no checksum, since an older program wrote them */
  json_t *faults;  /* texts: what is not as it was written; the caller decrefs */
} Verified;

/* hash: of one trial's rows alone; NULL: of all, and of the file itself. False: it could not be
 * read. */
bool store_verify(Store *store, const char *hash, Verified *verified, Error *error);

#endif
