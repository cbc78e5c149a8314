#include "src/data/prepare/fit.h"

#include <math.h>
#include <string.h>

const char *const fit_names[FIT_KINDS] = {"none", "stretch", "pad"};

bool fit_parse(const char *name, FitKind *kind, Error *error) {
  *kind = FIT_NONE;
  for (int i = 0; name && i < FIT_KINDS; i++)
    if (!strcmp(name, fit_names[i])) *kind = (FitKind)i;
  return !name || !strcmp(name, fit_names[*kind]) ||
         fail(error, "fit = \"%s\": expected none, stretch or pad", name);
}

/* ---- where it lies --------------------------------------------------------------------------- */

/* The picture's part of the fitted one. */
static void held_size(FitKind kind, const int dim[3], const int size[3], int held[3]) {
  memcpy(held, size, 3 * sizeof *held);
  if (kind == FIT_STRETCH) return;
  bool high = (int64_t)dim[1] * size[2] >= (int64_t)dim[2] * size[1]; /* H decides */
  int full = high ? 1 : 2, other = 3 - full;
  int64_t rest = (int64_t)dim[other] * size[full] / dim[full];
  held[other] = rest < 1 ? 1 : (int)rest;
}

enum { SIDE_MOST = 1 << 16 };

bool fit_frame(FitKind kind, const Grid *file, const int size[3], Frame *frame, Error *error) {
  int held[3];
  for (int axis = 1; axis < 3; axis++)
    if (size[axis] < 1 || size[axis] > SIDE_MOST)
      return fail(error, "fit=%s: pictures of %d x %d pixels: expected sides of 1..%d",
                  fit_names[kind], size[1], size[2], SIDE_MOST);
  if (file->dim[0] != 1 || size[0] != 1)
    return fail(error,
                "fit=%s is for pictures, of one slice each, and a patch of 1,H,W; found %d slices "
                "and a patch of %d,%d,%d",
                fit_names[kind], file->dim[0], size[0], size[1], size[2]);
  held_size(kind, file->dim, size, held);
  *frame = frame_identity(file);
  frame->box_mm[0] = frame->mm[0] = FLAT_MM; /* nothing is across, whatever the file says */
  for (int axis = 1; axis < 3; axis++) {
    frame->dim[axis] = size[axis];
    frame->box_mm[axis] = 1;
    frame->mm[axis] = (double)file->dim[axis] / held[axis];
  }
  return true;
}

/* ---- the picture ----------------------------------------------------------------------------- */

/* What of `in` pixels the o-th of `out` is made of: weight[0 .. count-1] from `first` on. */
typedef struct Span {
  int first, count;
} Span;

static Span span_area(int in, int out, int o, float *weight) {
  double step = (double)in / out, low = o * step, high = (o + 1) * step;
  int first = (int)floor(low), past = (int)fmin(ceil(high - 1e-9), in);
  for (int i = first; i < past; i++)
    weight[i - first] = (float)((fmin(high, i + 1) - fmax(low, i)) / step);
  return (Span){first, past - first};
}

static Span span_line(int in, int out, int o, float *weight) {
  double at = fmin(fmax((o + .5) * in / out - .5, 0), in - 1);
  int below = (int)at;
  weight[0] = (float)(1 - (at - below));
  weight[1] = (float)(at - below);
  return (Span){below, below + 1 < in ? 2 : 1};
}

static Span span_of(int in, int out, int o, float *weight) {
  return out < in ? span_area(in, out, o, weight) : span_line(in, out, o, weight);
}

/* `lines` blocks of (in, inner) to blocks of (out, inner), `pitch` floats apart. weight (in + 1) is
 * scratch. */
static void axis_fit(const float *from, int lines, int in, int out, size_t inner, size_t pitch,
                     float *weight, float *to) {
  for (int o = 0; o < out; o++) {
    Span span = span_of(in, out, o, weight);
    for (int l = 0; l < lines; l++) {
      float *restrict value = to + (size_t)l * pitch + (size_t)o * inner;
      memset(value, 0, inner * sizeof *value);
      for (int i = 0; i < span.count; i++) {
        const float *source = from + ((size_t)l * (size_t)in + (size_t)(span.first + i)) * inner;
        for (size_t c = 0; c < inner; c++) value[c] += weight[i] * source[c];
      }
    }
  }
}

