/* Volumes in memory, and read from and written to files of any format (volume_format.h).
 *
 * Memory is (D,H,W,C), channels fastest, W being the axis that a file stores fastest: no axis is
 * turned or flipped, so nothing has to be turned back on writing. A picture has D = 1. */
#ifndef DATA_VOLUME_H
#define DATA_VOLUME_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* What a header leaves open, or where it contradicts itself. */
typedef enum GridRemark {
  GRID_UNORIENTED = 1, /* no sform and no qform: the affine is spacing on the diagonal, and to which
                          sides the axes run is not known */
  GRID_PIXDIM_OTHER = 2,  /* pixdim is not the affine's spacing, which holds */
  GRID_FORMS_DIFFER = 4,  /* sform and qform place the voxels differently; the sform holds */
  GRID_UNIT_UNKNOWN = 8,  /* a unit of length that the format does not have: mm are meant */
  GRID_UNIT_OTHER = 16,   /* metres or microns, which became mm */
  GRID_SFORM_UNFIT = 32,  /* the sform is no box with right angles: the qform holds */
  GRID_SIZE_ODD = 64,     /* its longest axis is above 5 m or below 1 mm: a unit is missing */
  GRID_EXIF_TURNED = 128, /* its EXIF data asks that it be shown turned: it is taken as stored */
  /* What need not be told: */
  GRID_PICTURE = 1 << 16, /* lengths are pixels, and nothing is known across them */
  GRID_ALPHA = 1 << 17    /* the last channel says how opaque a pixel is */
} GridRemark;

typedef struct Grid {
  int dim[3];          /* D, H, W */
  unsigned remarks;    /* of GridRemark */
  double spacing[3];   /* mm, D, H, W */
  double affine[4][4]; /* voxel (i,j,k,1) = (w,h,d,1) -> RAS+ mm, last row 0 0 0 1 */
} Grid;

typedef struct Image {
  Grid grid;
  int channels;
  float *data; /* (D,H,W,C), owned */
} Image;

typedef struct LabelMap {
  Grid grid;
  uint8_t *data; /* (D,H,W), owned; 0 is background */
} LabelMap;

typedef enum VoxelType { VOXEL_U8, VOXEL_I16, VOXEL_F32 } VoxelType;

size_t grid_voxels(const Grid *grid);
/* A grid of this size and spacing whose affine is spacing on the diagonal, origin 0. */
Grid grid_make(const int dim[3], const double spacing[3]);
bool grid_same_dim(const Grid *a, const Grid *b);
/* The greatest distance in mm between a corner voxel of one and the same one of the other. */
double grid_apart(const Grid *a, const Grid *b);

/* Reads whatever volume_format.h knows. Errors: no file of its format, more voxels promised than
 * the file can hold (checked before the voxels are allocated), truncated or corrupt data, values
 * that are no number. On failure nothing is owned. */
bool image_read(Image *image, const char *path, Error *error);
/* One channel of whole numbers, 0..255. */
bool label_read(LabelMap *label, const char *path, Error *error);
/* Header only: the grid and the channels, checked against the file's size. */
bool volume_inspect(const char *path, Grid *grid, int *channels, Error *error);

/* Write the file whole or not at all (temporary file beside it, then rename), in the format of the
 * name's ending. Lengths are in mm; a grid without orientation is written without one. */
bool image_write(const Image *image, VoxelType type, const char *path, Error *error);
bool label_write(const LabelMap *label, const char *path, Error *error);

/* Pixels and their spacing as nnU-Net v2 has it of pictures: 1, and 999 across. */
Grid grid_picture(int height, int width);
bool image_alloc(Image *image, const Grid *grid, int channels, Error *error); /* zeros */
bool label_alloc(LabelMap *label, const Grid *grid, Error *error);            /* zeros */
/* Whether every channel has one value: nothing can be seen in it. */
bool image_is_constant(const Image *image);
void image_free(Image *image);
void label_free(LabelMap *label);

#endif
