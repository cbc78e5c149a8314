/* What is not trained: a frozen weight takes no gradient and keeps nothing for one, no step changes
 * it and every other; what is made of such numbers alone is made once. */
#include "base/rng.h"
#include "engine/optimizer.h"
#include "engine/stepper.h"
#include "kernels/options.h"
#include "tests/host_gpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a small net ----------------------------------------------------------------------------- */

enum { LAYERS = 4, WIDTH = 8 };

typedef struct Net {
  Params *params;
  Graph *graph;
  Plan *plan;
  Value *x, *loss, *before[LAYERS]; /* what each layer reads */
} Net;

/* x (1,3,2,4,8), four layers "l0" .. "l3" with a sigmoid after each, the mean over voxels of one
 * more. Bit i of `frozen`: layer i's. */
static Value *layers(Net *net, unsigned frozen) {
  Graph *graph = net->graph;
  int64_t dim[5] = {1, 3, 2, 4, WIDTH}, shape[2] = {WIDTH, WIDTH}, one[2] = {1, WIDTH};
  LinearOptions linear = {0};
  ActivationOptions sigmoid = {.kind = ACT_SIGMOID};
  PoolOptions whole = {.factor = {3, {3, 2, 4}}};
  Init normal = {INIT_NORMAL, 0.5, 0, 0};
  Value *x = net->x = graph_input(graph, "x", graph->real, 5, dim);
  for (int i = 0; i < LAYERS; i++) {
    graph_push(graph, "l%d", i);
    graph->freezes = frozen >> i & 1;
    Value *w = graph_param(graph, "w", 2, shape, GROUP_CNN, normal);
    Value *b = graph_param(graph, "b", 1, shape, GROUP_CNN, normal);
    net->before[i] = x;
    x = apply(graph, OP_activation, &sigmoid, apply(graph, OP_linear, &linear, w, b, x));
    graph_pop(graph);
  }
  graph->freezes = false;
  Value *w = graph_param(graph, "last.w", 2, one, GROUP_CNN, normal);
  Value *b = graph_param(graph, "last.b", 1, one, GROUP_CNN, (Init){0});
  return apply(graph, OP_avg_pool, &whole, apply(graph, OP_linear, &linear, w, b, x));
}

static void fill(const Net *net, float *x) {
  Rng rng = rng_make(1, RNG_TEST, 0);
  for (int64_t i = 0; i < tensor_count(&net->x->tensor); i++) x[i] = (float)rng_normal(&rng);
}

static void run(const Net *net) {
  fill(net, net->x->host);
  plan_send(net->plan, net->x);
  plan_run(net->plan, false);
}

/* late: names of what is frozen for the first steps alone; NULL: none. */
static Net make_late(unsigned frozen, const char *late, const Backend *backend, OptimizerId id) {
  Error error = {0};
  Net net = {.params = params_make(backend->real)};
  optimizer_states(&(Optimizer){.id = id}, net.params);
  net.graph = graph_make(net.params);
  net.graph->freeze = late;
  net.graph->thaws = late != NULL;
  net.loss = layers(&net, frozen);
  assert_true(graph_backward(net.graph, net.loss));
  assert_true(params_allocate(net.params, 3, &error));
  net.plan = plan_make(net.graph, backend, true, &error);
  assert_non_null(net.plan);
  assert_true(plan_bind(net.plan, NULL, &error));
  return net;
}

static Net make_for(unsigned frozen, const Backend *backend, OptimizerId id) {
  return make_late(frozen, NULL, backend, id);
}

static Net make(unsigned frozen, const Backend *backend) {
  return make_for(frozen, backend, OPTIMIZER_sgd);
}

static void drop(Net *net) {
  plan_free(net->plan);
  graph_free(net->graph);
  params_free(net->params);
}

/* ---- what is kept ---------------------------------------------------------------------------- */

/* The last node that reads a value. */
static const Node *last_reader(const Net *net, const Value *value) {
  const Node *last = NULL;
  for (int n = 0; n < net->graph->node_count; n++) {
    const Node *node = net->graph->nodes[n];
    for (int i = 0; i < node->call.n_in; i++)
      if (node->in[i] == value && node->call.in[i].data) last = node;
  }
  return last;
}

static void test_a_frozen_weight_keeps_no_input(void **state) {
  (void)state;
  Net all = make(0, &backend_cpu), middle = make(1 << 2, &backend_cpu);
  assert_true(last_reader(&all, all.before[2])->op == OP_linear);
  assert_true(last_reader(&all, all.before[2])->call.backward);
  /* the sigmoid before it saves its own input, and the frozen layer its weight alone */
  assert_false(last_reader(&middle, middle.before[2])->call.backward);
  assert_true(last_reader(&middle, middle.before[1])->call.backward);
  assert_true(middle.plan->bytes < all.plan->bytes);
  drop(&all);
  drop(&middle);
}

