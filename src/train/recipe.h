/* What a trained network wants to be shown and what its classes mean: kept with its weights (as
 * the checkpoint's metadata "recipe"), so that new images are treated as those of the training
 * were, wherever those are. */
#ifndef TRAIN_RECIPE_H
#define TRAIN_RECIPE_H

#include "src/data/prepare/preprocess.h"

typedef struct Recipe {
  bool planned; /* turned, cropped and resampled; else the voxels stay as in the file */
  Preprocessing preprocessing;    /* not planned: its normaliser alone counts */
  char stored[ORIENTATION_BYTES]; /* not planned: how most training files lie; "": not known */
  Labelling labelling;            /* after recipe_read */
} Recipe;

/* {"planned", "preprocessing": as in preprocess.h, "labels": ["background", ...]}, and where they
 * are not plain the "labelling" (labelling_json), where it is known "stored", as text, to be freed.
 */
char *recipe_text(const Recipe *recipe, const Dataset *dataset);
/* labels: new reference to the names' array. `where` begins the error. */
bool recipe_read(Recipe *recipe, json_t **labels, const char *text, const char *where,
                 Error *error);

/* The image as read -> prepared, and how it lies in its file. Errors: channels other than the
 * training's, memory; nothing is owned then. */
bool recipe_prepare(const Recipe *recipe, const Image *source, Image *prepared, Frame *frame,
                    Error *error);

#endif
