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
#include "engine/step_memory.h"
#include "engine/stepper.h"
#include "engine/update_device.h"
}

namespace {

struct Slot {
  void *host[STEPPER_INPUTS], *device[STEPPER_INPUTS];
  cudaEvent_t arrived, consumed;
};

/* Page-locked: written by the device at the end of a step. */
struct StepResults {
  float value[STEPPER_RESULTS];
  UpdateTold told;
};

struct State {
  cudaStream_t transfers;
  cudaEvent_t done;
  Slot slot[STEP_SLOTS];
  int next; /* the slot that the host fills */
  StepResults *results;
  UpdatePace *pace; /* page-locked */
  UpdateCall update;
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

static void update_make(State *state, const Stepper *stepper) {
  size_t units = stepper->params->elements[PARAM_TRAINED] / PARAM_UNIT;
  uint8_t *host = static_cast<uint8_t *>(calloc(units + 1, 1));
  CHECK(host, "no memory for the classes of %zu units", units);
  state->update = update_call(stepper);
  update_classes(&stepper->optimizer, stepper->params, host);
  CUDA_TRY(cudaMemcpy(const_cast<uint8_t *>(state->update.class_of), host, units,
                      cudaMemcpyHostToDevice));
  free(host);
  if (state->update.half)
    half_weights_add(state->update.weight, state->update.elements, state->update.half);
}

static void step_make(Stepper *stepper) {
  State *state = new (std::nothrow) State();
  CHECK(state, "no memory for a stepper");
  stepper->state = state;
  CUDA_TRY(cudaStreamCreateWithFlags(&state->transfers, cudaStreamNonBlocking));
  CUDA_TRY(cudaEventCreateWithFlags(&state->done, cudaEventDisableTiming));
  for (int s = 0; s < STEP_SLOTS; s++) slot_make(&state->slot[s], stepper, s);
  void *memory = NULL;
  CUDA_TRY(cudaMallocHost(&memory, sizeof(StepResults)));
  state->results = static_cast<StepResults *>(memory);
  CUDA_TRY(cudaMallocHost(&memory, sizeof(UpdatePace)));
  state->pace = static_cast<UpdatePace *>(memory);
  update_make(state, stepper);
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
  if (state->update.half) half_weights_drop(state->update.weight);
  CUDA_TRY(cudaFreeHost(state->results));
  CUDA_TRY(cudaFreeHost(state->pace));
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
static void send_pace(Stepper *stepper, double rate) {
  State *state = state_of(stepper);
  update_pace(&stepper->optimizer, stepper->params, rate, state->pace);
  CUDA_TRY(cudaMemcpyAsync(&state->update.state->pace, state->pace, sizeof *state->pace,
                           cudaMemcpyHostToDevice, cuda_queue()));
}

static void enqueue_results(Stepper *stepper) {
  State *state = state_of(stepper);
  for (int i = 0; i < STEPPER_RESULTS; i++)
    if (stepper->result[i])
      CUDA_TRY(cudaMemcpyAsync(&state->results->value[i], stepper->result[i]->tensor.data,
                               sizeof(float), cudaMemcpyDeviceToHost, cuda_queue()));
  CUDA_TRY(cudaMemcpyAsync(&state->results->told, &state->update.state->told, sizeof(UpdateTold),
                           cudaMemcpyDeviceToHost, cuda_queue()));
}

/* Marks: one before each node and after the last, one after the update. */
static int update_mark(const Stepper *stepper) {
  return stepper->plan->graph->node_count + 1;
}

static void enqueue_step(Stepper *stepper) {
  plan_run(stepper->plan, stepper->profile);
  update_launch(&state_of(stepper)->update, cuda_queue());
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
static void refresh_half(const UpdateCall *update) {
  if (!half_weights_are_stale(update->weight)) return;
  cast(cuda_queue(), update->elements, F32, update->weight, BF16, update->half);
  half_weights_fresh(update->weight);
}

static void step_start(Stepper *stepper, double rate) {
  State *state = state_of(stepper);
  send_batch(stepper);
  send_pace(stepper, rate);
  refresh_half(&state->update);
  if (stepper->profile) cuda_marks(update_mark(stepper) + 1);
  plan_refresh(stepper->plan); /* before what is captured */
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
  stepper->norm = isfinite(stepper->value[0]) ? state->results->told.norm : NAN;
  stepper->params->updates += state->results->told.apply;
  if (stepper->profile) read_profile(stepper);
}

extern const StepOps cuda_step = {.make = step_make,
                                  .release = step_release,
                                  .input = step_input,
                                  .fill = step_fill,
                                  .start = step_start,
                                  .wait = step_wait};
