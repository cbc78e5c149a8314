#include "src/data/predict/sliding_window.h"
#include "kernels/volumes/volume_ops.h"

#include <math.h>
#include <string.h>

enum { ORIGINS_MAX = 4096 };

typedef struct Window {
  int origin[3]; /* may be negative: the volume is smaller than the patch */
  int flip;      /* bit per axis */
} Window;

/* All windows of a volume and the buffers to run them; owned by sliding_window. */
typedef struct Sweep {
  const Image *image;
  const WindowOptions *options;
  Window *window;
  int windows;
  float *axis_weight[3]; /* Gaussian along D, H, W */
  float *patches, *predicted;
  /* The slab: planes base .. base + planes - 1. Those before `divided` are means already. */
  float *maps;  /* (planes,H,W,classes) */
  float *total; /* (planes,H,W), sum of weights */
  int base, planes, divided;
  /* With a device maps, total and axis_weight are its; maps and total change places with the spare
   * ones when the slab moves on. */
  const Backend *backend;
  float *spare_maps, *spare_total;
  TakeSlab take;
  void *take_user;
} Sweep;

int window_origins(int size, int patch, double step, int *origin, int capacity) {
  if (size <= patch) {
    origin[0] = -((patch - size) / 2);
    return 1;
  }
  int count = (int)ceil((size - patch) / fmax(patch * step, 1)) + 1; /* no place twice */
  if (count > capacity) return 0;
  double actual = (double)(size - patch) / (count - 1);
  for (int i = 0; i < count; i++) origin[i] = (int)rint(actual * i);
  return count;
}

static bool windows_list(Sweep *sweep, Error *error) {
  static _Thread_local int origin[3][ORIGINS_MAX];
  const WindowOptions *options = sweep->options;
  int count[3], flips = 0;
  for (int axis = 0; axis < 3; axis++) {
    count[axis] = window_origins(sweep->image->grid.dim[axis], options->patch[axis], options->step,
                                 origin[axis], ORIGINS_MAX);
    if (!count[axis])
      return fail(error, "step %g of a patch edge %d needs too many windows", options->step,
                  options->patch[axis]);
    if (options->patch[axis] > 1)
      flips |= options->mirror[axis] << axis; /* else it stays as it is */
  }
  size_t most = (size_t)count[0] * (size_t)count[1] * (size_t)count[2] * 8;
  sweep->window = malloc(most * sizeof(Window));
  if (!sweep->window) return fail(error, "out of memory for %zu windows", most);
  for (int d = 0; d < count[0]; d++)
    for (int h = 0; h < count[1]; h++)
      for (int w = 0; w < count[2]; w++)
        for (int flip = 0; flip < 8; flip++)
          if (!(flip & ~flips))
            sweep->window[sweep->windows++] =
                (Window){{origin[0][d], origin[1][h], origin[2][w]}, flip};
  return true;
}

/* exp(-x^2 / 2 sigma^2) around the middle voxel, sigma = size/8. At the edge it is exp(-8), so no
 * product of three underflows and nothing is left to lift above zero in single precision. */
static void gaussian(int size, float *weight) {
  double sigma = size / 8.0;
  for (int i = 0; i < size; i++) {
    double x = (i - size / 2) / sigma;
    weight[i] = (float)exp(-0.5 * x * x);
  }
}

/* Zeros. */
static float *floats_alloc(const Sweep *sweep, size_t count) {
  if (!sweep->backend) return calloc(count, sizeof(float));
  float *memory = sweep->backend->alloc(count * sizeof(float));
  if (memory) sweep->backend->device->zero(memory, count * sizeof(float));
  return memory;
}

static void floats_free(const Sweep *sweep, float *memory) {
  if (sweep->backend && memory) sweep->backend->release(memory);
  if (!sweep->backend) free(memory);
}

