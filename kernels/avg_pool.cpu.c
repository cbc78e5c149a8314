/* Fast avg_pool: line by line of the output (n, d, h), vectorised over channels. Bound by
 * memory. */
#include "kernels/cpu/staging.h"
#include "kernels/options.h"

#include <string.h>

typedef struct Sizes {
  const int64_t *in, *out;
  const int *factor;
  int64_t channels, lines; /* output lines */
  float scale;
} Sizes;

static Sizes sizes_make(const Call *call) {
  Sizes s = {.in = call->in[0].dim, .out = call->out[0].dim};
  s.factor = ((const PoolOptions *)call->options)->factor.v;
  s.channels = s.in[4];
  s.lines = s.out[0] * s.out[1] * s.out[2];
  s.scale = 1.f / (float)(s.factor[0] * s.factor[1] * s.factor[2]);
  return s;
}

/* First element of the input line at (tz, ty) of the window of output line `line`. */
static int64_t input_line(const Sizes *s, int64_t line, int tz, int ty) {
  int64_t h = line % s->out[2] * s->factor[1] + ty;
  int64_t d = line / s->out[2] % s->out[1] * s->factor[0] + tz;
  int64_t n = line / (s->out[1] * s->out[2]);
  return ((n * s->in[1] + d) * s->in[2] + h) * s->in[3] * s->channels;
}

static void line_add(const Sizes *s, float *restrict y, const float *restrict x) {
  for (int64_t w = 0; w < s->out[3]; w++)
    for (int tx = 0; tx < s->factor[2]; tx++) {
      float *to = y + w * s->channels;
      const float *from = x + (w * s->factor[2] + tx) * s->channels;
#pragma omp simd
      for (int64_t c = 0; c < s->channels; c++) to[c] += from[c];
    }
}

static void forward_float(const Call *call) {
  Sizes s = sizes_make(call);
  const float *x = call->in[0].data;
  int64_t length = s.out[3] * s.channels;
#pragma omp parallel for schedule(static)
  for (int64_t line = 0; line < s.lines; line++) {
    float *y = (float *)call->out[0].data + line * length;
    memset(y, 0, (size_t)length * sizeof *y);
    for (int tz = 0; tz < s.factor[0]; tz++)
      for (int ty = 0; ty < s.factor[1]; ty++) line_add(&s, y, x + input_line(&s, line, tz, ty));
#pragma omp simd
    for (int64_t i = 0; i < length; i++) y[i] *= s.scale;
  }
}

static void line_spread(const Sizes *s, const float *restrict dy, float *restrict dx) {
  for (int64_t w = 0; w < s->out[3]; w++)
    for (int tx = 0; tx < s->factor[2]; tx++) {
      const float *from = dy + w * s->channels;
      float *to = dx + (w * s->factor[2] + tx) * s->channels;
#pragma omp simd
      for (int64_t c = 0; c < s->channels; c++) to[c] = s->scale * from[c];
    }
}

static void backward_float(const Call *call) {
  Sizes s = sizes_make(call);
  float *dx = call->din[0].data;
  if (!dx) return;
#pragma omp parallel for schedule(static)
  for (int64_t line = 0; line < s.lines; line++) {
    const float *dy = (const float *)call->dout[0].data + line * s.out[3] * s.channels;
    for (int tz = 0; tz < s.factor[0]; tz++)
      for (int ty = 0; ty < s.factor[1]; ty++)
        line_spread(&s, dy, dx + input_line(&s, line, tz, ty));
  }
}

static void forward(const Call *call) {
  staging_run(call, forward_float);
}

static void backward(const Call *call) {
  staging_run(call, backward_float);
}

const Kernel avg_pool_cpu = {.forward = forward,
                             .backward = backward,
                             .prepare = staging_prepare,
                             .bf16 = SAVES_IN(0) | SAVES_OUT(0)};
