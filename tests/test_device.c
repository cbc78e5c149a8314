/* What the engine does differently with a device, tested with one made of the host (host_gpu.h):
 * parameters placed there, inputs sent, results fetched, checkpoints written from there and read to
 * there. */
#include "engine/probe.h"
#include "engine/step_memory.h"
#include "engine/stepper.h"
#include "kernels/cuda/absent_gpu.h"
#include "kernels/options.h"
#include "tests/host_gpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Net {
  Params *params;
  Graph *graph;
  Plan *plan;
  Stepper stepper;
} Net;

enum { BATCH = 2, QUERIES = 6, WIDTH = 8, CLASSES = 5 };

/* The plan and the stepper of a graph whose loss is made. */
static void net_finish(Net *net, const Backend *backend, Value *x, Value *labels, Value *loss,
                       Optimizer sgd) {
  Error error = {{0}};
  optimizer_states(&(Optimizer){0}, net->params);
  if (!loss || !graph_backward(net->graph, loss)) fail_msg("%s", net->graph->error.text);
  net->plan = plan_make(net->graph, backend, true, &error);
  if (!net->plan || !params_allocate(net->params, 7, &error) || !plan_bind(net->plan, NULL, &error))
    fail_msg("%s", error.text);
  net->stepper = (Stepper){.plan = net->plan,
                           .params = net->params,
                           .optimizer = sgd,
                           .input = {x, labels},
                           .result = {loss}};
  stepper_make(&net->stepper);
}

/* A linear classifier. */
static void net_make(Net *net, const Backend *backend) {
  *net = (Net){.params = params_make(F32)};
  net->params->group[GROUP_TRANSFORMER].factor = .5;
  Graph *g = net->graph = graph_make(net->params);
  Value *x = graph_input(g, "x", F32, 3, (int64_t[]){BATCH, QUERIES, WIDTH});
  Value *labels = graph_input(g, "labels", I32, 2, (int64_t[]){BATCH, QUERIES});
  Init init = {.kind = INIT_NORMAL, .a = .3};
  Value *w = graph_param(g, "w", 2, (int64_t[]){CLASSES, WIDTH}, GROUP_CNN, init);
  Value *b = graph_param(g, "b", 1, (int64_t[]){CLASSES}, GROUP_TRANSFORMER, init);
  ClassLossOptions loss_options = {.none_weight = .5};
  LinearOptions linear = {.activation = ACT_NONE};
  Value *loss =
      apply(g, OP_class_loss, &loss_options, apply(g, OP_linear, &linear, w, b, x), labels);
  net_finish(net, backend, x, labels, loss, (Optimizer){.momentum = .9, .clip = 1});
}

static void net_free(Net *net) {
  stepper_release(&net->stepper);
  plan_free(net->plan);
  graph_free(net->graph);
  params_free(net->params);
}

static double net_step(Net *net, int step) {
  float *x = stepper_input(&net->stepper, 0);
  int32_t *labels = stepper_input(&net->stepper, 1);
  for (int i = 0; i < BATCH * QUERIES * WIDTH; i++) x[i] = sinf((float)(i * (step + 1)));
  for (int i = 0; i < BATCH * QUERIES; i++) labels[i] = (i + step) % CLASSES - 1;
  stepper_start(&net->stepper, .1);
  stepper_wait(&net->stepper);
  return net->stepper.value[0];
}

static void test_the_same_steps(void **state) {
  (void)state;
  Net here, there;
  net_make(&here, &backend_cpu);
  net_make(&there, &host_gpu);
  assert_ptr_not_equal(there.params->device[PARAM_TRAINED], there.params->host[PARAM_TRAINED]);
  for (int step = 0; step < 4; step++) {
    double a = net_step(&here, step), b = net_step(&there, step);
    assert_true(isfinite(a) && a == b);
    assert_true(here.stepper.norm == there.stepper.norm);
  }
  params_fetch(there.params);
  assert_memory_equal(here.params->host[PARAM_TRAINED], there.params->host[PARAM_TRAINED],
                      params_block_bytes(here.params, PARAM_TRAINED));
  net_free(&here);
  net_free(&there);
  assert_int_equal(host_gpu_blocks(), 0);
}

