#include "src/data/batches/intensity.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/volumes/normals.h"
#include "kernels/volumes/patch_math.h"

#include <math.h>

static size_t voxels(const Plane *plane) {
  return (size_t)plane->dim[0] * (size_t)plane->dim[1] * (size_t)plane->dim[2];
}

typedef struct Statistics {
  double mean, sd;
  float low, high;
} Statistics;

static Statistics statistics(const Plane *plane) {
  const float *v = plane->value;
  size_t count = voxels(plane);
  double sum = 0, square = 0;
  float low = v[0], high = v[0], origin = v[0]; /* a large mean must not swallow the variance */
#pragma omp simd reduction(+ : sum, square) reduction(min : low) reduction(max : high)
  for (size_t i = 0; i < count; i++) {
    double x = (double)(v[i] - origin);
    sum += x;
    square += x * x;
    low = v[i] < low ? v[i] : low;
    high = v[i] > high ? v[i] : high;
  }
  double mean = sum / (double)count;
  double sd = sqrt(fmax(square / (double)count - mean * mean, 0));
  return (Statistics){.mean = mean + (double)origin, .sd = sd, .low = low, .high = high};
}

/* ---- voxel by voxel -------------------------------------------------------------------------- */

void intensity_noise(const Plane *plane, double sd, Rng *rng) {
  size_t count = voxels(plane);
  rng_normals(rng, plane->spare, count);
  for (size_t i = 0; i < count; i++) plane->value[i] += (float)sd * plane->spare[i];
}

void intensity_brightness(const Plane *plane, double factor) {
  size_t count = voxels(plane);
  for (size_t i = 0; i < count; i++) plane->value[i] *= (float)factor;
}

void intensity_contrast(const Plane *plane, double factor) {
  size_t count = voxels(plane);
  Statistics s = statistics(plane);
  float f = (float)factor, mean = (float)s.mean;
  for (size_t i = 0; i < count; i++) {
    float v = (plane->value[i] - mean) * f + mean;
    v = v < s.low ? s.low : v;
    plane->value[i] = v > s.high ? s.high : v;
  }
}

/* x -> x^exponent on the range scaled to [0, 1], from the top when inverted. */
static void curve(const Plane *plane, const Statistics *s, float exponent, bool inverted) {
  size_t count = voxels(plane);
  float range = s->high - s->low, sign = inverted ? -1 : 1;
  float origin = inverted ? s->high : s->low, scale = sign / (range > 1e-7f ? range : 1e-7f);
#pragma omp simd
  for (size_t i = 0; i < count; i++) {
    float t = (plane->value[i] - origin) * scale + 1e-30f; /* not negative; log wants above 0 */
    float power = simd_exp(exponent * simd_log(t));
    plane->value[i] = origin + sign * range * power;
  }
}

void intensity_gamma(const Plane *plane, double exponent, bool inverted) {
  size_t count = voxels(plane);
  Statistics before = statistics(plane);
  curve(plane, &before, (float)exponent, inverted);
  Statistics after = statistics(plane);
  float scale = (float)(before.sd / fmax(after.sd, 1e-7));
  float mean = (float)before.mean, away = (float)after.mean;
  for (size_t i = 0; i < count; i++) plane->value[i] = (plane->value[i] - away) * scale + mean;
}

/* ---- blur ------------------------------------------------------------------------------------ */

static void blur_row(const Gaussian *g, float *row, int n) {
  float padded[PATCH_EDGE_MAX + 2 * BLUR_RADIUS];
  for (int i = -g->radius; i < n + g->radius; i++) padded[i + g->radius] = row[reflect(i, n)];
  for (int w = 0; w < n; w++) row[w] = 0;
  for (int k = 0; k <= 2 * g->radius; k++)
    for (int w = 0; w < n; w++) row[w] += g->weight[k] * padded[w + k];
}

