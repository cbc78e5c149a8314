/* The engine: the planner by brute force on random graphs, planned against unplanned results, the
 * whole gradient against finite differences, a checkpoint of it. */
#include "base/rng.h"
#include "engine/optimizer.h"
#include "engine/plan.h"
#include "kernels/options.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- random graphs --------------------------------------------------------------------------- */

enum { POOL = 64 };

/* a + b as two token matrices, and their sum's sigmoid as a map again: views of views, some of what
 * others read too, with ops in place between them. */
static Value *through_views(Graph *graph, Value *a, Value *b) {
  ReshapeOptions tokens = {{3, {1, 0, 8}}}, map = {{5, {1, 3, 2, 4, 8}}};
  ActivationOptions sigmoid = {.kind = ACT_SIGMOID};
  Value *left = apply(graph, OP_reshape, &tokens, a), *right = apply(graph, OP_reshape, &tokens, b);
  Value *sum = apply(graph, OP_add, NULL, left, right);
  return apply(graph, OP_reshape, &map, apply(graph, OP_activation, &sigmoid, sum));
}

/* A graph of elementwise ops, linears and views over a random DAG, with fan-out, that ends in a
 * scalar. */
static Value *random_graph(Graph *graph, uint64_t seed, int size) {
  Rng rng = rng_make(seed, RNG_TEST, 0);
  int64_t dim[5] = {1, 3, 2, 4, 8};
  Value *pool[POOL] = {graph_input(graph, "x", graph->real, 5, dim)};
  int count = 1;
  for (int i = 0; i < size; i++) {
    Value *a = pool[rng_below(&rng, (uint32_t)count)], *b = pool[rng_below(&rng, (uint32_t)count)];
    Value *y;
    char name[32];
    snprintf(name, sizeof name, "p%d", i);
    graph_push(graph, "%s", name);
    if (rng_below(&rng, 3) == 0) {
      int64_t shape[2] = {8, 8};
      Value *w = graph_param(graph, "w", 2, shape, GROUP_CNN, (Init){INIT_NORMAL, 0.3, 0, 0});
      Value *bias = i % 3 ? graph_param(graph, "b", 1, shape, GROUP_TRANSFORMER, (Init){0})
                          : graph_absent(graph);
      LinearOptions linear = {.activation = rng_below(&rng, 2) ? ACT_RELU : ACT_NONE};
      y = apply(graph, OP_linear, &linear, w, bias, a);
    } else if (rng_below(&rng, 2) == 0) {
      ActivationOptions activation = {.kind = ACT_SIGMOID};
      y = apply(graph, OP_activation, &activation, a);
    } else if (rng_below(&rng, 3) == 0) {
      y = through_views(graph, a, b);
    } else {
      y = apply(graph, OP_add, NULL, a, b);
    }
    graph_pop(graph);
    pool[count < POOL ? count++ : (int)rng_below(&rng, POOL)] = y;
  }
  int64_t shape[2] = {1, 8};
  Value *w = graph_param(graph, "last.w", 2, shape, GROUP_CNN, (Init){INIT_NORMAL, 1, 0, 0});
  Value *bias = graph_param(graph, "last.b", 1, shape, GROUP_CNN, (Init){0});
  LinearOptions linear = {0};
  Value *y = apply(graph, OP_linear, &linear, w, bias, pool[count - 1]);
  PoolOptions whole = {.factor = {3, {3, 2, 4}}};
  return apply(graph, OP_avg_pool, &whole, y); /* (1, 1, 1, 1, 1) */
}

static void fill_input(const Graph *graph, uint64_t seed) {
  Rng rng = rng_make(seed, RNG_TEST, 1);
  Value *x = graph->values[0];
  for (int64_t i = 0; i < tensor_count(&x->tensor); i++) {
    double value = rng_normal(&rng);
    if (x->tensor.type == F64)
      ((double *)x->tensor.data)[i] = value;
    else
      ((float *)x->tensor.data)[i] = (float)value;
  }
}

typedef struct Built {
  Params *params;
  Graph *graph;
  Plan *plan;
  Value *loss;
} Built;

static Built build(uint64_t seed, int size, const Backend *backend, bool reuse) {
  Error error = {0};
  Built b = {.params = params_make(backend->real)};
  optimizer_states(&(Optimizer){0}, b.params);
  b.graph = graph_make(b.params);
  b.loss = random_graph(b.graph, seed, size);
  assert_string_equal(b.graph->error.text, "");
  assert_true(graph_backward(b.graph, b.loss));
  assert_true(params_allocate(b.params, seed, &error));
  b.plan = plan_make(b.graph, backend, reuse, &error);
  assert_non_null(b.plan);
  assert_true(plan_bind(b.plan, NULL, &error));
  fill_input(b.graph, seed);
  return b;
}

