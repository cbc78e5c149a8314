#include "engine/update_device.h"
#include "engine/step_memory.h"
#include "engine/stepper.h"

#include <string.h>

void update_classes(const Optimizer *optimizer, const Params *params, uint8_t *class_of) {
  memset(class_of, 0, params->elements[PARAM_TRAINED] / PARAM_UNIT);
  for (int p = 0; p < params->count; p++) {
    const Param *param = params->list[p];
    if (param->as.kind != PARAM_TRAINED) continue;
    size_t units = ((size_t)tensor_count(&param->shape) + PARAM_UNIT - 1) / PARAM_UNIT;
    memset(class_of + param->offset / PARAM_UNIT, optimizer_class(optimizer, params, param), units);
  }
}

void update_pace(const Optimizer *optimizer, const Params *params, double rate, UpdatePace *pace) {
  Pace exact;
  optimizer_pace(optimizer, params, rate, &exact);
  for (int c = 0; c < 4 * params->groups; c++) {
    pace->rate[c] = (float)exact.rate[c];
    pace->decay[c] = (float)exact.decay[c];
    pace->root[c] = (float)exact.root[c];
  }
  pace->average = (float)exact.average;
}

UpdateCall update_call(const Stepper *stepper) {
  const Params *params = stepper->params;
  const Plan *plan = stepper->plan;
  StepMemory memory = step_memory(plan);
  UpdateCall call = {.optimizer = stepper->optimizer,
                     .elements = (int64_t)params->elements[PARAM_TRAINED],
                     .gradient = params->device[BLOCK_GRADIENT],
                     .loss = stepper->result[0]->tensor.data,
                     .weight = params->device[PARAM_TRAINED],
                     .average = params->device[BLOCK_AVERAGE],
                     .class_of = step_at(plan, memory.class_of),
                     .half = plan->graph->storage == BF16 ? step_at(plan, memory.half) : NULL,
                     .partial = step_at(plan, memory.partial),
                     .state = step_at(plan, memory.state)};
  for (int i = 0; i < params->states; i++) call.kept[i] = params->device[BLOCK_STATE + i];
  return call;
}
