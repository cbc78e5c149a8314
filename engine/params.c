#include "engine/params.h"
#include "base/rng.h"
#include "engine/backend.h"
#include "engine/host_memory.h"
#include "kernels/cuda/half_weights.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

enum { ALIGN_ELEMENTS = 16 }; /* 64 bytes of float */

Init init_kaiming(int64_t fan_in, double slope) {
  return (Init){.kind = INIT_NORMAL, .a = sqrt(2 / ((1 + slope * slope) * (double)fan_in))};
}

Init init_xavier(int64_t fan_in, int64_t fan_out) {
  return (Init){.kind = INIT_UNIFORM, .a = sqrt(6 / (double)(fan_in + fan_out))};
}

Params *params_make(DType real) {
  Params *params = calloc(1, sizeof *params);
  CHECK(params, "no memory for the parameter list");
  params->real = real;
  return params;
}

void params_free(Params *params) {
  if (!params) return;
  free(params->weight);
  free(params->gradient);
  free(params->momentum);
  for (int i = 0; i < 3; i++)
    if (params->placed[i]) params->place->release(params->placed[i]);
  arena_free(&params->arena);
  free(params);
}

static Param *find(const Params *params, const char *name) {
  for (int i = 0; i < params->count; i++)
    if (strcmp(params->list[i]->name, name) == 0) return params->list[i];
  return NULL;
}

Param *params_get(Params *params, const char *name, int rank, const int64_t *dim, Group group,
                  Init init, Error *error) {
  Tensor shape = tensor_make(params->real, rank, dim);
  Param *param = find(params, name);
  if (param) {
    bool same = param->shape.rank == rank;
    for (int i = 0; same && i < rank; i++) same = param->shape.dim[i] == dim[i];
    if (!same)
      fail(error, "parameter %s: has shape %s, asked for %s", name,
           tensor_shape_text(&param->shape), tensor_shape_text(&shape));
    return same ? param : NULL;
  }
  if (params->weight || params->count == MAX_PARAMS) {
    fail(error, "parameter %s: not in the model whose weights are in memory", name);
    return NULL;
  }
  param = arena_alloc(&params->arena, sizeof *param);
  *param = (Param){.name = arena_text(&params->arena, "%s", name),
                   .shape = shape,
                   .offset = params->elements,
                   .group = group,
                   .init = init};
  params->elements +=
      ((size_t)tensor_count(&shape) + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
  params->list[params->count++] = param;
  return param;
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

static void *block(size_t bytes) {
  void *memory = host_alloc(bytes);
  if (memory) memset(memory, 0, bytes);
  return memory;
}

bool params_allocate(Params *params, uint64_t seed, Error *error) {
  size_t bytes = params->elements * dtype_bytes(params->real);
  params->weight = block(bytes);
  params->gradient = block(bytes);
  params->momentum = block(bytes);
  if (!params->weight || !params->gradient || !params->momentum)
    return fail(error, "no memory for %zu MiB of parameters", 3 * bytes >> 20);
  for (int p = 0; p < params->count; p++) {
    const Param *param = params->list[p];
    Rng rng = rng_make(seed, RNG_INIT, XXH3_64bits(param->name, strlen(param->name)));
    for (int64_t i = 0; i < tensor_count(&param->shape); i++) {
      double value = draw(&param->init, &rng, i);
      if (params->real == F64)
        ((double *)params->weight)[param->offset + (size_t)i] = value;
      else
        ((float *)params->weight)[param->offset + (size_t)i] = (float)value;
    }
  }
  return true;
}

bool params_place(Params *params, const Backend *backend, Error *error) {
  size_t bytes = params->elements * dtype_bytes(params->real);
  if (params->placed[0]) return true;
  params->place = backend;
  for (int i = 0; i < 3; i++) {
    params->placed[i] = backend->alloc(bytes);
    if (!params->placed[i])
      return fail(error, "out of memory: %zu MiB of parameters on %s", 3 * bytes >> 20,
                  backend->name);
  }
  backend->device->zero(params->placed[1], bytes);
  params_send(params);
  return true;
}

void params_send(const Params *params) {
  size_t bytes = params->elements * dtype_bytes(params->real);
  if (!params->placed[0]) return;
  params->place->device->copy_in(params->placed[0], params->weight, bytes);
  half_weights_stale(params->placed[0]);
  params->place->device->copy_in(params->placed[2], params->momentum, bytes);
}

void params_fetch(const Params *params) {
  size_t bytes = params->elements * dtype_bytes(params->real);
  if (!params->placed[0]) return;
  params->place->device->copy_out(params->weight, params->placed[0], bytes);
  params->place->device->copy_out(params->momentum, params->placed[2], bytes);
}

int64_t params_total(const Params *params) {
  int64_t total = 0;
  for (int i = 0; i < params->count; i++) total += tensor_count(&params->list[i]->shape);
  return total;
}

size_t params_bytes(const Params *params) {
  return 3 * params->elements * dtype_bytes(params->real);
}

void *params_at(const Params *params, const void *block_start, const Param *param) {
  return (char *)(uintptr_t)block_start + param->offset * dtype_bytes(params->real);
}
