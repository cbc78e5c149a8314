#include "src/train/evaluation.h"
#include "src/data/metric.h"
#include "src/train/events.h"

#include <math.h>
#include <string.h>

typedef struct Predictor {
  Plan *plan;
  const Model *model;
} Predictor;

static bool predict(void *user, int count, const float *patches, float *maps, Error *error) {
  (void)count; /* the graph's batch is fixed: windows beyond count are zero */
  (void)error;
  const Predictor *p = user;
  memcpy(p->model->image->tensor.data, patches, tensor_bytes(&p->model->image->tensor));
  plan_run(p->plan, false);
  memcpy(maps, p->model->map->tensor.data, tensor_bytes(&p->model->map->tensor));
  return true;
}

static void send_metrics(const Dataset *dataset, const Volume *volume, const Dice *dice,
                         FILE *events) {
  for (int label = 1; label < dataset->labels; label++) {
    const Dice *d = &dice[label];
    event_send(events, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:o, s:s}", "event", "metric",
                                 "split", "val", "case", volume->name, "label", label, "name",
                                 dataset->label_name[label], "metric", "dice", "value",
                                 isnan(d->value) ? json_null() : json_real(d->value), "situation",
                                 dice_status_name(d->status)));
  }
}

bool evaluation_label(Plan *plan, const Model *model, const Image *image, double window_step,
                      uint8_t *label, Error *error) {
  Predictor predictor = {plan, model};
  const int64_t *dim = model->map->tensor.dim;
  WindowOptions options = {.patch = {(int)dim[1], (int)dim[2], (int)dim[3]},
                           .step = window_step,
                           .batch = (int)dim[0],
                           .classes = (int)dim[4]};
  size_t voxels = grid_voxels(&image->grid);
  float *maps = malloc(voxels * (size_t)options.classes * sizeof *maps);
  if (!maps)
    return fail(error, "no memory for %d class maps of %zu voxels", options.classes, voxels);
  bool good = sliding_window(image, &options, predict, &predictor, maps, error);
  if (good) class_argmax(maps, voxels, options.classes, label);
  free(maps);
  return good;
}

static bool one_case(Plan *plan, const Model *model, const Dataset *dataset, const Volume *volume,
                     double window_step, Dice *dice, Error *error) {
  size_t voxels = grid_voxels(&volume->image.grid);
  uint8_t *label = malloc(voxels);
  Error inner = {""};
  bool good = label != NULL;
  if (!good) fail(&inner, "no memory for %zu labels", voxels);
  good = good && evaluation_label(plan, model, &volume->image, window_step, label, &inner);
  if (good) dice_count(label, volume->label.data, voxels, dataset->labels, dice);
  free(label);
  return good || fail(error, "%s: %s", volume->name, inner.text);
}

bool evaluation_run(Plan *plan, const Model *model, const Dataset *dataset, const Volume *volumes,
                    int count, double window_step, FILE *events, double *mean, Error *error) {
  double sum[DATASET_LABELS_MAX] = {0};
  int counted[DATASET_LABELS_MAX] = {0};
  for (int i = 0; i < count; i++) {
    Dice dice[DATASET_LABELS_MAX];
    if (!one_case(plan, model, dataset, &volumes[i], window_step, dice, error)) return false;
    send_metrics(dataset, &volumes[i], dice, events);
    event_send(events,
               json_pack("{s:s, s:i, s:i}", "event", "eval", "case", i + 1, "cases", count));
    for (int l = 1; l < dataset->labels; l++) {
      if (isnan(dice[l].value)) continue;
      sum[l] += dice[l].value;
      counted[l]++;
    }
  }
  double total = 0;
  int labels = 0;
  for (int l = 1; l < dataset->labels; l++) {
    if (!counted[l]) continue;
    total += sum[l] / counted[l];
    labels++;
  }
  if (mean) *mean = labels ? total / labels : NAN;
  return true;
}
