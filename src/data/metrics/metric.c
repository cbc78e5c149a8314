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
#define METRIC(id, head, paper, unit, digits, better, missed, stored)                              \
  {#id, head, paper, unit, digits, METRIC_##better, MISSED_##missed, stored, id},
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

double metric_value(Metric metric, Situation situation, const Measured *measured) {
  const MetricRow *row = &metric_table[metric];
  if (situation == SITUATION_BOTH || row->missed == MISSED_MEASURED) return row->value(measured);
  if (situation == SITUATION_ABSENT) return NAN;
  return row->missed == MISSED_ZERO ? 0 : measured->diagonal_mm;
}

void metric_list(MetricWord *word, char text[METRIC_LIST]) {
  size_t used = 0;
  text[0] = 0;
  for (int m = 0; m < METRICS; m++) {
    const char *found = word(&metric_table[m]);
    if (found && used < METRIC_LIST)
      used += (size_t)snprintf(text + used, METRIC_LIST - used, "%s%s", used ? ", " : "", found);
  }
}