/* Weights and momenta leave the device with a checkpoint and come back to it. */
static void test_checkpoints(void **state) {
  (void)state;
  char path[] = "/tmp/harness-device-XXXXXX";
  int file = mkstemp(path);
  Error error = {{0}};
  Net first, second;
  assert_true(file >= 0 && close(file) == 0);
  net_make(&first, &host_gpu);
  net_make(&second, &host_gpu);
  for (int step = 0; step < 3; step++) net_step(&first, step);
  assert_true(params_save(first.params, true, NULL, path, &error));
  assert_true(net_step(&second, 3) != net_step(&first, 3));
  assert_true(params_load(first.params, true, path, &error));
  assert_true(params_load(second.params, true, path, &error));
  for (int step = 4; step < 6; step++) /* the second with what the momenta did */
    assert_true(net_step(&second, step) == net_step(&first, step));
  checkpoint_remove(path);
  net_free(&first);
  net_free(&second);
}

/* ---- a step that does not repeat ------------------------------------------------------------- */

static float drift; /* of a gradient, from call to call */

static void drifting_backward(const Call *call) {
  static int calls;
  kernels_cpu[OP_linear]->backward(call);
  float *dw = call->din[0].data;
  for (int i = 0; dw && i < CLASSES * WIDTH; i++) dw[i] *= 1 + drift * (float)(calls % 2);
  calls++;
}

static const char *probe_with(const Backend *backend, float apart) {
  Net net;
  drift = apart;
  net_make(&net, backend);
  float *x = net.stepper.input[0]->host, kept;
  int32_t *labels = net.stepper.input[1]->host;
  for (int i = 0; i < BATCH * QUERIES * WIDTH; i++) x[i] = sinf((float)i);
  for (int i = 0; i < BATCH * QUERIES; i++) labels[i] = i % CLASSES - 1;
  kept = x[5];
  const char *found = probe_run(net.plan, net.stepper.input, 2);
  assert_true(x[5] == kept);
  net_free(&net);
  return found;
}

static void test_probe(void **state) {
  (void)state;
  static const Kernel *table[OP_COUNT];
  Kernel drifting = *kernels_cpu[OP_linear];
  drifting.backward = drifting_backward;
  memcpy(table, kernels_cpu, sizeof table);
  table[OP_linear] = &drifting;
  Backend here = backend_cpu, there = host_gpu;
  here.kernels = there.kernels = table;
  assert_string_equal(probe_with(&backend_cpu, 0), "bitwise");
  assert_string_equal(probe_with(&there, 0), "bitwise");
  assert_string_equal(probe_with(&there, 3e-7f), "ulp");
  assert_string_equal(probe_with(&here, 3e-7f), "ulp");
  assert_string_equal(probe_with(&there, 1e-3f), "none");
  assert_string_equal(probe_with(&there, INFINITY), "none"); /* NaN among finite gradients */
}

/* ---- a bias before an instance norm ---------------------------------------------------------- */

static Value *convolved(Graph *g, Value *x, const char *name, int64_t outs) {
  char bias[16];
  Init init = {.kind = INIT_NORMAL, .a = .3};
  snprintf(bias, sizeof bias, "%s.bias", name);
  Value *w = graph_param(g, name, 5, (int64_t[]){outs, 1, 3, 3, x->tensor.dim[4]}, GROUP_CNN, init);
  Value *b = graph_param(g, bias, 1, &outs, GROUP_CNN, init);
  ConvOptions options = {.stride = {3, {1, 1, 1}}};
  return apply(g, OP_conv, &options, w, b, x);
}

/* conv, norm, conv, loss. */
static void normed_make(Net *net, const Backend *backend) {
  *net = (Net){.params = params_make(F32)};
  Graph *g = net->graph = graph_make(net->params);
  int64_t width = 6;
  Value *x = graph_input(g, "x", F32, 5, (int64_t[]){2, 3, 5, 4, 2});
  Value *labels = graph_input(g, "labels", I32, 4, (int64_t[]){2, 3, 5, 4});
  Value *gamma = graph_param(g, "gamma", 1, &width, GROUP_CNN, (Init){.kind = INIT_NORMAL, .a = 1});
  Value *beta = graph_param(g, "beta", 1, &width, GROUP_CNN, (Init){0});
  InstanceNormOptions norm = {.epsilon = 1e-5, .slope = .01};
  VoxelLossOptions loss_options = {.smooth = 1e-5};
  Value *map = apply(g, OP_instance_norm, &norm, gamma, beta, convolved(g, x, "first", width));
  Value *loss = apply(g, OP_voxel_loss, &loss_options, convolved(g, map, "second", 3), labels);
  net_finish(net, backend, x, labels, loss, (Optimizer){.momentum = .9, .clip = 12});
}

