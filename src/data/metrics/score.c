#include "src/data/metrics/score.h"

#include <math.h>
#include <string.h>

/* What one pass over both maps finds. */
typedef struct Census {
  int64_t reference[256], prediction[256], overlap[256];
  Box box[256]; /* of both maps' voxels */
  /* Of the row that is read: which labels it holds, and from where to where; last 0: not seen. */
  int labels, first[256], last[256];
  uint8_t label[256];
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

static void row_add(Census *census, int label, int first, int last) {
  if (!census->last[label]) {
    census->first[label] = first;
    census->label[census->labels++] = (uint8_t)label;
  }
  census->last[label] = last;
}

static void row_end(Census *census, int z, int y) {
  for (int i = 0; i < census->labels; i++) {
    int label = census->label[i];
    box_add(&census->box[label], z, y, census->first[label], census->last[label]);
    census->last[label] = 0;
  }
  census->labels = 0;
}

static void census_row(Census *census, const uint8_t *a, const uint8_t *b, int width) {
  for (int x = 0; x < width;) {
    int first = x, in_a = a[x], in_b = b[x];
    if (in_a | in_b) {
      while (++x < width && a[x] == in_a && b[x] == in_b) continue;
      row_add(census, in_a, first, x);
      row_add(census, in_b, first, x);
    } else {
      x += background_run(a, b, x, width);
    }
    census->reference[in_a] += x - first;
    census->prediction[in_b] += x - first;
    census->overlap[in_a] += in_a == in_b ? x - first : 0;
  }
}

static Census census_take(const uint8_t *reference, const uint8_t *prediction, const int dim[3]) {
  Census census = {0};
  for (int label = 0; label < 256; label++)
    for (int i = 0; i < 3; i++) census.box[label].low[i] = dim[i];
  for (int z = 0; z < dim[0]; z++)
    for (int y = 0; y < dim[1]; y++) {
      size_t row = ((size_t)z * (size_t)dim[1] + (size_t)y) * (size_t)dim[2];
      census_row(&census, reference + row, prediction + row, dim[2]);
      row_end(&census, z, y);
    }
  return census;
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
  Census census = census_take(reference, prediction, grid->dim);
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
    if (score[label].situation == SITUATION_ABSENT) continue;
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
