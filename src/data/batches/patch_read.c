#include "src/data/batches/patch_read.h"
#include "kernels/volumes/patch_math.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 64 };
static const double PROBABILITY = 0.2, SCALE_LOW = 0.7, SCALE_HIGH = 1.4;
static const double THIN = 3; /* nnU-Net's ANISO_THRESHOLD */

/* ---- the map --------------------------------------------------------------------------------- */

int warp_thin_axis(const int patch[3]) {
  int least = 0, most = 0;
  for (int axis = 1; axis < 3; axis++) {
    if (patch[axis] < patch[least]) least = axis;
    if (patch[axis] > patch[most]) most = axis;
  }
  return patch[most] > THIN * patch[least] ? least : -1;
}

Warp warp_identity(void) {
  return (Warp){.scale = 1, .thin = -1, .matrix = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
}

/* matrix = R(axis, angle) matrix. In the plane of the axes before and after `axis` (cyclic), as
 * create_affine_matrix_3d has them. */
static void rotate(double matrix[3][3], int axis, double angle) {
  int a = (axis + 1) % 3, b = (axis + 2) % 3;
  double c = cos(angle), s = sin(angle);
  for (int k = 0; k < 3; k++) {
    double u = matrix[a][k], v = matrix[b][k];
    matrix[a][k] = c * u - s * v;
    matrix[b][k] = s * u + c * v;
  }
}

static void compose(Warp *warp) {
  for (int axis = 0; axis < 3; axis++) {
    for (int k = 0; k < 3; k++) warp->matrix[axis][k] = 0;
    warp->matrix[axis][axis] = axis == warp->thin ? 1 : warp->scale;
  }
  for (int axis = 0; axis < 3; axis++)
    if (warp->angle[axis] != 0) rotate(warp->matrix, axis, warp->angle[axis]);
  for (int axis = 0; axis < 3; axis++)
    for (int k = 0; warp->mirror[axis] && k < 3; k++) warp->matrix[k][axis] *= -1;
}

/* The largest angle, in degrees. thin: the axis left alone, -1: none. */
static double angle_most(const int patch[3], int thin) {
  if (thin < 0) return 30;
  int a = patch[(thin + 1) % 3], b = patch[(thin + 2) % 3];
  bool long_plane = patch[thin] == 1 && fmax(a, b) > 1.5 * fmin(a, b);
  return long_plane ? 15 : 180;
}

Warp warp_draw(const int patch[3], const bool mirror[3], Rng *rng) {
  Warp warp = warp_identity();
  warp.thin = warp_thin_axis(patch);
  double most = M_PI * (angle_most(patch, warp.thin) / 180);
  bool rotates = rng_uniform(rng) < PROBABILITY, scales = rng_uniform(rng) < PROBABILITY;
  for (int axis = 0; rotates && axis < 3; axis++)
    if (warp.thin < 0 || warp.thin == axis) warp.angle[axis] = rng_between(rng, -most, most);
  if (scales) warp.scale = rng_between(rng, SCALE_LOW, SCALE_HIGH);
  for (int axis = 0; axis < 3; axis++) warp.mirror[axis] = mirror[axis] && rng_uniform(rng) < 0.5;
  warp.moves = rotates || scales;
  compose(&warp);
  return warp;
}

Voxels volume_voxels(const Volume *volume) {
  const int *dim = volume->image.grid.dim;
  return (Voxels){.dim = {dim[0], dim[1], dim[2]},
                  .channels = volume->image.channels,
                  .single = volume->image.data,
                  .label = volume->label.data};
}

/* Inlined with one of the two known to be NULL, so that loops over it hold no branch. */
static inline __attribute__((always_inline)) float value_at(const float *single,
                                                            const _Float16 *half, int64_t at) {
  return single ? single[at] : (float)half[at];
}

/* ---- without interpolation ------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void
copy_reversed(const float *single, const _Float16 *half, int count, int channels, float *image) {
  for (int w = 0; w < count; w++)
    for (int c = 0; c < channels; c++)
      image[w * channels + c] = value_at(single, half, (count - 1 - w) * channels + c);
}

static void copy_values(const Voxels *voxels, size_t from, int count, bool reverse, float *image) {
  int channels = voxels->channels, values = count * channels;
  const float *single = voxels->single ? voxels->single + from * (size_t)channels : NULL;
  const _Float16 *half = voxels->half ? voxels->half + from * (size_t)channels : NULL;
  if (reverse && half && channels == 1) copy_reversed(NULL, half, count, 1, image);
  if (reverse && half && channels > 1) copy_reversed(NULL, half, count, channels, image);
  if (reverse && single && channels == 1) copy_reversed(single, NULL, count, 1, image);
  if (reverse && single && channels > 1) copy_reversed(single, NULL, count, channels, image);
  if (!reverse && single) memcpy(image, single, (size_t)values * sizeof *image);
  for (int i = 0; !reverse && half && i < values; i++) image[i] = (float)half[i];
}

/* A row of `count` consecutive voxels, in reverse when mirrored. */
static void copy_row(const Voxels *voxels, size_t from, int count, bool reverse, float *image,
                     int32_t *label) {
  const uint8_t *classes = voxels->label + from;
  copy_values(voxels, from, count, reverse, image);
  if (reverse)
    for (int w = 0; w < count; w++) label[w] = classes[count - 1 - w];
  else
    for (int w = 0; w < count; w++) label[w] = classes[w];
}

static void copy(const Warp *warp, const Voxels *voxels, const int origin[3], const int patch[3],
                 float *image, int32_t *label) {
  const int *dim = voxels->dim;
  size_t channels = (size_t)voxels->channels;
  size_t total = (size_t)patch[0] * (size_t)patch[1] * (size_t)patch[2];
  memset(image, 0, total * channels * sizeof *image);
  memset(label, 0, total * sizeof *label);
  int first = origin[2] < 0 ? -origin[2] : 0;
  int past = dim[2] - origin[2] < patch[2] ? dim[2] - origin[2] : patch[2];
  if (past <= first) return;
  int start = warp->mirror[2] ? patch[2] - past : first;
  for (int d = 0; d < patch[0]; d++) {
    for (int h = 0; h < patch[1]; h++) {
      int z = origin[0] + (warp->mirror[0] ? patch[0] - 1 - d : d);
      int y = origin[1] + (warp->mirror[1] ? patch[1] - 1 - h : h);
      if (z < 0 || z >= dim[0] || y < 0 || y >= dim[1]) continue;
      size_t from =
          ((size_t)z * (size_t)dim[1] + (size_t)y) * (size_t)dim[2] + (size_t)(origin[2] + first);
      size_t to = ((size_t)d * (size_t)patch[1] + (size_t)h) * (size_t)patch[2] + (size_t)start;
      copy_row(voxels, from, past - first, warp->mirror[2], image + to * channels, label + to);
    }
  }
}

/* ---- with interpolation ---------------------------------------------------------------------- */

/* A row of the patch as a line through the volume. */
typedef struct Line {
  const Voxels *voxels;
  float start[3], step[3]; /* voxel coordinates: start + w step */
} Line;

static float coordinate(const Line *line, int axis, int w) {
  return fmaf((float)w, line->step[axis], line->start[axis]);
}

/* All eight voxels around are there. In a flat volume, four: a line in the slice itself asks the
 * other four for nothing (slice_step). */
static bool is_inside(const Line *line, int w) {
  const int *dim = line->voxels->dim;
  for (int axis = 0; axis < 3; axis++) {
    float at = coordinate(line, axis, w);
    bool flat = axis == 0 && dim[0] == 1;
    if (!(flat ? at == 0 : at >= 0 && at < (float)(dim[axis] - 1))) return false;
  }
  return true;
}

/* Voxels to the slice behind, which in a flat volume is the slice itself. */
static int64_t slice_step(const int dim[3]) {
  return dim[0] == 1 ? 0 : (int64_t)dim[1] * dim[2];
}

/* The columns first .. past-1 that are inside: a line meets a box in one piece. Found from the
 * bounds and settled with the coordinates as they are computed. */
static void find_inside(const Line *line, int columns, int *first, int *past) {
  const int *dim = line->voxels->dim;
  double low = 0, high = columns - 1;
  for (int axis = 0; axis < 3; axis++) {
    double start = line->start[axis], step = line->step[axis], last = dim[axis] - 1;
    if (fabs(step) < 1e-6) continue;
    double a = -start / step, b = (last - start) / step;
    low = fmax(low, fmin(a, b) - 1);
    high = fmin(high, fmax(a, b) + 1);
  }
  *first = (int)fmin(ceil(low), columns), *past = (int)fmax(floor(high) + 1, *first);
  while (*first < *past && !is_inside(line, *first)) ++*first;
  while (*past > *first && !is_inside(line, *past - 1)) --*past;
}

/* One voxel of the patch near or beyond the border. */
static void read_border(const Line *line, int w, float *image, int32_t *label) {
  const Voxels *voxels = line->voxels;
  const int *dim = voxels->dim;
  int channels = voxels->channels, base[3];
  float f[3], weight[8];
  uint8_t classes[8] = {0};
  for (int c = 0; c < channels; c++) image[c] = 0;
  *label = 0;
  for (int axis = 0; axis < 3; axis++) {
    float at = coordinate(line, axis, w), below = floorf(at);
    if (!(at > -1 && at < (float)dim[axis])) return;
    base[axis] = (int)below;
    f[axis] = at - below;
  }
  corner_weights(f, weight);
  for (int i = 0; i < 8; i++) {
    int z = base[0] + (i >> 2), y = base[1] + (i >> 1 & 1), x = base[2] + (i & 1);
    if (z < 0 || z >= dim[0] || y < 0 || y >= dim[1] || x < 0 || x >= dim[2]) continue;
    size_t at = ((size_t)z * (size_t)dim[1] + (size_t)y) * (size_t)dim[2] + (size_t)x;
    classes[i] = voxels->label[at];
    for (int c = 0; c < channels; c++)
      image[c] += weight[i] * value_at(voxels->single, voxels->half, (int64_t)at * channels + c);
  }
  *label = corner_vote(classes, weight);
}

/* Up to CHUNK columns that are inside: first voxel and fractions. */
typedef struct Columns {
  int count;
  int64_t at[CHUNK]; /* of the corner nearest the origin, in voxels */
  float f[3][CHUNK];
} Columns;

static void locate(const Line *line, int first, Columns *columns) {
  const int *dim = line->voxels->dim;
  int64_t row = dim[2], slice = (int64_t)dim[1] * dim[2];
  for (int w = 0; w < columns->count; w++) {
    float z = coordinate(line, 0, first + w), y = coordinate(line, 1, first + w),
          x = coordinate(line, 2, first + w);
    int iz = (int)z, iy = (int)y, ix = (int)x; /* not negative: rounds down */
    columns->at[w] = iz * slice + iy * row + ix;
    columns->f[0][w] = z - (float)iz;
    columns->f[1][w] = y - (float)iy;
    columns->f[2][w] = x - (float)ix;
  }
}

/* One channel; the voxels are `stride` values apart. */
static inline __attribute__((always_inline)) void
read_values(const Columns *columns, const float *single, const _Float16 *half, const int dim[3],
            int stride, float *image) {
  const int64_t n = stride, row = (int64_t)dim[2] * n, slice = slice_step(dim) * n;
#pragma omp simd
  for (int w = 0; w < columns->count; w++) {
    float fz = columns->f[0][w], fy = columns->f[1][w], fx = columns->f[2][w], at[4];
    for (int i = 0; i < 4; i++) {
      int64_t from = columns->at[w] * n + (i & 2 ? slice : 0) + (i & 1 ? row : 0);
      float low = value_at(single, half, from), high = value_at(single, half, from + n);
      at[i] = low + fx * (high - low);
    }
    float near = at[0] + fy * (at[1] - at[0]), far = at[2] + fy * (at[3] - at[2]);
    image[w * stride] = near + fz * (far - near);
  }
}

static void read_image(const Columns *columns, const Voxels *voxels, int channel, float *image) {
  if (voxels->half)
    read_values(columns, NULL, voxels->half + channel, voxels->dim, voxels->channels, image);
  else
    read_values(columns, voxels->single + channel, NULL, voxels->dim, voxels->channels, image);
}

/* Most voxels lie within one structure: the eight labels are compared as four pairs. */
static void read_label(const Columns *columns, const uint8_t *data, const int dim[3],
                       int32_t *label) {
  const int64_t row = dim[2], slice = slice_step(dim);
  for (int w = 0; w < columns->count; w++) {
    const uint8_t *p = data + columns->at[w];
    uint16_t pair[4];
    memcpy(&pair[0], p, 2);
    memcpy(&pair[1], p + row, 2);
    memcpy(&pair[2], p + slice, 2);
    memcpy(&pair[3], p + slice + row, 2);
    if (pair[0] == p[0] * 0x101 && pair[1] == pair[0] && pair[2] == pair[0] && pair[3] == pair[0]) {
      label[w] = p[0];
      continue;
    }
    uint8_t classes[8];
    float weight[8], f[3] = {columns->f[0][w], columns->f[1][w], columns->f[2][w]};
    memcpy(classes, pair, 8);
    corner_weights(f, weight);
    label[w] = corner_vote(classes, weight);
  }
}

static void read_line(const Line *line, int columns, float *image, int32_t *label) {
  const Voxels *voxels = line->voxels;
  int channels = voxels->channels, first, past;
  find_inside(line, columns, &first, &past);
  for (int w = 0; w < first; w++) read_border(line, w, image + w * channels, label + w);
  for (int w = past; w < columns; w++) read_border(line, w, image + w * channels, label + w);
  for (int w = first; w < past; w += CHUNK) {
    Columns some = {.count = past - w < CHUNK ? past - w : CHUNK};
    locate(line, w, &some);
    for (int c = 0; c < channels; c++) read_image(&some, voxels, c, image + w * channels + c);
    read_label(&some, voxels->label, voxels->dim, label + w);
  }
}

void warp_read(const Warp *warp, const Voxels *voxels, const int origin[3], const int patch[3],
               float *image, int32_t *label) {
  if (!warp->moves) {
    copy(warp, voxels, origin, patch, image, label);
    return;
  }
  for (int d = 0; d < patch[0]; d++)
    for (int h = 0; h < patch[1]; h++) {
      double from[3] = {d - .5 * (patch[0] - 1), h - .5 * (patch[1] - 1), -.5 * (patch[2] - 1)};
      Line line = {.voxels = voxels};
      for (int axis = 0; axis < 3; axis++) {
        double start = origin[axis] + .5 * (patch[axis] - 1);
        for (int k = 0; k < 3; k++) start += warp->matrix[axis][k] * from[k];
        line.start[axis] = (float)start;
        line.step[axis] = (float)warp->matrix[axis][2];
      }
      size_t at = ((size_t)d * (size_t)patch[1] + (size_t)h) * (size_t)patch[2];
      read_line(&line, patch[2], image + at * (size_t)voxels->channels, label + at);
    }
}
