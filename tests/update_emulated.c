#define CUDA_EMULATOR
#include "tests/update_emulated.h"
#include "engine/update_device.h"
#include "kernels/cpu/bf16.h"

#include <math.h>
#include <string.h>

struct UpdateEmulated {
  const Params *params;
  UpdateCall call;
  uint8_t *class_of;
  double partial[UPDATE_PARTIALS];
  UpdateState state;
};

static float *block_like(const Params *params, int block) {
  size_t bytes = params_block_bytes(params, block);
  float *copy = aligned_alloc(64, bytes);
  CHECK(copy, "out of memory");
  memcpy(copy, params->host[block], bytes);
  return copy;
}

UpdateEmulated *update_emulated_make(const Params *params, const Optimizer *optimizer) {
  UpdateEmulated *other = calloc(1, sizeof *other);
  size_t elements = params->elements[PARAM_TRAINED];
  CHECK(other, "out of memory");
  other->params = params;
  other->class_of = calloc(elements / PARAM_UNIT, 1);
  other->call = (UpdateCall){.optimizer = *optimizer,
                             .elements = (int64_t)elements,
                             .gradient = params->host[BLOCK_GRADIENT],
                             .weight = block_like(params, PARAM_TRAINED),
                             .class_of = other->class_of,
                             .half = calloc(elements, sizeof(uint16_t)),
                             .partial = other->partial,
                             .state = &other->state};
  CHECK(other->class_of && other->call.half, "out of memory");
  for (int i = 0; i < params->states; i++)
    other->call.kept[i] = block_like(params, BLOCK_STATE + i);
  if (params->averaged) other->call.average = block_like(params, BLOCK_AVERAGE);
  update_classes(optimizer, params, other->class_of);
  return other;
}

void update_emulated_free(UpdateEmulated *other) {
  free(other->call.weight);
  for (int i = 0; i < MAX_STATES; i++) free(other->call.kept[i]);
  free(other->call.average);
  free(other->call.half);
  free(other->class_of);
  free(other);
}

double update_emulated_step(UpdateEmulated *other, double rate, float loss) {
  other->call.loss = &loss;
  update_pace(&other->call.optimizer, other->params, rate, &other->state.pace);
  update_emulated(&other->call, NULL);
  return other->state.told.norm;
}

static double apart(const float *a, const float *b, size_t count) {
  double most = 0;
  for (size_t i = 0; i < count; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
  return most;
}

double update_emulated_distance(const UpdateEmulated *other) {
  const Params *params = other->params;
  const UpdateCall *call = &other->call;
  size_t count = params->elements[PARAM_TRAINED];
  double most = apart(params->host[PARAM_TRAINED], call->weight, count);
  for (int i = 0; i < params->states; i++)
    most = fmax(most, apart(params->host[BLOCK_STATE + i], call->kept[i], count));
  if (params->averaged) most = fmax(most, apart(params->host[BLOCK_AVERAGE], call->average, count));
  for (size_t i = 0; i < count; i++)
    if (call->half[i] != bf16_of(call->weight[i])) most = 1; /* written with them */
  return most;
}
