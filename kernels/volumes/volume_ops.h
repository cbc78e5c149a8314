/* What a device does with volumes in the host's place: it reads and changes training patches
 * (src/data/batches), merges the windows of a prediction and labels them (src/data/predict). The
 * host draws, plans and owns the memory; all pointers are the device's, and a call only enters the
 * queue `stream`. The arithmetic is the host's (patch_math.h, philox.h). */
#ifndef KERNELS_VOLUMES_VOLUME_OPS_H
#define KERNELS_VOLUMES_VOLUME_OPS_H

#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- training patches ------------------------------------------------------------------------ */

/* Voxel (z,y,x) of the patch is read at origin + (patch - 1) / 2 + matrix ((z,y,x) - (patch - 1) /
 * 2) of the volume: trilinear, zero outside; the label with the largest share (patch_read.h). */
typedef struct PatchRead {
  int dim[3], channels;  /* of the volume */
  const float *single;   /* (D,H,W,C); NULL: half holds the image */
  const uint16_t *half;  /* (D,H,W,C), IEEE half precision, finite */
  const uint8_t *label;  /* (D,H,W) */
  const int32_t *target; /* (256): what is written for a label; NULL: the label */
  int patch[3], origin[3];
  double matrix[3][3];
  float *planes;    /* out: (C, patch) */
  int32_t *classes; /* out: (patch) */
} PatchRead;

/* One channel of a patch, contiguous. */
typedef struct Plane {
  float *value;          /* (D,H,W) */
  float *spare;          /* as large */
  int dim[3];            /* each at most PATCH_EDGE_MAX */
  void *scratch, *queue; /* a device's: PLANE_SCRATCH bytes of its memory, its queue */
} Plane;

enum { PATCH_EDGE_MAX = 1024, PLANE_SCRATCH = 4096 };

/* The steps of intensity.h, in place. */
typedef struct PlaneOps {
  void (*noise)(const Plane *plane, double sd, Rng *rng);
  void (*blur)(const Plane *plane, const double sigma[3]);
  void (*brightness)(const Plane *plane, double factor);
  void (*contrast)(const Plane *plane, double factor);
  void (*low_resolution)(const Plane *plane, const double zoom[3]);
  void (*gamma)(const Plane *plane, double exponent, bool inverted);
} PlaneOps;

typedef struct PatchOps {
  void (*read)(void *stream, const PatchRead *read);
  PlaneOps plane;
  /* image (voxels, channels) from planes (channels, voxels): apart */
  void (*interleave)(void *stream, int64_t voxels, int channels, const float *planes, float *image);
} PatchOps;

/* ---- predicted windows ----------------------------------------------------------------------- */

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
  const SlabTap *tap[3];  /* (box[axis]) */
  const uint8_t *regions; /* (classes): regions are painted, in turn, with these; NULL: classes */
  float above;            /* where a region's map is above this */
} SlabPlane;

typedef struct SlabOps {
  /* maps (planes,H,W,classes) += weight * predicted (patch,classes); total (planes,H,W) +=
   * weight */
  void (*merge)(void *stream, const WindowPlace *place, const float *predicted, float *maps,
                float *total);
  /* maps (voxels,classes) /= total (voxels) */
  void (*divide)(void *stream, int64_t voxels, int classes, const float *total, float *maps);
  /* to = the last `count` of `all` floats, then zeros: the blocks are apart */
  void (*shift)(void *stream, size_t all, size_t count, const float *from, float *to);
  /* label (box[1],box[2]): the first largest of the maps, interpolated along D, then H, then W; of
   * regions the last that is there, background where there is none */
  void (*label)(void *stream, const SlabPlane *plane, const float *maps, uint8_t *label);
} SlabOps;

#endif
