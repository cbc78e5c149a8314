/* Optimisers, schedules and groups of parameters beside what tests/oracle/updates.py compares: a
 * training that goes on from a checkpoint is the undisturbed one, on the host and on a device. */
#include "engine/optimizer.h"
#include "engine/plan.h"
#include "engine/rate_schedule.h"
#include "engine/stepper.h"
#include "kernels/options.h"
#include "tests/host_gpu.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BATCH = 2, QUERIES = 6, WIDTH = 8, CLASSES = 5, STEPS = 7, CUT = 4 };
enum { NUMBERS = 4 * PARAM_UNIT }; /* of its trained block, padding included */

typedef struct Net {
  Params *params;
  Graph *graph;
  Plan *plan;
  Stepper stepper;
} Net;

static Optimizer optimizer_of(OptimizerId id, double average) {
  return (Optimizer){.id = id,
                     .momentum = .9,
                     .beta1 = .9,
                     .beta2 = .99,
                     .eps = 1e-8,
                     .weight_decay = .1,
                     .spares = {[ROLE_BIAS] = true},
                     .clip = 1,
                     .average = average};
}

static RateSchedule rates_of(RateScheduleId id) {
  return (RateSchedule){.id = id,
                        .lr = .1,
                        .steps = STEPS,
                        .warmup = 2,
                        .step_every = 2,
                        .step_factor = .5,
                        .restarts = {1, {3}},
                        .restart_percent = {1, {50}}};
}

/* A linear classifier. */
static void net_make(Net *net, const Backend *backend, const Optimizer *optimizer) {
  Error error = {{0}};
  *net = (Net){.params = params_make(F32)};
  net->params->group[GROUP_TRANSFORMER].factor = .5;
  optimizer_states(optimizer, net->params);
  Graph *g = net->graph = graph_make(net->params);
  Value *x = graph_input(g, "x", F32, 3, (int64_t[]){BATCH, QUERIES, WIDTH});
  Value *labels = graph_input(g, "labels", I32, 2, (int64_t[]){BATCH, QUERIES});
  Init init = {.kind = INIT_NORMAL, .a = .3};
  Value *w = graph_param(g, "w", 2, (int64_t[]){CLASSES, WIDTH}, GROUP_CNN, init);
  Value *b = graph_param(g, "b", 1, (int64_t[]){CLASSES}, GROUP_TRANSFORMER, init);
  ClassLossOptions loss_options = {.none_weight = .5};
  LinearOptions linear = {.activation = ACT_NONE};
  Value *y = apply(g, OP_linear, &linear, w, b, x);
  Value *loss = apply(g, OP_class_loss, &loss_options, y, labels);
  if (!loss || !graph_backward(g, loss)) fail_msg("%s", g->error.text);
  net->plan = plan_make(g, backend, true, &error);
  if (!net->plan || !params_allocate(net->params, 7, &error) || !plan_bind(net->plan, NULL, &error))
    fail_msg("%s", error.text);
  net->stepper = (Stepper){.plan = net->plan,
                           .params = net->params,
                           .optimizer = *optimizer,
                           .input = {x, labels},
                           .result = {loss}};
  stepper_make(&net->stepper);
}

static void net_free(Net *net) {
  stepper_release(&net->stepper);
  plan_free(net->plan);
  graph_free(net->graph);
  params_free(net->params);
}

static void net_fill(Net *net, int step, float scale) {
  float *x = stepper_input(&net->stepper, 0);
  int32_t *labels = stepper_input(&net->stepper, 1);
  for (int i = 0; i < BATCH * QUERIES * WIDTH; i++) x[i] = scale * sinf((float)(i * (step + 1)));
  for (int i = 0; i < BATCH * QUERIES; i++) labels[i] = (i + step) % CLASSES - 1;
}

static void net_step(Net *net, int step, double rate, float scale) {
  net_fill(net, step, scale);
  stepper_start(&net->stepper, rate);
  stepper_wait(&net->stepper);
}

static void net_train(Net *net, const RateSchedule *rates, int first, int last) {
  for (int step = first; step < last; step++) net_step(net, step, rate_schedule_at(rates, step), 1);
  params_fetch(net->params);
}

static bool same_weights(const Params *a, const Params *b) {
  return memcmp(a->host[PARAM_TRAINED], b->host[PARAM_TRAINED],
                params_block_bytes(a, PARAM_TRAINED)) == 0;
}

