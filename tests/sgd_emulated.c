#define CUDA_EMULATOR
#include "tests/sgd_emulated.h"
#include "engine/sgd.h"
#include "kernels/cpu/bf16.h"

#include <math.h>
#include <string.h>

struct SgdEmulated {
  const Params *params;
  Sgd sgd;
  float *weight, *velocity;
  uint16_t *half;
  uint8_t *group;
  double partial[SGD_PARTIALS];
  SgdState state;
};

SgdEmulated *sgd_emulated_make(const Params *params, const Sgd *sgd) {
  SgdEmulated *other = calloc(1, sizeof *other);
  size_t bytes = params->elements[PARAM_TRAINED] * sizeof(float);
  CHECK(other, "out of memory");
  other->params = params;
  other->sgd = *sgd;
  other->weight = aligned_alloc(64, bytes);
  other->velocity = aligned_alloc(64, bytes);
  other->half = calloc(params->elements[PARAM_TRAINED], sizeof *other->half);
  other->group = calloc(params->elements[PARAM_TRAINED] / SGD_UNIT, 1);
  CHECK(other->weight && other->velocity && other->group && other->half, "out of memory");
  memcpy(other->weight, params->host[PARAM_TRAINED], bytes);
  memset(other->velocity, 0, bytes);
  for (int p = 0; p < params->count; p++)
    for (size_t i = 0; i < (size_t)tensor_count(&params->list[p]->shape); i++)
      other->group[(params->list[p]->offset + i) / SGD_UNIT] = (uint8_t)params->list[p]->as.group;
  return other;
}

void sgd_emulated_free(SgdEmulated *other) {
  free(other->weight);
  free(other->velocity);
  free(other->half);
  free(other->group);
  free(other);
}

double sgd_emulated_step(SgdEmulated *other, double rate, float loss) {
  const Sgd *sgd = &other->sgd;
  for (int g = 0; g < other->params->groups; g++)
    other->state.rate[g] = (float)(rate * other->params->group[g].factor);
  SgdCall call = {.elements = (int64_t)other->params->elements[PARAM_TRAINED],
                  .gradient = other->params->host[BLOCK_GRADIENT],
                  .loss = &loss,
                  .weight = other->weight,
                  .velocity = other->velocity,
                  .half = other->half,
                  .group = other->group,
                  .partial = other->partial,
                  .state = &other->state,
                  .clip = sgd->clip,
                  .momentum = sgd->momentum,
                  .weight_decay = sgd->weight_decay};
  sgd_emulated(&call, NULL);
  return other->state.norm;
}

double sgd_emulated_distance(const SgdEmulated *other) {
  const float *w = other->params->host[PARAM_TRAINED], *m = other->params->host[BLOCK_STATE];
  double most = 0;
  for (size_t i = 0; i < other->params->elements[PARAM_TRAINED]; i++) {
    most = fmax(most, fabs((double)w[i] - (double)other->weight[i]));
    most = fmax(most, fabs((double)m[i] - (double)other->velocity[i]));
    if (other->half[i] != bf16_of(other->weight[i])) most = 1; /* written with them */
  }
  return most;
}
