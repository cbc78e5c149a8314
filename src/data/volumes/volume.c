#include "src/data/volumes/volume.h"

#include <math.h>

size_t grid_voxels(const Grid *grid) {
  return (size_t)grid->dim[0] * (size_t)grid->dim[1] * (size_t)grid->dim[2];
}

Grid grid_make(const int dim[3], const double spacing[3]) {
  Grid grid = {0};
  for (int axis = 0; axis < 3; axis++) {
    grid.dim[axis] = dim[axis];
    grid.spacing[axis] = spacing[axis];
    grid.affine[axis][axis] = spacing[2 - axis]; /* the affine's columns run W, H, D */
  }
  grid.affine[3][3] = 1;
  return grid;
}

Grid grid_picture(int height, int width) {
  Grid grid = grid_make((int[3]){1, height, width}, (double[3]){999, 1, 1});
  grid.remarks = GRID_PICTURE | GRID_UNORIENTED;
  return grid;
}

bool grid_same_dim(const Grid *a, const Grid *b) {
  return a->dim[0] == b->dim[0] && a->dim[1] == b->dim[1] && a->dim[2] == b->dim[2];
}

static double corner_place(const Grid *grid, int corner, int row) {
  double sum = grid->affine[row][3];
  for (int i = 0; i < 3; i++)
    sum += grid->affine[row][i] * (corner >> i & 1 ? grid->dim[2 - i] - 1 : 0);
  return sum;
}

double grid_apart(const Grid *a, const Grid *b) {
  double worst = 0;
  for (int corner = 0; corner < 8; corner++) {
    double square = 0;
    for (int row = 0; row < 3; row++)
      square += pow(corner_place(a, corner, row) - corner_place(b, corner, row), 2);
    worst = fmax(worst, sqrt(square));
  }
  return worst;
}

static void *zeros(const Grid *grid, size_t bytes_per_voxel, Error *error) {
  void *data = calloc(grid_voxels(grid), bytes_per_voxel);
  if (!data)
    fail(error, "out of memory: a volume of %dx%dx%d needs %zu bytes", grid->dim[0], grid->dim[1],
         grid->dim[2], grid_voxels(grid) * bytes_per_voxel);
  return data;
}

bool image_alloc(Image *image, const Grid *grid, int channels, Error *error) {
  *image = (Image){.grid = *grid, .channels = channels};
  image->data = zeros(grid, (size_t)channels * sizeof(float), error);
  return image->data != NULL;
}

bool label_alloc(LabelMap *label, const Grid *grid, Error *error) {
  *label = (LabelMap){.grid = *grid};
  label->data = zeros(grid, 1, error);
  return label->data != NULL;
}

bool image_is_constant(const Image *image) {
  size_t channels = (size_t)image->channels, values = grid_voxels(&image->grid) * channels;
  for (size_t i = channels; i < values; i++)
    if (image->data[i] != image->data[i - channels]) return false;
  return true;
}

void image_free(Image *image) {
  free(image->data);
  *image = (Image){0};
}

void label_free(LabelMap *label) {
  free(label->data);
  *label = (LabelMap){0};
}