static void test_nothing_is_kept_before_what_trains(void **state) {
  (void)state;
  Net all = make(0, &backend_cpu), head = make(0xf, &backend_cpu);
  for (int i = 0; i < LAYERS; i++) assert_false(last_reader(&head, head.before[i])->call.backward);
  size_t map = tensor_bytes(&all.x->tensor);
  print_message("planned: %zu bytes trained, %zu frozen, a map has %zu\n", all.plan->bytes,
                head.plan->bytes, map);
  assert_true(all.plan->bytes >= 6 * map);
  assert_true(head.plan->bytes <= 3 * map);
  drop(&all);
  drop(&head);
}

/* ---- what moves ------------------------------------------------------------------------------ */

/* Which weights are frozen changes no gradient of the others, not in a bit. */
static void test_gradients_do_not_depend_on_what_is_frozen(void **state) {
  (void)state;
  Net all = make(0, &backend_cpu);
  run(&all);
  for (unsigned frozen = 1; frozen < 1 << LAYERS; frozen++) {
    Net some = make(frozen, &backend_cpu);
    run(&some);
    assert_memory_equal(some.loss->tensor.data, all.loss->tensor.data, sizeof(float));
    for (int p = 0; p < some.params->count; p++) {
      const Param *a = some.params->list[p], *b = all.params->list[p];
      assert_string_equal(a->name, b->name);
      const float *gradient = params_gradient(some.params, a);
      if (gradient)
        assert_memory_equal(gradient, params_gradient(all.params, b), tensor_bytes(&a->shape));
    }
    drop(&some);
  }
  drop(&all);
}

/* Clips, so that what has no gradient is seen to be no part of the norm. */
static void train_late(const Net *net, OptimizerId id, int64_t late, int steps) {
  Stepper stepper = {.plan = net->plan,
                     .params = net->params,
                     .optimizer = {id, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8,
                                   .weight_decay = 0.1, .clip = 1e-3, .late = late},
                     .input = {net->x},
                     .result = {net->loss}};
  stepper_make(&stepper);
  for (int step = 0; step < steps; step++) {
    fill(net, stepper_input(&stepper, 0));
    stepper_start(&stepper, 0.1);
    stepper_wait(&stepper);
  }
  stepper_release(&stepper);
  params_fetch(net->params);
}

static void train(const Net *net, OptimizerId id) {
  train_late(net, id, 0, 5);
}

/* "l2.w" belongs to layer 2. */
static bool is_of(const Param *param, unsigned frozen) {
  int layer = param->name[1] - '0';
  return layer >= 0 && layer < LAYERS && frozen >> layer & 1;
}

static void moves(unsigned frozen, const Backend *backend, OptimizerId id) {
  Net net = make_for(frozen, backend, id), start = make_for(frozen, backend, id);
  train(&net, id);
  for (int p = 0; p < net.params->count; p++) {
    const Param *param = net.params->list[p];
    bool is_frozen = is_of(param, frozen);
    const float *now = params_weight(net.params, param),
                *then = params_weight(start.params, start.params->list[p]);
    assert_int_equal(param->as.kind, is_frozen ? PARAM_FROZEN : PARAM_TRAINED);
    for (int64_t i = 0; i < tensor_count(&param->shape); i++)
      if ((now[i] == then[i]) != is_frozen)
        fail_msg("%s: %s[%d] %s", backend->name, param->name, (int)i,
                 is_frozen ? "changed" : "did not change");
  }
  drop(&net);
  drop(&start);
}

/* On the CPU and on a device, by either optimiser, whose decay is no exception. */
static void test_steps_change_what_is_trained_and_nothing_else(void **state) {
  (void)state;
  for (unsigned frozen = 0; frozen < 1 << LAYERS; frozen++)
    for (int id = 0; id < OPTIMIZERS; id++) {
      moves(frozen, &backend_cpu, (OptimizerId)id);
      moves(frozen, &host_gpu, (OptimizerId)id);
    }
}

/* ---- frozen at first ------------------------------------------------------------------------- */

enum { LATE = 3 };

static bool is_zero(const Params *params, const void *block, const Param *param) {
  const float *number = params_at(params, block, param);
  bool zero = true;
  for (int64_t i = 0; i < tensor_count(&param->shape); i++) zero = zero && number[i] == 0;
  return zero;
}

/* What is late stands still for LATE updates, states too, and the others move to the bits of a net
 * in which it is frozen; then it moves. */
