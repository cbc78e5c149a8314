#include "engine/optimizer.h"

#include <math.h>
#include <omp.h>

double poly_rate(double initial, int64_t step, int64_t steps) {
  return initial * pow(1 - (double)step / (double)steps, 0.9);
}

enum { CHUNK = 4096, LANES = 32 };

/* The sum of squares of elements first .. last - 1, in LANES sums that run side by side. */
#define SQUARES(name, REAL_TYPE)                                                                   \
  static double name(const REAL_TYPE *g, size_t first, size_t last) {                              \
    double sum[LANES] = {0}, total = 0;                                                            \
    size_t i = first;                                                                              \
    for (; i + LANES <= last; i += LANES)                                                          \
      for (int k = 0; k < LANES; k++) sum[k] += (double)g[i + k] * (double)g[i + k];               \
    for (; i < last; i++) total += (double)g[i] * (double)g[i];                                    \
    for (int k = 0; k < LANES; k++) total += sum[k];                                               \
    return total;                                                                                  \
  }
SQUARES(squares_float, float)
SQUARES(squares_double, double)

/* Of all trained parameters, NaN or Inf as they are. Sums of fixed chunks in a fixed order: the same bits
 * whatever the number of threads. */
static double gradient_norm(const Params *params) {
  const void *gradient = params->host[BLOCK_GRADIENT];
  size_t elements = params->elements[PARAM_TRAINED];
  int64_t chunks = (int64_t)(elements + CHUNK - 1) / CHUNK;
  double total = 0;
  enum { STRIDE = 1024 };
  for (int64_t base = 0; base < chunks; base += STRIDE) {
    double partial[STRIDE] = {0};
    int64_t end = chunks - base < STRIDE ? chunks - base : STRIDE;
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < end; c++) {
      size_t first = (size_t)(base + c) * CHUNK, last = first + CHUNK;
      if (last > elements) last = elements;
      partial[c] = params->real == F64 ? squares_double(gradient, first, last)
                                       : squares_float(gradient, first, last);
    }
    for (int64_t c = 0; c < end; c++) total += partial[c];
  }
  return sqrt(total);
}

#define STEP(name, REAL_TYPE)                                                                      \
  static void name(REAL_TYPE *restrict w, const REAL_TYPE *restrict g, REAL_TYPE *restrict m,      \
                   int64_t count, REAL_TYPE rate, REAL_TYPE scale, REAL_TYPE mu,                   \
                   REAL_TYPE decay) {                                                              \
    for (int64_t i = 0; i < count; i++) {                                                          \
      REAL_TYPE d = scale * g[i] + decay * w[i];                                                   \
      m[i] = mu * m[i] + d;                                                                        \
      w[i] -= rate * (d + mu * m[i]);                                                              \
    }                                                                                              \
  }
STEP(step_float, float)
STEP(step_double, double)

void sgd_states(Params *params) {
  params_states(params, 1, (const char *const[]){"momentum"});
}

double sgd_step(Params *params, const Sgd *sgd, double rate) {
  double norm = gradient_norm(params);
  if (!isfinite(norm)) return norm;
  double scale = sgd->clip > 0 && norm > sgd->clip ? sgd->clip / norm : 1;
#pragma omp parallel for schedule(dynamic)
  for (int p = 0; p < params->count; p++) {
    const Param *param = params->list[p];
    if (param->as.kind != PARAM_TRAINED) continue;
    int64_t count = tensor_count(&param->shape);
    double lr = rate * params->group[param->as.group].factor;
    void *w = params_weight(params, param);
    void *g = params_gradient(params, param);
    void *m = params_at(params, params->host[BLOCK_STATE], param);
    if (params->real == F64)
      step_double(w, g, m, count, lr, scale, sgd->momentum, sgd->weight_decay);
    else
      step_float(w, g, m, count, (float)lr, (float)scale, (float)sgd->momentum,
                 (float)sgd->weight_decay);
  }
  return norm;
}
