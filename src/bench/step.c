#include "src/bench/step.h"
#include "base/rng.h"
#include "engine/storage.h"
#include "kernels/mode.h"
#include "src/train/config.h"

#include <string.h>

/* Cases keep their work when a scale's options change, so that what was measured stays comparable.
 * The nets of 32^3 are those of `quick` until its patch became 24^3; no update keeps an average. */
#define AT_32    "patch=32,32,32", "widths=16,32,64,128", "average=0"
#define AT_64    "patch=64,64,64", "widths=32,64,128,256", "average=0"
#define QUICK_32 AT_32, "key_grid=8,8,8", "query_scales=3"
#define FLAT_256                                                                                   \
  "patch=1,256,256", "batch=8", "widths=32,64,128,256", "kernels=1,3,3,1,3,3,1,3,3,1,3,3",         \
      "strides=1,1,1,1,2,2,1,2,2,1,2,2", "average=0"

#define QTSEG "model=qtseg"
#define SAM   "model=sam"

/* What a case's options are typed behind: the experiment, which is that of the first whose option
 * the case has, and channels of its images. `rows` leaves one row where it has several. */
static const struct Base {
  const char *option, *file, *rows;
  int channels;
} bases[] = {{QTSEG, "experiments/qtseg/tokens.lua", NULL, 3}, /* its first row */
             {SAM, "lua/harness/any_model.lua", NULL, 3},
             {NULL, "experiments/query_count.lua", "queries=1", 1}};

const StepCase step_cases[] = {
    {"unet-32", 11, {"head=point_wise", "bridge=none", AT_32}},
    {"unet-64", 16, {"head=point_wise", "bridge=none", AT_64}},
    {"unet-2d", 4, {"head=point_wise", "bridge=none", FLAT_256}},
    {"unet-32:bf16", 11, {"head=point_wise", "bridge=none", AT_32, "dtype=bf16"}},
    {"unet-64:bf16", 16, {"head=point_wise", "bridge=none", AT_64, "dtype=bf16"}},
    {"maskmed-quick", 11, {QUICK_32}},
    {"maskmed-quick:bf16", 11, {QUICK_32, "dtype=bf16"}},
    {"maskmed-no-bridge", 11, {"bridge=none", QUICK_32}},
    {"maskmed-small", 16, {"scale=small", "key_grid=6,6,6", "average=0"}},
    {"masksam-quick",
     13,
     {"model=masksam", "patch=8,40,40", "query_count=16", "generator_widths=64,32,16",
      "optimizer=adamw", "lr=0.002", "average=0"}},
    {"qtseg", 2, {QTSEG, "patch=1,512,512", "batch=4", "n_channel=16", "mlp=2048"}},
    {"sam-vit-b",
     4,
     {SAM, "sam=B", "patch=1,512,512", "batch=1", "optimizer=adamw", "lr=0.0001", "average=0"}},
    {"unet-paper", 16, {"scale=paper", "head=point_wise", "bridge=none"}},
    {"unet-paper:bf16", 16, {"scale=paper", "head=point_wise", "bridge=none", "dtype=bf16"}},
    {"maskmed-paper", 16, {"scale=paper"}},
    {"maskmed-paper:bf16", 16, {"scale=paper", "dtype=bf16"}},
    {0}};

static bool overrides(const StepCase *c, const char *option) {
  for (int i = 0; c->overrides[i]; i++)
    if (strcmp(c->overrides[i], option) == 0) return true;
  return false;
}

static const struct Base *base_of(const StepCase *c) {
  const struct Base *base = bases;
  while (base->option && !overrides(c, base->option)) base++;
  return base;
}

/* The resolved configuration of the case: one row, one seed. */
static bool configure(Step *step, const StepCase *c, const char *home, int threads, Error *error) {
  const struct Base *base = base_of(c);
  char file[4200], thread_text[32], seeds[] = "seeds=1";
  char *typed[16] = {seeds, thread_text};
  int count = 2;
  snprintf(thread_text, sizeof thread_text, "threads=%d", threads);
  snprintf(file, sizeof file, "%.4000s/%s", home, base->file);
  if (base->rows) typed[count++] = (char *)(uintptr_t)base->rows;
  for (int i = 0; c->overrides[i]; i++) typed[count++] = (char *)c->overrides[i];
  json_t *experiment = NULL;
  if (!experiment_read(home, file, count, typed, NULL, &experiment, error)) return false;
  step->config = json_incref(
      json_object_get(json_array_get(json_object_get(experiment, "cells"), 0), "config"));
  json_decref(experiment);
  return step->config || fail(error, "%s: the experiment has no cell", file);
}

static bool build(Step *step, const char *home, Error *error) {
  ModelShape shape = {.batch = (int)config_int(step->config, "batch"),
                      .channels = step->channels,
                      .classes = step->classes,
                      .training = true};
  config_triple(step->config, "patch", shape.patch);
  step->params = params_make(step->backend->real);
  step->optimizer = config_optimizer(step->config, step->params);
  step->graph = graph_make(step->params);
  if (!model_build(home, step->config, &shape, step->graph, &step->model, error) ||
      !graph_backward(step->graph, step->model.loss))
    return fail(error, "%s", step->graph->error.text);
  step->boxes = graph_input_named(step->graph, "boxes");
  step->plan = plan_make(step->graph, step->backend, true, error);
  return step->plan && params_allocate(step->params, 1, error) &&
         plan_bind(step->plan, NULL, error);
}

