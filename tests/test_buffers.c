/* Buffers that a training step writes, as batch norm its running mean and variance: once a step,
 * whatever is computed again; with the weights in checkpoints; by no optimiser; read anew by who
 * takes buffers for constants. */
#include "engine/probe.h"
#include "engine/stepper.h"
#include "modules/layers.h"
#include "tests/host_gpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WIDTH = 16, ROWS = 24 };
static const int64_t GRID[5] = {1, 3, 2, 4, WIDTH};

typedef struct Way {
  const Backend *backend;
  bool recompute;
  double average;
  const char *freeze;
} Way;

typedef struct Net {
  Params *params;
  Graph *graph;
  Plan *plan;
  Value *first; /* what the first norm reads */
  Stepper stepper;
} Net;

/* Linear layer, batch norm, SiLU. */
static Value *stage(Net *net, int number, Value *x) {
  BatchNormOptions norm = {.epsilon = 1e-5, .momentum = .1, .slope = 1, .activation = NORM_SILU};
  graph_push(net->graph, "stage%d", number);
  graph_block(net->graph);
  x = linear_layer(net->graph, "conv", x, WIDTH, ACT_NONE);
  if (number == 0) net->first = x;
  x = batch_norm(net->graph, "norm", x, &norm);
  graph_pop(net->graph);
  return x;
}

static Net make(const Way *way) {
  Error error = {""};
  Net net = {.params = params_make(F32)};
  Graph *g = net.graph = graph_make(net.params);
  PoolOptions whole = {.factor = {3, {3, 2, 4}}};
  Optimizer sgd = {.momentum = .9, .clip = 1, .weight_decay = .1, .average = way->average};
  g->training = true;
  g->recompute = way->recompute;
  g->freeze = way->freeze;
  Value *x = graph_input(g, "x", F32, 5, GRID), *h = x;
  for (int s = 0; s < 2; s++) h = stage(&net, s, h);
  Value *loss = apply(g, OP_avg_pool, &whole, linear_layer(g, "last", h, 1, ACT_NONE));
  net.first->keep = true;
  optimizer_states(&sgd, net.params);
  if (!loss || !graph_backward(g, loss)) fail_msg("%s", g->error.text);
  net.plan = plan_make(g, way->backend, true, &error);
  if (!net.plan || !params_allocate(net.params, 3, &error) || !plan_bind(net.plan, NULL, &error))
    fail_msg("%s", error.text);
  net.stepper = (Stepper){
      .plan = net.plan, .params = net.params, .optimizer = sgd, .input = {x}, .result = {loss}};
  stepper_make(&net.stepper);
  return net;
}

static void drop(Net *net) {
  stepper_release(&net->stepper);
  plan_free(net->plan);
  graph_free(net->graph);
  params_free(net->params);
}

static void steps(Net *net, int from, int to) {
  for (int step = from; step < to; step++) {
    float *x = stepper_input(&net->stepper, 0);
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = 2 + sinf((float)(i * (step + 1)));
    stepper_start(&net->stepper, .1);
    stepper_wait(&net->stepper);
  }
  params_fetch(net->params);
}

static const float *numbers(const Net *net, const char *name) {
  for (int p = 0; p < net->params->count; p++)
    if (!strcmp(net->params->list[p]->name, name))
      return params_weight(net->params, net->params->list[p]);
  fail_msg("no parameter %s", name);
  return NULL;
}

static void same_blocks(const Net *a, const Net *b) {
  for (int block = 0; block < PARAM_BLOCKS; block++) {
    size_t bytes = params_block_bytes(a->params, block);
    assert_int_equal(bytes, params_block_bytes(b->params, block));
    if (bytes && block != BLOCK_GRADIENT)
      assert_memory_equal(a->params->host[block], b->params->host[block], bytes);
  }
}

/* In one step each takes exactly its share of what the norm read. */
static void test_a_step_writes_once(void **state) {
  (void)state;
  for (int way = 0; way < 4; way++) {
    Net net = make(&(Way){.backend = way / 2 ? &host_gpu : &backend_cpu, .recompute = way % 2});
    steps(&net, 0, 1);
    const float *read = plan_fetch(net.plan, net.first);
    const float *mean = numbers(&net, "stage0.norm.running_mean");
    const float *variance = numbers(&net, "stage0.norm.running_var");
    for (int c = 0; c < WIDTH; c++) {
      double m = 0, v = 0;
      for (int i = 0; i < ROWS; i++) m += (double)read[i * WIDTH + c] / ROWS;
      for (int i = 0; i < ROWS; i++) v += pow((double)read[i * WIDTH + c] - m, 2) / (ROWS - 1);
      assert_true(fabs((double)mean[c] - .1 * m) < 1e-6);
      assert_true(fabs((double)variance[c] - (.9 + .1 * v)) < 1e-6);
    }
    drop(&net);
  }
}

/* Kept or computed again, on the host or a device, an average of the weights beside or none. */
static void test_the_same_statistics(void **state) {
  (void)state;
  Net kept = make(&(Way){.backend = &backend_cpu});
  steps(&kept, 0, 4);
  for (int way = 0; way < 3; way++) {
    Net other = make(&(Way){.backend = way == 1 ? &host_gpu : &backend_cpu, .recompute = way < 2});
    steps(&other, 0, 4);
    same_blocks(&kept, &other);
    drop(&other);
  }
  Net averaged = make(&(Way){.backend = &backend_cpu, .average = .9});
  steps(&averaged, 0, 4);
  assert_memory_equal(kept.params->host[PARAM_BUFFER], averaged.params->host[PARAM_BUFFER],
                      params_block_bytes(kept.params, PARAM_BUFFER));
  drop(&averaged);
  drop(&kept);
}

