#include "src/data/prepare/resample.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* LANES lines are worked on side by side, so that the recursions along a line vectorise. PAD
 * repeats of the border stand for its endless continuation: the filter forgets by 0.27 a step. */
enum { LANES = 16, PAD = 12 };

/* ---- grids ----------------------------------------------------------------------------------- */

static int coarse_axis(const double mm[3]) {
  double low = fmin(mm[0], fmin(mm[1], mm[2])), high = fmax(mm[0], fmax(mm[1], mm[2]));
  if (high / low <= 3) return -1;
  int found = -1, count = 0;
  for (int axis = 0; axis < 3; axis++)
    if (mm[axis] == high) found = axis, count++;
  return count == 1 ? found : -2;
}

int resample_separate_axis(const double from_mm[3], const double to_mm[3]) {
  int axis = coarse_axis(from_mm);
  if (axis == -1) axis = coarse_axis(to_mm);
  return axis < 0 ? -1 : axis;
}

void resample_orders(const double from_mm[3], const double to_mm[3], Interpolation in_plane,
                     Interpolation order[3]) {
  int separate = resample_separate_axis(from_mm, to_mm);
  for (int axis = 0; axis < 3; axis++) order[axis] = axis == separate ? NEAREST : in_plane;
}

void resample_dim(const int dim[3], const double from_mm[3], const double to_mm[3], int out[3]) {
  for (int axis = 0; axis < 3; axis++) {
    double size = rint(from_mm[axis] / to_mm[axis] * dim[axis]);
    out[axis] = size > RESAMPLED_MOST ? RESAMPLED_MOST : size > 1 ? (int)size : 1;
  }
}

/* The product is rounded before 0.5 is taken away, not fused with it, as in SciPy: what lies in the
 * middle between two voxels does for both. */
static double coordinate(int i, int size, int out_size) {
  volatile double scaled = (i + 0.5) * ((double)size / out_size);
  return scaled - 0.5;
}

static int clamp(int i, int size) {
  return i < 0 ? 0 : i < size ? i : size - 1;
}

void resample_taps(int size, int out_size, Interpolation order, Tap *tap) {
  for (int i = 0; i < out_size; i++) {
    double at = coordinate(i, size, out_size);
    int below = (int)floor(order == NEAREST ? at + 0.5 : at);
    tap[i] = (Tap){clamp(below, size), clamp(order == NEAREST ? below : below + 1, size),
                   order == NEAREST ? 0 : at - below};
  }
}

/* ---- values ---------------------------------------------------------------------------------- */

/* One axis of an array as lines: line l starts at (l / inner) * size * inner + l % inner and goes
 * on in strides of inner. */
typedef struct Axis {
  int size, out_size;
  size_t inner, lines;
  Interpolation order;
} Axis;

static Axis axis_of(const int dim[3], int axis, int channels, int out_size, Interpolation order) {
  Axis a = {dim[axis], out_size, (size_t)channels, (size_t)channels, order};
  for (int i = 0; i < 3; i++) {
    if (i > axis) a.inner *= (size_t)dim[i];
    if (i != axis) a.lines *= (size_t)dim[i];
  }
  return a;
}

/* line (PAD + size + PAD, LANES) from LANES lines, the border repeated. */
static void gather(const Axis *axis, const float *in, size_t first, int lanes, double *line) {
  double *inside = line + PAD * LANES;
  for (int lane = 0; lane < lanes; lane++) {
    size_t l = first + (size_t)lane;
    const float *from = in + l / axis->inner * (size_t)axis->size * axis->inner + l % axis->inner;
    for (int i = 0; i < axis->size; i++) inside[i * LANES + lane] = from[(size_t)i * axis->inner];
  }
  const double *last = inside + (axis->size - 1) * LANES;
  for (int i = 0; i < PAD; i++) {
    memcpy(line + i * LANES, inside, LANES * sizeof *line);
    memcpy(inside + (axis->size + i) * LANES, last, LANES * sizeof *line);
  }
}