static double normed_step(Net *net) {
  float *x = stepper_input(&net->stepper, 0);
  int32_t *labels = stepper_input(&net->stepper, 1);
  for (int i = 0; i < 240; i++) x[i] = sinf((float)(i * i));
  for (int i = 0; i < 120; i++) labels[i] = i * 7 % 3;
  stepper_start(&net->stepper, .1);
  stepper_wait(&net->stepper);
  return net->stepper.value[0];
}

static double largest_gradient(const Net *net, const char *name) {
  const void *block = net->params->device[BLOCK_GRADIENT] ? net->params->device[BLOCK_GRADIENT]
                                                          : net->params->host[BLOCK_GRADIENT];
  double largest = 0;
  for (int p = 0; p < net->params->count; p++) {
    const Param *param = net->params->list[p];
    const float *g = (const float *)params_at(net->params, (void *)block, param);
    if (strcmp(param->name, name)) continue;
    for (int64_t i = 0; i < tensor_count(&param->shape); i++)
      largest = fmax(largest, fabs((double)g[i]));
  }
  return largest;
}

static void test_empty_gradients(void **state) {
  (void)state;
  Net here, there;
  normed_make(&here, &backend_cpu);
  normed_make(&there, &host_gpu);
  for (int step = 0; step < 3; step++)
    assert_true(fabs(normed_step(&here) - normed_step(&there)) < 1e-5);
  assert_true(largest_gradient(&here, "first.bias") < 1e-5);
  assert_true(largest_gradient(&there, "first.bias") == 0);
  assert_true(largest_gradient(&here, "second.bias") > 1e-3);
  assert_true(
      fabs(largest_gradient(&there, "second.bias") / largest_gradient(&here, "second.bias") - 1) <
      1e-4);
  net_free(&here);
  net_free(&there);
}

/* ---- gradients of a value that is used often ------------------------------------------------- */

/* Backward that also adds to what is there, in a block of its own first. */
static void adding(const Call *call, OpId op) {
  Call apart = *call;
  apart.adds = 0;
  for (int i = 0; i < call->n_in; i++)
    if (call->adds >> i & 1) apart.din[i].data = malloc(tensor_bytes(&call->din[i]));
  kernels_cpu[op]->backward(&apart);
  for (int i = 0; i < call->n_in; i++) {
    if (!(call->adds >> i & 1)) continue;
    float *sum = call->din[i].data, *more = apart.din[i].data;
    for (int64_t k = 0; k < tensor_count(&call->din[i]); k++) sum[k] += more[k];
    free(more);
  }
}

static void linear_adding(const Call *call) {
  adding(call, OP_linear);
}
static void add_adding(const Call *call) {
  adding(call, OP_add);
}

/* One layer's weights used three times, a residual, a position that is the same for every
 * sample. */
