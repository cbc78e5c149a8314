/* Every variant that Lua can compose, and blocks alone: built small, its gradient against a finite
 * difference along a random direction (reference backend, double), its fast kernels against that
 * reference, its inference graph a probability map.
 *
 *   build/tests/test_models [--small | WORD]
 *
 * WORD: the variants that contain it.
 * --small: the first few variants, which together use every block, and no training (valgrind). */
#include "base/rng.h"
#include "engine/optimizer.h"
#include "engine/plan.h"
#include "lua/bind.h"
#include "tests/model_variants.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { VARIANTS = sizeof variants / sizeof *variants, SMALL_VARIANTS = 3, CLASSES = 4 };
static int used = VARIANTS;
static const char *only = "";

static bool asked(int v) {
  return strstr(variants[v], only);
}

static char folder[] = "/tmp/harness-models-XXXXXX", block_file[64];

/* A house with one more encoder: stages of 5, 7 and 9 channels, pooled. */
static const char another[] =
    "mkdir %s/lua && cp -r lua/harness %s/lua && cp -r experiments paper %s && cd "
    "%s/lua/harness/parts"
    " && sed -i 's/choices = { \"plain\"/choices = { \"pooled\", \"plain\"/' encoder.lua"
    " && sed -i '0,/^return {/s//function encoders.pooled(m)\\n"
    "  local stages, x = {}, m.image\\n"
    "  for i, pool in ipairs { { 1, 1, 1 }, { 2, 2, 2 }, { 1, 2, 2 } } do\\n"
    "    x = m.op.avg_pool { x, factor = pool }\\n"
    "    x = m.point_wise_head { x, classes = 3 + 2 * i, name = \"encoder\" .. i }\\n"
    "    x = m.op.activation { x, kind = \"gelu\" }\\n"
    "    stages[i] = x\\n"
    "  end\\n"
    "  return stages\\n"
    "end\\n\\nreturn {/' encoder.lua";

static int make_folder(void **state) {
  (void)state;
  char command[1200];
  if (!mkdtemp(folder)) return 1;
  snprintf(block_file, sizeof block_file, "%s/block.lua", folder);
  snprintf(command, sizeof command, another, folder, folder, folder, folder);
  return system(command);
}

