/* A training watched on the way: the Dice of its patches, and whether it has collapsed. */
#ifndef TRAIN_WATCH_H
#define TRAIN_WATCH_H

#include "engine/plan.h"
#include "lua/bind.h"
#include "src/data/batches/sampler.h"

/* ---- Dice of patches ------------------------------------------------------------------------- */

/* How well the network segments training or validation patches while it is still being trained: the
 * inference graph runs between two training steps and borrows their memory. */

typedef struct PatchDice {
  Plan *train;        /* bound; its arena is lent */
  Graph *graph;       /* of the inference on one patch */
  const Model *model; /* of it */
  bool regions;       /* its classes are regions: each lies where its map is above `above` */
  float above;
  Plan *infer; /* made at the first call; the caller frees it */
} PatchDice;

/* Dice over `batches` batches of the sampler from that of `step` on: voxels are counted over all of
 * them, then the mean is taken over the structures in the labels; NaN when there is none.
 * `average`: of the average of the weights, where the training keeps one. Afterwards the training
 * plan is bound as before, its values are gone. */
bool patch_dice(PatchDice *patches, const Sampler *sampler, int64_t step, int batches, bool average,
                double *dice, Error *error);

/* counts (classes, 3): intersection, predicted, labelled; class maps are (voxels, classes). Voxels
 * with a negative label count nowhere. */
void patch_dice_count(const float *map, const int32_t *labels, int64_t voxels, int classes,
                      int64_t (*counts)[3]);
/* The same of regions, counts (regions, 3): labels are sets of them, predicted are those whose map
 * is above `above`: 1/2, or 0 of logits. */
void patch_dice_count_regions(const float *map, const int32_t *labels, int64_t voxels, int regions,
                              float above, int64_t (*counts)[3]);
/* Mean over the structures 1.. that are in the labels; NaN when there is none. */
double patch_dice_mean(const int64_t (*counts)[3], int classes);

/* ---- collapse -------------------------------------------------------------------------------- */

/* The collapse rule (MaskMed Table 5 has a "collapse" without saying what counts as one): a
 * training whose patches are not segmented at all when it should have begun to learn. Before `at`
 * of the steps the batch just trained on is run through the inference graph; its Dice is the mean
 * over the structures in the labels, their voxels counted over the batch; an exponential mean of
 * the measurements decides once. */

typedef struct CollapseRule {
  double dice; /* collapsed below; 0: never measures */
  double at;   /* share of the steps */
} CollapseRule;

/* The step before which a trial of so many steps is judged; 0: never, since it is too short to tell
 * or the rule is off. */
int64_t collapse_step(const CollapseRule *rule, int64_t steps);
/* A trial that went astray later: whether the mean Dice over its validation cases is below the
 * rule's. A trial too short to be judged on the way is not judged here either. */
bool collapse_ended(const CollapseRule *rule, int64_t steps, double dice);
/* Whether the batch of this step (counted from 0) is measured: up to MEASUREMENTS of them, evenly
 * over the last quarter before the judgement. */
bool collapse_measures(const CollapseRule *rule, int64_t step, int64_t steps);

typedef struct CollapseWatch {
  PatchDice *patches;
  const Sampler *sampler; /* the training's */
  double mean;            /* exponential, of the measurements so far */
  int measured;
} CollapseWatch;

/* Measures the batch of `step`, with the weights as they are: whether they learn is the question,
 * and an average of them lags behind. A batch without any structure does not count. */
bool collapse_measure(CollapseWatch *watch, int64_t step, Error *error);

#endif
