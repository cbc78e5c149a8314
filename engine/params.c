#include "engine/params.h"
#include "base/rng.h"
#include "engine/backend.h"
#include "engine/host_memory.h"
#include "kernels/cuda/half_weights.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

Init init_kaiming(int64_t fan_in, double slope) {
  return (Init){.kind = INIT_NORMAL, .a = sqrt(2 / ((1 + slope * slope) * (double)fan_in))};
}

Init init_xavier(int64_t fan_in, int64_t fan_out) {
  return (Init){.kind = INIT_UNIFORM, .a = sqrt(6 / (double)(fan_in + fan_out))};
}

Init init_torch_linear(int64_t fan_in) {
  return (Init){.kind = INIT_UNIFORM, .a = 1 / sqrt((double)fan_in)};
}

Params *params_make(DType real) {
  static const char *const first[FIRST_GROUPS] = {"cnn", "transformer"};
  Params *params = calloc(1, sizeof *params);
  CHECK(params, "no memory for the parameter list");
  params->real = real;
  for (int g = 0; g < FIRST_GROUPS; g++) params_group(params, first[g], NULL);
  return params;
}

void params_free(Params *params) {
  if (!params) return;
  for (int b = 0; b < PARAM_BLOCKS; b++) {
    free(params->host[b]);
    if (params->device[b]) params->place->release(params->device[b]);
  }
  arena_free(&params->arena);
  free(params);
}

Group params_group(Params *params, const char *name, Error *error) {
  for (int g = 0; g < params->groups; g++)
    if (strcmp(params->group[g].name, name) == 0) return g;
  if (params->groups == MAX_GROUPS) {
    fail(error, "group %s: a model has at most %d groups of parameters", name, MAX_GROUPS);
    return -1;
  }
  params->group[params->groups] = (ParamGroup){arena_text(&params->arena, "%s", name), 1, true};
  return params->groups++;
}

bool shape_countable(const Tensor *shape) {
  /* A naive attention's scores over six scales are 2^46, and are planned. */
  const int64_t most = INT64_C(1) << 47;
  int64_t count = 1;
  for (int i = 0; i < shape->rank; i++)
    if (shape->dim[i] < 0 || shape->dim[i] > most ||
        __builtin_mul_overflow(count, shape->dim[i], &count) || count > most)
      return false;
  return true;
}

static Param *find(const Params *params, const char *name) {
  for (int i = 0; i < params->count; i++)
    if (strcmp(params->list[i]->name, name) == 0) return params->list[i];
  return NULL;
}

/* A parameter that is there, asked for again: by the inference graph, or by a block that shares. */
static Param *again(Param *param, const Tensor *shape, ParamKind kind, Error *error) {
  static const char *const kinds[PARAM_KINDS] = {"trained", "frozen", "a buffer"};
  bool same = param->shape.rank == shape->rank;
  for (int i = 0; same && i < shape->rank; i++) same = param->shape.dim[i] == shape->dim[i];
  if (!same)
    fail(error, "parameter %s: has shape %s, asked for %s", param->name,
         tensor_shape_text(&param->shape), tensor_shape_text(shape));
  else if (param->as.kind != kind)
    fail(error, "parameter %s: is %s, asked for as %s", param->name, kinds[param->as.kind],
         kinds[kind]);
  return same && param->as.kind == kind ? param : NULL;
}

Param *params_get(Params *params, const char *name, int rank, const int64_t *dim, const ParamAs *as,
                  Error *error) {
  Tensor shape = tensor_make(params->real, rank, dim);
  Param *param = find(params, name);
  if (param) return again(param, &shape, as->kind, error);
  if (!shape_countable(&shape)) {
    fail(error, "parameter %s: %s is more than any memory holds", name, tensor_shape_text(&shape));
    return NULL;
  }
  if (params->allocated || params->count == MAX_PARAMS) {
    fail(error, "parameter %s: not in the model whose weights are in memory", name);
    return NULL;
  }
  size_t *elements = &params->elements[as->kind];
  param = arena_alloc(&params->arena, sizeof *param);
  *param = (Param){.name = arena_text(&params->arena, "%s", name),
                   .shape = shape,
                   .offset = *elements,
                   .as = *as};
  *elements += ((size_t)tensor_count(&shape) + PARAM_UNIT - 1) / PARAM_UNIT * PARAM_UNIT;
  params->list[params->count++] = param;
  return param;
}

void params_states(Params *params, int count, const char *const *name, bool averaged) {
  CHECK(!params->allocated && count <= MAX_STATES, "%d states, blocks %s", count,
        params->allocated ? "allocated" : "not allocated");
  params->states = count;
  params->averaged = averaged;
  for (int i = 0; i < count; i++) params->state_name[i] = name[i];
}

/* DETR's start: head m looks along one of +-z, +-y, +-x, point p at distance p + 1, on every level;
 * offsets are laid out (heads, levels, points, 3). */
