/* Validation as the papers report it: sliding window over whole volumes; the metrics that
 * metrics.def stores, per case and label. */
#ifndef TRAIN_EVALUATION_H
#define TRAIN_EVALUATION_H

#include "src/train/cases.h"
#include "src/train/postprocess.h"
#include "src/train/prediction.h"

typedef struct Evaluated {
  double mean;             /* over labels of the mean Dice over cases, as predicted */
  Postprocess postprocess; /* what these cases choose */
  double postprocessed;    /* the mean with it */
} Evaluated;

typedef struct EvaluationOf {
  const Model *model;
  const Cases *cases;
  bool (*stop)(void); /* asked before each case; NULL: never */
} EvaluationOf;

/* Evaluates the validation cases, in the geometry of their files, with a bound inference plan; a
 * metric event per case and label: of what was predicted, without post-processing. */
bool evaluation_run(Plan *plan, const EvaluationOf *of, const InferenceOptions *options,
                    FILE *events, Evaluated *evaluated, Error *error);

#endif