static bool weights_make(Sweep *sweep, Error *error) {
  for (int axis = 0; axis < 3; axis++) {
    int size = sweep->options->patch[axis];
    float *weight = malloc((size_t)size * sizeof(float));
    sweep->axis_weight[axis] = floats_alloc(sweep, (size_t)size);
    bool good = weight && sweep->axis_weight[axis];
    if (good) gaussian(size, weight);
    if (good && sweep->backend)
      sweep->backend->device->copy_in(sweep->axis_weight[axis], weight,
                                      (size_t)size * sizeof(float));
    else if (good)
      memcpy(sweep->axis_weight[axis], weight, (size_t)size * sizeof(float));
    free(weight);
    if (!good) return fail(error, "out of memory for the window's weights");
  }
  return true;
}

static bool buffers_make(Sweep *sweep, Error *error) {
  const WindowOptions *options = sweep->options;
  const int *dim = sweep->image->grid.dim;
  size_t patch = (size_t)options->batch;
  for (int axis = 0; axis < 3; axis++) patch *= (size_t)options->patch[axis];
  if (!weights_make(sweep, error)) return false;
  sweep->planes = (dim[0] < options->patch[0] ? dim[0] : options->patch[0]) + 1;
  size_t slab = (size_t)sweep->planes * (size_t)dim[1] * (size_t)dim[2];
  size_t maps = slab * (size_t)options->classes;
  sweep->total = floats_alloc(sweep, slab);
  sweep->maps = floats_alloc(sweep, maps);
  sweep->patches = malloc(patch * (size_t)sweep->image->channels * sizeof(float));
  bool good = sweep->total && sweep->maps && sweep->patches;
  if (sweep->backend) {
    sweep->spare_total = floats_alloc(sweep, slab);
    sweep->spare_maps = floats_alloc(sweep, maps);
    good = good && sweep->spare_total && sweep->spare_maps;
  } else {
    sweep->predicted = malloc(patch * (size_t)options->classes * sizeof(float));
    good = good && sweep->predicted;
  }
  if (good) return true;
  return fail(error, "out of memory for %d window(s) of %dx%dx%d and %d class maps of %dx%dx%d",
              options->batch, options->patch[0], options->patch[1], options->patch[2],
              options->classes, sweep->planes, dim[1], dim[2]);
}

static void buffers_free(Sweep *sweep) {
  for (int axis = 0; axis < 3; axis++) floats_free(sweep, sweep->axis_weight[axis]);
  floats_free(sweep, sweep->total);
  floats_free(sweep, sweep->maps);
  floats_free(sweep, sweep->spare_total);
  floats_free(sweep, sweep->spare_maps);
  free(sweep->window);
  free(sweep->patches);
  free(sweep->predicted);
}

static int flipped(int index, int size, int flip, int axis) {
  return flip >> axis & 1 ? size - 1 - index : index;
}

/* Where voxel (d,h) of the patch lies: the flat index of the volume's row, or -1 outside. */
static int64_t row_of(const Sweep *sweep, const Window *window, int d, int h) {
  const int *dim = sweep->image->grid.dim;
  int z = window->origin[0] + d, y = window->origin[1] + h;
  if (z < 0 || z >= dim[0] || y < 0 || y >= dim[1]) return -1;
  return ((int64_t)z * dim[1] + y) * dim[2];
}

static void extract(const Sweep *sweep, const Window *window, float *patch) {
  const int *size = sweep->options->patch;
  const int width = sweep->image->grid.dim[2];
  int64_t channels = sweep->image->channels;
#pragma omp parallel for
  for (int d = 0; d < size[0]; d++) {
    for (int h = 0; h < size[1]; h++) {
      int64_t row = row_of(sweep, window, d, h);
      if (row < 0) continue;
      int64_t to = ((int64_t)flipped(d, size[0], window->flip, 0) * size[1] +
                    flipped(h, size[1], window->flip, 1)) *
                   size[2];
      for (int w = 0; w < size[2]; w++) {
        int x = window->origin[2] + w;
        if (x < 0 || x >= width) continue;
        memcpy(patch + (to + flipped(w, size[2], window->flip, 2)) * channels,
               sweep->image->data + (row + x) * channels, (size_t)channels * sizeof(float));
      }
    }
  }
}

