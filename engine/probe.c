#include "engine/probe.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { INPUTS = 8 };
static const double ULP_FLOAT = 1e-5, ULP_BF16 = 1e-2;

static void *copy_of(const void *from, size_t bytes) {
  void *copy = malloc(bytes + 1);
  CHECK(copy, "no memory to repeat a step");
  if (from) memcpy(copy, from, bytes);
  return copy;
}

/* A step may write over its inputs: they are sent before each. */
static void gradient_of(Plan *plan, Value *const *input, int inputs, void *const *batch,
                        float *gradient) {
  const Params *params = plan->graph->params;
  const void *from = (plan->backend->device ? params->device : params->host)[BLOCK_GRADIENT];
  for (int i = 0; i < inputs; i++) {
    memcpy(input[i]->host, batch[i], tensor_bytes(&input[i]->tensor));
    plan_send(plan, input[i]);
  }
  plan_run(plan, false);
  backend_read(plan->backend, gradient, from, params->elements[PARAM_TRAINED] * sizeof *gradient);
}

static double distance(const float *a, const float *b, size_t count) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < count; i++) {
    double apart = fabs((double)a[i] - (double)b[i]);
    if (!isnan(worst) && !(apart <= worst)) worst = apart; /* a NaN stays */
    largest = fmax(largest, fabs((double)a[i]));
  }
  return largest > 0 ? worst / largest : worst;
}

static void *buffers_of(const Plan *plan, size_t *bytes) {
  const Params *params = plan->graph->params;
  *bytes = params_block_bytes(params, PARAM_BUFFER);
  return (plan->backend->device ? params->device : params->host)[PARAM_BUFFER];
}

void *buffers_keep(const Plan *plan) {
  size_t bytes;
  void *buffers = buffers_of(plan, &bytes), *kept = copy_of(NULL, bytes);
  if (bytes) backend_read(plan->backend, kept, buffers, bytes);
  return kept;
}

void buffers_restore(const Plan *plan, void *kept) {
  size_t bytes;
  void *buffers = buffers_of(plan, &bytes);
  if (bytes) backend_write(plan->backend, buffers, kept, bytes);
  free(kept);
}

/* The processors' sums must not depend on how many threads there are: the second run has one. What
 * its kernels prepared for more suffices. */
static void run_again(Plan *plan, Value *const *input, int inputs, void *const *batch,
                      float *gradient) {
  int threads = omp_get_max_threads();
  if (!plan->backend->device) omp_set_num_threads(1);
  gradient_of(plan, input, inputs, batch, gradient);
  omp_set_num_threads(threads);
}

const char *probe_run(Plan *plan, Value *const *input, int inputs) {
  size_t count = plan->graph->params->elements[PARAM_TRAINED], bytes = count * sizeof(float);
  void *batch[INPUTS];
  float *gradient[2] = {copy_of(NULL, bytes), copy_of(NULL, bytes)};
  CHECK(plan->graph->real == F32 && inputs <= INPUTS, "a probe of %d inputs", inputs);
  for (int i = 0; i < inputs; i++)
    batch[i] = copy_of(input[i]->host, tensor_bytes(&input[i]->tensor));
  void *kept = buffers_keep(plan);
  gradient_of(plan, input, inputs, batch, gradient[0]);
  run_again(plan, input, inputs, batch, gradient[1]);
  buffers_restore(plan, kept);
  double ulp = plan->graph->storage == BF16 ? ULP_BF16 : ULP_FLOAT;
  const char *found = memcmp(gradient[0], gradient[1], bytes) == 0       ? "bitwise"
                      : distance(gradient[0], gradient[1], count) <= ulp ? "ulp"
                                                                         : "none";
  for (int i = 0; i < inputs; i++) {
    memcpy(input[i]->host, batch[i], tensor_bytes(&input[i]->tensor));
    free(batch[i]);
  }
  free(gradient[0]);
  free(gradient[1]);
  return found;
}
