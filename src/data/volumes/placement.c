#include "src/data/volumes/placement.h"

#include <math.h>
#include <string.h>

/* How far a voxel may be from its place, in voxels: more than headers' rounding, less than the half
 * that another rule for the origin gives. */
static const double NEAR = 0.1;

typedef struct Column {
  double v[3];
} Column;

static Column column_of(const Grid *grid, int column) {
  return (Column){{grid->affine[0][column], grid->affine[1][column], grid->affine[2][column]}};
}

/* The cosine of the angle between two columns. */
static double along(Column a, Column b) {
  double dot = 0, aa = 0, bb = 0;
  for (int i = 0; i < 3; i++) {
    dot += a.v[i] * b.v[i];
    aa += a.v[i] * a.v[i];
    bb += b.v[i] * b.v[i];
  }
  return dot / sqrt(aa * bb);
}

/* Which of the base's axes each column of the grid runs along: the assignment of largest total. */
static void columns_assign(const Column base[3], const Grid *grid, int to[3]) {
  static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                   {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  double best = -1;
  for (int i = 0; i < 6; i++) {
    double total = 0;
    for (int column = 0; column < 3; column++)
      total += pow(along(base[orders[i][column]], column_of(grid, column)), 2);
    if (total <= best + 1e-9) continue;
    best = total;
    memcpy(to, orders[i], 3 * sizeof *to);
  }
}

void grid_orientation(const Grid *grid, char code[ORIENTATION_BYTES]) {
  static const Column world[3] = {{{1, 0, 0}}, {{0, 1, 0}}, {{0, 0, 1}}};
  int to[3];
  columns_assign(world, grid, to);
  for (int column = 0; column < 3; column++)
    code[column] = (grid->affine[to[column]][column] < 0 ? "LPI" : "RAS")[to[column]];
  code[3] = 0;
}

/* ---- one grid on another --------------------------------------------------------------------- */

static Turn turn_towards(const Grid *first, const Grid *second) {
  Column base[3] = {column_of(first, 0), column_of(first, 1), column_of(first, 2)};
  int to[3];
  Turn turn;
  columns_assign(base, second, to);
  for (int column = 0; column < 3; column++) {
    turn.axis[2 - to[column]] = 2 - column;
    turn.flip[2 - to[column]] = along(base[to[column]], column_of(second, column)) < 0;
  }
  return turn;
}

bool turn_is_none(const Turn *turn) {
  for (int axis = 0; axis < 3; axis++)
    if (turn->axis[axis] != axis || turn->flip[axis]) return false;
  return true;
}

/* The grid of the turned array: the same voxels in the same places. */
static Grid grid_turned(const Grid *grid, const Turn *turn) {
  Grid turned = *grid;
  for (int axis = 0; axis < 3; axis++) {
    int from = turn->axis[axis];
    turned.dim[axis] = grid->dim[from];
    turned.spacing[axis] = grid->spacing[from];
    for (int row = 0; row < 3; row++) {
      double step = grid->affine[row][2 - from];
      turned.affine[row][2 - axis] = turn->flip[axis] ? -step : step;
      if (turn->flip[axis]) turned.affine[row][3] += step * (grid->dim[from] - 1);
    }
  }
  return turned;
}

static bool same_sizes(const Grid *a, const Grid *b) {
  int used = 0; /* bits: axes of b that an axis of a has the size of */
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 3; k++)
      if (!(used >> k & 1) && a->dim[i] == b->dim[k]) {
        used |= 1 << k;
        break;
      }
  return used == 7;
}

bool placed_alike(Placed first, Placed second, Turn *turn, Error *error) {
  const Grid *a = first.grid, *b = second.grid;
  bool unknown = (a->remarks | b->remarks) & GRID_UNORIENTED;
  *turn = unknown ? (Turn){.axis = {0, 1, 2}} : turn_towards(a, b);
  if (unknown ? !grid_same_dim(a, b) : !same_sizes(a, b))
    return fail(error, "different shapes (D,H,W): %s is %dx%dx%d, %s is %dx%dx%d", first.path,
                a->dim[0], a->dim[1], a->dim[2], second.path, b->dim[0], b->dim[1], b->dim[2]);
  Grid here = unknown ? grid_make(a->dim, a->spacing) : *a;
  Grid there = unknown ? grid_make(b->dim, b->spacing) : grid_turned(b, turn);
  double apart = grid_apart(&here, &there);
  double voxel = fmin(a->spacing[0], fmin(a->spacing[1], a->spacing[2]));
  if (grid_same_dim(&here, &there) && apart <= NEAR * voxel) return true;
  return fail(error,
              "%s and %s lie differently in space: a voxel up to %.3g mm from where the first has "
              "it (spacing %.6gx%.6gx%.6g and %.6gx%.6gx%.6g mm); if they belong together as they "
              "are stored, write the second with the affine of the first, else resample it there",
              first.path, second.path, apart, a->spacing[0], a->spacing[1], a->spacing[2],
              b->spacing[0], b->spacing[1], b->spacing[2]);
}

/* ---- voxels ---------------------------------------------------------------------------------- */

void voxels_walk(const void *from, int64_t start, const int64_t step[3], const int dim[3],
                 size_t bytes, void *out) {
  char *to = out;
  for (int d = 0; d < dim[0]; d++)
    for (int h = 0; h < dim[1]; h++) {
      const char *row = (const char *)from + (start + d * step[0] + h * step[1]) * (int64_t)bytes;
      if (step[2] == 1) {
        memcpy(to, row, (size_t)dim[2] * bytes);
        to += (size_t)dim[2] * bytes;
      } else
        for (int w = 0; w < dim[2]; w++, to += bytes)
          memcpy(to, row + w * step[2] * (int64_t)bytes, bytes);
    }
}

static bool turn_voxels(const Turn *turn, const Grid *grid, size_t bytes, void **data,
                        Error *error) {
  const int *dim = grid->dim;
  const int64_t stride[3] = {(int64_t)dim[1] * dim[2], dim[2], 1};
  int64_t start = 0, step[3];
  Grid to = grid_turned(grid, turn);
  for (int axis = 0; axis < 3; axis++) {
    int from = turn->axis[axis];
    if (turn->flip[axis]) start += (dim[from] - 1) * stride[from];
    step[axis] = turn->flip[axis] ? -stride[from] : stride[from];
  }
  void *turned = malloc(grid_voxels(grid) * bytes);
  if (!turned) return fail(error, "out of memory: %zu bytes to turn a volume", grid_voxels(grid));
  voxels_walk(*data, start, step, to.dim, bytes, turned);
  free(*data);
  *data = turned;
  return true;
}

static bool onto(Placed first, Placed second, size_t bytes, void **data, Error *error) {
  Turn turn;
  if (!placed_alike(first, second, &turn, error)) return false;
  if (turn_is_none(&turn)) return true;
  return turn_voxels(&turn, second.grid, bytes, data, error);
}

bool label_onto(Placed first, LabelMap *label, const char *path, Error *error) {
  void *data = label->data;
  bool good = onto(first, (Placed){&label->grid, path}, 1, &data, error);
  label->data = data;
  if (good) label->grid = *first.grid;
  return good;
}

bool image_onto(Placed first, Image *image, const char *path, Error *error) {
  void *data = image->data;
  size_t bytes = (size_t)image->channels * sizeof *image->data;
  bool good = onto(first, (Placed){&image->grid, path}, bytes, &data, error);
  image->data = data;
  if (good) image->grid = *first.grid;
  return good;
}
