/* A trained trial, opened again: its cases and its inference graph with the checkpoint's weights.
 */
#ifndef TRAIN_TRAINED_H
#define TRAIN_TRAINED_H

#include "engine/plan.h"
#include "lua/bind.h"
#include "src/train/cases.h"

typedef struct Trained {
  Cases cases;
  Params *params;
  Graph *graph;
  Plan *plan; /* of the inference on one patch, bound */
  Model model;
} Trained;

/* config: the trial's, with home, data_dir and checkpoint. On the CPU. Whatever it returns,
 * trained_free frees it. */
bool trained_open(Trained *trained, const json_t *config, Error *error);
/* The same on the configuration's device and without cases: the data set need not be there. recipe
 * and labels (see recipe.h) are those stored with the weights; labels is a new reference. */
bool trained_open_alone(Trained *trained, const json_t *config, Recipe *recipe, json_t **labels,
                        Error *error);
void trained_free(Trained *trained);
/* The patch in the middle of a normalised image (0 outside it) into the model's input, and its
 * labels; labels (D,H,W) of the patch. */
void trained_patch(const Trained *trained, const Volume *volume, uint8_t *labels);

#endif
