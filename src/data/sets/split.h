/* Which cases train and which validate. In this order of precedence: splits_final.json in the
 * folder (nnU-Net's file: a list of {train, val}), "harness_validation": V in dataset.json (fold f
 * takes the f-th block of V cases counted from the end), else nnU-Net's own five folds: scikit-
 * learn's KFold(5, shuffle=True, random_state=12345) over the sorted cases. Cases of one patient
 * (name prefix patientNNN_) are never divided: there patients are shuffled, not cases. A
 * splits_final.json that divides one, or that has a case twice in a fold, is an error.
 *
 * Trials that were stored before the folds were nnU-Net's keep theirs: those of this program's own
 * shuffle with the same seed. So the rule is part of a trial's configuration ("split"). */
#ifndef DATA_SPLIT_H
#define DATA_SPLIT_H

#include "src/data/sets/problems.h"

#include <stdint.h>

/* ---- scikit-learn's order -------------------------------------------------------------------- */

/* The order in which scikit-learn's KFold(shuffle=True, random_state=seed) takes its samples, and
 * so nnU-Net its cases: numpy.random.RandomState(seed).shuffle of 0 .. count-1, bit for bit. */

/* order (count) is overwritten. */
void numpy_shuffle(uint32_t seed, int *order, int count);

/* ---- the split ------------------------------------------------------------------------------- */

enum { SPLIT_FOLDS = 5, SPLIT_SEED = 12345 };

typedef struct Split {
  int *training; /* indices into dataset->item, ascending; owned */
  int trainings;
  int *validation;
  int validations;
} Split;

/* Length of a case's "patientNNN_", 0 without it: cases with the same are of one patient. */
size_t split_patient(const char *name);

/* A trial's "split" where its folds are nnU-Net's. */
#define SPLIT_KFOLD "kfold"
/* What a new trial's "split" is: SPLIT_KFOLD, or NULL where the data set says itself how it is
 * split. */
const char *split_rule(const Dataset *dataset);
/* What is wrong with any fold of splits_final.json, where there is one. */
void split_check(const Dataset *dataset, Problems *problems);
/* rule: a trial's "split"; SPLIT_KFOLD is nnU-Net's folds whatever the folder says by now; NULL: as
 * the data set says, else the folds of before. */
bool split_make(Split *split, const Dataset *dataset, const char *rule, int fold, Error *error);
/* Divides the training cases again, for what is chosen before anything is validated: every n-th of
 * them, of patients where names say so, in the order of names and at least the last one, becomes
 * what validates; the fold's validation cases are in neither part. A fold with fewer than two
 * independent training cases is an error, and the split stays as it is. */
bool split_inner(Split *split, const Dataset *dataset, int every, Error *error);
void split_free(Split *split);

#endif
