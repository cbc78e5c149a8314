/* Where numbers that are not finite come from, and whether a step repeats with other threads. */
#include "engine/probe.h"
#include "engine/trace.h"
#include "kernels/options.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 3, WIDTH = 4, CLASSES = 2 };

typedef struct Net {
  Params *params;
  Graph *graph;
  Plan *plan;
  Value *input[2];
} Net;

/* A linear classifier, a line of Lua for each of its ops. */
static Net net_make(const Backend *backend) {
  Net net = {.params = params_make(F32)};
  Error error = {""};
  Graph *g = net.graph = graph_make(net.params);
  net.input[0] = graph_input(g, "x", F32, 3, (int64_t[]){1, ROWS, WIDTH});
  net.input[1] = graph_input(g, "labels", I32, 2, (int64_t[]){1, ROWS});
  Init init = {.kind = INIT_CONSTANT, .a = .5};
  Value *w = graph_param(g, "w", 2, (int64_t[]){CLASSES, WIDTH}, GROUP_CNN, init);
  Value *b = graph_param(g, "b", 1, (int64_t[]){CLASSES}, GROUP_CNN, init);
  LinearOptions linear = {.activation = ACT_NONE};
  ClassLossOptions loss_options = {.none_weight = .5};
  graph_push(g, "head");
  g->where = "own.lua:7";
  Value *y = apply(g, OP_linear, &linear, w, b, net.input[0]);
  graph_pop(g);
  g->where = "own.lua:8";
  Value *loss = apply(g, OP_class_loss, &loss_options, y, net.input[1]);
  if (!loss || !graph_backward(g, loss)) fail_msg("%s", g->error.text);
  net.plan = plan_make(g, backend, true, &error);
  if (!net.plan || !params_allocate(net.params, 1, &error) || !plan_bind(net.plan, NULL, &error))
    fail_msg("%s", error.text);
  return net;
}

/* Before every run, which may write over it: number `at` of x is something else. */
static void fill(const Net *net, int at, float other) {
  float *x = net->input[0]->host;
  for (int i = 0; i < ROWS * WIDTH; i++) x[i] = i == at ? other : .1f * (float)i;
  for (int i = 0; i < ROWS; i++) ((int32_t *)net->input[1]->host)[i] = i % CLASSES;
}

static void net_free(Net *net) {
  plan_free(net->plan);
  graph_free(net->graph);
  params_free(net->params);
}

static float *weight(const Net *net, int param) {
  return params_weight(net->params, net->params->list[param]);
}

static void assert_traced(const Net *net, int at, float other, const char *expected) {
  char text[900];
  fill(net, at, other);
  Trace trace = trace_run(net->plan, net->input, 2);
  trace_text(&trace, text, sizeof text);
  assert_int_equal(trace_clean(&trace), expected[0] == 0);
  if (!strstr(text, expected)) fail_msg("\"%s\" says nothing of \"%s\"", text, expected);
}

static void the_first_of_each_kind_is_named(void **state) {
  (void)state;
  Net net = net_make(&backend_cpu);
  assert_traced(&net, -1, 0, "");
  weight(&net, 0)[6] = 3e38f; /* of class 1; number 6 of x is row 1's: beyond float */
  assert_traced(&net, 6, 1e3f,
                "the first is an infinity that op linear writes in head, own.lua:7 (output 0, "
                "number 3, 1 in all)");
  assert_traced(&net, 6, 1e3f, "; then a NaN that ");
  weight(&net, 1)[1] = NAN;
  assert_traced(&net, -1, 0, "the first is a NaN in parameter b");
  weight(&net, 1)[1] = 0, weight(&net, 0)[6] = .5f;
  assert_traced(&net, -1, 0, "");
  assert_traced(&net, 2, INFINITY, "an infinity in input x");
  net_free(&net);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* An op whose result hangs on how many threads there are. */
static void odd_forward(const Call *call) {
  backend_cpu.kernels[OP_linear]->forward(call);
  ((float *)call->out[0].data)[0] += .125f * (float)omp_get_max_threads();
}

static const char *probed(const Backend *backend) {
  Net net = net_make(backend);
  fill(&net, -1, 0);
  const char *found = probe_run(net.plan, net.input, 2);
  net_free(&net);
  return found;
}

static void a_step_is_repeated_on_one_thread(void **state) {
  (void)state;
  static const Kernel *kernels[OP_COUNT];
  memcpy(kernels, backend_cpu.kernels, sizeof kernels);
  Kernel odd = *kernels[OP_linear];
  odd.forward = odd_forward;
  kernels[OP_linear] = &odd;
  Backend backend = backend_cpu;
  backend.kernels = kernels;
  int threads = omp_get_max_threads();
  omp_set_num_threads(2);
  assert_string_equal(probed(&backend_cpu), "bitwise");
  assert_string_equal(probed(&backend), "none");
  assert_int_equal(omp_get_max_threads(), 2);
  omp_set_num_threads(1);
  assert_string_equal(probed(&backend), "bitwise");
  omp_set_num_threads(threads);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_of_each_kind_is_named),
      cmocka_unit_test(a_step_is_repeated_on_one_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
