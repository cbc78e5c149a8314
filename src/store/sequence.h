/* What a run until its claims are decided goes by, stored before it begins so that a kill or a
 * later call changes nothing of it: the claims, the budget, and once its first trials have told how
 * long one takes, the looks. What the looks come to is not stored; it follows from the trials
 * (src/report/replay.h). The cells of its row of `plans` grow as seeds are added. */
#ifndef STORE_SEQUENCE_H
#define STORE_SEQUENCE_H

#include "src/statistics/looks.h"
#include "src/store/store.h"

/* That a row differs from another (mostly the one above) by so much in the paper; positions of
 * rows. */
typedef struct SequenceClaim {
  int row, above;
  double paper; /* 0: the paper says nothing, and whether they differ is asked */
} SequenceClaim;

/* What the rows of an experiment (experiment_read's) claim and ask, in their order: fills at most
 * as many as there are rows, and returns how many. */
int sequence_claims(const json_t *rows, SequenceClaim *claim);

typedef struct Sequence {
  int64_t plan_id;
  char rows_hash[HASH_BYTES]; /* store_rows_hash: whose seeds are added */
  int first_seed, folds;
  double budget_s, trial_s; /* trial_s 0, looks.most 0: not settled yet */
  Looks looks;
  SequenceClaim *claim; /* (claims) malloced */
  int claims;
} Sequence;

void sequence_free(Sequence *sequence);

/* That of these rows: with the first seed, or with first_seed -1 the latest begun. *found false:
 * none, and nothing to free. */
bool sequence_find(Store *store, const char *rows_hash, int first_seed, Sequence *sequence,
                   bool *found, Error *error);
bool sequence_of_plan(Store *store, int64_t plan_id, Sequence *sequence, bool *found, Error *error);

bool sequence_add(Store *store, const Sequence *sequence, Error *error);
/* Stores trial_s and the looks, once. */
bool sequence_settle(Store *store, const Sequence *sequence, Error *error);

#endif
