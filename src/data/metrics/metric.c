#include "src/data/metrics/metric.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the metrics' functions, of metrics.def -------------------------------------------------- */

static double dice(const Measured *m) {
  return 2 * m->overlap / (m->reference + m->prediction);
}

static double iou(const Measured *m) {
  return m->overlap / (m->reference + m->prediction - m->overlap);
}

/* Pixels that are in one of the maps alone. */
static double differing(const Measured *m) {
  return m->reference + m->prediction - 2 * m->overlap;
}

static double mae(const Measured *m) {
  return differing(m) / m->voxels;
}

static double accuracy(const Measured *m) {
  return 1 - mae(m);
}

static double dice_one(const Measured *m) {
  double overlap = fmax(m->overlap, 1);
  return 2 * overlap / (2 * overlap + differing(m));
}

static double iou_one(const Measured *m) {
  double overlap = fmax(m->overlap, 1);
  return overlap / (overlap + differing(m));
}

/* instances.h fills it in. */
static double instance_f1(const Measured *m) {
  (void)m;
  return NAN;
}

static double hd95(const Measured *m) {
  return m->surface.hd95;
}

static double hd95_pooled(const Measured *m) {
  return m->surface.hd95_pooled;
}

static double hd(const Measured *m) {
  return m->surface.hd;
}

static double assd(const Measured *m) {
  return m->surface.assd;
}

static double nsd(const Measured *m) {
  return m->surface.nsd;
}

static double reference_ml(const Measured *m) {
  return m->voxel_ml * m->reference;
}

static double prediction_ml(const Measured *m) {
  return m->voxel_ml * m->prediction;
}

/* ---- the table ------------------------------------------------------------------------------- */

const MetricRow metric_table[METRICS] = {
#define METRIC(id, head, paper, unit, digits, better, missed, stored, of)                          \
  {#id, head, paper, unit, digits, METRIC_##better, MISSED_##missed, stored, OF_##of, id},
#include "src/data/metrics/metrics.def"
#undef METRIC
};

const char *situation_name(Situation situation) {
  static const char *const name[] = {"both", "missed", "false_positive", "absent"};
  return name[situation];
}

const MetricRow *metric_stored(const char *name) {
  for (int m = 0; m < METRICS; m++)
    if (metric_table[m].stored && !strcmp(metric_table[m].stored, name)) return &metric_table[m];
  return NULL;
}

const char *metric_unit(const char *name) {
  static const char *const ends[][2] = {{"_us", "us"}, {"_s", "s"}, {"_bytes", "bytes"}};
  const MetricRow *row = metric_stored(name);
  size_t length = strlen(name);
  if (row) return row->unit[0] ? row->unit : "1";
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t end = strlen(ends[i][0]);
    if (length > end && !strcmp(name + length - end, ends[i][0])) return ends[i][1];
  }
  return NULL;
}

double metric_value(Metric metric, Situation situation, const Measured *measured) {
  const MetricRow *row = &metric_table[metric];
  if (situation == SITUATION_BOTH || row->missed >= MISSED_MEASURED) return row->value(measured);
  if (situation == SITUATION_ABSENT) return NAN;
  return row->missed == MISSED_ZERO ? 0 : measured->diagonal_mm;
}

Situation metric_situation(Metric metric, Situation situation) {
  return metric_table[metric].missed == MISSED_COUNTED ? SITUATION_BOTH : situation;
}

bool metric_is_of(Metric metric, bool pictures) {
  return pictures || metric_table[metric].of == OF_ALL;
}

void metric_list(MetricWord *word, bool pictures, char text[METRIC_LIST]) {
  size_t used = 0;
  text[0] = 0;
  for (int m = 0; m < METRICS; m++) {
    const char *found = metric_is_of(m, pictures) ? word(&metric_table[m]) : NULL;
    if (found && used < METRIC_LIST)
      used += (size_t)snprintf(text + used, METRIC_LIST - used, "%s%s", used ? ", " : "", found);
  }
}
