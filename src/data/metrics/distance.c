#include "src/data/metrics/distance.h"
#include "kernels/cpu/simd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool distance_work_make(DistanceWork *work, const int dim[3]) {
  work->stride = (dim[2] + VEC - 1) / VEC * VEC;
  size_t count = (size_t)dim[0] * (size_t)dim[1] * (size_t)work->stride;
  work->row = malloc(count * sizeof(float));
  work->slice = malloc(count * sizeof(float));
  return work->row && work->slice;
}

void distance_work_free(DistanceWork *work) {
  free(work->row);
  free(work->slice);
  *work = (DistanceWork){0};
}

static bool any_marked(const uint8_t *mark, int count) {
  int any = 0;
  for (int x = 0; x < count; x++) any |= mark[x];
  return any;
}

/* One row: squared distance to its nearest mark, INFINITY where it has none and beyond its end. */
static void row_distance(const uint8_t *mark, int width, int stride, float spacing,
                         float *squared) {
  for (int x = 0; x < stride; x++) squared[x] = INFINITY;
  if (!any_marked(mark, width)) return;
  float away = INFINITY;
  for (int x = 0; x < width; x++) {
    away = mark[x] ? 0 : away + spacing;
    squared[x] = away;
  }
  away = INFINITY;
  for (int x = width - 1; x >= 0; x--) {
    away = mark[x] ? 0 : away + spacing;
    float nearer = away < squared[x] ? away : squared[x];
    squared[x] = nearer * nearer;
  }
}

static bool any_lane(IntVec lanes) {
  uint64_t part[VEC_BYTES / 8], any = 0;
  memcpy(part, &lanes, sizeof part);
  for (int i = 0; i < VEC_BYTES / 8; i++) any |= part[i];
  return any;
}

static inline Vec lanes_least(Vec a, Vec b) {
  return vec_select(a < b, a, b);
}

/* The least of squared[i] here and (k spacing)^2 + squared[i] of the lines k before and k after, at
 * least for the lanes that are wanted. Lines lie `line` floats apart, `before` and `after` of
 * them. */
static Vec search_outwards(const float *squared, size_t line, int before, int after, float spacing,
                           IntVec wanted) {
  Vec best = vec_load(squared);
  for (int k = 1; k <= before || k <= after; k++) {
    Vec added = vec_splat((spacing * (float)k) * (spacing * (float)k));
    if (!any_lane((best > added) & wanted)) break;
    if (k <= before) best = lanes_least(vec_load(squared - (size_t)k * line) + added, best);
    if (k <= after) best = lanes_least(vec_load(squared + (size_t)k * line) + added, best);
  }
  return best;
}

/* All bits of the lanes whose mark is set, of the first `count`. */
static IntVec lanes_marked(const uint8_t *mark, int count) {
  IntVec lanes = {0};
  for (int i = 0; i < count; i++) lanes[i] = mark[i] ? -1 : 0;
  return lanes;
}

/* The rows of a slice, then its columns. */
static void slice_distance(const uint8_t *mark, const int dim[3], const double spacing[3],
                           int stride, float *row, float *slice) {
  uint8_t all[VEC];
  memset(all, 1, sizeof all);
  for (int y = 0; y < dim[1]; y++)
    row_distance(mark + (size_t)y * (size_t)dim[2], dim[2], stride, (float)spacing[2],
                 row + (size_t)y * (size_t)stride);
  memcpy(slice, row, (size_t)dim[1] * (size_t)stride * sizeof(float));
  if (!any_marked(mark, dim[1] * dim[2])) return;
  for (int x = 0; x < stride; x += VEC) {
    IntVec inside = lanes_marked(all, dim[2] - x < VEC ? dim[2] - x : VEC);
    for (int y = 0; y < dim[1]; y++) {
      size_t at = (size_t)y * (size_t)stride + (size_t)x;
      vec_store(slice + at, search_outwards(row + at, (size_t)stride, y, dim[1] - 1 - y,
                                            (float)spacing[1], inside));
    }
  }
}

size_t distance_between(const uint8_t *from, const uint8_t *to, const int dim[3],
                        const double spacing[3], const DistanceWork *work, float *distance) {
  size_t plane = (size_t)dim[1] * (size_t)work->stride, count = 0;
  for (int z = 0; z < dim[0]; z++)
    slice_distance(to + (size_t)z * (size_t)(dim[1] * dim[2]), dim, spacing, work->stride,
                   work->row + (size_t)z * plane, work->slice + (size_t)z * plane);
  for (int z = 0; z < dim[0]; z++)
    for (int y = 0; y < dim[1]; y++, from += dim[2])
      for (int x = 0; x < dim[2]; x += VEC) {
        int lanes = dim[2] - x < VEC ? dim[2] - x : VEC;
        if (!any_marked(from + x, lanes)) continue;
        size_t at = (size_t)z * plane + (size_t)(y * work->stride + x);
        Vec best = search_outwards(work->slice + at, plane, z, dim[0] - 1 - z, (float)spacing[0],
                                   lanes_marked(from + x, lanes));
        for (int i = 0; i < lanes; i++)
          if (from[x + i]) distance[count++] = sqrtf(best[i]);
      }
  return count;
}
