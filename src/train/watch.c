#include "src/train/watch.h"
#include "src/data/sets/dataset.h"

#include <math.h>
#include <string.h>

/* ---- Dice of patches ------------------------------------------------------------------------- */

void patch_dice_count(const float *map, const int32_t *labels, int64_t voxels, int classes,
                      int64_t (*counts)[3]) {
  for (int64_t i = 0; i < voxels; i++) {
    int best = 0;
    if (labels[i] < 0) continue;
    for (int c = 1; c < classes; c++)
      if (map[i * classes + c] > map[i * classes + best]) best = c;
    counts[best][1]++;
    if (labels[i] >= classes) continue;
    counts[labels[i]][2]++;
    counts[best][0] += labels[i] == best;
  }
}

void patch_dice_count_regions(const float *map, const int32_t *labels, int64_t voxels, int regions,
                              float above, int64_t (*counts)[3]) {
  for (int64_t i = 0; i < voxels; i++)
    for (int r = 0; r < regions && labels[i] >= 0; r++) {
      bool predicted = map[i * regions + r] > above, labelled = labels[i] >> r & 1;
      counts[r][0] += predicted && labelled;
      counts[r][1] += predicted;
      counts[r][2] += labelled;
    }
}

double patch_dice_mean(const int64_t (*counts)[3], int classes) {
  double sum = 0;
  int present = 0;
  for (int c = 1; c < classes; c++) {
    if (!counts[c][2]) continue;
    sum += 2.0 * (double)counts[c][0] / (double)(counts[c][1] + counts[c][2]);
    present++;
  }
  return present ? sum / present : NAN;
}

/* One batch of the sampler and the means to run it. */
typedef struct Batch {
  float *image, *scratch;
  int32_t *labels;
  int patches;
} Batch;

static bool batch_make(Batch *b, const PatchDice *patches, const Sampler *sampler, Error *error) {
  SamplerSize size = sampler_size(sampler);
  *b = (Batch){.image = malloc(size.image * sizeof *b->image),
               .scratch = malloc(size.scratch * sizeof *b->scratch + 1),
               .labels = malloc(size.label * sizeof *b->labels),
               .patches = (int)((int64_t)size.label / tensor_rows(&patches->model->map->tensor))};
  return (b->image && b->scratch && b->labels) || fail(error, "no memory to measure a batch");
}

static void experiments_free(Batch *b) {
  free(b->image);
  free(b->scratch);
  free(b->labels);
}

static void count_batch(const PatchDice *patches, const Batch *b, int64_t (*counts)[3]) {
  const Tensor *in = &patches->model->image->tensor, *map = &patches->model->map->tensor;
  int64_t voxels = tensor_rows(map);
  for (int i = 0; i < b->patches; i++) {
    memcpy(patches->model->image->host, b->image + i * tensor_count(in), tensor_bytes(in));
    plan_send(patches->infer, patches->model->image);
    plan_run(patches->infer, false);
    const float *found = plan_fetch(patches->infer, patches->model->map);
    int classes = (int)tensor_last(map);
    if (patches->regions)
      patch_dice_count_regions(found, b->labels + i * voxels, voxels, classes, patches->above,
                               counts + 1);
    else
      patch_dice_count(found, b->labels + i * voxels, voxels, classes, counts);
  }
}

bool patch_dice(PatchDice *patches, const Sampler *sampler, int64_t step, int batches, bool average,
                double *dice, Error *error) {
  Params *params = patches->graph->params;
  if (!patches->infer)
    patches->infer = plan_make(patches->graph, patches->train->backend, true, error);
  if (!patches->infer) return false;
  bool lent = patches->infer->bytes <= patches->train->bytes;
  int64_t counts[DATASET_LABELS_MAX][3] = {0};
  Batch batch;
  params_read_average(params, average);
  bool good =
      batch_make(&batch, patches, sampler, error) &&
      plan_bind(patches->infer, lent ? patches->train->memory : patches->infer->memory, error);
  for (int i = 0; good && i < batches; i++) {
    sampler_batch(sampler, (uint64_t)(step + i), batch.scratch, batch.image, batch.labels);
    count_batch(patches, &batch, counts);
  }
  experiments_free(&batch);
  int classes = (int)tensor_last(&patches->model->map->tensor);
  *dice = patch_dice_mean((const int64_t(*)[3])counts, classes + patches->regions);
  params_read_average(params, false);
  return good && plan_bind(patches->train, patches->train->memory, error);
}

/* ---- collapse -------------------------------------------------------------------------------- */

/* A trial is not judged before so many steps: no network has learned anything by then. */
enum { MEASUREMENTS = 20, LEAST_STEPS = 40 };
static const double SHARE = 0.2; /* of the newest measurement in the mean */

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

bool collapse_measures(const CollapseRule *rule, int64_t step, int64_t steps) {
  int64_t at = collapse_step(rule, steps), window = at / 4, every = window / MEASUREMENTS + 1;
  return at > 0 && step < at && step >= at - window && (at - 1 - step) % every == 0;
}

bool collapse_measure(CollapseWatch *w, int64_t step, Error *error) {
  double dice;
  if (!patch_dice(w->patches, w->sampler, step, 1, false, &dice, error)) return false;
  if (isfinite(dice)) w->mean = w->measured++ ? w->mean + SHARE * (dice - w->mean) : dice;
  return true;
}
