/* The cases of a trial: its data set, split and volumes, normalised by what the training cases
 * show. */
#ifndef TRAIN_CASES_H
#define TRAIN_CASES_H

#include <jansson.h>

#include "src/data/dataset.h"
#include "src/data/split.h"

typedef struct Cases {
  Dataset dataset;
  Split split;
  Volume *training, *validation;
  int trainings, validations; /* loaded */
} Cases;

/* Reads data_dir and fold of the configuration. Whatever it returns, cases_free frees it. */
bool cases_load(Cases *cases, const json_t *config, Error *error);
void cases_free(Cases *cases);

#endif
