#include "src/data/batches/picture_change.h"
#include "src/data/batches/intensity.h"

#include <math.h>
#include <string.h>

/* ---- which ----------------------------------------------------------------------------------- */

int picture_steps(Rng *rng, PictureStep step[PICTURE_MOST]) {
  PictureStep all[PICTURE_STEPS];
  for (int i = 0; i < PICTURE_STEPS; i++) all[i] = (PictureStep)i;
  int count = (int)rng_below(rng, PICTURE_MOST + 1);
  for (int i = 0; i < count; i++) {
    int other = i + (int)rng_below(rng, (uint32_t)(PICTURE_STEPS - i));
    step[i] = all[other];
    all[other] = all[i];
  }
  return count;
}

/* ---- what moves pixels ----------------------------------------------------------------------- */

static double radians(Rng *rng, double most) {
  return M_PI / 180 * rng_between(rng, -most, most);
}

static void bend(const int size[2], Rng *rng, PictureMove *move) {
  double sd = rng_between(rng, .008, .03);
  move->bends = true;
  for (int axis = 0; axis < 2; axis++)
    for (int y = 0; y < BEND_POINTS; y++)
      for (int x = 0; x < BEND_POINTS; x++)
        move->grid[axis][y][x] = sd * size[axis] * rng_normal(rng);
}

bool picture_move(PictureStep step, const int size[2], Rng *rng, PictureMove *move) {
  double angle;
  *move = (PictureMove){.matrix = {{1, 0}, {0, 1}}};
  switch (step) {
  case PICTURE_FLIP_V:
  case PICTURE_FLIP_H:
    move->matrix[step == PICTURE_FLIP_H][step == PICTURE_FLIP_H] = -1;
    return rng_uniform(rng) < .5;
  case PICTURE_SCALE:
    for (int axis = 0; axis < 2; axis++) move->matrix[axis][axis] = 1 / rng_between(rng, .5, 2);
    return true;
  case PICTURE_ROTATE:
    angle = radians(rng, 40);
    move->matrix[0][0] = move->matrix[1][1] = cos(angle);
    move->matrix[0][1] = sin(angle), move->matrix[1][0] = -sin(angle);
    return true;
  case PICTURE_SHEAR: /* forth: x' = x - sin y, y' = cos y */
    angle = radians(rng, 16);
    move->matrix[0][0] = 1 / cos(angle);
    move->matrix[1][0] = tan(angle);
    return true;
  case PICTURE_BEND:
    bend(size, rng, move);
    return true;
  case PICTURE_SHIFT:
    for (int axis = 0; axis < 2; axis++)
      move->offset[axis] = size[axis] * rng_between(rng, -.2, .2);
    return true;
  default:
    return false;
  }
}

/* Between the grid's points, which lie on the picture's edges too. */
static double grid_at(const double grid[BEND_POINTS][BEND_POINTS], const double at[2]) {
  double v[2];
  int low[2];
  for (int axis = 0; axis < 2; axis++) {
    double place = fmin(fmax(at[axis], 0), 1) * (BEND_POINTS - 1);
    low[axis] = (int)fmin(place, BEND_POINTS - 2);
    v[axis] = place - low[axis];
  }
  const double *above = grid[low[0]] + low[1], *below = grid[low[0] + 1] + low[1];
  double top = above[0] + v[1] * (above[1] - above[0]);
  return top + v[0] * (below[0] + v[1] * (below[1] - below[0]) - top);
}

void picture_source(const PictureMove *move, int moves, const int size[2], int h, int w,
                    double at[2]) {
  const double half[2] = {.5 * (size[0] - 1), .5 * (size[1] - 1)};
  double p[2] = {h - half[0], w - half[1]};
  for (int i = moves - 1; i >= 0; i--) {
    const PictureMove *m = &move[i];
    double from[2] = {p[0], p[1]};
    double share[2] = {.5 + from[0] / fmax(2 * half[0], 1), .5 + from[1] / fmax(2 * half[1], 1)};
    for (int axis = 0; axis < 2; axis++)
      p[axis] = m->bends
                    ? from[axis] + grid_at(m->grid[axis], share)
                    : m->matrix[axis][0] * from[0] + m->matrix[axis][1] * from[1] + m->offset[axis];
  }
  at[0] = p[0] + half[0], at[1] = p[1] + half[1];
}

/* A picture and its labels as they were. */
typedef struct Before {
  const float *image;
  const int32_t *label;
  int size[2], channels;
  float least;
} Before;

static const float *pixel_of(const Before *b, int y, int x) {
  bool inside = y >= 0 && x >= 0 && y < b->size[0] && x < b->size[1];
  size_t at = (size_t)y * (size_t)b->size[1] + (size_t)x;
  return inside ? b->image + at * (size_t)b->channels : NULL;
}