static void stands_still_at_first(const Backend *backend, OptimizerId id) {
  const unsigned which = 1 << 0 | 1 << 2;
  Net late = make_late(0, "l0,l2", backend, id), frozen = make_for(which, backend, id);
  Net start = make_late(0, "l0,l2", backend, id), later = make_late(0, "l0,l2", backend, id);
  train_late(&late, id, LATE, LATE);
  train_late(&frozen, id, 0, LATE);
  train_late(&later, id, LATE, LATE + 1);
  for (int p = 0; p < late.params->count; p++) {
    const Param *param = late.params->list[p], *other = frozen.params->list[p];
    bool is_late = is_of(param, which);
    size_t bytes = tensor_bytes(&param->shape);
    const float *now = params_weight(late.params, param);
    assert_int_equal(param->as.kind, PARAM_TRAINED);
    assert_int_equal(param->as.late, is_late);
    assert_memory_equal(now, params_weight(frozen.params, other), bytes);
    assert_int_equal(!memcmp(now, params_weight(start.params, start.params->list[p]), bytes),
                     is_late);
    for (int s = 0; s < late.params->states; s++)
      assert_int_equal(is_zero(late.params, late.params->host[BLOCK_STATE + s], param), is_late);
    const float *then = params_weight(later.params, later.params->list[p]);
    for (int64_t i = 0; i < tensor_count(&param->shape); i++)
      if (now[i] == then[i])
        fail_msg("%s: %s[%d] did not move", backend->name, param->name, (int)i);
  }
  drop(&late);
  drop(&frozen);
  drop(&start);
  drop(&later);
}

static void test_what_is_late_is_frozen_at_first_and_trains_then(void **state) {
  (void)state;
  for (int id = 0; id < OPTIMIZERS; id++) {
    stands_still_at_first(&backend_cpu, (OptimizerId)id);
    stands_still_at_first(&host_gpu, (OptimizerId)id);
  }
}

/* ---- what runs once -------------------------------------------------------------------------- */

static int products;

static void count_product(const Call *call) {
  products++;
  kernels_cpu[OP_matmul]->forward(call);
}

/* Of the host, or of a device that is the host: with a product that counts its runs. */
static Backend counting(const Backend *backend) {
  static Kernel product;
  static const Kernel *table[OP_COUNT];
  memcpy(table, kernels_cpu, sizeof table);
  product = *kernels_cpu[OP_matmul];
  product.forward = count_product;
  table[OP_matmul] = &product;
  Backend counts = *backend;
  counts.kernels = table;
  return counts;
}

/* The mean of sigmoid(x (A B)^T + A's first row), A frozen, B a buffer, times a trained weight. */
static Net product_net(const Backend *backend) {
  Error error = {0};
  Net net = {.params = params_make(F32)};
  Graph *graph = net.graph = graph_make(net.params);
  int64_t dim[5] = {1, 3, 2, 4, WIDTH}, square[2] = {WIDTH, WIDTH}, one[2] = {1, WIDTH};
  LinearOptions linear = {0};
  MatmulOptions plain = {.transpose = 0};
  ActivationOptions sigmoid = {.kind = ACT_SIGMOID};
  PoolOptions whole = {.factor = {3, {3, 2, 4}}};
  Init normal = {INIT_NORMAL, 0.5, 0, 0};
  optimizer_states(&(Optimizer){0}, net.params);
  net.x = graph_input(graph, "x", F32, 5, dim);
  graph->freezes = true;
  Value *a = graph_param(graph, "a", 2, square, GROUP_CNN, normal);
  Value *bias = graph_param(graph, "bias", 1, square, GROUP_CNN, normal);
  graph->freezes = false;
  Value *b = graph_buffer(graph, "b", 2, square, normal);
  Value *h = apply(graph, OP_activation, &sigmoid, net.x);
  Value *ab = apply(graph, OP_matmul, &plain, a, b);
  ab = apply(graph, OP_activation, &sigmoid, apply(graph, OP_add, NULL, ab, ab));
  h = apply(graph, OP_activation, &sigmoid, apply(graph, OP_linear, &linear, ab, bias, h));
  Value *w = graph_param(graph, "w", 2, one, GROUP_CNN, normal);
  Value *last = graph_param(graph, "last", 1, one, GROUP_CNN, normal);
  net.loss = apply(graph, OP_avg_pool, &whole, apply(graph, OP_linear, &linear, w, last, h));
  assert_true(graph_backward(graph, net.loss));
  assert_true(params_allocate(net.params, 5, &error));
  net.plan = plan_make(graph, backend, true, &error);
  assert_true(net.plan && plan_bind(net.plan, NULL, &error));
  return net;
}

static float loss_of(const Net *net) {
  run(net);
  return *(const float *)plan_fetch(net->plan, net->loss);
}

