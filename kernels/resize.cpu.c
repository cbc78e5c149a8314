/* Fast resize. Trilinear: separable. Forward: for each output line (n, d, h) the four input lines
 * around it are blended, then voxels along the line. Backward is its transpose in two passes that
 * only gather, so threads never write the same place: output planes (n, d) onto planes of the
 * input's H, W; these onto the input's planes. Nearest: voxels are copied line by line; backward
 * an input line gathers those of the output that read it. Bound by memory. */
#include "kernels/cells.h"
#include "kernels/cpu/staging.h"
#include "kernels/options.h"

#include <omp.h>
#include <string.h>

/* Along one axis: output i reads at[0][i] and at[1][i] with shares share[0][i], share[1][i]. */
typedef struct Axis {
  int64_t in, out;
  int32_t *at[2];
  float *share[2];
} Axis;

typedef struct Work {
  Axis axis[3];
  int64_t samples, channels;
  float *lines;  /* per thread: one input line (W, C) */
  float *planes; /* backward: (N, D', H, W, C) */
} Work;

static int64_t rounded(int64_t count) {
  return (count + 15) / 16 * 16;
}

/* Lays the work space out from `base`, which may be NULL; returns its size in floats. */
static int64_t work_place(const Call *call, float *base, Work *w) {
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t used = 0, line = in[3] * in[4];
  w->samples = in[0];
  w->channels = in[4];
  for (int a = 0; a < 3; a++) {
    Axis *axis = &w->axis[a];
    axis->in = in[1 + a];
    axis->out = out[1 + a];
    for (int side = 0; side < 2; side++, used += 2 * rounded(axis->out)) {
      axis->at[side] = base ? (int32_t *)(void *)(base + used) : NULL;
      axis->share[side] = base ? base + used + rounded(axis->out) : NULL;
    }
  }
  w->lines = base ? base + used : NULL;
  used += omp_get_max_threads() * rounded(line);
  w->planes = base ? base + used : NULL;
  return used + (call->backward ? in[0] * out[1] * in[2] * line : 0);
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Work w;
  bool nearest = resize_is_nearest(call);
  call->scratch_bytes = nearest ? 0 : (size_t)work_place(call, NULL, &w) * sizeof(float);
  staging_add(call);
  return true;
}

static Work work_make(const Call *call) {
  Work w;
  work_place(call, call->scratch, &w);
  for (int a = 0; a < 3; a++) {
    Axis *axis = &w.axis[a];
    for (int64_t i = 0; i < axis->out; i++) {
      double position = ((double)i + .5) * (double)axis->in / (double)axis->out - .5;
      if (position < 0) position = 0;
      int64_t low = (int64_t)position;
      axis->at[0][i] = (int32_t)low;
      axis->at[1][i] = (int32_t)(low + 1 < axis->in ? low + 1 : low);
      axis->share[1][i] = (float)(position - (double)low);
      axis->share[0][i] = (float)(1 - (position - (double)low));
    }
  }
  return w;
}

static float *thread_line(const Work *w) {
  return w->lines + omp_get_thread_num() * rounded(w->axis[2].in * w->channels);
}

static void add_scaled(float *restrict y, const float *restrict x, float scale, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; i++) y[i] += scale * x[i];
}

/* The input lines around output row (d, h) of sample n, blended. */
static void line_blend(const Work *w, const float *x, int64_t n, int64_t d, int64_t h,
                       float *line) {
  const Axis *z = &w->axis[0], *y = &w->axis[1];
  int64_t length = w->axis[2].in * w->channels;
  memset(line, 0, (size_t)length * sizeof *line);
  for (int k = 0; k < 4; k++) {
    int64_t row = (n * z->in + z->at[k >> 1][d]) * y->in + y->at[k & 1][h];
    add_scaled(line, x + row * length, z->share[k >> 1][d] * y->share[k & 1][h], length);
  }
}

static void forward_float(const Call *call) {
  Work w = work_make(call);
  const Axis *axis = &w.axis[2];
  int64_t depth = w.axis[0].out, height = w.axis[1].out, channels = w.channels;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < w.samples * depth * height; row++) {
    float *line = thread_line(&w), *y = (float *)call->out[0].data + row * axis->out * channels;
    line_blend(&w, call->in[0].data, row / (depth * height), row / height % depth, row % height,
               line);
    for (int64_t i = 0; i < axis->out; i++) {
      const float *low = line + axis->at[0][i] * channels, *high = line + axis->at[1][i] * channels;
      float share0 = axis->share[0][i], share1 = axis->share[1][i];
#pragma omp simd
      for (int64_t c = 0; c < channels; c++)
        y[i * channels + c] = share0 * low[c] + share1 * high[c];
    }
  }
}