static void pixel_read(const Before *b, const double at[2], float *image, int32_t *label) {
  int y = (int)floor(at[0]), x = (int)floor(at[1]);
  float v = (float)(at[0] - y), u = (float)(at[1] - x);
  const float weight[4] = {(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u};
  for (int c = 0; c < b->channels; c++) image[c] = 0;
  for (int i = 0; i < 4; i++) {
    const float *pixel = pixel_of(b, y + i / 2, x + i % 2);
    for (int c = 0; c < b->channels; c++) image[c] += weight[i] * (pixel ? pixel[c] : b->least);
  }
  y = (int)floor(at[0] + .5), x = (int)floor(at[1] + .5);
  bool inside = y >= 0 && x >= 0 && y < b->size[0] && x < b->size[1];
  *label = inside ? b->label[(size_t)y * (size_t)b->size[1] + (size_t)x] : 0;
}

static void move_all(const PictureMove *move, int moves, Before *b, float *scratch, float *image,
                     int32_t *label) {
  size_t pixels = (size_t)b->size[0] * (size_t)b->size[1], channels = (size_t)b->channels;
  memcpy(scratch, image, pixels * channels * sizeof *image);
  int32_t *labels = (int32_t *)(void *)(scratch + pixels * channels);
  memcpy(labels, label, pixels * sizeof *labels);
  b->image = scratch, b->label = labels;
  for (int h = 0; h < b->size[0]; h++)
    for (int w = 0; w < b->size[1]; w++, image += channels, label++) {
      double at[2];
      picture_source(move, moves, b->size, h, w, at);
      /* far outside is as outside as any */
      for (int axis = 0; axis < 2; axis++) at[axis] = fmin(fmax(at[axis], -9), b->size[axis] + 9);
      pixel_read(b, at, image, label);
    }
}

/* ---- what changes values --------------------------------------------------------------------- */

typedef struct Range {
  float least, most;
} Range;

static Range range_of(const float *value, size_t count) {
  Range r = {value[0], value[0]};
  for (size_t i = 1; i < count; i++) {
    if (value[i] < r.least) r.least = value[i];
    if (value[i] > r.most) r.most = value[i];
  }
  return r;
}

static void contrast(const Range *r, size_t pixels, int channels, Rng *rng, float *image) {
  float middle = .5f * (r->least + r->most), factor = 1;
  bool each = rng_uniform(rng) < .5;
  for (int c = 0; c < channels; c++) {
    if (c == 0 || each) factor = (float)rng_between(rng, .5, 1.5);
    for (size_t i = 0; i < pixels; i++) {
      float *v = &image[i * (size_t)channels + (size_t)c];
      *v = fminf(fmaxf(middle + factor * (*v - middle), r->least), r->most);
    }
  }
}

static void noise(const Range *r, size_t values, Rng *rng, float *image) {
  double sd = 1.275 / 255 * ((double)r->most - r->least);
  for (size_t i = 0; i < values; i++) {
    float v = image[i] + (float)(sd * rng_normal(rng));
    image[i] = fminf(fmaxf(v, r->least), r->most);
  }
}

static void blur(const int size[2], int channels, float *scratch, float *image) {
  size_t pixels = (size_t)size[0] * (size_t)size[1], n = (size_t)channels;
  Plane plane = {.value = scratch, .spare = scratch + pixels, .dim = {1, size[0], size[1]}};
  if (channels == 1) plane.value = image, plane.spare = scratch;
  for (size_t c = 0; c < n; c++) {
    for (size_t i = 0; n > 1 && i < pixels; i++) plane.value[i] = image[i * n + c];
    intensity_blur(&plane, (double[3]){1, 1, 1});
    for (size_t i = 0; n > 1 && i < pixels; i++) image[i * n + c] = plane.value[i];
  }
}

void picture_change(const int size[2], int channels, Rng *rng, float *scratch, float *image,
                    int32_t *label) {
  PictureStep step[PICTURE_MOST];
  PictureMove move[PICTURE_MOST];
  size_t pixels = (size_t)size[0] * (size_t)size[1], values = pixels * (size_t)channels;
  Range range = range_of(image, values);
  int steps = picture_steps(rng, step), moves = 0;
  for (int i = 0; i < steps; i++) moves += picture_move(step[i], size, rng, &move[moves]);
  Before before = {.size = {size[0], size[1]}, .channels = channels, .least = range.least};
  if (moves) move_all(move, moves, &before, scratch, image, label);
  for (int i = 0; i < steps; i++) {
    if (step[i] == PICTURE_NOISE) noise(&range, values, rng, image);
    if (step[i] == PICTURE_BLUR) blur(size, channels, scratch, image);
    if (step[i] == PICTURE_CONTRAST) contrast(&range, pixels, channels, rng, image);
  }
}
