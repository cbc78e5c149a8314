/* The collapse rule (MaskMed Table 5 has a "collapse" without saying what counts as one): a
 * training whose patches are not segmented at all when it should have begun to learn. Before `at`
 * of the steps the batch just trained on is run through the inference graph; its Dice is the mean
 * over the structures in the labels, their voxels counted over the batch; an exponential mean of
 * the looks decides once. */
#ifndef TRAIN_COLLAPSE_H
#define TRAIN_COLLAPSE_H

#include "src/train/look.h"

typedef struct CollapseRule {
  double dice; /* collapsed below; 0: never looks */
  double at;   /* share of the steps */
} CollapseRule;

/* The step before which a trial of so many steps is judged; 0: never, since it is too short to tell
 * or the rule is off. */
int64_t collapse_step(const CollapseRule *rule, int64_t steps);
/* A trial that went astray later: whether the mean Dice over its validation cases is below the
 * rule's. A trial too short to be judged on the way is not judged here either. */
bool collapse_ended(const CollapseRule *rule, int64_t steps, double dice);
/* Whether the batch of this step (counted from 0) is looked at: up to LOOKS of them, evenly over
 * the last quarter before the judgement. */
bool collapse_looks(const CollapseRule *rule, int64_t step, int64_t steps);

typedef struct CollapseWatch {
  Look *look;
  const Sampler *sampler; /* the training's */
  double mean;            /* exponential, of the looks so far */
  int looks;
} CollapseWatch;

/* Looks at the batch of `step`. A batch without any structure does not count. */
bool collapse_look(CollapseWatch *watch, int64_t step, Error *error);

#endif
