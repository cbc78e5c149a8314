/* SAM alone on a picture: the masks of boxes or points, with weights from a file
 * (lua/harness/models/sam.lua). Prepared as segment-anything does: the longest side becomes the
 * encoder's (bilinear, antialiased), colours are normalised by ImageNet's mean and deviation, what
 * is left to the right and below is zero; the mask's logits go back the same way, bilinear. */
#ifndef TRAIN_SAM_PREDICTION_H
#define TRAIN_SAM_PREDICTION_H

#include "base/error.h"

#include <jansson.h>

enum { SAM_PROMPTS_MAX = 16 };

/* In pixels of the picture, x before y, (0, 0) the middle of the first. Every box asks for a mask
 * of its own. Points ask for one mask together, by themselves or with one box. */
typedef struct SamPrompts {
  int boxes, points;
  double box[SAM_PROMPTS_MAX][4], point[SAM_PROMPTS_MAX][2];
  int inside[SAM_PROMPTS_MAX]; /* of a point: 1 within the mask, 0 outside of it */
} SamPrompts;

typedef struct SamWeights {
  const char *path;    /* docs/weights.md */
  const json_t *trial; /* NULL, or the configuration of the trial whose weights these are: its SAM's
                        * sizes; without one they are those of SAM of the encoder's width */
} SamWeights;

/* Whether a trial of this configuration trained SAM alone. */
bool sam_trained_by(const json_t *config);

/* Reads weights and the picture `in`; writes the label map `out`: 0, or the number of the box, from
 * 1, whose mask is there. gpu: its number, below 0: on the CPU. */
bool sam_predict(const char *home, const SamWeights *weights, int gpu, const SamPrompts *prompts,
                 const char *in, const char *out, Error *error);

#endif