/* Values to B-spline coefficients in place (Unser 1999, box 2), with both ends at rest. */
static void prefilter(double *line, int length) {
  const double pole = sqrt(3.0) - 2;
  double *end = line + (length - 1) * LANES, rest[LANES];
  for (int lane = 0; lane < LANES; lane++) {
    rest[lane] = end[lane];
    line[lane] *= 6 / (1 - pole);
  }
  for (int i = 1; i < length; i++)
    for (int lane = 0; lane < LANES; lane++)
      line[i * LANES + lane] = 6 * line[i * LANES + lane] + pole * line[(i - 1) * LANES + lane];
  for (int lane = 0; lane < LANES; lane++) end[lane] = rest[lane];
  for (int i = length - 2; i >= 0; i--)
    for (int lane = 0; lane < LANES; lane++)
      line[i * LANES + lane] = pole * (line[(i + 1) * LANES + lane] - line[i * LANES + lane]);
}

/* Up to four neighbours of an output voxel along the padded line, from `first` on. */
typedef struct Stencil {
  int first;
  double weight[4];
} Stencil;

static Stencil stencil_of(double at, Interpolation order) {
  if (order == NEAREST) return (Stencil){PAD + (int)floor(at + 0.5), {1, 0, 0, 0}};
  int below = (int)floor(at);
  double t = at - below, s = 1 - t;
  if (order == LINEAR) return (Stencil){PAD + below, {s, t, 0, 0}};
  return (Stencil){PAD + below - 1,
                   {s * s * s / 6, (4 - 6 * t * t + 3 * t * t * t) / 6,
                    (4 - 6 * s * s + 3 * s * s * s) / 6, t * t * t / 6}};
}

static void scatter(const Axis *axis, const double *line, const Stencil *stencil, size_t first,
                    int lanes, float *out) {
  for (int i = 0; i < axis->out_size; i++) {
    const double *from = line + stencil[i].first * LANES, *weight = stencil[i].weight;
    double sum[LANES];
    for (int lane = 0; lane < LANES; lane++)
      sum[lane] = weight[0] * from[lane] + weight[1] * from[LANES + lane] +
                  weight[2] * from[2 * LANES + lane] + weight[3] * from[3 * LANES + lane];
    for (int lane = 0; lane < lanes; lane++) {
      size_t l = first + (size_t)lane;
      size_t start = l / axis->inner * (size_t)axis->out_size * axis->inner + l % axis->inner;
      out[start + (size_t)i * axis->inner] = (float)sum[lane];
    }
  }
}

static bool axis_resample(const Axis *axis, const float *in, float *out, Error *error) {
  int length = axis->size + 2 * PAD;
  size_t room = (size_t)length * LANES + 4 * LANES, threads = (size_t)omp_get_max_threads();
  double *line = calloc(room * threads, sizeof *line);
  Stencil *stencil = malloc((size_t)axis->out_size * sizeof *stencil);
  bool good = line && stencil;
  if (good) {
    for (int i = 0; i < axis->out_size; i++)
      stencil[i] = stencil_of(coordinate(i, axis->size, axis->out_size), axis->order);
#pragma omp parallel for
    for (size_t first = 0; first < axis->lines; first += LANES) {
      double *mine = line + room * (size_t)omp_get_thread_num();
      int lanes = axis->lines - first < LANES ? (int)(axis->lines - first) : LANES;
      gather(axis, in, first, lanes, mine);
      if (axis->order == CUBIC) prefilter(mine, length);
      scatter(axis, mine, stencil, first, lanes, out);
    }
  } else
    fail(error, "out of memory: no room to resample %d voxels to %d", axis->size, axis->out_size);
  free(line);
  free(stencil);
  return good;
}

