/* Where a training patch is read from its volume: one affine map holds place, rotation, scale and
 * mirroring, so that a patch is read once and interpolated at most once, straight from the volume
 * (nnU-Net cuts a larger patch first and rotates that: beyond it there are zeros; here there is
 * what the volume holds).
 *
 * Draws and matrices are batchgeneratorsv2's SpatialTransform as nnU-Net v2's
 * get_training_transforms sets it: rotation with probability .2 by U(-30, 30) degrees about each
 * axis, scale with probability .2 by U(.7, 1.4), one factor for all axes (above 1: things become
 * smaller). A patch with an axis more than three times shorter than its longest one is turned
 * in-plane only, by U(-180, 180) degrees, and scaled in-plane (dummy-2D; nnU-Net looks at its first
 * axis alone, having made it the coarsest). So is a patch of one slice, nnU-Net's 2d, but by U(-15,
 * 15) degrees where the slice is more than 1.5 times as long as wide.
 *
 * Image: trilinear, zero outside. Label: of the eight voxels around, the label that holds the
 * largest share of the trilinear weight; the nearest voxel's when shares are equal; background
 * outside. */
#ifndef DATA_PATCH_READ_H
#define DATA_PATCH_READ_H

#include "base/rng.h"
#include "kernels/cpu/form.h"
#include "src/data/sets/dataset.h"

/* What is read: a volume in memory, or one of the cache, mapped, in half precision. */
typedef struct Voxels {
  int dim[3], channels;
  const float *single;  /* (D,H,W,C); NULL: half holds the image */
  const _Float16 *half; /* (D,H,W,C) */
  const uint8_t *label; /* (D,H,W) */
} Voxels;

Voxels volume_voxels(const Volume *volume);

typedef struct Warp {
  bool moves;          /* false: matrix is a mirroring, or nothing, and voxels are copied */
  double angle[3];     /* radians about D, H, W; 0 when not rotated */
  double scale;        /* 1 when not scaled */
  int thin;            /* the axis left alone (dummy-2D), -1: none */
  bool mirror[3];      /* D, H, W */
  double matrix[3][3]; /* patch offset from its centre -> volume offset (D,H,W) */
} Warp;

/* The axis whose edge is more than three times shorter than the longest, or -1. */
int warp_thin_axis(const int patch[3]);
/* Draws rotation, scale, and a flip with probability 1/2 for every axis in `mirror`. */
Warp warp_draw(const int patch[3], const bool mirror[3], Rng *rng);
/* No rotation, no scale. */
Warp warp_identity(void);

/* The patch whose centre is that of the box [origin, origin + patch): image (D,H,W,C), label
 * (D,H,W). Parts outside the volume are 0. */
void warp_read(const Warp *warp, const Voxels *voxels, const int origin[3], const int patch[3],
               float *image, int32_t *label);

FORM_DECLARE(volume_voxels)
FORM_DECLARE(warp_thin_axis)
FORM_DECLARE(warp_draw)
FORM_DECLARE(warp_identity)
FORM_DECLARE(warp_read)
#define volume_voxels  FORM_OF(volume_voxels)
#define warp_thin_axis FORM_OF(warp_thin_axis)
#define warp_draw      FORM_OF(warp_draw)
#define warp_identity  FORM_OF(warp_identity)
#define warp_read      FORM_OF(warp_read)

#endif