static double offset_bias(const Init *init, int64_t index) {
  int64_t axis = index % 3, point = index / 3 % (int64_t)init->c;
  int64_t head = index / (3 * (int64_t)init->c * (int64_t)init->b);
  if (head % 6 / 2 != axis) return 0;
  double distance = (double)(point + 1) * (double)(head / 6 + 1);
  return head % 2 ? -distance : distance;
}

static double draw(const Init *init, Rng *rng, int64_t index) {
  switch (init->kind) {
  case INIT_CONSTANT:
    return init->a;
  case INIT_NORMAL:
    return init->a * rng_normal(rng);
  case INIT_UNIFORM:
    return rng_between(rng, -init->a, init->a);
  case INIT_OFFSETS:
    return offset_bias(init, index);
  default:
    return 0;
  }
}

size_t params_block_bytes(const Params *params, int block) {
  if (block >= BLOCK_STATE + params->states) return 0;
  if (block == BLOCK_AVERAGE && !params->averaged) return 0;
  return params->elements[block < PARAM_KINDS ? block : PARAM_TRAINED] * dtype_bytes(params->real);
}

static void initialise(const Params *params, const Param *param, uint64_t seed) {
  Rng rng = rng_make(seed, RNG_INIT, XXH3_64bits(param->name, strlen(param->name)));
  void *weight = params_weight(params, param);
  for (int64_t i = 0; i < tensor_count(&param->shape); i++) {
    double value = draw(&param->as.init, &rng, i);
    if (params->real == F64)
      ((double *)weight)[i] = value;
    else
      ((float *)weight)[i] = (float)value;
  }
}

bool params_allocate(Params *params, uint64_t seed, Error *error) {
  for (int b = 0; b < PARAM_BLOCKS; b++) {
    size_t bytes = params_block_bytes(params, b);
    if (!bytes) continue;
    params->host[b] = host_alloc(bytes);
    if (!params->host[b])
      return fail(error, "no memory for %zu MiB of parameters", params_bytes(params) >> 20);
    memset(params->host[b], 0, bytes);
  }
  params->allocated = true;
  for (int p = 0; p < params->count; p++) initialise(params, params->list[p], seed);
  return true;
}

/* What lies on both sides and travels between them. */
static bool travels(const Params *params, int block) {
  return params->device[block] && block != BLOCK_GRADIENT;
}

static void send(const Params *params) {
  for (int b = 0; b < PARAM_BLOCKS; b++) {
    if (!travels(params, b)) continue;
    params->place->device->copy_in(params->device[b], params->host[b],
                                   params_block_bytes(params, b));
    half_weights_stale(params->device[b]);
  }
}

bool params_place(Params *params, const Backend *backend, Error *error) {
  if (params->place) return true;
  params->place = backend;
  for (int b = 0; b < PARAM_BLOCKS; b++) {
    size_t bytes = params_block_bytes(params, b);
    if (bytes && !(params->device[b] = backend->alloc(bytes)))
      return fail(error, "out of memory: %zu MiB of parameters on %s", params_bytes(params) >> 20,
                  backend->name);
  }
  if (params->device[BLOCK_GRADIENT])
    backend->device->zero(params->device[BLOCK_GRADIENT],
                          params_block_bytes(params, BLOCK_GRADIENT));
  send(params);
  return true;
}

void params_changed(Params *params) {
  params->changes++;
  send(params);
}

static void exchange(void *block[PARAM_BLOCKS]) {
  void *weights = block[PARAM_TRAINED];
  block[PARAM_TRAINED] = block[BLOCK_AVERAGE];
  block[BLOCK_AVERAGE] = weights;
}

void params_read_average(Params *params, bool average) {
  if (!params->averaged || params->reads_average == average) return;
  params->reads_average = average;
  exchange(params->host);
  exchange(params->device);
}

void params_fetch(const Params *params) {
  for (int b = 0; b < PARAM_BLOCKS; b++)
    if (travels(params, b))
      params->place->device->copy_out(params->host[b], params->device[b],
                                      params_block_bytes(params, b));
}

int64_t params_numbers(const Params *params, ParamKind kind) {
  int64_t numbers = 0;
  for (int i = 0; i < params->count; i++)
    if (params->list[i]->as.kind == kind) numbers += tensor_count(&params->list[i]->shape);
  return numbers;
}

int64_t params_trained(const Params *params) {
  return params_numbers(params, PARAM_TRAINED);
}

int64_t params_total(const Params *params) {
  return params_trained(params) + params_numbers(params, PARAM_FROZEN);
}

size_t params_bytes(const Params *params) {
  size_t bytes = 0;
  for (int b = 0; b < PARAM_BLOCKS; b++) bytes += params_block_bytes(params, b);
  return bytes;
}

void *params_at(const Params *params, const void *block, const Param *param) {
  return (char *)(uintptr_t)block + param->offset * dtype_bytes(params->real);
}

void *params_weight(const Params *params, const Param *param) {
  return params_at(params, params->host[param->as.kind], param);
}

void *params_gradient(const Params *params, const Param *param) {
  if (param->as.kind != PARAM_TRAINED) return NULL;
  return params_at(params, params->host[BLOCK_GRADIENT], param);
}