/* Along an axis of `size` items of `inner` floats each. */
static void blur_rows(const Gaussian *g, const float *from, float *to, int size, size_t inner) {
  for (int at = 0; at < size; at++) {
    float *restrict out = to + (size_t)at * inner;
    const float *centre = from + (size_t)at * inner;
    for (size_t i = 0; i < inner; i++) out[i] = g->weight[g->radius] * centre[i];
    for (int k = 1; k <= g->radius; k++) {
      const float *low = from + (size_t)reflect(at - k, size) * inner;
      const float *high = from + (size_t)reflect(at + k, size) * inner;
      for (size_t i = 0; i < inner; i++) out[i] += g->weight[g->radius + k] * (low[i] + high[i]);
    }
  }
}

void intensity_blur(const Plane *plane, const double sigma[3]) {
  const int *dim = plane->dim;
  size_t row = (size_t)dim[2], slice = (size_t)dim[1] * row;
  Gaussian g[3] = {gaussian_make(sigma[0]), gaussian_make(sigma[1]), gaussian_make(sigma[2])};
  for (size_t at = 0; at < voxels(plane); at += row) blur_row(&g[2], plane->value + at, dim[2]);
  for (size_t at = 0; at < voxels(plane); at += slice)
    blur_rows(&g[1], plane->value + at, plane->spare + at, dim[1], row);
  blur_rows(&g[0], plane->spare, plane->value, dim[0], slice);
}

/* ---- low resolution -------------------------------------------------------------------------- */

/* One axis: which of the axis' voxels are kept, and between which two of these each voxel lies. */
typedef struct Coarse {
  int size;
  int kept[PATCH_EDGE_MAX];
  int below[PATCH_EDGE_MAX], above[PATCH_EDGE_MAX]; /* of the kept ones */
  float share[PATCH_EDGE_MAX];                      /* of the one above */
} Coarse;

static void coarse_make(Coarse *coarse, int n, double zoom) {
  int size = coarse->size = coarse_size(n, zoom);
  for (int i = 0; i < size; i++) coarse->kept[i] = coarse_kept(i, n, size);
  for (int i = 0; i < n; i++)
    coarse->share[i] = coarse_place(i, n, size, &coarse->below[i], &coarse->above[i]);
}

/* The kept rows, already fine along W: spare (kept D, kept H, W). */
static void coarse_rows(const Plane *plane, const Coarse axis[3]) {
  const int *dim = plane->dim;
  int from[PATCH_EDGE_MAX], to[PATCH_EDGE_MAX];
  for (int w = 0; w < dim[2]; w++)
    from[w] = axis[2].kept[axis[2].below[w]], to[w] = axis[2].kept[axis[2].above[w]];
  float *restrict out = plane->spare;
  for (int d = 0; d < axis[0].size; d++)
    for (int h = 0; h < axis[1].size; h++, out += dim[2]) {
      const float *row =
          plane->value +
          ((size_t)axis[0].kept[d] * (size_t)dim[1] + (size_t)axis[1].kept[h]) * (size_t)dim[2];
      for (int w = 0; w < dim[2]; w++)
        out[w] = row[from[w]] + axis[2].share[w] * (row[to[w]] - row[from[w]]);
    }
}

