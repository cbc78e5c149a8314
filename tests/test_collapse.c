/* The collapse rule: when it measures, what it counts, and that measuring leaves the training as it
 * was. */
#include "base/rng.h"
#include "src/train/config.h"
#include "src/train/network.h"
#include "src/train/watch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int looks_of(const CollapseRule *rule, int64_t steps, int64_t *first, int64_t *last) {
  int count = 0;
  for (int64_t step = 0; step < steps; step++) {
    if (!collapse_measures(rule, step, steps)) continue;
    if (!count++) *first = step;
    *last = step;
  }
  return count;
}

static void test_when(void **state) {
  (void)state;
  CollapseRule rule = {.dice = 0.1, .at = 0.2};
  int64_t first = 0, last = 0;
  assert_int_equal(collapse_step(&rule, 1000), 200);
  assert_int_equal(looks_of(&rule, 1000, &first, &last), 17); /* every third of the last 50 */
  assert_int_equal(last, 199);                                /* the batch of the 200th step */
  assert_true(first >= 150);
  assert_in_range(looks_of(&rule, 250000, &first, &last), 15, 20);
  assert_int_equal(last, 49999);
  assert_int_equal(collapse_step(&rule, 150), 0); /* 30 steps teach nobody */
  assert_int_equal(looks_of(&rule, 150, &first, &last), 0);
  assert_true(collapse_ended(&rule, 1000, 0.004));
  assert_false(collapse_ended(&rule, 1000, 0.1));
  assert_false(collapse_ended(&rule, 150, 0.004));
  rule.dice = 0;
  assert_false(collapse_ended(&rule, 1000, 0));
  assert_int_equal(looks_of(&rule, 1000, &first, &last), 0);
  rule = (CollapseRule){.dice = 0.1, .at = 1};
  assert_int_equal(looks_of(&rule, 1000, &first, &last), 0); /* the evaluation judges the end */
  assert_true(collapse_ended(&rule, 1000, 0.05));
}

static void test_dice(void **state) {
  (void)state;
  /* predictions 0 1 1 2 0, labels 0 1 2 2 9: class 1 has 1 of 2 + 1, class 2 has 1 of 1 + 2 */
  const float map[5][4] = {{9, 0, 0, 0}, {0, 9, 0, 0}, {0, 9, 0, 0}, {0, 0, 9, 0}, {9, 0, 0, 0}};
  const int32_t labels[5] = {0, 1, 2, 2, 9};
  int64_t counts[4][3] = {{0}};
  patch_dice_count(map[0], labels, 5, 4, counts);
  assert_true(fabs(patch_dice_mean((const int64_t(*)[3])counts, 4) - 2.0 / 3) < 1e-12);
  int64_t background[2][3] = {{5, 5, 5}, {0, 0, 0}};
  assert_true(isnan(patch_dice_mean((const int64_t(*)[3])background, 2)));
}

/* ---- looking --------------------------------------------------------------------------------- */

enum { CASES = 2, CLASSES = 3, SIZE = 16, VOXELS = SIZE * SIZE * SIZE };

typedef struct Net {
  Params *params;
  Graph *train_graph, *infer_graph;
  Plan *plan;
  Model train, infer;
  Volume volume[CASES];
  Sampler *sampler;
} Net;

static json_t *config_of(void) {
  char options[][32] = {"queries=1", "seeds=1", "patch=8,8,8", "widths=4,8,8,8",
                        "hidden=12", "heads=2", "ffn=12",      "key_grid=2,2,2"};
  char *list[8];
  for (int i = 0; i < 8; i++) list[i] = options[i];
  json_t *plan = NULL;
  Error error = {0};
  if (!experiment_read(".", "experiments/query_count.lua", 8, list, NULL, &plan, &error))
    fail_msg("%s", error.text);
  json_t *cell = json_array_get(json_object_get(plan, "cells"), 0);
  json_t *config = json_incref(json_object_get(cell, "config"));
  json_object_set_new(config, "home", json_string("."));
  json_decref(plan);
  return config;
}

/* Slabs of bright structures: label 1 and 2 fill two thirds of each volume. */
static void make_volume(Volume *volume, uint64_t stream) {
  Error error = {0};
  Grid grid = grid_make((int[]){SIZE, SIZE, SIZE}, (double[]){1, 1, 1});
  assert_true(image_alloc(&volume->image, &grid, 1, &error));
  assert_true(label_alloc(&volume->label, &grid, &error));
  Rng rng = rng_make(3, RNG_TEST, stream);
  for (int i = 0; i < VOXELS; i++) {
    volume->label.data[i] = (uint8_t)(i / SIZE % SIZE * CLASSES / SIZE);
    volume->image.data[i] = (float)volume->label.data[i] + 0.1f * (float)rng_normal(&rng);
  }
}

/* In place: the sampler points into it. */
static void make_net(Net *net) {
  *net = (Net){.params = params_make(F32)};
  json_t *config = config_of();
  Error error = {0};
  const Labelling plain = labelling_plain(CLASSES);
  net->train_graph = network_build(config, 1, &plain, true, net->params, &net->train, &error);
  if (!net->train_graph) fail_msg("%s", error.text);
  net->infer_graph = network_build(config, 1, &plain, false, net->params, &net->infer, &error);
  net->plan = plan_make(net->train_graph, &backend_cpu, true, &error);
  if (!params_allocate(net->params, 1, &error) || !plan_bind(net->plan, NULL, &error))
    fail_msg("%s", error.text);
  for (int i = 0; i < CASES; i++) make_volume(&net->volume[i], (uint64_t)i);
  SamplerOptions options = {.batch = 2, .patch = {8, 8, 8}, .foreground = 1, .seed = 1};
  if (!sampler_make(&net->sampler, net->volume, CASES, CLASSES, &options, &error))
    fail_msg("%s", error.text);
  json_decref(config);
}

static void free_net(Net *n) {
  plan_free(n->plan);
  graph_free(n->train_graph);
  graph_free(n->infer_graph);
  params_free(n->params);
  sampler_free(n->sampler);
  volume_free(n->volume, CASES);
}

static float step(const Net *n, uint64_t index) {
  sampler_batch(n->sampler, index, NULL, n->train.image->tensor.data, n->train.labels->tensor.data);
  plan_run(n->plan, false);
  return *(const float *)n->train.loss->tensor.data;
}

static void test_measuring_disturbs_nothing(void **state) {
  (void)state;
  Net n;
  make_net(&n);
  PatchDice patches = {.train = n.plan, .graph = n.infer_graph, .model = &n.infer};
  CollapseWatch watch = {.patches = &patches, .sampler = n.sampler};
  Error error = {0};
  float before = step(&n, 4);
  size_t bytes = n.params->elements[PARAM_TRAINED] * sizeof(float);
  float *gradient = malloc(bytes);
  memcpy(gradient, n.params->host[BLOCK_GRADIENT], bytes);
  for (uint64_t i = 0; i < 3; i++) assert_true(collapse_measure(&watch, (int64_t)i, &error));
  assert_int_equal(watch.measured, 3);
  assert_true(watch.mean >= 0 && watch.mean <= 1);
  assert_true(step(&n, 4) == before); /* to the bit: constants and the loss's gradient are back */
  assert_memory_equal(gradient, n.params->host[BLOCK_GRADIENT], bytes);
  free(gradient);
  plan_free(patches.infer);
  free_net(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_when),
      cmocka_unit_test(test_dice),
      cmocka_unit_test(test_measuring_disturbs_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
