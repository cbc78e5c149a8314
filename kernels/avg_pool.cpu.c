/* Fast avg_pool: line by line of the output (n, d, h), vectorised over channels. Bound by memory.
 */
#include "kernels/bf16.h"
#include "kernels/options.h"

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

/* First element of tap (tz, ty, tx) of output voxel w of a line. */
static inline int64_t source(const Sizes *s, int64_t line, int64_t w, int tap) {
  int tx = tap % s->factor[2], ty = tap / s->factor[2] % s->factor[1];
  int tz = tap / (s->factor[2] * s->factor[1]);
  return input_line(s, line, tz, ty) + (w * s->factor[2] + tx) * s->channels;
}

INLINE void voxel_forward(const Sizes *s, const void *x, void *y, int64_t line, int64_t w,
                          DType type) {
  int taps = s->factor[0] * s->factor[1] * s->factor[2];
  int64_t at = (line * s->out[3] + w) * s->channels, c = 0;
  for (; c + VEC <= s->channels; c += VEC) {
    Vec sum = {0};
    for (int tap = 0; tap < taps; tap++) sum += real_load(x, source(s, line, w, tap) + c, type);
    real_store(y, at + c, sum * s->scale, type);
  }
  for (; c < s->channels; c++) {
    float sum = 0;
    for (int tap = 0; tap < taps; tap++) sum += real_get(x, source(s, line, w, tap) + c, type);
    real_set(y, at + c, sum * s->scale, type);
  }
}

INLINE void voxel_backward(const Sizes *s, const void *dy, void *dx, int64_t line, int64_t w,
                           DType type) {
  int taps = s->factor[0] * s->factor[1] * s->factor[2];
  int64_t at = (line * s->out[3] + w) * s->channels;
  for (int tap = 0; tap < taps; tap++) {
    int64_t to = source(s, line, w, tap), c = 0;
    for (; c + VEC <= s->channels; c += VEC)
      real_store(dx, to + c, real_load(dy, at + c, type) * s->scale, type);
    for (; c < s->channels; c++) real_set(dx, to + c, real_get(dy, at + c, type) * s->scale, type);
  }
}

static void forward(const Call *call) {
  Sizes s = sizes_make(call);
  const Tensor *x = &call->in[0], *y = &call->out[0];
#pragma omp parallel for schedule(static)
  for (int64_t line = 0; line < s.lines; line++)
    for (int64_t w = 0; w < s.out[3]; w++)
      TYPED(voxel_forward, x->type, &s, x->data, y->data, line, w);
}

static void backward(const Call *call) {
  Sizes s = sizes_make(call);
  const Tensor *dy = &call->dout[0], *dx = &call->din[0];
  if (!dx->data) return;
#pragma omp parallel for schedule(static)
  for (int64_t line = 0; line < s.lines; line++)
    for (int64_t w = 0; w < s.out[3]; w++)
      TYPED(voxel_backward, dx->type, &s, dy->data, dx->data, line, w);
}

const Kernel avg_pool_cpu = {.forward = forward,
                             .backward = backward,
                             .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                             .bf16_together = true};