static void often_make(Net *net, const Backend *backend) {
  *net = (Net){.params = params_make(F32)};
  Graph *g = net->graph = graph_make(net->params);
  Init init = {.kind = INIT_NORMAL, .a = .3};
  Value *x = graph_input(g, "x", F32, 3, (int64_t[]){BATCH, QUERIES, WIDTH});
  Value *labels = graph_input(g, "labels", I32, 2, (int64_t[]){BATCH, QUERIES});
  Value *w = graph_param(g, "w", 2, (int64_t[]){WIDTH, WIDTH}, GROUP_CNN, init);
  Value *b = graph_param(g, "b", 1, (int64_t[]){WIDTH}, GROUP_CNN, init);
  Value *p = graph_param(g, "p", 2, (int64_t[]){QUERIES, WIDTH}, GROUP_CNN, init);
  Value *u = graph_param(g, "u", 2, (int64_t[]){CLASSES, WIDTH}, GROUP_CNN, init);
  Value *c = graph_param(g, "c", 1, (int64_t[]){CLASSES}, GROUP_CNN, init);
  LinearOptions linear = {.activation = ACT_RELU}, last = {.activation = ACT_NONE};
  ClassLossOptions loss_options = {.none_weight = .5};
  Value *f = apply(g, OP_linear, &linear, w, b, x);
  Value *q = apply(g, OP_linear, &linear, w, b, apply(g, OP_add, NULL, f, p));
  f = apply(g, OP_add, NULL, f, q);
  q = apply(g, OP_linear, &linear, w, b, apply(g, OP_add, NULL, f, p));
  f = apply(g, OP_add, NULL, f, q);
  Value *logits = apply(g, OP_linear, &last, u, c, f);
  Value *loss = apply(g, OP_class_loss, &loss_options, logits, labels);
  net_finish(net, backend, x, labels, loss, (Optimizer){.momentum = .9, .clip = 1});
}

static int count_nodes(const Net *net, OpId op, bool backward) {
  int count = 0;
  for (int i = 0; i < net->graph->node_count; i++) {
    const Node *node = net->graph->nodes[i];
    count += node->op == op && node->call.backward == backward;
  }
  return count;
}

/* On a device an addition copies no gradient, and none is added by a node of its own. */
static void test_gradients_added(void **state) {
  (void)state;
  static const Kernel *table[OP_COUNT];
  Kernel linear = *kernels_cpu[OP_linear], add = *kernels_cpu[OP_add];
  linear.backward = linear_adding;
  linear.adds = SAVES_IN(0) | SAVES_IN(1) | SAVES_IN(2);
  add.backward = add_adding;
  add.adds = SAVES_IN(0) | SAVES_IN(1);
  memcpy(table, kernels_cpu, sizeof table);
  table[OP_linear] = &linear;
  table[OP_add] = &add;
  Backend adder = host_gpu;
  adder.kernels = table;
  Net here, there, more;
  often_make(&here, &backend_cpu);
  often_make(&there, &host_gpu); /* whose kernels do not add */
  often_make(&more, &adder);
  for (int step = 0; step < 4; step++) {
    double expected = net_step(&here, step);
    assert_true(fabs(net_step(&there, step) - expected) < 1e-6);
    assert_true(fabs(net_step(&more, step) - expected) < 1e-6);
    assert_true(fabs(more.stepper.norm / here.stepper.norm - 1) < 1e-5);
  }
  assert_int_equal(count_nodes(&here, OP_add, true), 4);
  assert_int_equal(count_nodes(&there, OP_add, true), 2); /* the positions' sums */
  assert_int_equal(count_nodes(&more, OP_add, true), 2);
  assert_int_equal(count_nodes(&here, OP_add, false), 4 + 7);
  assert_int_equal(count_nodes(&more, OP_add, false), 4);
  net_free(&here);
  net_free(&there);
  net_free(&more);
}

/* ---- what a step keeps beside the arena ------------------------------------------------------ */

static size_t left;
static size_t little_available(void) {
  return left;
}

static int count_again(const Net *net) {
  int count = 0;
  for (int i = 0; i < net->graph->node_count; i++) count += net->graph->nodes[i]->call.again;
  return count;
}

/* A norm is computed again for the gradients only where memory is short: the same bits. */
static void test_repeated(void **state) {
  (void)state;
  Backend there = host_gpu;
  Net ample, scarce;
  there.available = little_available;
  left = SIZE_MAX;
  normed_make(&ample, &there);
  left = 2 * plan_memory(ample.plan) - 1;
  normed_make(&scarce, &there);
  assert_int_equal(count_again(&ample), 0);
  assert_int_equal(count_again(&scarce), 1);
  for (int step = 0; step < 3; step++) assert_true(normed_step(&ample) == normed_step(&scarce));
  assert_true(ample.stepper.norm == scarce.stepper.norm);
  net_free(&ample);
  net_free(&scarce);
}

/* The batches to come, the weights in BF16 and the update's memory are planned: what lacks one byte
 * of them is out of memory before the first step. */
