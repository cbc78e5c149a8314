/* Which cases train and which validate. In this order of precedence: splits_final.json in the
 * folder (nnU-Net's file: a list of {train, val}), "harness_validation": V in dataset.json (fold f
 * takes the f-th block of V cases counted from the end), else k folds over shuffled cases as
 * nnU-Net (there KFold, shuffle, seed 12345). Cases of one patient (name prefix patientNNN_) are
 * never divided; a splits_final.json that does, or that has a case twice in a fold, is an error. */
#ifndef DATA_SPLIT_H
#define DATA_SPLIT_H

#include "src/data/sets/dataset.h"

enum { SPLIT_FOLDS = 5, SPLIT_SEED = 12345 };

typedef struct Split {
  int *training; /* indices into dataset->item, ascending; owned */
  int trainings;
  int *validation;
  int validations;
} Split;

bool split_make(Split *split, const Dataset *dataset, int fold, Error *error);
void split_free(Split *split);

#endif