void intensity_low_resolution(const Plane *plane, const double zoom[3]) {
  const int *dim = plane->dim;
  Coarse axis[3];
  for (int a = 0; a < 3; a++) coarse_make(&axis[a], dim[a], zoom[a]);
  coarse_rows(plane, axis);
  size_t row = (size_t)dim[2], slice = (size_t)axis[1].size * row;
  float *restrict out = plane->value;
  for (int d = 0; d < dim[0]; d++)
    for (int h = 0; h < dim[1]; h++, out += row) {
      const float *near = plane->spare + (size_t)axis[0].below[d] * slice;
      const float *far = plane->spare + (size_t)axis[0].above[d] * slice;
      size_t low = (size_t)axis[1].below[h] * row, high = (size_t)axis[1].above[h] * row;
      float fd = axis[0].share[d], fh = axis[1].share[h];
      for (size_t w = 0; w < row; w++) {
        float a = near[low + w] + fh * (near[high + w] - near[low + w]);
        float b = far[low + w] + fh * (far[high + w] - far[low + w]);
        out[w] = a + fd * (b - a);
      }
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

typedef enum Amount { UNIFORM, EITHER_SIDE, EACH_AXIS, NOT_THIN } Amount;

static const struct {
  double sample, channel; /* probabilities */
  Amount kind;
  double low, high;
  bool shared; /* by all channels */
} steps[STEP_COUNT] = {
    [STEP_NOISE] = {0.1, 1, UNIFORM, 0, 0.1, true},
    [STEP_BLUR] = {0.2, 0.5, EACH_AXIS, 0.5, 1, false},
    [STEP_BRIGHTNESS] = {0.15, 1, EITHER_SIDE, 0.75, 1.25, false},
    [STEP_CONTRAST] = {0.15, 1, EITHER_SIDE, 0.75, 1.25, false},
    [STEP_LOW_RESOLUTION] = {0.25, 0.5, NOT_THIN, 0.5, 1, false},
    [STEP_GAMMA_INVERTED] = {0.1, 1, EITHER_SIDE, 0.7, 1.5, false},
    [STEP_GAMMA] = {0.3, 1, EITHER_SIDE, 0.7, 1.5, false},
};

bool intensity_happens(IntensityStep step, Rng *rng) {
  return rng_uniform(rng) < steps[step].sample;
}

bool intensity_draw(IntensityStep step, int thin, Rng *rng, IntensityDraw *draw) {
  double low = steps[step].low, high = steps[step].high;
  if (rng_uniform(rng) >= steps[step].channel) return false;
  if (steps[step].shared && draw->drawn) return true;
  draw->drawn = true;
  if (steps[step].kind == EITHER_SIDE) {
    bool below = rng_uniform(rng) < 0.5;
    if (below) high = 1;
    if (!below) low = 1;
  }
  for (int axis = 0; axis < 3; axis++) {
    bool fresh = axis == 0 || steps[step].kind == EACH_AXIS;
    draw->amount[axis] = fresh ? rng_between(rng, low, high) : draw->amount[0];
  }
  if (steps[step].kind == NOT_THIN && thin >= 0) draw->amount[thin] = 1;
  return true;
}

const PlaneOps plane_ops_host = {.noise = intensity_noise,
                                 .blur = intensity_blur,
                                 .brightness = intensity_brightness,
                                 .contrast = intensity_contrast,
                                 .low_resolution = intensity_low_resolution,
                                 .gamma = intensity_gamma};

static void apply(const PlaneOps *ops, IntensityStep step, const Plane *plane,
                  const double amount[3], Rng *rng) {
  if (step == STEP_NOISE) ops->noise(plane, amount[0], rng);
  if (step == STEP_BLUR) ops->blur(plane, amount);
  if (step == STEP_BRIGHTNESS) ops->brightness(plane, amount[0]);
  if (step == STEP_CONTRAST) ops->contrast(plane, amount[0]);
  if (step == STEP_LOW_RESOLUTION) ops->low_resolution(plane, amount);
  if (step == STEP_GAMMA_INVERTED) ops->gamma(plane, amount[0], true);
  if (step == STEP_GAMMA) ops->gamma(plane, amount[0], false);
}

void intensity_change(const PlaneOps *ops, const Plane *first, int channels, int thin, Rng *rng) {
  Plane plane = *first;
  for (IntensityStep step = 0; step < STEP_COUNT; step++) {
    IntensityDraw draw = {.drawn = false};
    if (!intensity_happens(step, rng)) continue;
    for (int c = 0; c < channels; c++) {
      plane.value = first->value + (size_t)c * voxels(&plane);
      if (intensity_draw(step, thin, rng, &draw)) apply(ops, step, &plane, draw.amount, rng);
    }
  }
}