static void drop(Built *b) {
  plan_free(b->plan);
  graph_free(b->graph);
  params_free(b->params);
}

/* ---- planner --------------------------------------------------------------------------------- */

static const Value *owner(const Value *value) {
  while (value->alias) value = value->alias;
  return value;
}

/* When a value's memory must hold, found anew from the nodes: every access of every alias. */
static void touched(const Graph *graph, const Value *value, int *first, int *last) {
  bool input = owner(value)->kind == VALUE_INPUT;
  *first = input ? 0 : graph->node_count;
  *last = input ? 0 : -1;
  for (int n = 0; n < graph->node_count; n++) {
    const Node *node = graph->nodes[n];
    for (int i = 0; i < MAX_IN; i++) {
      const Value *seen[] = {node->call.in[i].data ? node->in[i] : NULL, node->din[i],
                             i < MAX_OUT && node->call.out[i].data ? node->out[i] : NULL,
                             i < MAX_OUT ? node->dout[i] : NULL};
      for (int k = 0; k < 4; k++) {
        if (!seen[k] || owner(seen[k]) != owner(value)) continue;
        if (n < *first) *first = n;
        if (n > *last) *last = n;
      }
    }
  }
  if (owner(value)->keep) *last = graph->node_count;
}

static bool placed(const Value *value) {
  return (value->kind == VALUE_ACTIVATION || value->kind == VALUE_INPUT) && !value->alias;
}

static void test_no_two_live_tensors_overlap(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    Built b = build(seed, 5 + (int)seed * 2, &backend_cpu, true);
    for (int i = 0; i < b.graph->value_count; i++) {
      const Value *x = b.graph->values[i];
      int x_first, x_last;
      touched(b.graph, x, &x_first, &x_last);
      if (!placed(x) || x_last < 0) continue;
      size_t x_end = x->offset + tensor_bytes(&x->tensor);
      assert_true(x_end <= b.plan->bytes);
      for (int k = 0; k < i; k++) {
        const Value *y = b.graph->values[k];
        int y_first, y_last;
        touched(b.graph, y, &y_first, &y_last);
        if (!placed(y) || y_last < 0 || x_first > y_last || y_first > x_last) continue;
        bool apart = x_end <= y->offset || y->offset + tensor_bytes(&y->tensor) <= x->offset;
        assert_true(apart);
      }
    }
    assert_true(b.plan->lower_bound <= b.plan->bytes);
    drop(&b);
  }
}

static void test_reuse_changes_no_bit(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    Built with = build(seed, 30, &backend_cpu, true),
          without = build(seed, 30, &backend_cpu, false);
    for (int run = 0; run < 2; run++) {
      fill_input(with.graph, seed);
      fill_input(without.graph, seed);
      plan_run(with.plan, false);
      plan_run(without.plan, false);
    }
    assert_true(with.plan->bytes < without.plan->bytes);
    assert_memory_equal(with.loss->tensor.data, without.loss->tensor.data, sizeof(float));
    assert_memory_equal(with.params->host[BLOCK_GRADIENT], without.params->host[BLOCK_GRADIENT],
                        with.params->elements[PARAM_TRAINED] * sizeof(float));
    drop(&with);
    drop(&without);
  }
}

/* Forward and backward, of an input too: no reshape has memory of its own, but where a gradient is
 * added to later or the result is kept beside an input. */
static void test_views_have_no_memory(void **state) {
  (void)state;
  Built b = build(3, 60, &backend_cpu, true);
  int views = 0;
  for (int n = 0; n < b.graph->node_count; n++) {
    const Node *node = b.graph->nodes[n];
    if (node->op != OP_reshape) continue;
    const Call *call = &node->call;
    const Value *result = call->backward ? node->din[0] : node->out[0];
    const Value *operand = call->backward ? node->dout[0] : node->in[0];
    views++;
    if (!result) continue; /* of the input */
    assert_ptr_equal(owner(result), owner(operand));
    assert_ptr_equal(result->tensor.data, operand->tensor.data);
  }
  assert_true(views > 9);
  drop(&b);
}