static void runs_once_on(const Backend *plain) {
  char path[] = "/tmp/harness-test-XXXXXX";
  Error error = {0};
  Backend backend = counting(plain);
  products = 0;
  Net net = product_net(&backend);
  assert_int_equal(products, 1);
  float first = loss_of(&net);
  for (int i = 0; i < 3; i++) assert_true(loss_of(&net) == first);
  assert_int_equal(products, 1);
  assert_true(graph_cost_once(net.graph).flops >= 2. * WIDTH * WIDTH * WIDTH);

  /* a step of the optimiser makes nothing again, numbers that come from elsewhere do */
  train(&net, OPTIMIZER_sgd);
  assert_int_equal(products, 1);
  assert_true(loss_of(&net) != first);
  for (int p = 0; p < net.params->count; p++) {
    const Param *param = net.params->list[p];
    float *number = params_weight(net.params, param);
    for (int64_t i = 0; i < tensor_count(&param->shape); i++) number[i] = (float)(i % 5) / 5;
  }
  params_changed(net.params);
  float second = loss_of(&net);
  assert_int_equal(products, 2);
  Net other = product_net(&backend_cpu);
  for (int p = 0; p < net.params->count; p++)
    memcpy(params_weight(other.params, other.params->list[p]),
           params_weight(net.params, net.params->list[p]),
           tensor_bytes(&net.params->list[p]->shape));
  params_changed(other.params);
  assert_true(loss_of(&other) == second);
  drop(&other);

  /* a buffer comes back from a checkpoint */
  close(mkstemp(path));
  float *b = params_weight(net.params, net.params->list[2]);
  assert_string_equal(net.params->list[2]->name, "b");
  assert_true(params_save(net.params, true, NULL, path, &error));
  b[3] = 7;
  params_changed(net.params);
  assert_true(loss_of(&net) != second);
  assert_true(params_load(net.params, true, path, &error));
  assert_true(b[3] != 7 && loss_of(&net) == second);
  assert_int_equal(products, 4);
  checkpoint_remove(path);
  drop(&net);
}

static void test_what_is_made_of_constants_is_made_once(void **state) {
  (void)state;
  runs_once_on(&backend_cpu);
  runs_once_on(&host_gpu);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void test_patterns_mean_names_and_scopes(void **state) {
  (void)state;
  static const struct {
    const char *patterns, *name;
    bool frozen;
  } cases[] = {
      {NULL, "encoder.w", false},
      {"", "encoder.w", false},
      {"encoder", "encoder.stage0.conv1.norm.weight", true},
      {"encoder", "encoder2.w", false},
      {"coder", "encoder.w", false},
      {"encoder.stage0", "encoder.stage1.w", false},
      {"head,encoder.stage1", "encoder.stage1.w", true},
      {"head, encoder.stage1", "encoder.stage1.w", true},
      {"*.norm.*", "encoder.stage0.conv1.norm.weight", true},
      {"*.norm.*", "encoder.stage0.conv1.weight", false},
      {"encoder.stage[01]", "encoder.stage1.conv0.bias", true},
      {"encoder.stage[01]", "encoder.stage2.conv0.bias", false},
      {"*", "w", true},
      {"encoder,-*.adapter", "encoder.stage0.adapter.up.bias", false},
      {"encoder,-*.adapter", "encoder.stage0.conv0.bias", true},
      {"encoder,-*.adapter,*.up", "encoder.stage0.adapter.up.bias", true},
      {"-encoder.stage0,encoder", "encoder.stage0.w", true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (freeze_names(cases[i].patterns, cases[i].name) != cases[i].frozen)
      fail_msg("'%s' and %s", cases[i].patterns, cases[i].name);
}

static void test_a_pattern_that_means_nothing_is_refused(void **state) {
  (void)state;
  Net net = make(1, &backend_cpu);
  Error error = {0}, none = {0};
  assert_true(freeze_check(net.params, NULL, &none));
  assert_true(freeze_check(net.params, "l0,*.b,-l0.w", &none));
  assert_false(freeze_check(net.params, "l0,l7", &error));
  assert_string_equal(error.text,
                      "freeze: no parameter of the model is called 'l7'; its scopes are "
                      "l0, l1, l2, l3, last");
  error = none;
  assert_false(freeze_check(net.params, "l0,-l0.x", &error));
  assert_non_null(strstr(error.text, "is called 'l0.x'"));
  drop(&net);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_frozen_weight_keeps_no_input),
      cmocka_unit_test(test_nothing_is_kept_before_what_trains),
      cmocka_unit_test(test_gradients_do_not_depend_on_what_is_frozen),
      cmocka_unit_test(test_steps_change_what_is_trained_and_nothing_else),
      cmocka_unit_test(test_what_is_late_is_frozen_at_first_and_trains_then),
      cmocka_unit_test(test_what_is_made_of_constants_is_made_once),
      cmocka_unit_test(test_patterns_mean_names_and_scopes),
      cmocka_unit_test(test_a_pattern_that_means_nothing_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
