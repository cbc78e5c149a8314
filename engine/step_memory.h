/* What a training step on a device keeps there from step to step, beside the plan's arena: two
 * slots for the batches to come, the copy of the weights in BF16, and what the update needs. It
 * lies behind the arena in one block, so that the plan's bytes are all that a step takes. */
#ifndef ENGINE_STEP_MEMORY_H
#define ENGINE_STEP_MEMORY_H

#include "engine/plan.h"

#include <stdint.h>

enum { STEP_SLOTS = 2 };

/* Offsets from the start of the plan's memory. */
typedef struct StepMemory {
  size_t half;     /* the weights in BF16; only where graph->storage is BF16 */
  size_t class_of; /* uint8_t per PARAM_UNIT weights, engine/update_device.h */
  size_t partial;  /* double (UPDATE_PARTIALS) */
  size_t state;    /* UpdateState */
  size_t slots;    /* the inputs, STEP_SLOTS times */
  size_t end;
} StepMemory;

/* Of a plan whose arena is laid out. */
StepMemory step_memory(const Plan *plan);
/* Where an input of the graph lies in a slot, after plan_bind. */
void *step_slot(const Plan *plan, const Value *input, int slot);
/* After plan_bind: this offset as an address. */
void *step_at(const Plan *plan, size_t offset);

#endif