/* A training of two halves; without its states the second one goes elsewhere. */
static void resume(const Backend *backend, const Optimizer *optimizer, const RateSchedule *rates,
                   const char *path, const Params *whole) {
  Error error = {{0}};
  Net first, second;
  net_make(&first, backend, optimizer);
  net_train(&first, rates, 0, CUT);
  assert_true(params_save(first.params, true, NULL, path, &error));
  net_free(&first);
  for (int states = 0; states < 2; states++) {
    net_make(&second, backend, optimizer);
    assert_true(params_load(second.params, states, path, &error));
    net_train(&second, rates, CUT, STEPS);
    assert_int_equal(same_weights(whole, second.params), states);
    for (int block = BLOCK_AVERAGE; states && block < PARAM_BLOCKS; block++)
      if (params_block_bytes(whole, block))
        assert_memory_equal(whole->host[block], second.params->host[block],
                            params_block_bytes(whole, block));
    net_free(&second);
  }
}

static void test_a_resumed_training_is_the_undisturbed_one(void **state) {
  (void)state;
  char path[] = "/tmp/harness-training-XXXXXX";
  int file = mkstemp(path);
  assert_true(file >= 0 && close(file) == 0);
  const Backend *const backends[] = {&backend_cpu, &host_gpu};
  for (int b = 0; b < 4; b++)
    for (int o = 0; o < OPTIMIZERS; o++)
      for (int s = 0; s < SCHEDULES; s++) {
        Optimizer optimizer = optimizer_of((OptimizerId)o, b / 2 ? .9 : 0);
        RateSchedule rates = rates_of((RateScheduleId)s);
        Net whole;
        net_make(&whole, backends[b % 2], &optimizer);
        net_train(&whole, &rates, 0, STEPS);
        assert_int_equal(whole.params->updates, STEPS);
        resume(backends[b % 2], &optimizer, &rates, path, whole.params);
        net_free(&whole);
      }
  checkpoint_remove(path);
}

/* A step whose loss is not finite does not count: AdamW's t stays. */
static void test_a_step_that_is_not_finite_is_no_update(void **state) {
  (void)state;
  for (int o = 0; o < OPTIMIZERS; o++) {
    Optimizer optimizer = optimizer_of((OptimizerId)o, 0);
    Net with, without;
    net_make(&with, &backend_cpu, &optimizer);
    net_make(&without, &backend_cpu, &optimizer);
    for (int step = 0; step < 3; step++) {
      net_step(&with, step, .1, 1);
      net_step(&without, step, .1, 1);
      if (step == 1) net_step(&with, step, .1, NAN);
    }
    assert_int_equal(with.params->updates, 3);
    assert_true(same_weights(with.params, without.params));
    net_free(&with);
    net_free(&without);
  }
}

/* Without a gradient only decay moves: of which parameters, groups and roles say. */
static void test_groups_and_roles_decay_or_not(void **state) {
  (void)state;
  static const struct {
    const char *name, *group;
    ParamRole role;
    bool moves;
  } rows[] = {{"weight", "cnn", ROLE_WEIGHT, true},   {"bias", "cnn", ROLE_BIAS, false},
              {"norm", "cnn", ROLE_NORM, true},       {"plain", "plain", ROLE_WEIGHT, false},
              {"still", "still", ROLE_WEIGHT, false}, {"own", "own", ROLE_WEIGHT, true},
              {"table", "own", ROLE_EMBEDDING, true}};
  enum { ROWS = sizeof rows / sizeof *rows };
  for (int o = 0; o < OPTIMIZERS; o++) {
    Optimizer optimizer = optimizer_of((OptimizerId)o, 0);
    Params *params = params_make(F64);
    Param *param[ROWS];
    Error error = {{0}};
    for (int i = 0; i < ROWS; i++) {
      const ParamAs as = {.role = rows[i].role,
                          .group = params_group(params, rows[i].group, &error),
                          .init = {INIT_CONSTANT, 1, 0, 0}};
      param[i] = params_get(params, rows[i].name, 1, (int64_t[]){3}, &as, &error);
    }
    params->group[params_group(params, "plain", &error)].decay = false;
    params->group[params_group(params, "still", &error)].factor = 0;
    params->group[params_group(params, "own", &error)].factor = 2;
    optimizer_states(&optimizer, params);
    assert_true(params_allocate(params, 0, &error));
    assert_true(optimizer_step(&optimizer, params, .1) == 0);
    for (int i = 0; i < ROWS; i++)
      assert_int_equal(*(double *)params_weight(params, param[i]) < 1, rows[i].moves);
    params_free(params);
  }
}

static void test_groups_have_an_end(void **state) {
  (void)state;
  Params *params = params_make(F32);
  Error error = {{0}};
  for (int i = FIRST_GROUPS; i < MAX_GROUPS; i++) {
    char name[16];
    snprintf(name, sizeof name, "group%d", i);
    assert_int_equal(params_group(params, name, &error), i);
    assert_int_equal(params_group(params, name, &error), i);
  }
  assert_int_equal(params_group(params, "transformer", &error), GROUP_TRANSFORMER);
  assert_int_equal(params_group(params, "one more", &error), -1);
  assert_string_equal(error.text, "group one more: a model has at most 64 groups of parameters");
  params_free(params);
}