/* A view of an input that is read after the run is a copy: the input may hold the next batch. */
static void test_what_is_kept_of_an_input_is_copied(void **state) {
  (void)state;
  Error error = {0};
  Params *params = params_make(F32);
  Graph *graph = graph_make(params);
  int64_t dim[2] = {2, 3};
  Value *x = graph_input(graph, "x", F32, 2, dim);
  ReshapeOptions row = {{1, {0}}};
  Value *y = apply(graph, OP_reshape, &row, x);
  y->keep = true;
  assert_true(params_allocate(params, 1, &error));
  Plan *plan = plan_make(graph, &backend_cpu, true, &error);
  assert_true(plan && plan_bind(plan, NULL, &error));
  float *in = x->tensor.data;
  for (int i = 0; i < 6; i++) in[i] = (float)i;
  plan_run(plan, false);
  in[5] = 50;
  assert_ptr_not_equal(y->tensor.data, x->tensor.data);
  assert_true(((float *)y->tensor.data)[5] == 5);
  plan_free(plan);
  graph_free(graph);
  params_free(params);
}

static void test_constants_have_the_graphs_type(void **state) {
  (void)state;
  static const Backend *const backends[] = {&backend_cpu, &backend_reference};
  for (int b = 0; b < 2; b++) {
    Error error = {0};
    Params *params = params_make(backends[b]->real);
    Graph *graph = graph_make(params);
    FillOptions fill = {{2, {2, 3}}, .25};
    Value *y = graph_op(graph, OP_fill, &fill, 0, NULL);
    y->keep = true;
    assert_true(params_allocate(params, 1, &error));
    Plan *plan = plan_make(graph, backends[b], true, &error);
    assert_true(plan && plan_bind(plan, NULL, &error));
    plan_run(plan, false);
    assert_int_equal(y->tensor.type, backends[b]->real);
    const void *numbers = y->tensor.data;
    for (int i = 0; i < 6; i++)
      assert_true((b ? ((const double *)numbers)[i] : (double)((const float *)numbers)[i]) == .25);
    plan_free(plan);
    graph_free(graph);
    params_free(params);
  }
}

static void test_too_large_says_what_fits(void **state) {
  (void)state;
  Error error = {0};
  Params *params = params_make(F32);
  Graph *graph = graph_make(params);
  int64_t dim[5] = {64, 1024, 1024, 1024, 64};
  Value *x = graph_input(graph, "x", F32, 5, dim);
  ActivationOptions sigmoid = {.kind = ACT_SIGMOID};
  apply(graph, OP_activation, &sigmoid, x);
  Plan *plan = plan_make(graph, &backend_cpu, true, &error);
  assert_non_null(plan);
  assert_false(plan_bind(plan, NULL, &error));
  assert_non_null(strstr(error.text, "out of memory"));
  assert_non_null(strstr(error.text, "would fit"));
  plan_free(plan);
  graph_free(graph);
  params_free(params);
}

/* ---- gradients ------------------------------------------------------------------------------- */

static double loss_of(const Built *b) {
  plan_run(b->plan, false);
  return *(double *)b->loss->tensor.data;
}

static void test_whole_gradient_against_differences(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 8; seed++) {
    Built b = build(seed, 20, &backend_reference, true);
    loss_of(&b);
    double largest = 0, *w = b.params->host[PARAM_TRAINED];
    double *gradient = malloc(b.params->elements[PARAM_TRAINED] * sizeof *gradient);
    memcpy(gradient, b.params->host[BLOCK_GRADIENT],
           b.params->elements[PARAM_TRAINED] * sizeof *gradient);
    for (size_t i = 0; i < b.params->elements[PARAM_TRAINED]; i++)
      largest = fmax(largest, fabs(gradient[i]));
    for (size_t i = 0; i < b.params->elements[PARAM_TRAINED]; i += 7) {
      double h = 1e-6, keep = w[i];
      w[i] = keep + h;
      fill_input(b.graph, seed);
      double plus = loss_of(&b);
      w[i] = keep - h;
      fill_input(b.graph, seed);
      double minus = loss_of(&b);
      w[i] = keep;
      fill_input(b.graph, seed);
      assert_true(fabs((plus - minus) / (2 * h) - gradient[i]) <= 1e-6 * largest + 1e-9);
    }
    free(gradient);
    drop(&b);
  }
}

