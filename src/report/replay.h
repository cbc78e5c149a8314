/* What a run until its claims are decided has come to, computed anew from the stored trials in the
 * order of their seeds (src/statistics/looks.h): the same trials give the same looks, whoever was
 * killed in between. */
#ifndef REPORT_REPLAY_H
#define REPORT_REPLAY_H

#include "src/store/sequence.h"

typedef struct Replay {
  const Sequence *sequence;
  Figures *row; /* (rows), by position: trials that stay as they are, whole seeds first */
  int rows;
  int *unit;         /* of cases, as the rows have it */
  bool *lost;        /* (rows) too many of its trials failed: it gets no further ones */
  LooksClaim *claim; /* (sequence->claims) */
  LooksState state;
} Replay;

/* A row of which more trials failed is given up. */
enum { REPLAY_FAILED_MOST = 5 };

/* A trial that failed is passed over, one that is still to end ends what counts. The sequence stays
 * the caller's and must live as long. On false there is nothing to free. */
bool replay_load(Store *store, const Sequence *sequence, bool cases_fixed, Replay *replay,
                 Error *error);
/* The same of its first looks alone. */
void replay_again(Replay *replay, int looks, bool cases_fixed);
void replay_free(Replay *replay);

/* A claim of the row is open and can still be looked at. */
bool replay_row_open(const Replay *replay, int row);

#endif
