/* How well the network segments training or validation patches while it is still being trained: the
 * inference graph runs between two training steps and borrows their memory. */
#ifndef TRAIN_LOOK_H
#define TRAIN_LOOK_H

#include "engine/plan.h"
#include "lua/bind.h"
#include "src/data/batches/sampler.h"

typedef struct Look {
  Plan *train;        /* bound; its arena is lent */
  Graph *graph;       /* of the inference on one patch */
  const Model *model; /* of it */
  bool regions;       /* its classes are regions: each lies where its map is above `above` */
  float above;
  Plan *infer; /* made at the first look; the caller frees it */
} Look;

/* Dice over `batches` batches of the sampler from that of `step` on: voxels are counted over all of
 * them, then the mean is taken over the structures in the labels; NaN when there is none.
 * Afterwards the training plan is bound as before, its values are gone. */
bool look_dice(Look *look, const Sampler *sampler, int64_t step, int batches, double *dice,
               Error *error);

/* counts (classes, 3): intersection, predicted, labelled; class maps are (voxels, classes). Voxels
 * with a negative label count nowhere. */
void look_count(const float *map, const int32_t *labels, int64_t voxels, int classes,
                int64_t (*counts)[3]);
/* The same of regions, counts (regions, 3): labels are sets of them, predicted are those whose map
 * is above `above`: 1/2, or 0 of logits. */
void look_count_regions(const float *map, const int32_t *labels, int64_t voxels, int regions,
                        float above, int64_t (*counts)[3]);
/* Mean over the structures 1.. that are in the labels; NaN when there is none. */
double look_mean(const int64_t (*counts)[3], int classes);

#endif