static void test_errors_name_line_and_scope(void **state) {
  (void)state;
  Params *params = params_make(F32);
  Graph *graph = graph_make(params);
  int64_t dim[5] = {1, 4, 4, 4, 8}, shape[5] = {4, 3, 3, 3, 9};
  graph->where = "model.lua:7";
  graph_push(graph, "encoder");
  Value *x = graph_input(graph, "x", F32, 5, dim);
  Value *w = graph_param(graph, "w", 5, shape, GROUP_CNN, (Init){0});
  Value *b = graph_param(graph, "b", 1, shape, GROUP_CNN, (Init){0});
  ConvOptions conv = {.stride = {3, {1, 1, 1}}};
  Value *y = apply(graph, OP_conv, &conv, w, b, x);
  assert_null(y);
  assert_null(apply(graph, OP_add, NULL, y, y)); /* sticky: the first error stays */
  assert_non_null(strstr(graph->error.text, "model.lua:7: encoder: conv:"));
  graph_free(graph);
  params_free(params);
}

static void test_only_optional_inputs_may_be_left_out(void **state) {
  (void)state;
  Params *params = params_make(F32);
  Graph *graph = graph_make(params);
  int64_t dim[2] = {3, 8};
  Value *x = graph_input(graph, "x", F32, 2, dim), *w = graph_input(graph, "w", F32, 2, dim);
  LinearOptions linear = {0};
  assert_non_null(apply(graph, OP_linear, &linear, w, graph_absent(graph), x));
  assert_null(apply(graph, OP_add, NULL, x, graph_absent(graph)));
  assert_non_null(strstr(graph->error.text, "add: input 1 may not be left out"));
  graph_free(graph);
  params_free(params);
}

/* A name with dots is one scope: popping it leaves nothing of it behind. */
static void test_scopes_nest(void **state) {
  (void)state;
  Params *params = params_make(F32);
  Graph *graph = graph_make(params);
  int64_t dim[1] = {2};
  graph_push(graph, "head.stage%d", 1);
  graph_push(graph, "cross.norm");
  Value *a = graph_param(graph, "w", 1, dim, GROUP_CNN, (Init){0});
  graph_pop(graph);
  Value *b = graph_param(graph, "w", 1, dim, GROUP_CNN, (Init){0});
  graph_pop(graph);
  Value *c = graph_param(graph, "w", 1, dim, GROUP_CNN, (Init){0});
  assert_string_equal(a->param->name, "head.stage1.cross.norm.w");
  assert_string_equal(b->param->name, "head.stage1.w");
  assert_string_equal(c->param->name, "w");
  graph_push(graph, "%0300d", 1);
  graph_push(graph, "more");
  assert_non_null(strstr(graph->error.text, "longer than"));
  graph_free(graph);
  params_free(params);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static void test_checkpoint_restores_bits_and_refuses_halves(void **state) {
  (void)state;
  Error error = {0};
  Built a = build(3, 20, &backend_cpu, true), b = build(3, 20, &backend_cpu, true);
  char path[] = "/tmp/harness-test-XXXXXX";
  close(mkstemp(path));
  plan_run(a.plan, false);
  Optimizer sgd = {.momentum = 0.9};
  optimizer_step(&sgd, a.params, 0.1);
  const char *metadata[] = {"step", "17", NULL};
  assert_true(params_save(a.params, true, metadata, path, &error));
  assert_true(params_load(b.params, true, path, &error));
  assert_memory_equal(a.params->host[PARAM_TRAINED], b.params->host[PARAM_TRAINED],
                      a.params->elements[PARAM_TRAINED] * sizeof(float));
  assert_memory_equal(a.params->host[BLOCK_STATE], b.params->host[BLOCK_STATE],
                      a.params->elements[PARAM_TRAINED] * sizeof(float));
  char step[8];
  assert_true(checkpoint_metadata(path, "step", step, sizeof step));
  assert_string_equal(step, "17");
  assert_int_equal(truncate(path, 2000), 0);
  assert_false(params_load(b.params, true, path, &error));
  assert_non_null(strstr(error.text, path));
  assert_false(params_save(a.params, true, NULL, "/nonexistent/x", &(Error){0}));
  checkpoint_remove(path);
  drop(&a);
  drop(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_two_live_tensors_overlap),
      cmocka_unit_test(test_reuse_changes_no_bit),
      cmocka_unit_test(test_views_have_no_memory),
      cmocka_unit_test(test_constants_have_the_graphs_type),
      cmocka_unit_test(test_what_is_kept_of_an_input_is_copied),
      cmocka_unit_test(test_too_large_says_what_fits),
      cmocka_unit_test(test_whole_gradient_against_differences),
      cmocka_unit_test(test_errors_name_line_and_scope),
      cmocka_unit_test(test_only_optional_inputs_may_be_left_out),
      cmocka_unit_test(test_scopes_nest),
      cmocka_unit_test(test_checkpoint_restores_bits_and_refuses_halves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
