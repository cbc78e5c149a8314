/* What is said about one structure of one case: the metrics of metrics.def, and every situation
 * declared.
 *
 *   reference  prediction   situation         value
 *   present    present      "both"            as measured
 *   present    empty        "missed"          by the metric's rule: 0, the diagonal, as measured
 *   empty      present      "false_positive"  the same
 *   empty      empty        "absent"          NaN: no mean counts it (volumes: 0; of what counts
 *                                             every case: as measured) */
#ifndef DATA_METRIC_H
#define DATA_METRIC_H

#include "src/data/metrics/surface.h"

typedef enum Metric {
#define METRIC(id, head, paper, unit, digits, better, missed, stored, of) METRIC_##id,
#include "src/data/metrics/metrics.def"
#undef METRIC
  METRICS
} Metric;

typedef enum Situation {
  SITUATION_BOTH,
  SITUATION_MISSED,
  SITUATION_FALSE_POSITIVE,
  SITUATION_ABSENT,
  SITUATIONS
} Situation;

const char *situation_name(Situation situation);

/* What a metric is computed from. */
typedef struct Measured {
  double reference, prediction, overlap; /* voxels */
  double voxels;                         /* of the map */
  double voxel_ml;                       /* NaN: a picture's */
  double diagonal_mm;   /* of the volume, or of its one slice: sqrt(sum (voxels * spacing)^2) */
  SurfaceScore surface; /* NaN where it is not measured */
} Measured;

typedef enum MetricBetter { METRIC_NEITHER, METRIC_HIGHER, METRIC_LOWER } MetricBetter;
typedef enum MetricMissed {
  MISSED_ZERO,
  MISSED_DIAGONAL,
  MISSED_MEASURED,
  MISSED_COUNTED
} MetricMissed;
typedef enum MetricOf { OF_ALL, OF_FLAT } MetricOf;

typedef struct MetricRow { /* columns: see metrics.def */
  const char *name, *head, *paper, *unit;
  int digits;
  MetricBetter better;
  MetricMissed missed;
  const char *stored;
  MetricOf of;
  double (*value)(const Measured *);
} MetricRow;

extern const MetricRow metric_table[METRICS];

/* By the name that a trial stores; NULL: none (a plan's figure, or a newer program's). */
const MetricRow *metric_stored(const char *name);
/* Of a stored figure: "1" (a share of 1), "mm" (of pictures pixels), of a plan's or a
 * bench's "s", "us", "bytes"; NULL: not known. */
const char *metric_unit(const char *name);
double metric_value(Metric metric, Situation situation, const Measured *measured);
/* The situation in which a metric counts a case: one that counts every case knows no other than
 * "both". */
Situation metric_situation(Metric metric, Situation situation);
/* Whether it is measured of pictures, or of volumes. */
bool metric_is_of(Metric metric, bool pictures);

/* "dice, iou, nsd": what word says of each row of pictures, or of volumes, where it says
 * something. */
enum { METRIC_LIST = 256 };
typedef const char *MetricWord(const MetricRow *row);
void metric_list(MetricWord *word, bool pictures, char text[METRIC_LIST]);

#endif