static void test_a_resumed_training_goes_on_to_the_bit(void **state) {
  (void)state;
  char path[] = "/tmp/harness-test-XXXXXX";
  Error error = {""};
  close(mkstemp(path));
  for (int there = 0; there < 2; there++) {
    Way way = {.backend = there ? &host_gpu : &backend_cpu, .average = .9};
    Net whole = make(&way), resumed = make(&way);
    steps(&whole, 0, 3);
    assert_true(params_save(whole.params, true, NULL, path, &error));
    steps(&whole, 3, 5);
    assert_true(params_load(resumed.params, true, path, &error));
    steps(&resumed, 3, 5);
    same_blocks(&whole, &resumed);
    drop(&whole);
    drop(&resumed);
  }
  checkpoint_remove(path);
}

/* A step that is repeated to be compared is none of the training's. */
static void test_a_probe_leaves_no_trace(void **state) {
  (void)state;
  for (int there = 0; there < 2; there++) {
    Net net = make(&(Way){.backend = there ? &host_gpu : &backend_cpu});
    float kept[2 * 2 * WIDTH], *x = net.stepper.input[0]->host;
    steps(&net, 0, 1);
    assert_int_equal(params_block_bytes(net.params, PARAM_BUFFER), sizeof kept);
    memcpy(kept, net.params->host[PARAM_BUFFER], sizeof kept);
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = sinf((float)i);
    assert_string_equal(probe_run(net.plan, net.stepper.input, 1), "bitwise");
    params_fetch(net.params);
    assert_memory_equal(kept, net.params->host[PARAM_BUFFER], sizeof kept);
    drop(&net);
  }
}

/* Another graph of the same parameters, made of nothing but a buffer that a step writes: no
 * constant. */
static void test_who_reads_it_reads_it_anew(void **state) {
  (void)state;
  Error error = {""};
  Net net = make(&(Way){.backend = &backend_cpu});
  Graph *reader = graph_make(net.params);
  graph_push(reader, "stage0.norm");
  Value *mean = graph_buffer(reader, "running_mean", 1, (int64_t[]){WIDTH}, (Init){0});
  graph_pop(reader);
  Value *twice = apply(reader, OP_add, NULL, mean, mean);
  assert_true(twice && !twice->constant);
  twice->keep = true;
  Plan *plan = plan_make(reader, &backend_cpu, true, &error);
  assert_true(plan && plan_bind(plan, NULL, &error));
  for (int step = 0; step < 2; step++) {
    steps(&net, step, step + 1);
    plan_run(plan, false);
    const float *running = numbers(&net, "stage0.norm.running_mean"), *read = twice->tensor.data;
    for (int c = 0; c < WIDTH; c++) assert_true(read[c] == 2 * running[c]);
  }
  plan_free(plan);
  graph_free(reader);
  drop(&net);
}

/* Its scale frozen, a norm takes its statistics as they are; the other one goes on. */
static void test_a_frozen_norm_learns_nothing(void **state) {
  (void)state;
  Net net = make(&(Way){.backend = &backend_cpu, .freeze = "stage0.norm"});
  steps(&net, 0, 2);
  const float *mean = numbers(&net, "stage0.norm.running_mean");
  const float *variance = numbers(&net, "stage0.norm.running_var");
  for (int c = 0; c < WIDTH; c++) assert_true(mean[c] == 0 && variance[c] == 1);
  assert_true(numbers(&net, "stage1.norm.running_mean")[0] != 0);
  drop(&net);
}

static void refused(bool training, bool buffers, bool read_before, const char *says) {
  Params *params = params_make(F32);
  Graph *g = graph_make(params);
  g->training = training;
  const int64_t shape[1] = {WIDTH};
  BatchNormOptions norm = {.epsilon = 1e-5, .slope = 1, .mode = BATCH_NORM_TRAIN};
  Value *in[5] = {NULL, NULL, graph_input(g, "x", F32, 5, GRID)};
  static const char *const name[] = {"weight", "bias", "", "mean", "variance"};
  for (int i = 0; i < 5; i++)
    if (i != 2)
      in[i] = i > 2 && buffers ? graph_buffer(g, name[i], 1, shape, (Init){0})
                               : graph_param(g, name[i], 1, shape, GROUP_CNN, (Init){0});
  if (read_before) apply(g, OP_add, NULL, in[3], in[4]);
  assert_null(graph_op(g, OP_batch_norm, &norm, 5, in));
  assert_string_equal(g->error.text, says);
  graph_free(g);
  params_free(params);
}

static void test_what_cannot_be_written(void **state) {
  (void)state;
  refused(true, false, false,
          "batch_norm: writes its input 3, which has to be a buffer (m.buffer); found mean");
  refused(true, true, true, "batch_norm: writes mean, which a constant is made of before");
  refused(false, true, false, "batch_norm: would write mean in inference; training alone does");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_step_writes_once),
      cmocka_unit_test(test_the_same_statistics),
      cmocka_unit_test(test_a_resumed_training_goes_on_to_the_bit),
      cmocka_unit_test(test_a_probe_leaves_no_trace),
      cmocka_unit_test(test_who_reads_it_reads_it_anew),
      cmocka_unit_test(test_a_frozen_norm_learns_nothing),
      cmocka_unit_test(test_what_cannot_be_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
