#include "tests/host_gpu.h"
#include "base/clock.h"

#include <string.h>

static int blocks;

int host_gpu_blocks(void) {
  return blocks;
}

static void *device_alloc(size_t bytes) {
  blocks++;
  return aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
}
static void device_release(void *memory) {
  blocks -= memory != NULL;
  free(memory);
}
static size_t device_available(void) {
  return (size_t)1 << 30;
}
static void *queue(void) {
  return NULL;
}
static void copy(void *to, const void *from, size_t bytes) {
  memcpy(to, from, bytes);
}
static void zero(void *to, size_t bytes) {
  memset(to, 0, bytes);
}
static void wait(void) {
}
static double marked[64];
static int marks_ready;
static void marks(int count) {
  marks_ready = count;
}
static void mark(int number) {
  CHECK(number < marks_ready, "mark %d of %d", number, marks_ready);
  marked[number] = seconds_now();
}
double host_gpu_between(int first, int last) {
  return marked[last] - marked[first];
}
static void *host_alloc(size_t bytes) {
  return malloc(bytes + 1);
}
static void step_nothing(Stepper *s) {
  (void)s;
}
static void *step_input(Stepper *s, int input) {
  return s->input[input]->host;
}
/* The CPU's optimiser on the device's blocks. */
static void step_start(Stepper *s, double rate) {
  for (int i = 0; i < STEPPER_INPUTS && s->input[i]; i++) plan_send(s->plan, s->input[i]);
  if (s->profile) marks(s->plan->graph->node_count + 1);
  plan_run(s->plan, s->profile);
  if (s->profile) plan_marks(s->plan);
  Params there = *s->params;
  memcpy(there.host, there.device, sizeof there.host);
  s->value[0] = (double)*(const float *)plan_fetch(s->plan, s->result[0]);
  s->norm = optimizer_step(&s->optimizer, &there, rate);
  s->params->updates = there.updates;
}
static const StepOps step_ops = {.make = step_nothing,
                                 .input = step_input,
                                 .start = step_start,
                                 .wait = step_nothing,
                                 .release = step_nothing};
static const Device device = {.queue = queue,
                              .copy_in = copy,
                              .copy_out = copy,
                              .zero = zero,
                              .wait = wait,
                              .host_alloc = host_alloc,
                              .host_release = free,
                              .marks = marks,
                              .mark = mark,
                              .between = host_gpu_between,
                              .step = &step_ops};
const Backend host_gpu = {"there",          F32,    kernels_cpu, device_alloc, device_release,
                          device_available, &device};
