#include "src/data/metrics/score.h"

#include <math.h>
#include <string.h>

enum { VALUES = 256 };

typedef struct Census {
  int64_t reference[VALUES], prediction[VALUES], overlap[VALUES];
  Box box[VALUES]; /* of both maps' voxels; surfaces alone ask for it, but of background's */
} Census;

static bool all_bytes_equal(uint64_t eight) {
  return eight == (eight << 8 | eight >> 56);
}

/* pairs[reference * VALUES + prediction], added to: eight voxels at once inside of structures. */
static void count_pairs(int64_t *pairs, const uint8_t *reference, const uint8_t *prediction,
                        size_t voxels) {
  size_t i = 0;
  for (uint64_t r, p; i + 8 <= voxels; i += 8) {
    memcpy(&r, reference + i, 8);
    memcpy(&p, prediction + i, 8);
    if (all_bytes_equal(r) && all_bytes_equal(p))
      pairs[(r & 255) * VALUES + (p & 255)] += 8;
    else
      for (size_t k = i; k < i + 8; k++) pairs[reference[k] * VALUES + prediction[k]]++;
  }
  for (; i < voxels; i++) pairs[reference[i] * VALUES + prediction[i]]++;
}

static bool census_count(Census *census, const uint8_t *reference, const uint8_t *prediction,
                         size_t voxels) {
  int64_t *pairs = calloc(VALUES * VALUES, sizeof *pairs);
  if (!pairs) return false;
  count_pairs(pairs, reference, prediction, voxels);
  for (int r = 0; r < VALUES; r++)
    for (int p = 0; p < VALUES; p++) {
      census->reference[r] += pairs[r * VALUES + p];
      census->prediction[p] += pairs[r * VALUES + p];
    }
  for (int v = 0; v < VALUES; v++) census->overlap[v] = pairs[v * VALUES + v];
  free(pairs);
  return true;
}

static void box_add(Box *box, int z, int y, int first, int last) {
  int low[3] = {z, y, first}, high[3] = {z + 1, y + 1, last};
  for (int i = 0; i < 3; i++) {
    if (low[i] < box->low[i]) box->low[i] = low[i];
    if (high[i] > box->high[i]) box->high[i] = high[i];
  }
}

static void row_boxes(Box *box, const uint8_t *map, int z, int y, int width) {
  for (int x = 0; x < width;) {
    int first = x, value = map[x];
    while (++x < width && map[x] == value) continue;
    if (value) box_add(&box[value], z, y, first, x);
  }
}

static void census_boxes(Census *census, const uint8_t *reference, const uint8_t *prediction,
                         const int dim[3]) {
  for (int v = 0; v < VALUES; v++)
    for (int i = 0; i < 3; i++) census->box[v].low[i] = dim[i];
  for (int z = 0; z < dim[0]; z++)
    for (int y = 0; y < dim[1]; y++) {
      size_t row = ((size_t)z * (size_t)dim[1] + (size_t)y) * (size_t)dim[2];
      row_boxes(census->box, reference + row, z, y, dim[2]);
      row_boxes(census->box, prediction + row, z, y, dim[2]);
    }
}

static Situation situation_of(int64_t reference, int64_t prediction) {
  if (reference) return prediction ? SITUATION_BOTH : SITUATION_MISSED;
  return prediction ? SITUATION_FALSE_POSITIVE : SITUATION_ABSENT;
}

/* A picture's pixels have no volume. */
static double voxel_ml(const Grid *grid) {
  if (grid->remarks & GRID_PICTURE) return NAN;
  return grid->spacing[0] * grid->spacing[1] * grid->spacing[2] / 1000;
}

