#include "engine/update.h"

#include <math.h>

enum { LANES = 32 };

/* In LANES sums that run side by side. */
#define SQUARES(TYPE)                                                                              \
  static double squares_##TYPE(const TYPE *g, size_t count) {                                      \
    double sum[LANES] = {0}, total = 0;                                                            \
    size_t i = 0;                                                                                  \
    for (; i + LANES <= count; i += LANES)                                                         \
      for (int k = 0; k < LANES; k++) sum[k] += (double)g[i + k] * (double)g[i + k];               \
    for (; i < count; i++) total += (double)g[i] * (double)g[i];                                   \
    for (int k = 0; k < LANES; k++) total += sum[k];                                               \
    return total;                                                                                  \
  }
SQUARES(float)
SQUARES(double)

#define SGD(TYPE)                                                                                  \
  static void update_##TYPE##_sgd(const UpdateOf *of, int64_t count, void *weight,                 \
                                  const void *gradient, void *const state[MAX_STATES]) {           \
    TYPE *restrict w = weight, *restrict m = state[0];                                             \
    const TYPE *restrict g = gradient;                                                             \
    const TYPE rate = (TYPE)of->rate, decay = (TYPE)of->decay, scale = (TYPE)of->scale;            \
    const TYPE mu = (TYPE)of->optimizer->momentum;                                                 \
    for (int64_t i = 0; i < count; i++) {                                                          \
      TYPE d = scale * g[i] + decay * w[i];                                                        \
      m[i] = mu * m[i] + d;                                                                        \
      w[i] -= rate * (d + mu * m[i]);                                                              \
    }                                                                                              \
  }
SGD(float)
SGD(double)

/* 1 - beta is rounded once, as PyTorch hands it to its loops. */
#define ADAMW(TYPE, ROOT)                                                                          \
  static void update_##TYPE##_adamw(const UpdateOf *of, int64_t count, void *weight,               \
                                    const void *gradient, void *const state[MAX_STATES]) {         \
    TYPE *restrict w = weight, *restrict m = state[0], *restrict v = state[1];                     \
    const TYPE *restrict g = gradient;                                                             \
    const Optimizer *o = of->optimizer;                                                            \
    const TYPE rate = (TYPE)of->rate, keep = (TYPE)of->decay, scale = (TYPE)of->scale;             \
    const TYPE b1 = (TYPE)o->beta1, a1 = (TYPE)(1 - o->beta1), b2 = (TYPE)o->beta2;                \
    const TYPE a2 = (TYPE)(1 - o->beta2), eps = (TYPE)o->eps, root = (TYPE)of->root;               \
    for (int64_t i = 0; i < count; i++) {                                                          \
      TYPE d = scale * g[i];                                                                       \
      m[i] = b1 * m[i] + a1 * d;                                                                   \
      v[i] = b2 * v[i] + a2 * (d * d);                                                             \
      w[i] = keep * w[i] - rate * (m[i] / (ROOT(v[i]) / root + eps));                              \
    }                                                                                              \
  }
ADAMW(float, sqrtf)
ADAMW(double, sqrt)

#define AVERAGE(TYPE)                                                                              \
  static void average_##TYPE(double pace, int64_t count, const TYPE *restrict w,                   \
                             TYPE *restrict a) {                                                   \
    const TYPE share = (TYPE)pace;                                                                 \
    for (int64_t i = 0; i < count; i++) a[i] += share * (w[i] - a[i]);                             \
  }
AVERAGE(float)
AVERAGE(double)

const UpdateLoops update_loops = {
    .squares_float = squares_float,
    .squares_double = squares_double,
    .average_float = average_float,
    .average_double = average_double,
#define OPTIMIZER(name) .update_float[OPTIMIZER_##name] = update_float_##name,
#include "engine/optimizers.def"
#undef OPTIMIZER
#define OPTIMIZER(name) .update_double[OPTIMIZER_##name] = update_double_##name,
#include "engine/optimizers.def"
#undef OPTIMIZER
};
