/* What match, mask_loss and region_loss share: sums of p = sigmoid(x) and softplus(x) over voxels,
 * for each of K queries, x (voxels, K). Tiles of 16 voxels are treated as flat runs of 16 K floats,
 * whatever K, and a softplus costs no logarithm: log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), and
 * the factors 1 + e^-|x| <= 2 of up to 96 tiles are multiplied before one logarithm is taken. Its
 * error is below 6e-8 a voxel. */
#ifndef KERNELS_CPU_MASK_SUMS_H
#define KERNELS_CPU_MASK_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MASK_TILE = 16,  /* voxels: 16 K floats are whole vectors */
  MASK_FLUSH = 96, /* tiles; 2^96 is a float */
  MASK_PARTS = 16, /* pieces of a sample summed apart, so that sums do not depend on threads */
};

/* Up to MASK_TILE voxels, those of unknown (negative) label left out: in place where there are
 * none, else put together in the thread's own memory. */
typedef struct MaskTile {
  int voxels;
  const float *x;       /* (voxels, K) */
  const int32_t *label; /* (voxels) */
  int32_t kept[MASK_TILE];
} MaskTile;

/* Running sums of one thread; each array (MASK_TILE, K). */
typedef struct MaskSums {
  int queries, tiles;
  float *turned;         /* of a MaskTile put together */
  float *p;              /* of the current tile */
  float *sum_p, *factor; /* sum of p, product of 1 + e^-|x| */
  float *positive;       /* sum of max(x, 0) */
} MaskSums;

size_t mask_sums_floats(int queries); /* a multiple of 16 */
MaskSums mask_sums_make(float *block, int queries);
/* Takes in the known ones of `voxels` <= MASK_TILE rows of x, which become the tile, and leaves
 * their p in sums->p. */
void mask_sums_add(MaskSums *sums, MaskTile *tile, const float *x, const int32_t *label,
                   int voxels);
bool mask_sums_full(const MaskSums *sums);
/* Adds to softplus (K) and p (K), and starts afresh. */
void mask_sums_flush(MaskSums *sums, double *softplus, double *p);

/* Voxels [first, last) of piece `part` of a sample: whole tiles. */
void mask_part(int64_t voxels, int part, int64_t *first, int64_t *last);

#endif