/* surface NULL: not measured. */
static Score score_make(const Census *census, int label, const Grid *grid,
                        const SurfaceScore *surface) {
  Score s = {.reference = census->reference[label],
             .prediction = census->prediction[label],
             .overlap = census->overlap[label]};
  s.situation = situation_of(s.reference, s.prediction);
  Measured m = {.reference = (double)s.reference,
                .prediction = (double)s.prediction,
                .overlap = (double)s.overlap,
                .voxels = (double)grid_voxels(grid),
                .voxel_ml = voxel_ml(grid),
                .surface = surface ? *surface : (SurfaceScore){NAN, NAN, NAN, NAN, NAN}};
  double square = 0;
  for (int i = grid->dim[0] == 1; i < 3; i++) square += pow(grid->dim[i] * grid->spacing[i], 2);
  m.diagonal_mm = sqrt(square);
  for (int i = 0; i < METRICS; i++) s.value[i] = metric_value(i, s.situation, &m);
  return s;
}

bool score_labels(const uint8_t *reference, const uint8_t *prediction, const Grid *grid, int labels,
                  const SurfaceOptions *options, Score *score, Error *error) {
  Census census = {0};
  if (!census_count(&census, reference, prediction, grid_voxels(grid)))
    return fail(error, "no memory to count labels");
  if (options) census_boxes(&census, reference, prediction, grid->dim);
  int failed = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : failed)
  for (int l = 0; l < labels; l++) {
    SurfaceScore surface;
    bool measured = options && l > 0 && census.reference[l] && census.prediction[l];
    if (measured && !surface_score(reference, prediction, grid->dim, grid->spacing, l,
                                   &census.box[l], options, &surface))
      failed++;
    else
      score[l] = score_make(&census, l, grid, measured ? &surface : NULL);
  }
  return !failed || fail(error, "no memory for the surfaces of %d label(s)", failed);
}

double score_mean(const Score *score, int labels, Metric metric) {
  double sum = 0;
  int count = 0;
  for (int label = 1; label < labels; label++) {
    if (metric_situation(metric, score[label].situation) == SITUATION_ABSENT) continue;
    sum += score[label].value[metric];
    count++;
  }
  return count ? sum / count : NAN;
}

/* ---- structures of a data set ---------------------------------------------------------------- */

/* Both maps as the metrics want to see them. */
typedef struct Maps {
  uint8_t *reference, *prediction;
} Maps;

static bool maps_make(Maps *maps, size_t voxels, Error *error) {
  *maps = (Maps){malloc(voxels), malloc(voxels)};
  return (maps->reference && maps->prediction) ||
         fail(error, "no memory for two label maps of %zu voxels", voxels);
}

static void maps_free(Maps *maps) {
  free(maps->reference);
  free(maps->prediction);
}

/* structure 0: the values themselves; else 1 where the structure is. Nothing where the reference is
 * ignored. */
static void maps_take(const Maps *maps, const Labelling *labelling, int structure,
                      const uint8_t *reference, const uint8_t *prediction, size_t voxels) {
  uint8_t shown[LABEL_VALUES];
  for (int value = 0; value < LABEL_VALUES; value++)
    shown[value] = (uint8_t)(structure ? labelling_holds(labelling, structure, value) : value);
  if (labelling->ignore) shown[labelling->ignore] = 0;
#pragma omp parallel for
  for (size_t i = 0; i < voxels; i++) {
    bool known = !labelling->ignore || reference[i] != labelling->ignore;
    maps->reference[i] = shown[reference[i]];
    maps->prediction[i] = known ? shown[prediction[i]] : 0;
  }
}

bool score_structures(const Labelling *labelling, const uint8_t *reference,
                      const uint8_t *prediction, const Grid *grid, const SurfaceOptions *options,
                      Score *score, Error *error) {
  int structures = labelling_structures(labelling);
  size_t voxels = grid_voxels(grid);
  if (labelling_is_plain(labelling))
    return score_labels(reference, prediction, grid, structures, options, score, error);
  Maps maps;
  bool good = maps_make(&maps, voxels, error);
  if (good && !labelling->regions) {
    maps_take(&maps, labelling, 0, reference, prediction, voxels);
    good = score_labels(maps.reference, maps.prediction, grid, structures, options, score, error);
  }
  for (int s = 1; good && labelling->regions && s < structures; s++) {
    Score pair[2];
    maps_take(&maps, labelling, s, reference, prediction, voxels);
    good = score_labels(maps.reference, maps.prediction, grid, 2, options, pair, error);
    score[s] = pair[1];
  }
  maps_free(&maps);
  return good;
}
