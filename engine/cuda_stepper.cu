/* The training step on a GPU (engine/stepper.h).
 *
 * Two slots carry batches: page-locked memory that the host fills, and device memory behind it.
 * While step n runs, the host fills the slot of step n + 1, and its copy travels in a stream of its
 * own. Events keep the order: `arrived` (the host may fill the slot again, the step may read it),
 * `consumed` (the slot's device memory may be overwritten), `done` (the results are with the host).
 *
 * What changes between steps is in memory: batch, rates, results. So the launches between the
 * copies, captured once, are the step from then on. */
#include "engine/cuda_queue.h"
#include "kernels/cuda/rows.h"

#include <math.h>
#include <new>
#include <string.h>

extern "C" {
#include "engine/sgd.h"
#include "engine/step_memory.h"
#include "engine/stepper.h"
}

namespace {

struct Slot {
  void *host[STEPPER_INPUTS], *device[STEPPER_INPUTS];
  cudaEvent_t arrived, consumed;
};

/* Page-locked: written by the device at the end of a step. */
struct StepResults {
  float value[STEPPER_RESULTS];
  SgdState sgd;
};

struct State {
  cudaStream_t transfers;
  cudaEvent_t done;
  Slot slot[STEP_SLOTS];
  int next; /* the slot that the host fills */
  StepResults *results;
  float *rates; /* page-locked */
  SgdCall sgd;
  cudaGraphExec_t graph;
  bool marked; /* the captured step has a profile's marks */
  int64_t steps;
};

} // namespace

static State *state_of(Stepper *stepper) {
  return static_cast<State *>(stepper->state);
}

/* ---- making ---------------------------------------------------------------------------------- */

static void slot_make(Slot *slot, const Stepper *stepper, int number) {
  CUDA_TRY(cudaEventCreateWithFlags(&slot->arrived, cudaEventDisableTiming));
  CUDA_TRY(cudaEventCreateWithFlags(&slot->consumed, cudaEventDisableTiming));
  for (int i = 0; i < STEPPER_INPUTS && stepper->input[i]; i++) {
    size_t bytes = tensor_bytes(&stepper->input[i]->tensor);
    CUDA_TRY(cudaMallocHost(&slot->host[i], bytes));
    slot->device[i] = step_slot(stepper->plan, stepper->input[i], number);
  }
}

/* The rate's index of every SGD_UNIT numbers. */
static void groups_make(const Params *params, uint8_t *device) {
  size_t units = params->elements[PARAM_TRAINED] / SGD_UNIT;
  uint8_t *host = static_cast<uint8_t *>(calloc(units + 1, 1));
  CHECK(host, "no memory for %zu groups", units);
  for (int p = 0; p < params->count; p++) {
    const Param *param = params->list[p];
    if (param->as.kind != PARAM_TRAINED) continue;
    CHECK(param->offset % SGD_UNIT == 0, "%s does not start at a unit", param->name);
    size_t count = ((size_t)tensor_count(&param->shape) + SGD_UNIT - 1) / SGD_UNIT;
    memset(host + param->offset / SGD_UNIT, param->as.group, count);
  }
  CUDA_TRY(cudaMemcpy(device, host, units, cudaMemcpyHostToDevice));
  free(host);
}

static void sgd_make(State *state, const Stepper *stepper) {
  const Params *params = stepper->params;
  const Plan *plan = stepper->plan;
  const Sgd *sgd = &stepper->sgd;
  StepMemory memory = step_memory(plan);
  uint8_t *group = static_cast<uint8_t *>(step_at(plan, memory.group));
  groups_make(params, group);
  state->sgd.elements = (int64_t)params->elements[PARAM_TRAINED];
  state->sgd.weight = static_cast<float *>(params->device[PARAM_TRAINED]);
  state->sgd.gradient = static_cast<const float *>(params->device[BLOCK_GRADIENT]);
  state->sgd.velocity = static_cast<float *>(params->device[BLOCK_STATE]);
  state->sgd.loss = static_cast<const float *>(stepper->result[0]->tensor.data);
  state->sgd.group = group;
  if (plan->graph->storage == BF16) {
    state->sgd.half = static_cast<uint16_t *>(step_at(plan, memory.half));
    half_weights_add(state->sgd.weight, state->sgd.elements, state->sgd.half);
  }
  state->sgd.partial = static_cast<double *>(step_at(plan, memory.partial));
  state->sgd.state = static_cast<SgdState *>(step_at(plan, memory.state));
  state->sgd.clip = sgd->clip;
  state->sgd.momentum = sgd->momentum;
  state->sgd.weight_decay = sgd->weight_decay;
}

