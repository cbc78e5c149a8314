#include "src/data/prepare/nonzero.h"

#include <string.h>

enum { OUTSIDE, INSIDE, PERHAPS_A_HOLE };

/* Empty voxels that were reached from the border and whose neighbours are still to be seen. */
typedef struct Open {
  size_t *voxel;
  size_t count, capacity;
} Open;

static bool open_add(Open *open, uint8_t *inside, size_t voxel) {
  if (inside[voxel] != PERHAPS_A_HOLE) return true;
  inside[voxel] = OUTSIDE;
  if (open->count == open->capacity) {
    size_t capacity = open->capacity ? 2 * open->capacity : 1 << 12;
    size_t *grown = realloc(open->voxel, capacity * sizeof *grown);
    if (!grown) return false;
    open->voxel = grown;
    open->capacity = capacity;
  }
  open->voxel[open->count++] = voxel;
  return true;
}

static bool border_open(const int *dim, Open *open, uint8_t *inside) {
  size_t voxel = 0;
  bool good = true;
  for (int d = 0; d < dim[0]; d++)
    for (int h = 0; h < dim[1]; h++)
      for (int w = 0; w < dim[2]; w++, voxel++) {
        bool border =
            d == 0 || h == 0 || w == 0 || d == dim[0] - 1 || h == dim[1] - 1 || w == dim[2] - 1;
        if (border) good = open_add(open, inside, voxel) && good;
      }
  return good;
}

static bool neighbours_open(const int *dim, Open *open, uint8_t *inside) {
  const size_t stride[3] = {(size_t)dim[1] * (size_t)dim[2], (size_t)dim[2], 1};
  while (open->count) {
    size_t voxel = open->voxel[--open->count];
    for (int axis = 0; axis < 3; axis++) {
      int at = (int)(voxel / stride[axis] % (size_t)dim[axis]);
      if (at > 0 && !open_add(open, inside, voxel - stride[axis])) return false;
      if (at < dim[axis] - 1 && !open_add(open, inside, voxel + stride[axis])) return false;
    }
  }
  return true;
}

uint8_t *nonzero_mask(const Image *image, Error *error) {
  size_t voxels = grid_voxels(&image->grid), channels = (size_t)image->channels;
  uint8_t *inside = malloc(voxels);
  Open open = {0};
  for (size_t i = 0; inside && i < voxels; i++) {
    bool used = false;
    for (size_t c = 0; c < channels; c++) used |= image->data[i * channels + c] != 0;
    inside[i] = used ? INSIDE : PERHAPS_A_HOLE;
  }
  bool good = inside && border_open(image->grid.dim, &open, inside) &&
              neighbours_open(image->grid.dim, &open, inside);
  for (size_t i = 0; good && i < voxels; i++) inside[i] = inside[i] != OUTSIDE;
  free(open.voxel);
  if (good) return inside;
  fail(error, "out of memory for the mask of %zu voxels", voxels);
  free(inside);
  return NULL;
}