/* Output plane `plane` = n D' + d onto the input's H, W. */
static void plane_backward(const Work *w, const float *dy, int64_t plane) {
  const Axis *y = &w->axis[1], *x = &w->axis[2];
  int64_t length = x->in * w->channels;
  float *line = thread_line(w), *to = w->planes + plane * y->in * length;
  memset(to, 0, (size_t)(y->in * length) * sizeof *to);
  for (int64_t h = 0; h < y->out; h++) {
    const float *from = dy + (plane * y->out + h) * x->out * w->channels;
    memset(line, 0, (size_t)length * sizeof *line);
    for (int64_t i = 0; i < x->out; i++)
      for (int side = 0; side < 2; side++)
        add_scaled(line + x->at[side][i] * w->channels, from + i * w->channels, x->share[side][i],
                   w->channels);
    for (int side = 0; side < 2; side++)
      add_scaled(to + y->at[side][h] * length, line, y->share[side][h], length);
  }
}

static void backward_float(const Call *call) {
  Work w = work_make(call);
  const Axis *z = &w.axis[0];
  int64_t size = w.axis[1].in * w.axis[2].in * w.channels;
#pragma omp parallel for schedule(static)
  for (int64_t plane = 0; plane < w.samples * z->out; plane++)
    plane_backward(&w, call->dout[0].data, plane);
#pragma omp parallel for schedule(static)
  for (int64_t plane = 0; plane < w.samples * z->in; plane++) {
    float *dx = (float *)call->din[0].data + plane * size;
    memset(dx, 0, (size_t)size * sizeof *dx);
    for (int64_t d = 0; d < z->out; d++)
      for (int side = 0; side < 2; side++)
        if (z->at[side][d] == plane % z->in)
          add_scaled(dx, w.planes + (plane / z->in * z->out + d) * size, z->share[side][d], size);
  }
}

/* ---- nearest --------------------------------------------------------------------------------- */

static void nearest_forward(const Call *call) {
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t channels = in[4];
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < out[0] * out[1] * out[2]; row++) {
    int64_t z = nearest_source(row / out[2] % out[1], in[1], out[1]);
    int64_t h = nearest_source(row % out[2], in[2], out[2]), n = row / (out[1] * out[2]);
    const float *line =
        (const float *)call->in[0].data + ((n * in[1] + z) * in[2] + h) * in[3] * channels;
    float *y = (float *)call->out[0].data + row * out[3] * channels;
    for (int64_t i = 0; i < in[3]; i++, line += channels)
      for (int64_t k = nearest_reader(i, in[3], out[3]), end = nearest_reader(i + 1, in[3], out[3]);
           k < end; k++)
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) y[k * channels + c] = line[c];
  }
}

/* Adds what output line `dy` gives to the input line dx. */
static void nearest_line_add(const float *restrict dy, float *restrict dx, int64_t in, int64_t out,
                             int64_t channels) {
  for (int64_t i = 0; i < in; i++, dx += channels)
    for (int64_t k = nearest_reader(i, in, out), end = nearest_reader(i + 1, in, out); k < end; k++)
#pragma omp simd
      for (int64_t c = 0; c < channels; c++) dx[c] += dy[k * channels + c];
}

static void nearest_backward(const Call *call) {
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t line = in[3] * in[4], read = out[3] * in[4];
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < in[0] * in[1] * in[2]; row++) {
    int64_t z = row / in[2] % in[1], y = row % in[2], n = row / (in[1] * in[2]);
    float *dx = (float *)call->din[0].data + row * line;
    memset(dx, 0, (size_t)line * sizeof *dx);
    for (int64_t d = nearest_reader(z, in[1], out[1]); d < nearest_reader(z + 1, in[1], out[1]);
         d++)
      for (int64_t h = nearest_reader(y, in[2], out[2]); h < nearest_reader(y + 1, in[2], out[2]);
           h++)
        nearest_line_add((const float *)call->dout[0].data + ((n * out[1] + d) * out[2] + h) * read,
                         dx, in[3], out[3], in[4]);
  }
}

static void forward(const Call *call) {
  staging_run(call, resize_is_nearest(call) ? nearest_forward : forward_float);
}

static void backward(const Call *call) {
  if (!call->din[0].data) return;
  staging_run(call, resize_is_nearest(call) ? nearest_backward : backward_float);
}

const Kernel resize_cpu = {.forward = forward,
                           .backward = backward,
                           .prepare = prepare,
                           .bf16 = SAVES_IN(0) | SAVES_OUT(0)};
