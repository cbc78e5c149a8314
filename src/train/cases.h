/* The cases of a trial: its data set, split and volumes. With "preprocessing" in the configuration
 * the volumes are those of the cache (src/data/prepare/preprocess_folder.h), else the files as they
 * are, normalised by what the training cases show. */
#ifndef TRAIN_CASES_H
#define TRAIN_CASES_H

#include "src/data/prepare/cache.h"
#include "src/data/prepare/fit.h"
#include "src/data/prepare/preprocess.h"
#include "src/data/sets/split.h"

#include <jansson.h>

/* ---- the recipe ------------------------------------------------------------------------------ */

/* What a trained network wants to be shown and what its classes mean: kept with its weights (as
 * the checkpoint's metadata "recipe"), so that new images are treated as those of the training
 * were, wherever those are. */

typedef struct Recipe {
  bool planned; /* turned, cropped and resampled; else the voxels stay as in the file, or: */
  FitKind fit;  /* not planned: pictures brought to fit_size, after their colours */
  int fit_size[3];
  bool ycrcb;
  Preprocessing preprocessing;    /* not planned: its normaliser alone counts */
  char stored[ORIENTATION_BYTES]; /* not planned: how most training files lie; "": not known */
  Labelling labelling;            /* after recipe_read */
} Recipe;

/* {"planned", "preprocessing": as in preprocess.h, "labels": ["background", ...]}, and where they
 * are not plain the "labelling" (labelling_json), where it is known "stored", of fitted pictures
 * "fit" and "fit_size", of other colours "colour", as text, to be freed. */
char *recipe_text(const Recipe *recipe, const Dataset *dataset);
/* labels: new reference to the names' array. `where` begins the error. */
bool recipe_read(Recipe *recipe, json_t **labels, const char *text, const char *where,
                 Error *error);

/* The image as read -> prepared, and how it lies in its file. Errors: channels other than the
 * training's, memory; nothing is owned then. */
bool recipe_prepare(const Recipe *recipe, const Image *source, Image *prepared, Frame *frame,
                    Error *error);

/* ---- the cases ------------------------------------------------------------------------------- */

typedef struct Cases {
  Dataset dataset;
  Split split;
  Recipe recipe;                 /* what was done to the images */
  Volume *training, *validation; /* prepared; no training volumes where there are mapped ones */
  Cached *mapped;                /* (trainings) of the cache, NULL: the files as they are */
  int trainings, validations;    /* loaded */
  int held;        /* training cases behind these, which choose the weights that are kept */
  Frame *frame;    /* (validations): how each lies in its file; NULL: as it is */
  LabelMap *truth; /* (validations): labels as in the file; NULL: the volumes' own */
  bool as_fitted;  /* scored as the network sees them, padding and all: score_pad=yes */
} Cases;

/* The cases that a configuration trains and validates on, by its "split" and "fold"; with
 * "inner_split": N (of tries of rates, docs/statistics.md) every N-th training case validates
 * (split_inner). With "select": "best_validation" every fifth of what then trains is held out
 * instead, to choose weights by (best_weights.h): cases_load puts these last. */
bool cases_split(Split *split, const Dataset *dataset, const json_t *config, Error *error);
/* Reads data_dir and fold of the configuration. Whatever it returns, cases_free frees it. */
bool cases_load(Cases *cases, const json_t *config, Error *error);
/* How validation case i lies in its file, and its labels there (frame.file.dim). */
Frame cases_frame(const Cases *cases, int i);
const uint8_t *cases_truth(const Cases *cases, int i);
/* The numbers of its objects on that grid (metrics/instances.h); data NULL: nobody numbered
 * them. */
bool cases_instances(const Cases *cases, int i, Image *numbers, Error *error);
void cases_free(Cases *cases);

#endif
