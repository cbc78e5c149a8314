/* recompute=yes: what stays in a block is computed again for the gradient. The same bits in less
 * memory, with more work. */
#include "kernels/options.h"
#include "src/bench/step.h"
#include "tests/host_gpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SMALL "patch=16,16,16", "widths=8,16,16,16"

/* Each with and without: the last override says which. */
static const StepCase cases[] = {
    {"unet", 3, {SMALL, "head=point_wise", "bridge=none"}},
    {"maskmed", 3, {SMALL, "key_grid=2,2,2", "blocks=2", "bridge_layers=2"}},
    {"self-attention", 3, {SMALL, "key_grid=2,2,2", "bridge=standard", "bridge_norm=pre"}},
};

static Step make(const StepCase *c, const Backend *backend, bool recompute) {
  StepCase with = *c;
  Error error = {""};
  Step step;
  int count = 0;
  while (with.overrides[count]) count++;
  if (recompute) with.overrides[count] = "recompute=yes";
  if (!step_make_on(&step, &with, backend, ".", 1, &error)) fail_msg("%s: %s", c->name, error.text);
  return step;
}

static void compare(const StepCase *c, const Backend *backend) {
  Step kept = make(c, backend, false), again = make(c, backend, true);
  double kept_flops = graph_cost(kept.graph).flops, again_flops = graph_cost(again.graph).flops;
  print_message("%s, %s: %zu bytes kept, %zu computed again; %.4g and %.4g GFLOP\n", c->name,
                backend->name, kept.plan->bytes, again.plan->bytes, kept_flops / 1e9,
                again_flops / 1e9);
  assert_true(again.plan->bytes < kept.plan->bytes);
  assert_true(again_flops > kept_flops && again_flops < 1.4 * kept_flops);
  step_run(&kept);
  step_run(&again);
  assert_true(step_loss(&kept) == step_loss(&again));
  params_fetch(kept.params);
  params_fetch(again.params);
  for (int b = 0; b < PARAM_BLOCKS; b++) {
    size_t bytes = params_block_bytes(kept.params, b);
    assert_int_equal(bytes, params_block_bytes(again.params, b));
    if (bytes) assert_memory_equal(kept.params->host[b], again.params->host[b], bytes);
  }
  step_free(&kept);
  step_free(&again);
}

static void test_the_same_bits_in_less_memory(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) compare(&cases[i], &backend_cpu);
}

/* Where a norm's result is kept if there is room, a block's is not: it was asked for. */
static void test_on_a_device(void **state) {
  (void)state;
  compare(&cases[0], &host_gpu);
}

static int block_of(Graph *graph, Value **x) {
  ActivationOptions sigmoid = {.kind = ACT_SIGMOID};
  *x = apply(graph, OP_activation, &sigmoid, *x);
  return (*x)->producer->block;
}

static void test_blocks_nest(void **state) {
  (void)state;
  for (int recompute = 0; recompute < 2; recompute++) {
    Params *params = params_make(F32);
    Graph *graph = graph_make(params);
    Value *x = graph_input(graph, "x", F32, 1, (int64_t[]){3});
    graph->recompute = recompute;
    int before = block_of(graph, &x);
    graph_push(graph, "stage");
    graph_block(graph);
    int outer = block_of(graph, &x);
    graph_push(graph, "layer");
    graph_block(graph);
    int inner = block_of(graph, &x);
    graph_push(graph, "norm");
    assert_int_equal(block_of(graph, &x), inner);
    graph_pop(graph);
    graph_pop(graph);
    assert_int_equal(block_of(graph, &x), outer);
    graph_pop(graph);
    assert_int_equal(block_of(graph, &x), before);
    graph_push(graph, "stage");
    graph_block(graph);
    int next = block_of(graph, &x);
    bool apart = outer && inner && next && outer != inner && next != inner && next != outer;
    assert_true(before == 0 && (recompute ? apart : !outer && !inner && !next));
    graph_free(graph);
    params_free(params);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_same_bits_in_less_memory),
                                     cmocka_unit_test(test_on_a_device),
                                     cmocka_unit_test(test_blocks_nest)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
