#include "kernels/cpu/mask_sums.h"
#include "kernels/cpu/simd_math.h"

#include <string.h>

size_t mask_sums_floats(int queries) {
  return 5 * (size_t)MASK_TILE * (size_t)queries;
}

static void clear(MaskSums *sums) {
  sums->tiles = 0;
  for (int i = 0; i < MASK_TILE * sums->queries; i++) {
    sums->sum_p[i] = sums->positive[i] = 0;
    sums->factor[i] = 1;
  }
}

MaskSums mask_sums_make(float *block, int queries) {
  size_t tile = (size_t)MASK_TILE * (size_t)queries;
  MaskSums sums = {.queries = queries,
                   .p = block,
                   .sum_p = block + tile,
                   .factor = block + 2 * tile,
                   .positive = block + 3 * tile,
                   .turned = block + 4 * tile};
  clear(&sums);
  return sums;
}

static void tile_gather(const MaskSums *sums, MaskTile *tile, const float *x, const int32_t *label,
                        int voxels) {
  size_t row = (size_t)sums->queries;
  *tile = (MaskTile){.x = sums->turned, .label = tile->kept};
  for (int v = 0; v < voxels; v++) {
    if (label[v] < 0) continue;
    tile->kept[tile->voxels] = label[v];
    memcpy(sums->turned + (size_t)tile->voxels++ * row, x + (size_t)v * row, row * sizeof *x);
  }
}

static void tile_add(MaskSums *sums, const float *restrict x, int voxels) {
  float *restrict p = sums->p, *restrict sum_p = sums->sum_p;
  float *restrict factor = sums->factor, *restrict positive = sums->positive;
  int count = voxels * sums->queries;
#pragma omp simd
  for (int i = 0; i < count; i++) {
    float e = simd_exp(-fabsf(x[i])), r = 1.f / (1.f + e);
    float sigmoid = x[i] < 0.f ? e * r : r;
    p[i] = sigmoid;
    sum_p[i] += sigmoid;
    factor[i] *= 1.f + e;
    positive[i] += x[i] > 0.f ? x[i] : 0.f;
  }
  sums->tiles++;
}

void mask_sums_add(MaskSums *sums, MaskTile *tile, const float *x, const int32_t *label,
                   int voxels) {
  int32_t signs = 0;
  if (voxels == MASK_TILE)
    for (int v = 0; v < MASK_TILE; v++) signs |= label[v];
  else
    for (int v = 0; v < voxels; v++) signs |= label[v];
  tile->voxels = voxels;
  tile->x = x;
  tile->label = label;
  if (signs < 0) tile_gather(sums, tile, x, label, voxels);
  tile_add(sums, tile->x, tile->voxels);
}

bool mask_sums_full(const MaskSums *sums) {
  return sums->tiles == MASK_FLUSH;
}

void mask_sums_flush(MaskSums *sums, double *softplus, double *p) {
  int queries = sums->queries, count = MASK_TILE * queries;
  float *restrict factor = sums->factor, *restrict positive = sums->positive;
#pragma omp simd
  for (int i = 0; i < count; i++) factor[i] = positive[i] + simd_log(factor[i]);
  for (int v = 0; v < MASK_TILE; v++)
    for (int q = 0; q < queries; q++) {
      softplus[q] += (double)factor[v * queries + q];
      p[q] += (double)sums->sum_p[v * queries + q];
    }
  clear(sums);
}

void mask_part(int64_t voxels, int part, int64_t *first, int64_t *last) {
  int64_t tiles = (voxels + MASK_TILE - 1) / MASK_TILE;
  *first = tiles * part / MASK_PARTS * MASK_TILE;
  *last = tiles * (part + 1) / MASK_PARTS * MASK_TILE;
  if (*last > voxels) *last = voxels;
}
