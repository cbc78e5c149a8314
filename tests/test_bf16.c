/* dtype=bf16 as a whole: which values are stored so and what that saves, that normalised features
 * are not kept for the gradients, and that training follows training in float.
 *
 * The curves: losses of 200 steps on the phantom, smoothed (exponential mean, 0.9), in bf16 and in
 * float, for the U-Net and for MaskMed. They stay within BAND of each other, relative, while the
 * loss falls to less than half; float at half the learning rate leaves the band, which shows that a
 * training that goes another way would be seen. MaskMed is compared with fixed matching: a query
 * that is matched to another class sends a training another way, in float too. With searched
 * matching, bf16 was 0.8 % away on one thread and 5.6 % on two, float from weights rounded to
 * bf16 3.6 and 2.2 %; with fixed matching bf16 is 0.3 % away on either. Those were the loss at a
 * tenth of the paper's size; at its size this rate is ten times as hot, and bf16 7 % away. */
#include "engine/optimizer.h"
#include "engine/plan.h"
#include "engine/rate_schedule.h"
#include "kernels/cpu/processor.h"
#include "src/data/batches/sampler.h"
#include "src/data/phantom/phantom.h"
#include "src/train/network.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 3, ORGANS = 4, STEPS = 200, SKIPPED = 10 };
static const double BAND = 0.03;

static const char *const unet = "head=point_wise bridge=none";
static const char *const maskmed =
    "hidden=24 heads=2 ffn=32 key_grid=4,4,4 queries=1 match=fixed loss_scale=0.1";

static json_t *config_of(const char *variant, const char *dtype) {
  char text[512], *list[16];
  int count = 0;
  snprintf(text, sizeof text,
           "seeds=1 patch=16,16,16 widths=16,32 strides=1,1,1,2,2,2 kernels=3,3,3,3,3,3 "
           "query_scales=2 %s%s dtype=%s",
           strstr(variant, "queries=") ? "" : "queries=1 ", variant, dtype);
  for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) list[count++] = word;
  json_t *plan = NULL;
  Error error = {0};
  if (!experiment_read(".", "experiments/query_count.lua", count, list, NULL, &plan, &error))
    fail_msg("%s", error.text);
  json_t *cell = json_array_get(json_object_get(plan, "cells"), 0);
  json_t *config = json_incref(json_object_get(cell, "config"));
  json_object_set_new(config, "home", json_string("."));
  json_decref(plan);
  return config;
}

typedef struct Net {
  Params *params;
  Graph *graph;
  Plan *plan;
  Model model;
} Net;

static Net net_make(const char *variant, const char *dtype) {
  Net n = {.params = params_make(F32)};
  optimizer_states(&(Optimizer){0}, n.params);
  n.params->group[GROUP_TRANSFORMER].factor = 0.3;
  json_t *config = config_of(variant, dtype);
  Error error = {0};
  const Labelling plain = labelling_plain(ORGANS + 1);
  n.graph = network_build(config, 1, &plain, true, n.params, &n.model, &error);
  if (n.graph) n.plan = plan_make(n.graph, &backend_cpu, true, &error);
  if (!n.plan || !params_allocate(n.params, 1, &error) || !plan_bind(n.plan, NULL, &error))
    fail_msg("%s: %s", variant, error.text);
  json_decref(config);
  return n;
}

static void net_free(Net *n) {
  plan_free(n->plan);
  graph_free(n->graph);
  params_free(n->params);
}

/* ---- types and memory ------------------------------------------------------------------------ */

static void test_types(void **state) {
  (void)state;
  Net half = net_make(unet, "bf16"), whole = net_make(unet, "float32");
  int stored = 0;
  for (int i = 0; i < half.graph->node_count; i++) {
    const Node *node = half.graph->nodes[i];
    const Kernel *kernel = kernels_cpu[node->op];
    for (int k = 0; k < node->call.n_in; k++) {
      if (node->call.in[k].type == BF16) assert_true(kernel->bf16 & SAVES_IN(k));
      assert_int_equal(node->call.in[k].type, node->in[k]->tensor.type);
      if (node->din[k]) assert_int_equal(node->din[k]->tensor.type, node->in[k]->tensor.type);
    }
    for (int k = 0; k < node->call.n_out; k++) {
      if (node->call.out[k].type == BF16) assert_true(kernel->bf16 & SAVES_OUT(k));
      stored += node->out[k]->tensor.type == BF16;
    }
    if (node->op == OP_conv) assert_int_equal(node->call.out[0].type, BF16);
    if (node->op == OP_instance_norm) assert_int_equal(node->call.out[1].type, F32);
  }
  assert_true(stored > 20);
  assert_int_equal(half.model.image->tensor.type, F32);
  assert_int_equal(half.model.loss->tensor.type, F32);
  assert_true((double)half.plan->bytes < 0.7 * (double)whole.plan->bytes);
  for (int i = 0; i < whole.graph->value_count; i++)
    assert_true(whole.graph->values[i]->tensor.type != BF16);
  net_free(&half);
  net_free(&whole);
}