static int remove_folder(void **state) {
  (void)state;
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

static const char *home_of(const char *variant) {
  return strstr(variant, "encoder=pooled") ? folder : ".";
}

/* The value of a word "key=value" among those of the variant, or else. */
static const char *given(const char *variant, const char *key, const char *otherwise) {
  for (const char *at = variant; at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
    if (strncmp(at, key, strlen(key)) == 0) return at + strlen(key);
  return otherwise;
}

/* Whether the list of words has this one. */
static bool has_word(const char *list, const char *word) {
  size_t length = strlen(word);
  for (const char *at = list; at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
    if (strcspn(at, " ") == length && strncmp(at, word, length) == 0) return true;
  return false;
}

/* Of what is small for all: what the variant does not say itself, and its model has. */
static bool wants(const char *variant, size_t i) {
  char key[32], model[32];
  snprintf(key, sizeof key, "%.*s=", (int)strcspn(small[i].option, "="), small[i].option);
  snprintf(model, sizeof model, "%s", given(variant, "model=", "maskmed"));
  model[strcspn(model, " ")] = 0;
  return !given(variant, key, NULL) && (!small[i].of || has_word(small[i].of, model));
}

static json_t *config_of(const char *variant) {
  char *list[64], text[512];
  int count = 0;
  for (size_t i = 0; i < sizeof small / sizeof *small; i++)
    if (wants(variant, i)) list[count++] = (char *)(uintptr_t)small[i].option;
  snprintf(text, sizeof text, "%s", variant);
  for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) list[count++] = word;
  json_t *plan = NULL;
  Error error = {0};
  if (!experiment_read(home_of(variant), "lua/harness/any_model.lua", count, list, NULL, &plan,
                       &error))
    fail_msg("%s: %s", variant, error.text);
  json_t *config =
      json_incref(json_object_get(json_array_get(json_object_get(plan, "cells"), 0), "config"));
  json_decref(plan);
  return config;
}

/* ---- a block alone --------------------------------------------------------------------------- */

static bool is_block(const char *variant) {
  return strncmp(variant, "m.", 2) == 0;
}

/* Writes a model around the expression, a file of its own, and makes it the configuration's. */
static void write_model(const char *expression, json_t *config) {
  FILE *out = fopen(block_file, "w");
  assert_non_null(out);
  fprintf(out,
          "return function(m, c)\n"
          "  local logits = m.point_wise_head { %s, classes = c.classes }\n"
          "  if not m.labels then return { map = m.op.softmax { logits } } end\n"
          "  return { loss = m.op.voxel_loss { logits, m.labels } }\n"
          "end\n",
          expression);
  assert_int_equal(fclose(out), 0);
  json_object_set_new(config, "model", json_string("block.lua"));
  json_object_set_new(config, "model_path", json_string(block_file));
}

typedef struct Built {
  Params *params;
  Graph *graph;
  Plan *plan;
  Model model;
} Built;

static void fill_normal(const Tensor *tensor, Rng *rng) {
  for (int64_t i = 0; i < tensor_count(tensor); i++) {
    double value = rng_normal(rng);
    if (tensor->type == F64)
      ((double *)tensor->data)[i] = value;
    else
      ((float *)tensor->data)[i] = (float)value;
  }
}

static void fill(const Built *b) {
  Rng rng = rng_make(5, RNG_TEST, 0);
  static const char *const prompts[] = {"boxes", "points", "masks"}; /* SAM's */
  const Value *labels = b->model.labels;
  fill_normal(&b->model.image->tensor, &rng);
  for (size_t k = 0; k < sizeof prompts / sizeof *prompts; k++) {
    const Value *input = graph_input_named(b->graph, prompts[k]);
    if (input) fill_normal(&input->tensor, &rng);
  }
  for (int64_t i = 0; labels && i < tensor_count(&labels->tensor); i++)
    ((int32_t *)labels->tensor.data)[i] = (int32_t)rng_below(&rng, CLASSES);
}

/* The variant's own patch, or one for all. Of scenes with prompts SAM is told colours, boxes and
 * masks of four objects. */
static ModelShape shape_of(const char *variant, bool training) {
  bool scenes = strstr(variant, "data=scenes");
  ModelShape shape = {.batch = 2,
                      .channels = scenes ? 9 : 1,
                      .classes = scenes ? CLASSES + 1 : CLASSES,
                      .training = training};
  int *p = shape.patch;
  assert_int_equal(sscanf(given(variant, "patch=", "4,8,12"), "%d,%d,%d", p, p + 1, p + 2), 3);
  return shape;
}

static Built build(const char *variant, const Backend *backend, bool training) {
  Built b = {.params = params_make(backend->real)};
  optimizer_states(&(Optimizer){0}, b.params);
  b.params->group[GROUP_TRANSFORMER].factor = 0.3;
  b.graph = graph_make(b.params);
  bool alone = is_block(variant);
  json_t *config = config_of(alone ? "head=point_wise bridge=none" : variant);
  if (alone) write_model(variant, config);
  ModelShape shape = shape_of(variant, training);
  Error error = {0};
  bool good = model_build(home_of(variant), config, &shape, b.graph, &b.model, &error) &&
              (!training || graph_backward(b.graph, b.model.loss)) &&
              params_allocate(b.params, 7, &error) &&
              (b.plan = plan_make(b.graph, backend, true, &error)) &&
              plan_bind(b.plan, NULL, &error);
  if (!good) fail_msg("%s: %s", variant, error.text[0] ? error.text : b.graph->error.text);
  json_decref(config);
  fill(&b);
  return b;
}

static void drop(Built *b) {
  plan_free(b->plan);
  graph_free(b->graph);
  params_free(b->params);
}

static double loss_at(Built *b, const double *start, const double *direction, double t) {
  double *w = b->params->host[PARAM_TRAINED];
  for (size_t i = 0; i < b->params->elements[PARAM_TRAINED]; i++)
    w[i] = start[i] + t * direction[i];
  fill(b);
  plan_run(b->plan, false);
  return *(double *)b->model.loss->tensor.data;
}

/* Ever smaller steps: where a kink, a matching or a mask's sign lies inside one, a smaller one
 * still tells. */
static void test_gradients(void **state) {
  (void)state;
  for (int v = 0; v < used; v++) {
    if (!asked(v)) continue;
    Built b = build(variants[v], &backend_reference, true);
    size_t count = b.params->elements[PARAM_TRAINED];
    double *start = malloc(count * sizeof *start), *direction = malloc(count * sizeof *direction);
    memcpy(start, b.params->host[PARAM_TRAINED], count * sizeof *start);
    Rng rng = rng_make((uint64_t)v, RNG_TEST, 1);
    /* Off the start: there deformable samples lie on voxel centres, where interpolation has
     * kinks. */
    for (size_t i = 0; i < count; i++) start[i] += 0.05 * rng_normal(&rng);
    for (size_t i = 0; i < count; i++) direction[i] = rng_normal(&rng);
    loss_at(&b, start, direction, 0);
    double slope = 0, best = INFINITY;
    for (size_t i = 0; i < count; i++)
      slope += direction[i] * ((double *)b.params->host[BLOCK_GRADIENT])[i];
    for (double h = 1e-6; best >= 1e-5 && h > 1e-10; h /= 10) {
      double up = loss_at(&b, start, direction, h), down = loss_at(&b, start, direction, -h);
      best = fmin(best, fabs((up - down) / (2 * h) - slope) / fabs(slope));
    }
    if (!(best < 1e-5)) fail_msg("%s: slope %g, off by %g of it", variants[v], slope, best);
    free(start);
    free(direction);
    drop(&b);
  }
}

static void test_fast_against_reference(void **state) {
  (void)state;
  for (int v = 0; v < used; v++) {
    if (!asked(v)) continue;
    Built fast = build(variants[v], &backend_cpu, true);
    Built exact = build(variants[v], &backend_reference, true);
    for (size_t i = 0; i < fast.params->elements[PARAM_TRAINED];
         i++) /* the same, rounded, weights */
      ((double *)exact.params->host[PARAM_TRAINED])[i] =
          ((float *)fast.params->host[PARAM_TRAINED])[i];
    plan_run(fast.plan, false);
    plan_run(exact.plan, false);
    double loss = *(double *)exact.model.loss->tensor.data;
    double off = fabs(*(float *)fast.model.loss->tensor.data - loss) / fabs(loss), most = 0,
           sum = 0;
    for (size_t i = 0; i < fast.params->elements[PARAM_TRAINED]; i++) {
      double g = ((double *)exact.params->host[BLOCK_GRADIENT])[i],
             f = ((float *)fast.params->host[BLOCK_GRADIENT])[i];
      most = fmax(most, fabs(g - f));
      sum = fmax(sum, fabs(g));
    }
    if (!(off < 1e-5 && most < 1e-4 * sum))
      fail_msg("%s: loss off by %g, gradient by %g", variants[v], off, most / sum);
    drop(&fast);
    drop(&exact);
  }
}

static void test_inference_maps(void **state) {
  (void)state;
  for (int v = 0; v < used; v++) {
    if (!asked(v)) continue;
    Built b = build(variants[v], &backend_cpu, false);
    plan_run(b.plan, false);
    const Tensor *map = &b.model.map->tensor;
    assert_int_equal(tensor_last(map), shape_of(variants[v], false).classes);
    for (int64_t i = 0; i < tensor_count(map); i++)
      assert_true(((float *)map->data)[i] >= 0 && ((float *)map->data)[i] < 100);
    drop(&b);
  }
}

/* A copy of a kind's numbers, to be freed. */
static float *numbers_of(const Built *b, ParamKind kind) {
  size_t bytes = b->params->elements[kind] * sizeof(float);
  float *copy = malloc(bytes + 1);
  assert_non_null(copy);
  if (bytes) memcpy(copy, b->params->host[kind], bytes);
  return copy;
}

/* Whether what follows takes the bias out again: a norm, of keys the softmax, of a slice, whose
 * channels all get the same, a layer norm. Or a generator of boxes makes masks that nobody sees. */
static bool is_idle(const Built *b, const char *variant, const Param *bias) {
  if (strstr(variant, "prompts=box") && strstr(bias->name, "generator.masks.")) return true;
  char norm[256];
  size_t scope = strlen(bias->name) - strlen("bias");
  if (strcmp(bias->name + scope, "bias") != 0) return false;
  snprintf(norm, sizeof norm, "%.*snorm.weight", (int)scope, bias->name);
  bool found = strstr(bias->name, "k_proj.bias") || strstr(bias->name, "depth.1.bias");
  for (int p = 0; p < b->params->count; p++)
    found = found || strcmp(b->params->list[p]->name, norm) == 0;
  return found;
}

/* Whether it is SAM's own, which MaskSAM freezes unless told otherwise. */
static bool is_sams(const Param *param) {
  return strncmp(param->name, "image_encoder.", 14) == 0 ||
         strncmp(param->name, "prompt_encoder.", 15) == 0 ||
         strncmp(param->name, "mask_decoder.", 13) == 0;
}

/* What is frozen has the bits that it had; of MaskSAM, which is mostly frozen, all else moved. */
static void check_moved(const Built *b, const char *variant, const float *trained,
                        const float *frozen) {
  for (int p = 0; p < b->params->count; p++) {
    const Param *param = b->params->list[p];
    ParamKind kind = param->as.kind;
    if (kind == PARAM_BUFFER) continue;
    const float *now = params_weight(b->params, param);
    const float *then =
        (kind == PARAM_FROZEN ? frozen : trained) + (now - (const float *)b->params->host[kind]);
    bool same = memcmp(now, then, tensor_bytes(&param->shape)) == 0;
    if (kind == PARAM_FROZEN && !same) fail_msg("%s: %s is frozen and moved", variant, param->name);
    if (kind == PARAM_TRAINED && same && strstr(variant, "model=masksam") &&
        !is_idle(b, variant, param))
      fail_msg("%s: %s did not move", variant, param->name);
  }
}

/* By name: all that is SAM's is frozen and nothing else, or nothing at all. */
static void test_masksam_freezes_sam(void **state) {
  (void)state;
  for (int v = 0; v < used; v++) {
    if (!asked(v) || !strstr(variants[v], "model=masksam")) continue;
    Built b = build(variants[v], &backend_cpu, true);
    bool frozen = !strstr(variants[v], "sam_frozen=false");
    int found = 0;
    for (int p = 0; p < b.params->count; p++) {
      const Param *param = b.params->list[p];
      if (param->as.kind == PARAM_BUFFER) continue;
      bool wanted = frozen && is_sams(param);
      found += wanted;
      if ((param->as.kind == PARAM_FROZEN) != wanted)
        fail_msg("%s: %s is %s", variants[v], param->name, wanted ? "trained" : "frozen");
    }
    if (frozen) assert_true(found > 90);
    drop(&b);
  }
}

/* Learning is the point: thirty steps on one batch bring every model's loss down. */
static void test_losses_fall(void **state) {
  (void)state;
  for (int v = 0; v < used; v++) {
    if (!asked(v)) continue;
    if (is_block(variants[v])) continue;
    Built b = build(variants[v], &backend_cpu, true);
    Optimizer sgd = {.momentum = 0.9, .clip = 12};
    /* All of SAM is the Transformer's; its first masks, and those that MaskSAM makes with it, are
     * near what random labels allow. QTSeg's logits of half the resolution cannot follow those of
     * single pixels at all. */
    bool sam = strstr(variants[v], "model=sam"), qtseg = strstr(variants[v], "model=qtseg");
    bool near = sam || strstr(variants[v], "model=masksam");
    double rate = sam ? 1 : qtseg ? 0.3 : 0.05, share = qtseg ? 0.999 : near ? 0.97 : 0.95;
    float first = 0, last = 0, *trained = numbers_of(&b, PARAM_TRAINED);
    float *frozen = numbers_of(&b, PARAM_FROZEN);
    for (int step = 0; step < 30; step++) {
      fill(&b);
      plan_run(b.plan, false);
      last = *(float *)b.model.loss->tensor.data;
      if (step == 0) first = last;
      optimizer_step(&sgd, b.params, rate);
    }
    if (!(last < share * first)) fail_msg("%s: loss %g after %g", variants[v], last, first);
    check_moved(&b, variants[v], trained, frozen);
    free(trained);
    free(frozen);
    drop(&b);
  }
}

/* What weight decay must know of a parameter, from how it is used: a norm's scale and shift, a
 * product's weight and bias, and the rest, which is learned itself. A bias in another's place: of
 * two linear layers in one (linear_layer_after). */
static ParamRole role_by_use(OpId op, int input, ParamRole own) {
  bool norm = op == OP_instance_norm || op == OP_batch_norm || op == OP_layer_norm;
  bool product = op == OP_conv || op == OP_conv_transpose || op == OP_grouped_conv ||
                 op == OP_linear || op == OP_depth_mix || op == OP_matmul;
  if (norm && input < 2) return ROLE_NORM;
  /* A convolution's weight as a linear layer's, a layer's bias as what it makes of zeros. */
  if (op == OP_reshape || op == OP_grid_attention) return own;
  if (product && input > 1 && own == ROLE_EMBEDDING) return own; /* what it multiplies */
  if (product) return input == 0 || op == OP_matmul ? ROLE_WEIGHT : ROLE_BIAS;
  return own == ROLE_EMBEDDING ? own : PARAM_ROLES;
}

static void test_roles(void **state) {
  (void)state;
  for (int v = 0; v < used; v++) {
    Built b = build(variants[v], &backend_cpu, false);
    for (int n = 0; n < b.graph->node_count; n++) {
      const Node *node = b.graph->nodes[n];
      for (int i = 0; i < node->call.n_in; i++) {
        const Param *param = node->in[i]->param;
        if (param && param->as.kind != PARAM_BUFFER &&
            param->as.role != role_by_use(node->op, i, param->as.role))
          fail_msg("%s: %s, input %d of %s, is of role %d", variants[v], param->name, i,
                   node->call.op->name, (int)param->as.role);
      }
    }
    drop(&b);
  }
}

/* Mask2Former, MaskFormer: layers share what reads queries, which speak before the first, too. */
static void test_layers_share_heads(void **state) {
  (void)state;
  static const struct {
    const char *variant;
    int predictions, heads;
  } rows[] = {{"model=mask2former", 4, 1},
              {"model=mask2former first_prediction=no decoder_heads=own", 3, 3},
              {"model=maskformer", 3, 1},
              {"model=maskformer decoder_heads=own", 3, 3}};
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    Built b = build(rows[r].variant, &backend_cpu, true);
    int predictions = 0, heads = 0;
    for (int n = 0; n < b.graph->node_count; n++)
      predictions += b.graph->nodes[n]->op == OP_mask_loss && !b.graph->nodes[n]->call.backward;
    for (int p = 0; p < b.params->count; p++)
      heads += strstr(b.params->list[p]->name, "mask_embedding.2.weight") != NULL;
    if (predictions != rows[r].predictions || heads != rows[r].heads)
      fail_msg("%s: %d predictions, %d mask MLPs", rows[r].variant, predictions, heads);
    drop(&b);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gradients),           cmocka_unit_test(test_fast_against_reference),
      cmocka_unit_test(test_inference_maps),      cmocka_unit_test(test_losses_fall),
      cmocka_unit_test(test_masksam_freezes_sam), cmocka_unit_test(test_roles),
      cmocka_unit_test(test_layers_share_heads),
  };
  bool few_only = argc > 1 && !strcmp(argv[1], "--small");
  if (argc > 1 && !few_only) only = argv[1];
  if (!few_only) return cmocka_run_group_tests(tests, make_folder, remove_folder);
  used = SMALL_VARIANTS;
  const struct CMUnitTest few[] = {tests[0], tests[1], tests[2]};
  return cmocka_run_group_tests(few, make_folder, remove_folder);
}