bool fit_image(const Frame *frame, const Image *source, Image *fitted, Error *error) {
  const int *dim = source->grid.dim;
  int held[3];
  frame_held(frame, held);
  Grid grid = grid_make(frame->dim, frame->mm);
  grid.remarks = source->grid.remarks;
  size_t channels = (size_t)source->channels, row = (size_t)frame->dim[2] * channels;
  int longest = dim[1] > dim[2] ? dim[1] : dim[2];
  float *narrow = malloc((size_t)dim[1] * (size_t)held[2] * channels * sizeof *narrow);
  float *weight = malloc(((size_t)longest + 2) * sizeof *weight);
  float *whole = malloc((size_t)held[1] * (size_t)held[2] * channels * sizeof *whole);
  bool good = (narrow && weight && whole) ||
              fail(error, "no memory to fit a picture of %dx%d pixels", dim[1], dim[2]);
  good = good && image_alloc(fitted, &grid, source->channels, error);
  if (good) {
    size_t inner = (size_t)held[2] * channels;
    axis_fit(source->data, dim[1], dim[2], held[2], channels, inner, weight, narrow);
    axis_fit(narrow, 1, dim[1], held[1], inner, 0, weight, whole);
    for (int h = 0; h < held[1]; h++)
      memcpy(fitted->data + (size_t)h * row, whole + (size_t)h * inner, inner * sizeof *whole);
  }
  free(narrow);
  free(weight);
  free(whole);
  return good;
}

/* ---- labels ---------------------------------------------------------------------------------- */

void fit_nearest(const Frame *frame, const void *source, size_t bytes, void *fitted) {
  const int *dim = frame->file.dim;
  int held[3];
  frame_held(frame, held);
  for (int h = 0; h < held[1]; h++)
    for (int w = 0; w < held[2]; w++) {
      size_t y = (size_t)((int64_t)h * dim[1] / held[1]),
             x = (size_t)((int64_t)w * dim[2] / held[2]);
      size_t from = y * (size_t)dim[2] + x, to = (size_t)h * (size_t)frame->dim[2] + (size_t)w;
      memcpy((char *)fitted + to * bytes, (const char *)source + from * bytes, bytes);
    }
}

bool fit_label(const Frame *frame, const LabelMap *source, LabelMap *fitted, Error *error) {
  Grid grid = grid_make(frame->dim, frame->mm);
  grid.remarks = source->grid.remarks;
  if (!label_alloc(fitted, &grid, error)) return false;
  fit_nearest(frame, source->data, 1, fitted->data);
  return true;
}

/* ---- colours --------------------------------------------------------------------------------- */

/* Of 8 bits in whole numbers with 14 behind the point, as OpenCV computes it. */
enum { SHIFT = 14, HALF = 1 << 13, MIDDLE = 128 << 14 };

static float byte_of(int scaled) {
  int value = (scaled + HALF) >> SHIFT;
  return (float)(value < 0 ? 0 : value > 255 ? 255 : value);
}

bool colours_ycrcb(Image *image, Error *error) {
  size_t pixels = grid_voxels(&image->grid);
  if (image->channels != 3)
    return fail(error, "colour=ycrcb wants pictures in three colours, found %d channel(s)",
                image->channels);
  for (size_t i = 0; i < pixels; i++) {
    float *at = image->data + 3 * i;
    for (int c = 0; c < 3; c++)
      if (!(at[c] >= 0 && at[c] <= 255))
        return fail(error, "colour=ycrcb wants pictures of 8 bits, 0 .. 255, found %g", at[c]);
    int r = (int)at[0], g = (int)at[1], b = (int)at[2];
    int y = (4899 * r + 9617 * g + 1868 * b + HALF) >> SHIFT;
    at[0] = (float)y;
    at[1] = byte_of((r - y) * 11682 + MIDDLE);
    at[2] = byte_of((b - y) * 9241 + MIDDLE);
  }
  return true;
}
