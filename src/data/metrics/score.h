/* The metrics of a case: one structure after another of two label maps. */
#ifndef DATA_SCORE_H
#define DATA_SCORE_H

#include "src/data/metrics/metric.h"
#include "src/data/sets/labelling.h"
#include "src/data/volumes/volume.h"

typedef struct Score {
  Situation situation;
  int64_t reference, prediction, overlap; /* voxels */
  double value[METRICS];
} Score;

/* score (labels), background at 0 without its surfaces; values >= labels in either map are not
 * scored. One pass over the voxels finds every structure's box, distances are measured within it,
 * structures in parallel. options NULL: no surfaces are measured, what is made of them is NaN where
 * both maps hold the structure. */
bool score_labels(const uint8_t *reference, const uint8_t *prediction, const Grid *grid, int labels,
                  const SurfaceOptions *options, Score *score, Error *error);
/* Mean over labels 1..labels-1 that are not absent; NaN when all are. */
double score_mean(const Score *score, int labels, Metric metric);

/* ---- structures of a data set ---------------------------------------------------------------- */

/* The same over a data set's structures, which may be regions that overlap. Voxels that the
 * reference marks as ignored count as background in both maps, so that whatever is predicted there
 * is neither right nor wrong. score (labelling_structures); [0], background, is not filled
 * for regions. options: as in score_labels. */
bool score_structures(const Labelling *labelling, const uint8_t *reference,
                      const uint8_t *prediction, const Grid *grid, const SurfaceOptions *options,
                      Score *score, Error *error);

#endif