/* Of model sam, (N, Q, D, 1, 4) in pixels, x before y: somewhere off the diagonal. */
static bool fill_boxes(Step *step, Error *error) {
  static const double first[] = {.1, .15, .4, .4}, apart[] = {.08, .05, .08, .05};
  const Tensor *boxes = &step->boxes->tensor;
  const int64_t *image = step->model.image->tensor.dim;
  step->corners = malloc(tensor_bytes(boxes));
  if (!step->corners) return fail(error, "no memory for boxes");
  for (int64_t i = 0; i < tensor_count(boxes); i++) {
    double query = (double)(i / 4 / boxes->dim[2] % boxes->dim[1]);
    step->corners[i] = (float)((first[i % 4] + query * apart[i % 4]) * (double)image[3 - i % 2]);
  }
  return true;
}

/* Labels in blocks of 8 voxels, as organs are connected; images of noise. */
static bool fill(Step *step, Error *error) {
  const Tensor *image = &step->model.image->tensor, *labels = &step->model.labels->tensor;
  step->image = malloc(tensor_bytes(image));
  step->labels = malloc(tensor_bytes(labels));
  if (!step->image || !step->labels) return fail(error, "no memory for a batch");
  Rng rng = rng_make(1, RNG_TEST, 0);
  for (int64_t i = 0; i < tensor_count(image); i++) step->image[i] = (float)rng_normal(&rng);
  const int64_t *dim = labels->dim;
  for (int64_t i = 0; i < tensor_count(labels); i++) {
    int64_t x = i % dim[3] / 8, y = i / dim[3] % dim[2] / 8, z = i / dim[3] / dim[2] % dim[1] / 8;
    step->labels[i] = (int32_t)((x + 3 * y + 5 * z) % step->classes);
  }
  return !step->boxes || fill_boxes(step, error);
}

const char *step_dtype(const StepCase *c) {
  return overrides(c, "dtype=bf16") ? "bf16" : "f32";
}

bool step_on(const StepCase *c, const Backend *backend) {
  return backend->device || !overrides(c, "scale=paper");
}

bool step_works(const StepCase *c, const Backend *backend, Error *error) {
  return storage_works(strcmp(step_dtype(c), "bf16") ? F32 : BF16, backend, error);
}

static void start(Step *step) {
  const Model *m = &step->model;
  step->stepper = (Stepper){.plan = step->plan,
                            .params = step->params,
                            .optimizer = step->optimizer,
                            .input = {m->image, m->labels, step->boxes},
                            .result = {m->loss, m->part[0], m->part[1], m->part[2]}};
  stepper_make(&step->stepper);
}

bool step_make(Step *step, const StepCase *c, const char *home, int threads, Error *error) {
  return step_make_on(step, c, &backend_cpu, home, threads, error);
}

bool step_make_on(Step *step, const StepCase *c, const Backend *backend, const char *home,
                  int threads, Error *error) {
  *step = (Step){.backend = backend, .classes = c->classes, .channels = base_of(c)->channels};
  Error inner = {""};
  if (!configure(step, c, home, threads, &inner) || !build(step, home, &inner)) {
    step_free(step);
    return fail(error, "step:%s: %s", c->name, inner.text);
  }
  start(step);
  if (fill(step, error)) return true;
  step_free(step);
  return false;
}

void step_free(Step *step) {
  if (step->stepper.plan) stepper_release(&step->stepper);
  plan_free(step->plan);
  if (step->graph) graph_free(step->graph);
  if (step->params) params_free(step->params);
  json_decref(step->config);
  free(step->image);
  free(step->labels);
  free(step->corners);
  *step = (Step){0};
}

/* A step writes over its inputs once they are read. The rate is small: thousands of steps on one
 * batch of noise must not blow up. */
void step_run(void *user) {
  Step *step = user;
  const Tensor *image = &step->model.image->tensor, *labels = &step->model.labels->tensor;
  if (step->runs < 2 || !stepper_ahead(&step->stepper)) { /* a device has two buffers */
    memcpy(stepper_input(&step->stepper, 0), step->image, tensor_bytes(image));
    memcpy(stepper_input(&step->stepper, 1), step->labels, tensor_bytes(labels));
    if (step->boxes)
      memcpy(stepper_input(&step->stepper, 2), step->corners, tensor_bytes(&step->boxes->tensor));
  }
  step->runs++;
  stepper_start(&step->stepper, 1e-4);
  stepper_wait(&step->stepper);
}

void step_name(const StepCase *c, BenchRow *row) {
  snprintf(row->kernel, sizeof row->kernel, "step:%s", c->name);
  row->pass = "step";
  row->dtype = step_dtype(c);
}

void step_describe(const Step *step, const StepCase *c, const Machine *ceilings, BenchRow *row) {
  bool tf32 = step->backend->device && kernel_mode.tf32 != TF32_OFF;
  if (tf32 && step->graph->storage != BF16) row->dtype = "tf32";
  Machine machine = machine_for(ceilings, row->dtype);
  const int64_t *dim = step->model.image->tensor.dim;
  size_t used = (size_t)snprintf(row->shape, sizeof row->shape, "(%d,%d,%d,%d,%d)", (int)dim[0],
                                 (int)dim[1], (int)dim[2], (int)dim[3], (int)dim[4]);
  for (int i = 0; c->overrides[i] && used < sizeof row->shape; i++)
    used += (size_t)snprintf(row->shape + used, sizeof row->shape - used, " %s", c->overrides[i]);
  row_of_graph(row, step->graph, step->plan, step->params, &machine);
}

double step_loss(const Step *step) {
  return step->stepper.value[0];
}