static void step_make(Stepper *stepper) {
  static_assert((int)SGD_GROUPS == (int)MAX_GROUPS, "a rate per group of parameters");
  State *state = new (std::nothrow) State();
  CHECK(state, "no memory for a stepper");
  stepper->state = state;
  CUDA_TRY(cudaStreamCreateWithFlags(&state->transfers, cudaStreamNonBlocking));
  CUDA_TRY(cudaEventCreateWithFlags(&state->done, cudaEventDisableTiming));
  for (int s = 0; s < STEP_SLOTS; s++) slot_make(&state->slot[s], stepper, s);
  void *memory = NULL;
  CUDA_TRY(cudaMallocHost(&memory, sizeof(StepResults)));
  state->results = static_cast<StepResults *>(memory);
  CUDA_TRY(cudaMallocHost(&memory, sizeof(float) * SGD_GROUPS));
  state->rates = static_cast<float *>(memory);
  sgd_make(state, stepper);
}

static void step_release(Stepper *stepper) {
  State *state = state_of(stepper);
  if (!state) return;
  CUDA_TRY(cudaStreamSynchronize(state->transfers));
  CUDA_TRY(cudaStreamSynchronize(cuda_queue()));
  for (int s = 0; s < STEP_SLOTS; s++) {
    Slot *slot = &state->slot[s];
    for (int i = 0; i < STEPPER_INPUTS && stepper->input[i]; i++)
      CUDA_TRY(cudaFreeHost(slot->host[i]));
    CUDA_TRY(cudaEventDestroy(slot->arrived));
    CUDA_TRY(cudaEventDestroy(slot->consumed));
  }
  if (state->graph) CUDA_TRY(cudaGraphExecDestroy(state->graph));
  if (state->sgd.half) half_weights_drop(state->sgd.weight);
  CUDA_TRY(cudaFreeHost(state->results));
  CUDA_TRY(cudaFreeHost(state->rates));
  CUDA_TRY(cudaEventDestroy(state->done));
  CUDA_TRY(cudaStreamDestroy(state->transfers));
  delete state;
  stepper->state = NULL;
}

/* ---- stepping -------------------------------------------------------------------------------- */

static void *step_input(Stepper *stepper, int input) {
  State *state = state_of(stepper);
  Slot *slot = &state->slot[state->next];
  CUDA_TRY(cudaEventSynchronize(slot->arrived)); /* never recorded: at once */
  return slot->host[input];
}

static void step_fill(Stepper *stepper) {
  State *state = state_of(stepper);
  Slot *slot = &state->slot[state->next];
  CUDA_TRY(cudaStreamWaitEvent(state->transfers, slot->consumed, 0));
  stepper->fill(stepper->fill_user, slot->device, state->transfers);
  CUDA_TRY(cudaEventRecord(slot->arrived, state->transfers));
}

static void send_inputs(Stepper *stepper, Slot *slot) {
  State *state = state_of(stepper);
  CUDA_TRY(cudaStreamWaitEvent(state->transfers, slot->consumed, 0));
  for (int i = 0; i < STEPPER_INPUTS && stepper->input[i]; i++)
    CUDA_TRY(cudaMemcpyAsync(slot->device[i], slot->host[i],
                             tensor_bytes(&stepper->input[i]->tensor), cudaMemcpyHostToDevice,
                             state->transfers));
  CUDA_TRY(cudaEventRecord(slot->arrived, state->transfers));
}

/* The batch into the slot's device memory (where the device makes it, it is there or on its way),
 * then in the step's own stream to where the plan reads. */
static void send_batch(Stepper *stepper) {
  State *state = state_of(stepper);
  Slot *slot = &state->slot[state->next];
  state->next = (state->next + 1) % STEP_SLOTS;
  if (!stepper->fill) send_inputs(stepper, slot);
  CUDA_TRY(cudaStreamWaitEvent(cuda_queue(), slot->arrived, 0));
  for (int i = 0; i < STEPPER_INPUTS && stepper->input[i]; i++) {
    const Tensor *tensor = &stepper->input[i]->tensor;
    CUDA_TRY(cudaMemcpyAsync(tensor->data, slot->device[i], tensor_bytes(tensor),
                             cudaMemcpyDeviceToDevice, cuda_queue()));
  }
  CUDA_TRY(cudaEventRecord(slot->consumed, cuda_queue()));
}

/* The last step's results have been waited for, so nothing still reads what is overwritten here. */
static void send_rates(Stepper *stepper, double rate) {
  State *state = state_of(stepper);
  const Params *params = stepper->params;
  for (int g = 0; g < params->groups; g++)
    state->rates[g] = (float)(rate * params->group[g].factor);
  CUDA_TRY(cudaMemcpyAsync(state->sgd.state->rate, state->rates, sizeof state->sgd.state->rate,
                           cudaMemcpyHostToDevice, cuda_queue()));
}

