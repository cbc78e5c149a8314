/* Everything said about one structure of one case: overlap, surfaces, volumes.
 *
 *   reference  prediction   situation         dice, iou, nsd      hd95, hd95_pooled, hd, assd
 *   present    present      "both"            as measured         as measured (surface.h)
 *   present    empty        "missed"          0                   diagonal of the volume in mm
 *   empty      present      "false_positive"  0                   diagonal of the volume in mm
 *   empty      empty        "absent"          NaN: no mean counts it
 *
 * The diagonal, sqrt(sum (voxels * spacing)^2), is larger than any measured distance (BraTS's
 * rule): a method cannot gain by missing a structure. */
#ifndef DATA_SCORE_H
#define DATA_SCORE_H

#include "src/data/metrics/metric.h"
#include "src/data/metrics/surface.h"
#include "src/data/nifti/volume.h"

typedef enum Metric {
  METRIC_DICE,
  METRIC_IOU,
  METRIC_HD95,
  METRIC_HD95_POOLED,
  METRIC_HD,
  METRIC_ASSD,
  METRIC_NSD,
  METRIC_REFERENCE_ML,
  METRIC_PREDICTION_ML,
  METRICS
} Metric;

typedef struct Score {
  DiceStatus status;
  int64_t reference, prediction, overlap; /* voxels */
  double value[METRICS];
} Score;

const char *metric_name(Metric metric); /* "hd95" */
const char *metric_unit(Metric metric); /* "mm", "ml" or "" */

/* score (labels), background at 0 without its surfaces; values >= labels are not scored. One pass
 * over the voxels finds every structure's box, distances are measured within it, structures in
 * parallel. */
bool score_labels(const uint8_t *reference, const uint8_t *prediction, const Grid *grid, int labels,
                  const SurfaceOptions *options, Score *score, Error *error);

#endif