/* The range of one slice along `axis` (of all voxels for -1), per channel. */
static void range_of(const float *in, const int dim[3], int channels, int axis, int slice,
                     int channel, float *low, float *high) {
  int first[3] = {0, 0, 0}, past[3] = {dim[0], dim[1], dim[2]};
  if (axis >= 0) first[axis] = slice, past[axis] = slice + 1;
  *low = HUGE_VALF, *high = -HUGE_VALF;
  for (int d = first[0]; d < past[0]; d++)
    for (int h = first[1]; h < past[1]; h++)
      for (int w = first[2]; w < past[2]; w++) {
        float v = in[(((size_t)d * (size_t)dim[1] + (size_t)h) * (size_t)dim[2] + (size_t)w) *
                         (size_t)channels +
                     (size_t)channel];
        *low = fminf(*low, v), *high = fmaxf(*high, v);
      }
}

/* Splines overshoot: back into the range of what they came from. dim: of the input; out_dim: of the
 * array to be clipped, equal along `axis`. */
static void clip(const float *in, const int dim[3], int channels, const int out_dim[3], int axis,
                 float *out) {
  int slices = axis < 0 ? 1 : dim[axis];
#pragma omp parallel for collapse(2)
  for (int slice = 0; slice < slices; slice++)
    for (int channel = 0; channel < channels; channel++) {
      float low, high;
      range_of(in, dim, channels, axis, slice, channel, &low, &high);
      int first[3] = {0, 0, 0}, past[3] = {out_dim[0], out_dim[1], out_dim[2]};
      if (axis >= 0) first[axis] = slice, past[axis] = slice + 1;
      for (int d = first[0]; d < past[0]; d++)
        for (int h = first[1]; h < past[1]; h++)
          for (int w = first[2]; w < past[2]; w++) {
            float *v = &out[(((size_t)d * (size_t)out_dim[1] + (size_t)h) * (size_t)out_dim[2] +
                             (size_t)w) *
                                (size_t)channels +
                            (size_t)channel];
            *v = fminf(fmaxf(*v, low), high);
          }
    }
}

/* The axes in the order they are worked on: cubic before nearest (its range is a slice's), and what
 * shrinks most first. */
static void passes_sort(const int dim[3], const int out_dim[3], const Interpolation order[3],
                        int pass[3]) {
  double rank[3];
  for (int axis = 0; axis < 3; axis++) {
    pass[axis] = axis;
    rank[axis] = (double)out_dim[axis] / dim[axis] + (order[axis] == CUBIC ? 0 : 1e6);
  }
  for (int i = 0; i < 3; i++)
    for (int k = 2; k > i; k--)
      if (rank[pass[k]] < rank[pass[k - 1]]) {
        int swapped = pass[k];
        pass[k] = pass[k - 1];
        pass[k - 1] = swapped;
      }
}

static bool passes_run(const float *in, const int dim[3], int channels, const int out_dim[3],
                       const Interpolation order[3], float *scratch[2], float *out, Error *error) {
  int pass[3], now[3] = {dim[0], dim[1], dim[2]}, separate = -1, left = 0, cubic = 0, used = 0;
  passes_sort(dim, out_dim, order, pass);
  for (int axis = 0; axis < 3; axis++) {
    if (order[axis] == NEAREST) separate = axis;
    left += dim[axis] != out_dim[axis];
    cubic += order[axis] == CUBIC && dim[axis] != out_dim[axis];
  }
  const float *from = in;
  for (int i = 0; i < 3; i++) {
    int axis = pass[i];
    if (now[axis] == out_dim[axis]) continue;
    Axis lines = axis_of(now, axis, channels, out_dim[axis], order[axis]);
    size_t values = lines.lines * (size_t)out_dim[axis];
    float *to = --left ? scratch[used++] = malloc(values * sizeof(float)) : out;
    if (!to) return fail(error, "out of memory: no room to resample %zu values", values);
    if (!axis_resample(&lines, from, to, error)) return false;
    now[axis] = out_dim[axis];
    if (order[axis] == CUBIC && !--cubic) clip(in, dim, channels, now, separate, to);
    from = to;
  }
  return true;
}

