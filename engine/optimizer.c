#include "engine/optimizer.h"
#include "engine/update.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* ---- the rows -------------------------------------------------------------------------------- */

static void sgd_pace(const Optimizer *optimizer, int64_t update, double lr, double wd, double *rate,
                     double *decay, double *root) {
  (void)optimizer;
  (void)update;
  *rate = lr;
  *decay = wd;
  *root = 1;
}

static void adamw_pace(const Optimizer *optimizer, int64_t update, double lr, double wd,
                       double *rate, double *decay, double *root) {
  *rate = lr / (1 - pow(optimizer->beta1, (double)update));
  *decay = 1 - lr * wd;
  *root = sqrt(1 - pow(optimizer->beta2, (double)update));
}

#define NUMBER(field, fallback, least, most, doc)                                                  \
  { #field, OPTION_FLOAT, offsetof(Optimizer, field), fallback, least, most, NULL, NULL, doc }

static const Option sgd_options[] = {
    NUMBER(momentum, .99, 0, 1, "SGD Nesterov momentum"),
    {0},
};
static const Option adamw_options[] = {
    NUMBER(beta1, .9, 0, .999999, "decay of the mean gradient from update to update"),
    NUMBER(beta2, .999, 0, .999999, "decay of the mean squared gradient"),
    NUMBER(eps, 1e-8, 1e-20, 1, "added to the root of the mean squared gradient"),
    {0},
};

const OptimizerRow optimizer_table[OPTIMIZERS] = {
    [OPTIMIZER_sgd] = {.name = "sgd",
                       .doc = "SGD with Nesterov momentum",
                       .options = sgd_options,
                       .states = 1,
                       .state = {"momentum"},
                       .pace = sgd_pace},
    [OPTIMIZER_adamw] = {.name = "adamw",
                         .doc = "Adam with decoupled weight decay",
                         .options = adamw_options,
                         .states = 2,
                         .state = {"exp_avg", "exp_avg_sq"},
                         .pace = adamw_pace},
};

const OptimizerRow *optimizer_find(const char *name) {
  for (int i = 0; i < OPTIMIZERS; i++)
    if (strcmp(optimizer_table[i].name, name) == 0) return &optimizer_table[i];
  return NULL;
}

/* ---- a step ---------------------------------------------------------------------------------- */

int optimizer_class(const Optimizer *optimizer, const Params *params, const Param *param) {
  bool decays = params->group[param->as.group].decay && !optimizer->spares[param->as.role];
  return 4 * param->as.group + 2 * param->as.late + decays;
}

void optimizer_states(const Optimizer *optimizer, Params *params) {
  const OptimizerRow *row = &optimizer_table[optimizer->id];
  params_states(params, row->states, row->state, optimizer->average > 0);
}

/* 1 at the first update. */
static double average_pace(const Optimizer *optimizer, int64_t update) {
  double d = optimizer->average;
  return d > 0 ? (1 - d) / (1 - pow(d, (double)update)) : 0;
}

void optimizer_pace(const Optimizer *optimizer, const Params *params, double rate, Pace *pace) {
  *pace = (Pace){.average = average_pace(optimizer, params->updates + 1)};
  for (int c = 0; c < 4 * params->groups; c++) {
    int64_t update = params->updates + 1 - (c & 2 ? optimizer->late : 0);
    if (update < 1) continue;
    optimizer_table[optimizer->id].pace(optimizer, update, rate * params->group[c / 4].factor,
                                        c & 1 ? optimizer->weight_decay : 0, &pace->rate[c],
                                        &pace->decay[c], &pace->root[c]);
  }
}

/* What stands still has no gradient. */
static void hold(const Optimizer *optimizer, const Params *params) {
  if (params->updates >= optimizer->late) return;
  for (int p = 0; p < params->count; p++) {
    const Param *param = params->list[p];
    if (param->as.late) memset(params_gradient(params, param), 0, tensor_bytes(&param->shape));
  }
}

enum { CHUNK = 4096 };

/* Of all trained parameters, NaN or Inf as they are. Sums of fixed chunks in a fixed order: the
 * same bits whatever the number of threads. */
static double gradient_norm(const Params *params) {
  const void *gradient = params->host[BLOCK_GRADIENT];
  size_t elements = params->elements[PARAM_TRAINED];
  const UpdateLoops *loops = &update_loops;
  int64_t chunks = (int64_t)(elements + CHUNK - 1) / CHUNK;
  double total = 0;
  enum { STRIDE = 1024 };
  for (int64_t base = 0; base < chunks; base += STRIDE) {
    double partial[STRIDE] = {0};
    int64_t end = chunks - base < STRIDE ? chunks - base : STRIDE;
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < end; c++) {
      size_t first = (size_t)(base + c) * CHUNK;
      size_t count = elements - first < CHUNK ? elements - first : CHUNK;
      partial[c] = params->real == F64
                       ? loops->squares_double((const double *)gradient + first, count)
                       : loops->squares_float((const float *)gradient + first, count);
    }
    for (int64_t c = 0; c < end; c++) total += partial[c];
  }
  return sqrt(total);
}

static void average(const Params *params, const Param *param, double pace) {
  int64_t count = tensor_count(&param->shape);
  const void *w = params_weight(params, param);
  void *a = params_at(params, params->host[BLOCK_AVERAGE], param);
  if (params->real == F64)
    update_loops.average_double(pace, count, w, a);
  else
    update_loops.average_float(pace, count, w, a);
}

static void update(const UpdateOf *of, const Params *params, const Param *param) {
  OptimizerId id = of->optimizer->id;
  const UpdateLoops *loops = &update_loops;
  int64_t count = tensor_count(&param->shape);
  void *w = params_weight(params, param), *g = params_gradient(params, param);
  void *state[MAX_STATES] = {NULL};
  for (int i = 0; i < optimizer_table[id].states; i++)
    state[i] = params_at(params, params->host[BLOCK_STATE + i], param);
  (params->real == F64 ? loops->update_double[id] : loops->update_float[id])(of, count, w, g,
                                                                             state);
}

double optimizer_step(const Optimizer *optimizer, Params *params, double rate) {
  CHECK(params->states == optimizer_table[optimizer->id].states, "%d blocks of states for %s",
        params->states, optimizer_table[optimizer->id].name);
  CHECK(params->averaged == (optimizer->average > 0) && !params->reads_average,
        "the average of the weights is not where the optimiser writes it");
  hold(optimizer, params);
  double norm = gradient_norm(params);
  if (!isfinite(norm)) return norm;
  double scale = optimizer->clip > 0 && norm > optimizer->clip ? optimizer->clip / norm : 1;
  Pace pace;
  optimizer_pace(optimizer, params, rate, &pace);
#pragma omp parallel for schedule(dynamic)
  for (int p = 0; p < params->count; p++) {
    const Param *param = params->list[p];
    if (param->as.kind != PARAM_TRAINED) continue;
    int c = optimizer_class(optimizer, params, param);
    const UpdateOf of = {optimizer, pace.rate[c], pace.decay[c], pace.root[c], scale};
    if (of.root > 0) update(&of, params, param);
    if (params->averaged) average(params, param, pace.average);
  }
  params->updates++;
  return norm;
}
