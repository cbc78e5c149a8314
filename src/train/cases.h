/* The cases of a trial: its data set, split and volumes. With "preprocessing" in the configuration
 * the volumes are those of the cache (src/data/prepare/preprocess_folder.h), else the files as they
 * are, normalised by what the training cases show. */
#ifndef TRAIN_CASES_H
#define TRAIN_CASES_H

#include <jansson.h>

#include "src/data/prepare/cache.h"
#include "src/data/sets/split.h"
#include "src/train/recipe.h"

typedef struct Cases {
  Dataset dataset;
  Split split;
  Recipe recipe;                 /* what was done to the images */
  Volume *training, *validation; /* prepared; no training volumes where there are mapped ones */
  Cached *mapped;                /* (trainings) of the cache, NULL: the files as they are */
  int trainings, validations;    /* loaded */
  Frame *frame;                  /* (validations): how each lies in its file; NULL: as it is */
  LabelMap *truth;               /* (validations): labels as in the file; NULL: the volumes' own */
} Cases;

/* Reads data_dir and fold of the configuration. Whatever it returns, cases_free frees it. */
bool cases_load(Cases *cases, const json_t *config, Error *error);
/* How validation case i lies in its file, and its labels there (frame.file.dim). */
Frame cases_frame(const Cases *cases, int i);
const uint8_t *cases_truth(const Cases *cases, int i);
void cases_free(Cases *cases);

#endif
