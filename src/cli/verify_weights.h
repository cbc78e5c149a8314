/* A trial's weights predict its validation cases again, for `harness verify`. */
#ifndef CLI_VERIFY_WEIGHTS_H
#define CLI_VERIFY_WEIGHTS_H

#include "src/cli/weights.h"

/* What came of it. Figures are those of single cases and structures; the means of a metric are over
 * structures of means over cases, as a table has them. */
typedef struct Repeated {
  int figures, same;    /* stored, and of them the same to the last digit */
  double stored, again; /* the mean of the metric that differs most from what is stored */
  char metric[32];
  bool exact;  /* the program, its instructions and the processor are those that scored it: every
                * figure must be the same */
  bool agrees; /* they are, or else the means of every metric are near those stored */
  char first[300]; /* where the first that is not the same is; "": there is none */
} Repeated;

/* Means agree within .005 of a share, or 2 % of a distance, of 1 at least. */
#define REPEATED_NEAR "within .005, distances within 2 %"

/* config: of weights_trial. False: its data or weights cannot be read. */
bool verify_weights(Store *store, const char *hash, json_t *config, DataSeen *seen,
                    Repeated *repeated, Error *error);

#endif
