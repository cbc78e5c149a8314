#include "src/train/collapse.h"
#include "src/data/sets/dataset.h"

#include <math.h>
#include <string.h>

/* A trial that has not taken so many steps by then says nothing: nobody learns faster. */
enum { LOOKS = 20, LEAST_STEPS = 40 };
static const double SHARE = 0.2; /* of the newest look in the mean */

static int64_t due(const CollapseRule *rule, int64_t steps) {
  int64_t at = (int64_t)ceil(rule->at * (double)steps);
  return rule->dice > 0 && at >= LEAST_STEPS ? at : 0;
}

int64_t collapse_step(const CollapseRule *rule, int64_t steps) {
  int64_t at = due(rule, steps);
  return at < steps ? at : 0;
}

bool collapse_ended(const CollapseRule *rule, int64_t steps, double dice) {
  return due(rule, steps) > 0 && dice < rule->dice;
}

bool collapse_looks(const CollapseRule *rule, int64_t step, int64_t steps) {
  int64_t at = collapse_step(rule, steps), window = at / 4, every = window / LOOKS + 1;
  return at > 0 && step < at && step >= at - window && (at - 1 - step) % every == 0;
}

void collapse_count(const float *map, const int32_t *labels, int64_t voxels, int classes,
                    int64_t (*counts)[3]) {
  for (int64_t i = 0; i < voxels; i++) {
    int best = 0;
    for (int c = 1; c < classes; c++)
      if (map[i * classes + c] > map[i * classes + best]) best = c;
    counts[best][1]++;
    if (labels[i] < 0 || labels[i] >= classes) continue;
    counts[labels[i]][2]++;
    counts[best][0] += labels[i] == best;
  }
}

double collapse_dice(const int64_t (*counts)[3], int classes) {
  double sum = 0;
  int present = 0;
  for (int c = 1; c < classes; c++) {
    if (!counts[c][2]) continue;
    sum += 2.0 * (double)counts[c][0] / (double)(counts[c][1] + counts[c][2]);
    present++;
  }
  return present ? sum / present : NAN;
}

/* The batch's Dice; image and labels hold it. */
static double batch_dice(const CollapseWatch *w, const float *image, const int32_t *labels) {
  const Tensor *in = &w->model->image->tensor, *map = &w->model->map->tensor;
  int classes = (int)tensor_last(map);
  int64_t counts[DATASET_LABELS_MAX][3] = {0}, voxels = tensor_rows(map);
  for (int i = 0; i < w->batch; i++) {
    memcpy(w->model->image->host, image + i * tensor_count(in), tensor_bytes(in));
    plan_send(w->infer, w->model->image);
    plan_run(w->infer, false);
    collapse_count(plan_fetch(w->infer, w->model->map), labels + i * voxels, voxels, classes,
                   counts);
  }
  return collapse_dice(counts, classes);
}

bool collapse_look(CollapseWatch *w, int64_t step, Error *error) {
  if (!w->infer) w->infer = plan_make(w->graph, w->train->backend, true, error);
  if (!w->infer) return false;
  const Tensor *in = &w->model->image->tensor;
  size_t patch = (size_t)tensor_count(in), voxels = (size_t)tensor_rows(in);
  float *image = malloc((size_t)w->batch * patch * sizeof *image);
  int32_t *labels = malloc((size_t)w->batch * voxels * sizeof *labels);
  size_t extra = sampler_size(w->sampler).scratch;
  float *scratch = malloc(extra * sizeof *scratch + 1);
  bool good = (image && labels && scratch) || fail(error, "no memory to look at a batch");
  bool lent = w->infer->bytes <= w->train->bytes;
  good = good && plan_bind(w->infer, lent ? w->train->memory : w->infer->memory, error);
  if (good) {
    sampler_batch(w->sampler, (uint64_t)step, scratch, image, labels);
    double dice = batch_dice(w, image, labels);
    if (isfinite(dice)) w->mean = w->looks++ ? w->mean + SHARE * (dice - w->mean) : dice;
    good = plan_bind(w->train, w->train->memory, error);
  }
  free(image);
  free(labels);
  free(scratch);
  return good;
}
