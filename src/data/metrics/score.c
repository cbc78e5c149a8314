#include "src/data/metrics/score.h"

#include <math.h>
#include <string.h>

const char *metric_name(Metric metric) {
  static const char *const name[METRICS] = {"dice", "iou", "hd95",         "hd95_pooled",  "hd",
                                            "assd", "nsd", "reference_ml", "prediction_ml"};
  return name[metric];
}

const char *metric_unit(Metric metric) {
  static const char *const unit[METRICS] = {"", "", "mm", "mm", "mm", "mm", "", "ml", "ml"};
  return unit[metric];
}

/* What one pass over both maps finds. */
typedef struct Census {
  int64_t reference[256], prediction[256], overlap[256];
  Box box[256]; /* of both maps' voxels */
} Census;

static void box_add(Box *box, int z, int y, int first, int last) {
  int low[3] = {z, y, first}, high[3] = {z + 1, y + 1, last};
  for (int i = 0; i < 3; i++) {
    if (low[i] < box->low[i]) box->low[i] = low[i];
    if (high[i] > box->high[i]) box->high[i] = high[i];
  }
}

/* How many voxels from x on are background in both maps. */
static int background_run(const uint8_t *a, const uint8_t *b, int x, int width) {
  int first = x;
  for (uint64_t p, q; x + 8 <= width; x += 8) {
    memcpy(&p, a + x, 8);
    memcpy(&q, b + x, 8);
    if (p | q) break;
  }
  while (x < width && !(a[x] | b[x])) x++;
  return x - first;
}

static void census_row(Census *census, const uint8_t *a, const uint8_t *b, int z, int y,
                       int width) {
  for (int x = 0; x < width;) {
    int skip = background_run(a, b, x, width);
    census->reference[0] += skip;
    census->prediction[0] += skip;
    census->overlap[0] += skip;
    x += skip;
    if (x == width) return;
    int first = x, in_a = a[x], in_b = b[x];
    while (x < width && a[x] == in_a && b[x] == in_b) x++;
    census->reference[in_a] += x - first;
    census->prediction[in_b] += x - first;
    if (in_a == in_b) census->overlap[in_a] += x - first;
    box_add(&census->box[in_a], z, y, first, x);
    if (in_a != in_b) box_add(&census->box[in_b], z, y, first, x);
  }
}

static Census census_take(const uint8_t *reference, const uint8_t *prediction, const int dim[3]) {
  Census census = {0};
  for (int label = 0; label < 256; label++)
    for (int i = 0; i < 3; i++) census.box[label].low[i] = dim[i];
  for (int z = 0; z < dim[0]; z++)
    for (int y = 0; y < dim[1]; y++) {
      size_t row = ((size_t)z * (size_t)dim[1] + (size_t)y) * (size_t)dim[2];
      census_row(&census, reference + row, prediction + row, z, y, dim[2]);
    }
  return census;
}

static Score score_overlap(int64_t reference, int64_t prediction, int64_t overlap,
                           const Grid *grid) {
  Score s = {.reference = reference, .prediction = prediction, .overlap = overlap};
  s.status = dice_status(reference, prediction);
  double sum = (double)(reference + prediction), both = (double)overlap, square = 0;
  double ml = grid->spacing[0] * grid->spacing[1] * grid->spacing[2] / 1000;
  for (int i = 0; i < 3; i++) square += pow(grid->dim[i] * grid->spacing[i], 2);
  s.value[METRIC_DICE] = 2 * both / sum;
  s.value[METRIC_IOU] = both / (sum - both);
  s.value[METRIC_REFERENCE_ML] = ml * (double)reference;
  s.value[METRIC_PREDICTION_ML] = ml * (double)prediction;
  s.value[METRIC_HD95] = s.value[METRIC_HD95_POOLED] = s.value[METRIC_HD] = s.value[METRIC_ASSD] =
      sqrt(square);
  for (int m = 0; m < METRICS && s.status == DICE_ABSENT; m++)
    if (m < METRIC_REFERENCE_ML) s.value[m] = NAN;
  return s;
}

static void score_surface(Score *score, const SurfaceScore *surface) {
  score->value[METRIC_HD95] = surface->hd95;
  score->value[METRIC_HD95_POOLED] = surface->hd95_pooled;
  score->value[METRIC_HD] = surface->hd;
  score->value[METRIC_ASSD] = surface->assd;
  score->value[METRIC_NSD] = surface->nsd;
}

bool score_labels(const uint8_t *reference, const uint8_t *prediction, const Grid *grid, int labels,
                  const SurfaceOptions *options, Score *score, Error *error) {
  Census census = census_take(reference, prediction, grid->dim);
  for (int l = 0; l < labels; l++)
    score[l] = score_overlap(census.reference[l], census.prediction[l], census.overlap[l], grid);
  int failed = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : failed)
  for (int l = 1; l < labels; l++) {
    SurfaceScore surface;
    if (score[l].status != DICE_BOTH) continue;
    if (surface_score(reference, prediction, grid->dim, grid->spacing, l, &census.box[l], options,
                      &surface))
      score_surface(&score[l], &surface);
    else
      failed++;
  }
  for (int m = METRIC_HD95; m <= METRIC_NSD; m++) score[0].value[m] = NAN;
  return !failed || fail(error, "no memory for the surfaces of %d label(s)", failed);
}
