/* Label maps of a folder (or one file) against reference label maps: which belong together, whether
 * they may be compared, and the scores of every case. */
#ifndef DATA_COMPARISON_H
#define DATA_COMPARISON_H

#include "src/data/metrics/score.h"
#include "src/data/sets/dataset.h"

typedef struct ComparisonOptions {
  const char *reference;  /* file, folder, or data set folder (its labelsTr are meant) */
  const char *prediction; /* file or folder */
  const char *dataset;    /* dataset.json or its folder, NULL: beside or above the reference */
  bool partial;           /* references without a prediction are left out */
  SurfaceOptions surface;
} ComparisonOptions;

typedef struct CompareCase {
  char *name, *reference, *prediction; /* name: the file's without its ending; paths */
  Score score[LABEL_VALUES];
} CompareCase;

typedef struct Comparison {
  CompareCase *item; /* sorted by name */
  int cases;
  int unpredicted;           /* references left out */
  bool scored[LABEL_VALUES]; /* the labels: those of dataset.json, else those in any reference */
  char *label_name[LABEL_VALUES]; /* NULL: none given */
  char *dataset;                  /* the dataset.json that named the labels; NULL: none */
  bool pictures;                  /* all references: lengths are pixels */
  Labelling labelling;            /* what it says; regions are labels 1, 2, .. in its order */
  double read_s, score_s;         /* summed over cases */
} Comparison;

/* Errors: nothing to compare (*nothing), references without prediction or the other way round,
 * those of placed_alike (the same voxels stored in another orientation are turned), values that are
 * no label. Whatever it returns, comparison_free frees it. */
bool comparison_run(Comparison *comparison, const ComparisonOptions *options, bool *nothing,
                    Error *error);
/* What the files' headers leave open or contradict, a line each. */
void comparison_tell(const Comparison *comparison, FILE *out);
void comparison_free(Comparison *comparison);

#endif
