/* New images through a trained trial: label maps with the images' geometry. */
#ifndef TRAIN_PREDICTION_H
#define TRAIN_PREDICTION_H

#include <jansson.h>

#include "src/train/postprocess.h"
#include "src/train/trained.h"

typedef struct PredictionOptions {
  const char *in;     /* file or folder, see new_images.h */
  const char *out;    /* file (.nii, .nii.gz; one image only) or folder */
  bool probabilities; /* also OUT/probabilities/CASE.nii.gz: 4D, the classes last, float32 */
  bool overwrite;     /* else what is there stays */
  bool postprocess;   /* as the trial's validation chose */
  bool quiet;
} PredictionOptions;

typedef struct PredictionOutcome {
  int written, kept, failed;
} PredictionOutcome;

/* Opens the trial of this configuration (see trained.h) and predicts every image; one that cannot
 * be read or written is told on standard error and the others go on. False: nothing could be
 * begun. */
bool prediction_run(const json_t *config, const PredictionOptions *options,
                    PredictionOutcome *outcome, Error *error);

#endif