/* A normalised feature map is read by the forward pass alone. */
static void test_again(void **state) {
  (void)state;
  Net n = net_make(unet, "float32");
  int found = 0, gradients = n.graph->node_count;
  for (int i = n.graph->node_count - 1; i >= 0; i--)
    if (n.graph->nodes[i]->call.backward) gradients = i;
  for (int i = 0; i < n.graph->node_count; i++) {
    const Node *node = n.graph->nodes[i];
    if (node->op != OP_instance_norm || node->call.backward) continue;
    if (!node->call.again) assert_true(node->out[0]->last < gradients);
    found += node->call.again;
  }
  assert_int_equal(found, 2 * 2 + 2);
  net_free(&n);
}

/* ---- curves ---------------------------------------------------------------------------------- */

static void make_volume(Volume *volume, int index) {
  PhantomOptions options = phantom_defaults();
  Error error = {0};
  for (int a = 0; a < 3; a++) options.size[a] = 24;
  options.cases = CASES, options.validation = 1, options.organs = ORGANS;
  if (!phantom_case(&options, index, &volume->image, &volume->label, &error))
    fail_msg("%s", error.text);
  float *data = volume->image.data;
  size_t voxels = grid_voxels(&volume->image.grid);
  for (size_t i = 0; i < voxels; i++) /* the organs' window, about -1 .. 1 */
    data[i] = fmaxf(-1.5f, fminf(1.5f, (data[i] - 60) / 100));
}

static void train(const Sampler *sampler, const char *variant, const char *dtype, double rate,
                  double curve[STEPS]) {
  Net n = net_make(variant, dtype);
  Optimizer sgd = {.momentum = 0.9, .clip = 12};
  double mean = 0;
  for (int step = 0; step < STEPS; step++) {
    sampler_batch(sampler, (uint64_t)step, NULL, n.model.image->tensor.data,
                  n.model.labels->tensor.data);
    plan_run(n.plan, false);
    double loss = (double)*(const float *)n.model.loss->tensor.data;
    mean = step ? 0.9 * mean + 0.1 * loss : loss;
    curve[step] = mean;
    optimizer_step(&sgd, n.params,
                   rate_schedule_at(&(RateSchedule){.lr = rate, .steps = STEPS}, step));
  }
  net_free(&n);
}

static double apart(const double a[STEPS], const double b[STEPS]) {
  double most = 0;
  for (int step = SKIPPED; step < STEPS; step++) {
    double here = fabs(a[step] - b[step]) / b[step];
    if (!(here <= most)) most = here; /* a NaN stays */
  }
  return most;
}

static void compare(const char *variant, double rate) {
  Volume volumes[CASES] = {0};
  for (int i = 0; i < CASES; i++) make_volume(&volumes[i], i);
  SamplerOptions options = {.batch = 2, .patch = {16, 16, 16}, .foreground = 0.5, .seed = 1};
  Sampler *sampler;
  Error error = {0};
  if (!sampler_make(&sampler, volumes, CASES, ORGANS + 1, &options, &error))
    fail_msg("%s", error.text);
  double whole[STEPS], half[STEPS], other[STEPS];
  train(sampler, variant, "float32", rate, whole);
  train(sampler, variant, "bf16", rate, half);
  train(sampler, variant, "float32", rate / 2, other);
  double off = apart(half, whole), control = apart(other, whole);
  print_message("%s: loss %.3f to %.3f; bf16 %.2f %% away at most, half the rate %.1f %%\n",
                variant, whole[0], whole[STEPS - 1], 100 * off, 100 * control);
  if (!(off < BAND)) fail_msg("%s: bf16 leaves the band by %g", variant, off);
  if (!(control > BAND)) fail_msg("%s: half the rate stays in the band: %g", variant, control);
  if (!(whole[STEPS - 1] < 0.5 * whole[0])) fail_msg("%s: learns nothing", variant);
  sampler_free(sampler);
  volume_free(volumes, CASES);
}

static void test_unet_follows(void **state) {
  (void)state;
  compare(unet, 0.05);
}

static void test_maskmed_follows(void **state) {
  (void)state;
  compare(maskmed, 0.02);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_types),
      cmocka_unit_test(test_again),
      cmocka_unit_test(test_unet_follows),
      cmocka_unit_test(test_maskmed_follows),
  };
  const char *lack = processor_no_bf16();
  if (!lack) return cmocka_run_group_tests(tests, NULL, NULL);
  printf("0 passed, 0 failed, %zu skipped: %s\n", sizeof tests / sizeof *tests, lack);
  return 0;
}