static void enqueue_results(Stepper *stepper) {
  State *state = state_of(stepper);
  for (int i = 0; i < STEPPER_RESULTS; i++)
    if (stepper->result[i])
      CUDA_TRY(cudaMemcpyAsync(&state->results->value[i], stepper->result[i]->tensor.data,
                               sizeof(float), cudaMemcpyDeviceToHost, cuda_queue()));
  CUDA_TRY(cudaMemcpyAsync(&state->results->sgd, state->sgd.state, sizeof(SgdState),
                           cudaMemcpyDeviceToHost, cuda_queue()));
}

/* Marks: one before each node and after the last, one after the update. */
static int update_mark(const Stepper *stepper) {
  return stepper->plan->graph->node_count + 1;
}

static void enqueue_step(Stepper *stepper) {
  plan_run(stepper->plan, stepper->profile);
  sgd_launch(&state_of(stepper)->sgd, cuda_queue());
  if (stepper->profile) cuda_mark(update_mark(stepper));
  enqueue_results(stepper);
}

/* The nodes of a captured graph that are work: kernels, copies and fills. */
static int count_launches(cudaGraph_t graph) {
  size_t count = 0;
  int launches = 0;
  CUDA_TRY(cudaGraphGetNodes(graph, NULL, &count));
  cudaGraphNode_t *nodes = static_cast<cudaGraphNode_t *>(calloc(count + 1, sizeof *nodes));
  CHECK(nodes, "no memory for %zu nodes", count);
  CUDA_TRY(cudaGraphGetNodes(graph, nodes, &count));
  for (size_t i = 0; i < count; i++) {
    cudaGraphNodeType type;
    CUDA_TRY(cudaGraphNodeGetType(nodes[i], &type));
    launches += type == cudaGraphNodeTypeKernel || type == cudaGraphNodeTypeMemcpy ||
                type == cudaGraphNodeTypeMemset;
  }
  free(nodes);
  return launches;
}

static void capture(Stepper *stepper) {
  State *state = state_of(stepper);
  cudaGraph_t graph;
  if (state->graph) CUDA_TRY(cudaGraphExecDestroy(state->graph));
  CUDA_TRY(cudaStreamBeginCapture(cuda_queue(), cudaStreamCaptureModeThreadLocal));
  enqueue_step(stepper);
  CUDA_TRY(cudaStreamEndCapture(cuda_queue(), &graph));
  stepper->launches = count_launches(graph);
  CUDA_TRY(cudaGraphInstantiate(&state->graph, graph, 0));
  CUDA_TRY(cudaGraphDestroy(graph));
  state->marked = stepper->profile;
}

/* The copy in BF16 of weights that came from the host since the last update. */
static void refresh_half(const SgdCall *sgd) {
  if (!half_weights_are_stale(sgd->weight)) return;
  cast(cuda_queue(), sgd->elements, F32, sgd->weight, BF16, sgd->half);
  half_weights_fresh(sgd->weight);
}

static void step_start(Stepper *stepper, double rate) {
  State *state = state_of(stepper);
  send_batch(stepper);
  send_rates(stepper, rate);
  refresh_half(&state->sgd);
  if (stepper->profile) cuda_marks(update_mark(stepper) + 1);
  bool captured = !stepper->eager && state->steps > 0;
  if (captured && (!state->graph || state->marked != stepper->profile)) capture(stepper);
  if (captured)
    CUDA_TRY(cudaGraphLaunch(state->graph, cuda_queue()));
  else
    enqueue_step(stepper);
  CUDA_TRY(cudaEventRecord(state->done, cuda_queue()));
  state->steps++;
}

static void read_profile(Stepper *stepper) {
  int last = update_mark(stepper);
  plan_marks(stepper->plan);
  stepper->graph_s = cuda_between(0, last - 1);
  stepper->update_s = cuda_between(last - 1, last);
}

static void step_wait(Stepper *stepper) {
  State *state = state_of(stepper);
  CUDA_TRY(cudaEventSynchronize(state->done));
  for (int i = 0; i < STEPPER_RESULTS; i++)
    stepper->value[i] = stepper->result[i] ? (double)state->results->value[i] : NAN;
  stepper->norm = isfinite(stepper->value[0]) ? state->results->sgd.norm : NAN;
  if (stepper->profile) read_profile(stepper);
}

extern const StepOps cuda_step = {.make = step_make,
                                  .release = step_release,
                                  .input = step_input,
                                  .fill = step_fill,
                                  .start = step_start,
                                  .wait = step_wait};
