/* Whole images through a trained network: sliding window, class maps, labels as in the file. */
#ifndef TRAIN_PREDICTION_H
#define TRAIN_PREDICTION_H

#include "engine/plan.h"
#include "lua/bind.h"
#include "src/data/prepare/frame.h"
#include "src/data/sets/labelling.h"
#include "src/train/network.h"
#include "src/train/postprocess.h"

#include <jansson.h>

/* ---- one image ------------------------------------------------------------------------------- */

typedef struct InferenceOptions {
  double step;                /* of the window, share of the patch */
  bool mirror[3];             /* average over all subsets of these flips */
  bool logits;                /* the maps are logits: merged so, probabilities made of them last */
  Postprocess keep;           /* of largest_component */
  const Labelling *labelling; /* of whose structures the maps are; NULL: a class a value */
} InferenceOptions;

/* window_step, merge and largest_component; with mirror_tta the axes that the training mirrored.
 * The labelling stays the caller's. */
InferenceOptions inference_options(const json_t *config, const Labelling *labelling);

/* Whether a data set with these labels can be predicted so. */
bool inference_check(const json_t *config, const Labelling *labelling, Error *error);

/* prepared: normalised, on the grid frame->dim. label (frame->file.dim); probability
 * (frame->file.dim, classes), of which nothing is taken away, may be NULL. An image of one value is
 * background everywhere: the network is not asked. The plan is bound; its graph has a fixed
 * batch. */
bool inference_run(Plan *plan, const Model *model, const Image *prepared, const Frame *frame,
                   const InferenceOptions *options, uint8_t *label, float *probability,
                   Error *error);

/* ---- new images ------------------------------------------------------------------------------ */

/* New images through a trained trial: label maps with the images' geometry. */

typedef struct PredictionOptions {
  const char *in;     /* file or folder, see new_images.h */
  const char *out;    /* file (one image only) or folder, where pictures' are .png */
  bool probabilities; /* also OUT/probabilities/CASE.nii.gz: 4D, the classes last, float32 */
  bool overwrite;     /* else what is there stays */
  bool postprocess;   /* as the trial's validation chose */
  bool quiet;
} PredictionOptions;

typedef struct PredictionOutcome {
  int written, kept, failed;
} PredictionOutcome;

/* Opens the trial of this configuration (see network.h) and predicts every image; one that cannot
 * be read or written is told on standard error and the others go on. False: nothing could be
 * begun. */
bool prediction_run(const json_t *config, const PredictionOptions *options,
                    PredictionOutcome *outcome, Error *error);

#endif
