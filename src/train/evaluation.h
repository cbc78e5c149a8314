/* Validation as the papers report it: sliding window over whole volumes, Dice per case and label.
 */
#ifndef TRAIN_EVALUATION_H
#define TRAIN_EVALUATION_H

#include "engine/plan.h"
#include "lua/bind.h"
#include "src/data/dataset.h"
#include "src/data/sliding_window.h"

/* The label map of a normalised image, from the class maps of its windows. label (D,H,W). */
bool evaluation_label(Plan *plan, const Model *model, const Image *image, double window_step,
                      uint8_t *label, Error *error);
/* Evaluates `count` normalised volumes with a bound inference plan; a metric event per case and
 * label. `mean` (may be NULL): mean over labels of the mean over cases. */
bool evaluation_run(Plan *plan, const Model *model, const Dataset *dataset, const Volume *volumes,
                    int count, double window_step, FILE *events, double *mean, Error *error);

#endif
