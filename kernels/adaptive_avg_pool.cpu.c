/* Fast adaptive_avg_pool. Forward in two steps, each output written by one thread: planes of the
 * input onto the cells of their H, W; these onto the cells of D. Backward gathers, line by line of
 * the input. Bound by memory. */
#include "kernels/cells.h"
#include "kernels/cpu/staging.h"
#include "kernels/options.h"

#include <string.h>

/* planes: (N, D, H', W', C), sums. */
static bool prepare(Call *call, Error *error) {
  (void)error;
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t planes = call->backward ? 0 : in[0] * in[1] * out[2] * out[3] * in[4];
  call->scratch_bytes = (size_t)planes * sizeof(float);
  staging_add(call);
  return true;
}

static void add(float *restrict y, const float *restrict x, float scale, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; i++) y[i] += scale * x[i];
}

/* Line h' of the cells of plane (n, z). Sums along W stand by themselves before they are added. */
static void cells_line(const Call *call, int64_t line, float *planes) {
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t plane = line / out[2], h = line % out[2], channels = in[4];
  const float *x = (const float *)call->in[0].data + plane * in[2] * in[3] * channels;
  float *to = planes + line * out[3] * channels;
  memset(to, 0, (size_t)(out[3] * channels) * sizeof *to);
  for (int64_t y = cell_first(h, in[2], out[2]); y < cell_end(h, in[2], out[2]); y++)
    for (int64_t w = 0; w < out[3]; w++) {
      int64_t first = cell_first(w, in[3], out[3]), end = cell_end(w, in[3], out[3]);
      const float *from = x + (y * in[3] + first) * channels;
      for (int64_t c = 0; c < channels; c += 64) {
        float sum[64] = {0};
        int64_t count = channels - c < 64 ? channels - c : 64;
        for (int64_t u = 0; u < end - first; u++) add(sum, from + u * channels + c, 1, count);
        add(to + w * channels + c, sum, 1, count);
      }
    }
}

static void forward_float(const Call *call) {
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  float *planes = call->scratch;
  int64_t length = out[3] * in[4];
#pragma omp parallel for schedule(static)
  for (int64_t line = 0; line < in[0] * in[1] * out[2]; line++) cells_line(call, line, planes);
#pragma omp parallel for schedule(static)
  for (int64_t line = 0; line < out[0] * out[1] * out[2]; line++) {
    int64_t n = line / (out[1] * out[2]), d = line / out[2] % out[1], h = line % out[2];
    int64_t first = cell_first(d, in[1], out[1]), end = cell_end(d, in[1], out[1]);
    int64_t area = (end - first) * (cell_end(h, in[2], out[2]) - cell_first(h, in[2], out[2]));
    float *y = (float *)call->out[0].data + line * length;
    memset(y, 0, (size_t)length * sizeof *y);
    for (int64_t z = first; z < end; z++)
      add(y, planes + ((n * in[1] + z) * out[2] + h) * length, 1, length);
    for (int64_t w = 0; w < out[3]; w++) {
      int64_t width = cell_end(w, in[3], out[3]) - cell_first(w, in[3], out[3]);
      float share = 1.f / (float)(area * width);
      for (int64_t c = 0; c < in[4]; c++) y[w * in[4] + c] *= share;
    }
  }
}

/* What cells' line `dy`, of `area` input lines, gives to one of them. */
static void line_gather(const Call *call, const float *dy, int64_t area, float *dx) {
  int64_t in = call->in[0].dim[3], out = call->out[0].dim[3], channels = call->in[0].dim[4];
  for (int64_t w = 0; w < out; w++) {
    int64_t first = cell_first(w, in, out), end = cell_end(w, in, out);
    float share = 1.f / (float)(area * (end - first));
    for (int64_t u = first; u < end; u++)
      add(dx + u * channels, dy + w * channels, share, channels);
  }
}

static void backward_float(const Call *call) {
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t length = in[3] * in[4];
#pragma omp parallel for schedule(static)
  for (int64_t line = 0; line < in[0] * in[1] * in[2]; line++) {
    int64_t n = line / (in[1] * in[2]), z = line / in[2] % in[1], y = line % in[2];
    float *dx = (float *)call->din[0].data + line * length;
    memset(dx, 0, (size_t)length * sizeof *dx);
    for (int64_t d = cells_first(z, in[1], out[1]); d < cells_end(z, in[1], out[1]); d++)
      for (int64_t h = cells_first(y, in[2], out[2]); h < cells_end(y, in[2], out[2]); h++) {
        int64_t area = (cell_end(d, in[1], out[1]) - cell_first(d, in[1], out[1])) *
                       (cell_end(h, in[2], out[2]) - cell_first(h, in[2], out[2]));
        int64_t row = (n * out[1] + d) * out[2] + h;
        line_gather(call, (const float *)call->dout[0].data + row * out[3] * in[4], area, dx);
      }
  }
}

static void forward(const Call *call) {
  staging_run(call, forward_float);
}

static void backward(const Call *call) {
  if (call->din[0].data) staging_run(call, backward_float);
}

const Kernel adaptive_avg_pool_cpu = {.forward = forward,
                                      .backward = backward,
                                      .prepare = prepare,
                                      .bf16 = SAVES_IN(0) | SAVES_OUT(0)};