bool resample_values(const float *in, const int dim[3], int channels, const int out_dim[3],
                     const Interpolation order[3], float *out, Error *error) {
  if (!memcmp(dim, out_dim, 3 * sizeof *dim)) {
    memcpy(out, in,
           (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2] * (size_t)channels * sizeof *out);
    return true;
  }
  float *scratch[2] = {NULL, NULL};
  bool good = passes_run(in, dim, channels, out_dim, order, scratch, out, error);
  free(scratch[0]);
  free(scratch[1]);
  return good;
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* Sums of the same weights in another order are no different votes. */
static const double TIE = 1e-9;

/* The label of eight corners with their weights: the rule of resample_labels. */
static uint8_t label_vote(const uint8_t corner[8], const double weight[8], uint8_t nearest) {
  double sum[8], most = 0;
  for (int i = 0; i < 8; i++) {
    sum[i] = 0;
    for (int k = 0; k < 8; k++) sum[i] += corner[k] == corner[i] ? weight[k] : 0;
    most = sum[i] > most ? sum[i] : most;
  }
  int smallest = UINT8_MAX;
  for (int i = 0; i < 8; i++) {
    if (sum[i] < most - TIE) continue;
    if (corner[i] == nearest) return nearest;
    smallest = corner[i] < smallest ? corner[i] : smallest;
  }
  return (uint8_t)smallest;
}

static void row_labels(const uint8_t *in, const int dim[3], const Tap *d, const Tap *h,
                       const Tap *w, int width, uint8_t *out) {
  const uint8_t *row[4];
  const double plane[4] = {(1 - d->share) * (1 - h->share), (1 - d->share) * h->share,
                           d->share * (1 - h->share), d->share * h->share};
  for (int i = 0; i < 4; i++)
    row[i] = in + ((size_t)(i & 2 ? d->above : d->below) * (size_t)dim[1] +
                   (size_t)(i & 1 ? h->above : h->below)) *
                      (size_t)dim[2];
  const int near_row = (d->share >= 0.5) * 4 + (h->share >= 0.5) * 2;
  for (int x = 0; x < width; x++) {
    uint8_t corner[8];
    double weight[8];
    int differs = 0;
    for (int i = 0; i < 4; i++) {
      corner[2 * i] = row[i][w[x].below], corner[2 * i + 1] = row[i][w[x].above];
      weight[2 * i] = plane[i] * (1 - w[x].share), weight[2 * i + 1] = plane[i] * w[x].share;
      differs |= (corner[2 * i] ^ corner[0]) | (corner[2 * i + 1] ^ corner[0]);
    }
    out[x] =
        differs ? label_vote(corner, weight, corner[near_row + (w[x].share >= 0.5)]) : corner[0];
  }
}

void resample_labels(const uint8_t *in, const int dim[3], const int out_dim[3],
                     const Interpolation order[3], uint8_t *out) {
  Tap *tap[3];
  for (int axis = 0; axis < 3; axis++) {
    tap[axis] = malloc((size_t)out_dim[axis] * sizeof(Tap));
    CHECK(tap[axis], "out of memory for %d taps", out_dim[axis]);
    resample_taps(dim[axis], out_dim[axis], order[axis], tap[axis]);
  }
#pragma omp parallel for
  for (int d = 0; d < out_dim[0]; d++)
    for (int h = 0; h < out_dim[1]; h++)
      row_labels(in, dim, &tap[0][d], &tap[1][h], tap[2], out_dim[2],
                 out + ((size_t)d * (size_t)out_dim[1] + (size_t)h) * (size_t)out_dim[2]);
  for (int axis = 0; axis < 3; axis++) free(tap[axis]);
}
