#include "engine/step_memory.h"
#include "engine/update_device.h"

/* As a device's own allocations are aligned: a copy in BF16 is read by the vector. */
enum { STEP_ALIGN = 256 };

static size_t aligned(size_t bytes) {
  return (bytes + STEP_ALIGN - 1) / STEP_ALIGN * STEP_ALIGN;
}

static size_t add(size_t *end, size_t bytes) {
  size_t offset = *end;
  *end += aligned(bytes);
  return offset;
}

/* An input that the caller writes before each step: not the loss's gradient, which is 1. */
static bool is_written(const Value *value) {
  return value->kind == VALUE_INPUT && !value->keep;
}

/* Of one slot; of the inputs before `end`, NULL: of all. */
static size_t slot_bytes(const Graph *graph, const Value *end) {
  size_t bytes = 0;
  int i = 0;
  for (; i < graph->value_count && graph->values[i] != end; i++)
    if (is_written(graph->values[i])) bytes += aligned(tensor_bytes(&graph->values[i]->tensor));
  CHECK(!end || (i < graph->value_count && is_written(end)), "%s is no input of this graph",
        end->name);
  return bytes;
}

StepMemory step_memory(const Plan *plan) {
  const Graph *graph = plan->graph;
  size_t elements = graph->params->elements[PARAM_TRAINED];
  StepMemory m = {.end = aligned(plan->bytes)};
  m.half = add(&m.end, graph->storage == BF16 ? elements * dtype_bytes(BF16) : 0);
  m.class_of = add(&m.end, elements / PARAM_UNIT + 1);
  m.partial = add(&m.end, UPDATE_PARTIALS * sizeof(double));
  m.state = add(&m.end, sizeof(UpdateState));
  m.slots = add(&m.end, STEP_SLOTS * slot_bytes(graph, NULL));
  return m;
}

void *step_at(const Plan *plan, size_t offset) {
  return (char *)plan->memory + offset;
}

void *step_slot(const Plan *plan, const Value *input, int slot) {
  const Graph *graph = plan->graph;
  return step_at(plan, step_memory(plan).slots + (size_t)slot * slot_bytes(graph, NULL) +
                           slot_bytes(graph, input));
}