static void merge(const Sweep *sweep, const Window *window, const float *predicted) {
  const int64_t start =
      (int64_t)sweep->base * sweep->image->grid.dim[1] * sweep->image->grid.dim[2];
  const int *size = sweep->options->patch;
  const int width = sweep->image->grid.dim[2];
  int64_t classes = sweep->options->classes;
#pragma omp parallel for
  for (int d = 0; d < size[0]; d++) {
    for (int h = 0; h < size[1]; h++) {
      int64_t row = row_of(sweep, window, d, h);
      if (row < 0) continue;
      int64_t from = ((int64_t)flipped(d, size[0], window->flip, 0) * size[1] +
                      flipped(h, size[1], window->flip, 1)) *
                     size[2];
      float weight_row = sweep->axis_weight[0][d] * sweep->axis_weight[1][h];
      for (int w = 0; w < size[2]; w++) {
        int x = window->origin[2] + w;
        if (x < 0 || x >= width) continue;
        float weight = weight_row * sweep->axis_weight[2][w];
        const float *in = predicted + (from + flipped(w, size[2], window->flip, 2)) * classes;
        float *out = sweep->maps + (row - start + x) * classes;
        for (int64_t c = 0; c < classes; c++) out[c] += weight * in[c];
        sweep->total[row - start + x] += weight;
      }
    }
  }
}

static void merge_on_device(const Sweep *sweep, const Window *window, const float *predicted) {
  const Device *device = sweep->backend->device;
  WindowPlace place = {.base = sweep->base, .classes = sweep->options->classes};
  for (int axis = 0; axis < 3; axis++) {
    place.patch[axis] = sweep->options->patch[axis];
    place.origin[axis] = window->origin[axis];
    place.flip[axis] = window->flip >> axis & 1;
    place.dim[axis] = sweep->image->grid.dim[axis];
    place.weight[axis] = sweep->axis_weight[axis];
  }
  device->slabs->merge(device->queue(), &place, predicted, sweep->maps, sweep->total);
}

/* Sums to means. */
static void divide(const Sweep *sweep, size_t first, size_t count) {
  size_t classes = (size_t)sweep->options->classes;
  if (sweep->backend) {
    const Device *device = sweep->backend->device;
    device->slabs->divide(device->queue(), (int64_t)(count - first), (int)classes,
                          sweep->total + first, sweep->maps + first * classes);
    return;
  }
#pragma omp parallel for
  for (size_t i = first; i < count; i++)
    for (size_t c = 0; c < classes; c++) sweep->maps[i * classes + c] /= sweep->total[i];
}

/* The last `keep` of `all` floats become the first, zeros follow. */
static void shift(const Sweep *sweep, float **memory, float **spare, size_t all, size_t keep) {
  if (sweep->backend) {
    const Device *device = sweep->backend->device;
    device->slabs->shift(device->queue(), all, keep, *memory, *spare);
    float *old = *memory;
    *memory = *spare;
    *spare = old;
    return;
  }
  memmove(*memory, *memory + (all - keep), keep * sizeof(float));
  memset(*memory + keep, 0, (all - keep) * sizeof(float));
}

/* No window to come reaches the planes before `end`: they become means and are handed on; the last
 * one stays, as the first of the next slab. */
static bool finish_planes(Sweep *sweep, int end, Error *error) {
  size_t plane = (size_t)sweep->image->grid.dim[1] * (size_t)sweep->image->grid.dim[2];
  size_t classes = (size_t)sweep->options->classes;
  if (end <= sweep->divided) return true;
  size_t first = (size_t)(sweep->divided - sweep->base) * plane;
  size_t count = (size_t)(end - sweep->base) * plane;
  divide(sweep, first, count);
  sweep->divided = end;
  if (!sweep->take(sweep->take_user, sweep->base, end, sweep->maps, error)) return false;
  int gone = end - 1 - sweep->base;
  size_t keep = (size_t)(sweep->planes - gone) * plane, all = (size_t)sweep->planes * plane;
  shift(sweep, &sweep->maps, &sweep->spare_maps, all * classes, keep * classes);
  shift(sweep, &sweep->total, &sweep->spare_total, all, keep);
  sweep->base = end - 1;
  return true;
}

