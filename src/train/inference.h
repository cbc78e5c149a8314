/* Whole images through a trained network: sliding window, class maps, labels as in the file. */
#ifndef TRAIN_INFERENCE_H
#define TRAIN_INFERENCE_H

#include "engine/plan.h"
#include "lua/bind.h"
#include "src/data/prepare/frame.h"
#include "src/data/sets/labelling.h"

typedef struct InferenceOptions {
  double step;                /* of the window, share of the patch */
  bool mirror[3];             /* average over all subsets of these flips */
  bool logits;                /* the maps are logits: merged so, probabilities made of them last */
  const Labelling *labelling; /* of whose structures the maps are; NULL: a class a value */
} InferenceOptions;

/* window_step and merge; with mirror_tta the axes that the training mirrored. The labelling stays
 * the caller's. */
InferenceOptions inference_options(const json_t *config, const Labelling *labelling);

/* prepared: normalised, on the grid frame->dim. label (frame->file.dim); probability
 * (frame->file.dim, classes) may be NULL. An image of one value is background everywhere: the
 * network is not asked. The plan is bound; its graph has a fixed batch. */
bool inference_run(Plan *plan, const Model *model, const Image *prepared, const Frame *frame,
                   const InferenceOptions *options, uint8_t *label, float *probability,
                   Error *error);

#endif