/* The mean of the weights after each update so far, the last of which counts 1 and each before it
 * `decay` times as much, in double. */
static void mean_of(const float (*iterate)[NUMBERS], int updates, double decay,
                    double mean[NUMBERS]) {
  double total = 0;
  memset(mean, 0, NUMBERS * sizeof *mean);
  for (int t = 0; t < updates; t++) {
    double share = pow(decay, updates - 1 - t);
    total += share;
    for (int i = 0; i < NUMBERS; i++) mean[i] += share * (double)iterate[t][i];
  }
  for (int i = 0; i < NUMBERS; i++) mean[i] /= total;
}

static void test_the_average_is_that_of_the_weights_after_each_update(void **state) {
  (void)state;
  const Backend *const backends[] = {&backend_cpu, &host_gpu};
  for (int b = 0; b < 4; b++)
    for (int o = 0; o < OPTIMIZERS; o++) {
      double decay = b / 2 ? .7 : .999, mean[NUMBERS];
      Optimizer optimizer = optimizer_of((OptimizerId)o, decay);
      float iterate[STEPS][NUMBERS];
      Net net;
      net_make(&net, backends[b % 2], &optimizer);
      const Params *params = net.params;
      assert_int_equal(params->elements[PARAM_TRAINED], NUMBERS);
      for (int step = 0; step < STEPS; step++) {
        net_step(&net, step, .1, NAN); /* no update: it does not count */
        net_step(&net, step, .1, 1);
        params_fetch(params);
        memcpy(iterate[step], params->host[PARAM_TRAINED], sizeof *iterate);
        mean_of(iterate, step + 1, decay, mean);
        for (int i = 0; i < NUMBERS; i++) {
          double found = (double)((const float *)params->host[BLOCK_AVERAGE])[i];
          if (fabs(found - mean[i]) > 1e-6)
            fail_msg("update %d, weight %d: %.9g, expected %.9g", step + 1, i, found, mean[i]);
        }
      }
      net_free(&net);
    }
}

static float loss_of(Net *net) {
  Error error = {{0}};
  if (!plan_bind(net->plan, net->plan->memory, &error)) fail_msg("%s", error.text);
  net_fill(net, STEPS, 1);
  for (int i = 0; net->stepper.input[i]; i++) plan_send(net->plan, net->stepper.input[i]);
  plan_run(net->plan, false);
  return *(const float *)plan_fetch(net->plan, net->stepper.result[0]);
}

/* What is bound while the average is read computes with it; a checkpoint read without what an
 * optimiser keeps is the average, too. */
static void test_the_average_is_what_is_read_and_kept(void **state) {
  (void)state;
  char path[] = "/tmp/harness-average-XXXXXX";
  int file = mkstemp(path);
  assert_true(file >= 0 && close(file) == 0);
  const Backend *const backends[] = {&backend_cpu, &host_gpu};
  const Optimizer optimizer = optimizer_of(OPTIMIZER_sgd, .9), plain = optimizer_of(0, 0);
  for (int b = 0; b < 2; b++) {
    Net net, kept;
    Error error = {{0}};
    net_make(&net, backends[b], &optimizer);
    net_make(&kept, backends[b], &plain);
    for (int step = 0; step < STEPS; step++) net_step(&net, step, .1, 1);
    float last = loss_of(&net);
    params_read_average(net.params, true);
    float averaged = loss_of(&net);
    params_read_average(net.params, false);
    assert_true(last == loss_of(&net) && last != averaged);
    assert_true(params_save(net.params, true, NULL, path, &error));
    assert_true(params_load(kept.params, false, path, &error));
    assert_true(averaged == loss_of(&kept));
    assert_memory_equal(kept.params->host[PARAM_TRAINED], net.params->host[BLOCK_AVERAGE],
                        params_block_bytes(net.params, BLOCK_AVERAGE));
    net_free(&net);
    net_free(&kept);
  }
  checkpoint_remove(path);
}

int main(void) {
  omp_set_num_threads(1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_resumed_training_is_the_undisturbed_one),
      cmocka_unit_test(test_a_step_that_is_not_finite_is_no_update),
      cmocka_unit_test(test_groups_and_roles_decay_or_not),
      cmocka_unit_test(test_groups_have_an_end),
      cmocka_unit_test(test_the_average_is_that_of_the_weights_after_each_update),
      cmocka_unit_test(test_the_average_is_what_is_read_and_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
