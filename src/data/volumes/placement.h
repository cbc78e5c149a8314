/* How the voxels of files lie in space, and those of one file on the grid of another. Axes are D,
 * H, W; columns of an affine W, H, D. */
#ifndef DATA_PLACEMENT_H
#define DATA_PLACEMENT_H

#include "src/data/volumes/volume.h"

enum { ORIENTATION_BYTES = 4 };
/* In an orientation's place: as the files are stored. */
#define ORIENTATION_ANY "any"

/* "RAS": to which side (Right, Left, Anterior, Posterior, Superior, Inferior) the file's i, j and k
 * grow, that is W, H and D; the nearest for an oblique grid. */
void grid_orientation(const Grid *grid, char code[ORIENTATION_BYTES]);

/* Axes exchanged and read backwards: loses nothing. */
typedef struct Turn {
  int axis[3];  /* turned axis a is axis[a] of the array ... */
  bool flip[3]; /* ... read backwards */
} Turn;

/* Voxels and the file that they are from, for errors. */
typedef struct Placed {
  const Grid *grid;
  const char *path;
} Placed;

/* The turn that lays the second one's voxels on the first one's grid: none where both are stored
 * alike, and none where one of them does not say how it lies (GRID_UNORIENTED): then arrays of the
 * same shape and spacing lie alike. Errors: other shapes, or any voxel more than a tenth of the
 * shortest side of one from its place. */
bool placed_alike(Placed first, Placed second, Turn *turn, Error *error);
bool turn_is_none(const Turn *turn);

/* placed_alike, and the voxels of the second, read from `path`, are turned: its grid becomes the
 * first one's. Without success it is left as it was. */
bool label_onto(Placed first, LabelMap *label, const char *path, Error *error);
bool image_onto(Placed first, Image *image, const char *path, Error *error);

/* out (dim) = the elements of `bytes` bytes that are met walking by step[] from element `start`. */
void voxels_walk(const void *from, int64_t start, const int64_t step[3], const int dim[3],
                 size_t bytes, void *out);

#endif
