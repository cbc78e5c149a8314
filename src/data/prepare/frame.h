/* How a prepared volume lies in its file: turned to the plan's orientation, cropped to a box,
 * resampled to the plan's spacing. And the way back, which predictions take.
 *
 *   file (file.dim) -> turned (axes exchanged and flipped, lossless) -> box (box_dim)
 *   -> prepared (dim) */
#ifndef DATA_FRAME_H
#define DATA_FRAME_H

#include "src/data/prepare/resample.h"
#include "src/data/volumes/placement.h"

typedef struct Frame {
  Grid file;        /* of the image as read */
  int axis[3];      /* turned axis a is axis[a] of the file (0 D, 1 H, 2 W) ... */
  bool flip[3];     /* ... read backwards */
  int box_first[3]; /* the box within the turned file */
  int box_dim[3];   /* its size, D,H,W */
  double box_mm[3]; /* spacing of the turned file */
  int dim[3];       /* of the prepared volume; more than the box makes of it: padding behind it */
  double mm[3];     /* its spacing: the plan's */
} Frame;

/* Whether these are three letters such as RAS, or ORIENTATION_ANY. */
bool orientation_check(const char *code, Error *error);
/* The frame of a whole file that is only turned, neither cropped nor resampled; not even turned
 * where the file does not say how it lies, or with ORIENTATION_ANY. Errors: a code that is none. */
bool frame_make(Frame *frame, const Grid *file, const char *orientation, Error *error);
/* The frame of a file that is taken as it is. */
Frame frame_identity(const Grid *file);
/* The frame's box becomes the smallest that holds every voxel of the image (as in the file) with
 * any channel that is not 0; without one it stays whole, as nnU-Net's does. */
void frame_crop(Frame *frame, const Image *image);
/* nnU-Net's spacing of the axis that 2D images lack: planned so, it is not resampled. */
#define FLAT_MM 999.
/* The prepared size at this spacing; an axis of FLAT_MM keeps its own. */
void frame_resample(Frame *frame, const double mm[3]);

/* How many voxels of the prepared volume the box makes: all of dim, but for padding (fit.h). */
void frame_held(const Frame *frame, int held[3]);

/* The box out of an array as it is in the file; elements of `bytes` bytes a voxel. */
void frame_take(const Frame *frame, const void *file, size_t bytes, void *box);
/* The file's voxel (flat) of voxel (0,0,0) of the box, and the step of each of the box's axes. */
int64_t frame_walk(const Frame *frame, int64_t step[3]);
/* Labels of the box (box_dim) at their place in the file (file.dim), 0 around them. */
void frame_restore(const Frame *frame, const uint8_t *box, uint8_t *file);
/* Interpolation orders from the prepared grid back to the box: linear for class maps, nearest on
 * the separate axis. */
void frame_orders_back(const Frame *frame, Interpolation order[3]);

#endif