static void test_step_memory(void **state) {
  (void)state;
  size_t bytes[2];
  for (int half = 0; half < 2; half++) {
    Backend there = host_gpu;
    Error error = {{0}};
    Net net;
    there.available = little_available;
    left = SIZE_MAX;
    net_make(&net, &there);
    stepper_release(&net.stepper);
    plan_free(net.plan);
    net.graph->storage = half ? BF16 : F32;
    net.plan = plan_make(net.graph, &there, true, &error);
    bytes[half] = net.plan->step_bytes;
    left = plan_memory(net.plan) - 1;
    assert_false(plan_bind(net.plan, NULL, &error));
    assert_non_null(strstr(error.text, "out of memory"));
    left++;
    assert_true(plan_bind(net.plan, NULL, &error));
    StepMemory m = step_memory(net.plan);
    Value *const *input = net.stepper.input;
    assert_true(m.half >= net.plan->bytes && m.end == plan_memory(net.plan));
    char *end = step_slot(net.plan, input[1], 1);
    assert_true(end + tensor_bytes(&input[1]->tensor) <= (char *)step_at(net.plan, m.end));
    for (int slot = 0; slot < STEP_SLOTS; slot++) /* no two overlap */
      assert_true((char *)step_slot(net.plan, input[0], slot) + tensor_bytes(&input[0]->tensor) <=
                  (char *)step_slot(net.plan, input[1], slot));
    plan_free(net.plan);
    graph_free(net.graph);
    params_free(net.params);
  }
  assert_true(bytes[1] - bytes[0] >= 2 * (CLASSES * WIDTH + CLASSES));
}

/* ---- a profile ------------------------------------------------------------------------------- */

static void counted_forward(const Call *call) {
  gpu_launches += 3;
  kernels_cpu[OP_linear]->forward(call);
}

/* Each node has the time between its marks, and its launches; the printed shares add up. */
static void test_profile(void **state) {
  (void)state;
  static const Kernel *table[OP_COUNT];
  Kernel counted = *kernels_cpu[OP_linear];
  counted.forward = counted_forward;
  memcpy(table, kernels_cpu, sizeof table);
  table[OP_linear] = &counted;
  Backend there = host_gpu;
  there.kernels = table;
  Net net;
  net_make(&net, &there);
  double plain = net_step(&net, 0), sum = 0;
  net.stepper.profile = true;
  assert_true(isfinite(plain) && isfinite(net_step(&net, 1)));
  for (int i = 0; i < net.graph->node_count; i++) {
    const Node *node = net.graph->nodes[i];
    assert_true(node->seconds > 0);
    assert_int_equal(node->launches, node->op == OP_linear && !node->call.backward ? 3 : 0);
    sum += node->seconds;
  }
  assert_true(fabs(sum / host_gpu_between(0, net.graph->node_count) - 1) < 1e-6);
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  Ceiling ceiling = {100, 10};
  plan_profile_print(net.plan, 1, &ceiling, out);
  plan_profile_nodes(net.plan, 1, &ceiling, 2, out);
  fclose(out);
  print_message("%s", text);
  assert_non_null(strstr(text, " launches\n"));
  assert_non_null(strstr(text, "%        3\n"));
  free(text);
  net_free(&net);
}

static void test_wrong_libraries(void **state) {
  (void)state;
  const int good[] = {0, 90701, 91600, 91900}, bad[] = {90800, 91001, 91002, 91300, 91400, 91500};
  for (int i = 0; i < 4; i++) assert_null(backend_dnn_warning(good[i]));
  for (int i = 0; i < 6; i++) assert_non_null(strstr(backend_dnn_warning(bad[i]), "9.16 or later"));
  assert_non_null(strstr(backend_dnn_warning(91500), "TF32"));
  assert_null(strstr(backend_dnn_warning(90800), "TF32"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_same_steps),  cmocka_unit_test(test_probe),
      cmocka_unit_test(test_checkpoints),     cmocka_unit_test(test_profile),
      cmocka_unit_test(test_empty_gradients), cmocka_unit_test(test_gradients_added),
      cmocka_unit_test(test_repeated),        cmocka_unit_test(test_step_memory),
      cmocka_unit_test(test_wrong_libraries)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
