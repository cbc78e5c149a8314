/* What a device does with whole volumes in the host's place: it merges the windows of a prediction
 * and labels them (src/data/predict). The host plans and owns the memory; all pointers are the
 * device's, and a call only enters the queue `stream`. Sums are made in the host's order. */
#ifndef KERNELS_VOLUME_OPS_H
#define KERNELS_VOLUME_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One predicted window of a volume, of which planes base, base + 1, ... are held as a slab. */
typedef struct WindowPlace {
  int patch[3], origin[3]; /* the origin may be negative: the volume is smaller */
  bool flip[3];            /* the prediction is of a mirrored patch */
  int dim[3], base;        /* of the volume */
  int classes;
  const float *weight[3]; /* (patch[axis]) */
} WindowPlace;

/* Where a voxel of the box lies between those of the slab, along one axis: below, above are
 * places, share is that of the one above. */
typedef struct SlabTap {
  int below, above;
  float share;
} SlabTap;

/* A plane of the box, read from a slab that begins at plane `first` of the volume. */
typedef struct SlabPlane {
  int dim[3], box[3]; /* of the volume and the box; classes of both */
  int classes, first, plane;
  const SlabTap *tap[3]; /* (box[axis]) */
} SlabPlane;

typedef struct SlabOps {
  /* maps (planes,H,W,classes) += weight * predicted (patch,classes); total (planes,H,W) += weight
   */
  void (*merge)(void *stream, const WindowPlace *place, const float *predicted, float *maps,
                float *total);
  /* maps (voxels,classes) /= total (voxels) */
  void (*divide)(void *stream, int64_t voxels, int classes, const float *total, float *maps);
  /* to = the last `count` of `all` floats, then zeros: the blocks are apart */
  void (*shift)(void *stream, size_t all, size_t count, const float *from, float *to);
  /* label (box[1],box[2]): the first largest of the maps, interpolated along D, then H, then W */
  void (*label)(void *stream, const SlabPlane *plane, const float *maps, uint8_t *label);
} SlabOps;

#endif