/* How many windows from `first` on make one call: they begin at the same plane. */
static int batch_size(const Sweep *sweep, int first) {
  int count = 1;
  while (count < sweep->options->batch && first + count < sweep->windows &&
         sweep->window[first + count].origin[0] == sweep->window[first].origin[0])
    count++;
  return count;
}

static bool run(Sweep *sweep, PredictPatch predict, void *user, Error *error) {
  const WindowOptions *options = sweep->options;
  size_t voxels = (size_t)options->patch[0] * (size_t)options->patch[1] * (size_t)options->patch[2];
  size_t in = voxels * (size_t)sweep->image->channels, out = voxels * (size_t)options->classes;
  for (int first = 0, count; first < sweep->windows; first += count) {
    count = batch_size(sweep, first);
    if (!finish_planes(sweep, sweep->window[first].origin[0], error)) return false;
    memset(sweep->patches, 0, (size_t)options->batch * in * sizeof(float));
    for (int i = 0; i < count; i++)
      extract(sweep, &sweep->window[first + i], sweep->patches + (size_t)i * in);
    if (!predict(user, count, sweep->patches, sweep->predicted, error))
      return fail(error, "prediction of windows %d..%d failed", first, first + count - 1);
    for (int i = 0; i < count; i++) {
      if (sweep->backend)
        merge_on_device(sweep, &sweep->window[first + i], options->predicted + (size_t)i * out);
      else
        merge(sweep, &sweep->window[first + i], sweep->predicted + (size_t)i * out);
    }
  }
  return finish_planes(sweep, sweep->image->grid.dim[0], error);
}

static bool options_check(const WindowOptions *options, Error *error) {
  for (int axis = 0; axis < 3; axis++)
    if (options->patch[axis] < 1)
      return fail(error, "patch edge %d: expected at least 1", options->patch[axis]);
  if (!(options->step > 0 && options->step <= 1))
    return fail(error, "step = %g: expected a share of the patch in (0, 1]", options->step);
  if (options->batch < 1 || options->classes < 1)
    return fail(error, "batch = %d, classes = %d: expected at least 1", options->batch,
                options->classes);
  return true;
}

bool sliding_window_slabs(const Image *image, const WindowOptions *options, PredictPatch predict,
                          void *predict_user, TakeSlab take, void *take_user, Error *error) {
  if (!options_check(options, error)) return false;
  Sweep sweep = {.image = image,
                 .options = options,
                 .backend = options->backend,
                 .take = take,
                 .take_user = take_user};
  bool fine = windows_list(&sweep, error) && buffers_make(&sweep, error) &&
              run(&sweep, predict, predict_user, error);
  buffers_free(&sweep);
  return fine;
}

/* Where sliding_window puts the slabs. */
typedef struct Whole {
  size_t plane; /* floats */
  float *maps;
  const Backend *backend;
} Whole;

static bool take_whole(void *user, int first, int end, const float *maps, Error *error) {
  (void)error;
  const Whole *whole = user;
  float *to = whole->maps + (size_t)first * whole->plane;
  size_t bytes = (size_t)(end - first) * whole->plane * sizeof(float);
  if (whole->backend)
    whole->backend->device->copy_out(to, maps, bytes);
  else
    memcpy(to, maps, bytes);
  return true;
}

bool sliding_window(const Image *image, const WindowOptions *options, PredictPatch predict,
                    void *user, float *maps, Error *error) {
  const int *dim = image->grid.dim;
  Whole whole = {(size_t)dim[1] * (size_t)dim[2] * (size_t)options->classes, maps,
                 options->backend};
  return sliding_window_slabs(image, options, predict, user, take_whole, &whole, error);
}

void class_argmax(const float *maps, size_t voxels, int classes, uint8_t *label) {
  for (size_t i = 0; i < voxels; i++) {
    const float *map = maps + i * (size_t)classes;
    int best = 0;
    for (int c = 1; c < classes; c++)
      if (map[c] > map[best]) best = c;
    label[i] = (uint8_t)best;
  }
}
