/* Which weights of a training are kept: the last, or with select=best_validation those that did
 * best on cases held out of the training cases (never on the fold's validation cases, as papers do
 * that report the epoch that scored best). Twenty times a training the Dice of such cases' patches
 * is measured, always of the same ones, and the best so far lie in CHECKPOINT.best until the
 * training has ended. An interrupted one goes on to the same choice: what it measures again is the
 * same. */
#ifndef TRAIN_BEST_WEIGHTS_H
#define TRAIN_BEST_WEIGHTS_H

#include "src/train/watch.h"

typedef struct BestWeights {
  const Sampler *sampler; /* of the cases held out; NULL: the last weights are kept */
  int batches;
  const char *checkpoint; /* NULL: no weights are kept at all */
  double dice;            /* the best so far; NAN: none */
} BestWeights;

/* Before step `first`: what an interrupted training had chosen, or nothing. */
void best_weights_begin(BestWeights *best, int64_t first);
/* After a step: measures, and keeps the weights where none were better. */
bool best_weights_look(BestWeights *best, PatchDice *patches, int64_t step, Error *error);
/* At the end: the best weights take the last one's place in `params`. */
bool best_weights_take(const BestWeights *best, Params *params, Error *error);
/* Once they lie in the checkpoint. */
void best_weights_end(const BestWeights *best);

#endif
