/* Runs a whole model for the outside oracles (tests/oracle/model.py):
 *
 *   model_driver EXPERIMENT OUTDIR cpu|portable|reference [key=value ...]
 *
 * The configuration is the experiment's first cell under the overrides, as `harness run` resolves
 * it (run from the repository's root). Keys of the driver's own: image=FILE (float32) and
 * labels=FILE (int32), raw, shaped by batch, patch and channels; channels, classes, seed;
 * input.NAME=FILE (float32), what the model's m.input of that name holds; extras=1: also write what
 * the model shows beside its map, extra_NAME; weights=FILE is read as by `harness run`;
 * jitter=SD adds normal noise to every weight, so that none is zero or on a kink of a function;
 * train=N takes N steps on the one batch; pytorch=1 also writes the weights with PyTorch's names
 * and layouts, pytorch.safetensors.
 *
 * Writes weights.safetensors and gradients.safetensors (both of the first step), after training
 * trained.safetensors, each tensor that the losses read as a raw file, the class map of the same
 * batch, and index.json: the configuration, the tensors' shapes, the names of what does not train,
 * per step the loss and the gradient's norm. With count=1 only the graph is built, nothing is
 * allocated or run, and index.json holds the configuration, the parameters' shapes and the
 * multiply-adds of an inference: for sizes that this machine could not run. */
#include "base/rng.h"
#include "engine/optimizer.h"
#include "engine/plan.h"
#include "engine/safetensors.h"
#include "lua/bind.h"
#include "src/train/config.h"
#include "src/train/macs.h"
#include "src/train/weights_file.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OVERRIDES = 64, MAX_INPUTS = 8 };

typedef struct Driver {
  const char *outdir, *image, *labels;
  int channels, classes, seed, train, count, pytorch, extras;
  double jitter;
  int overrides, inputs;
  char *override[MAX_OVERRIDES], *input[MAX_INPUTS]; /* input: "NAME=FILE" */
  const Backend *backend;
  json_t *plan, *config; /* config: borrowed from plan */
  json_t *tensors;       /* name -> type, shape: index.json's list */
  Params *params;
  Optimizer optimizer;
} Driver;

/* The argument's value when it is `key=...`. */
static const char *own(const char *argument, const char *key) {
  size_t length = strlen(key);
  return strncmp(argument, key, length) == 0 && argument[length] == '=' ? argument + length + 1
                                                                        : NULL;
}

static void read_argument(Driver *d, char *argument) {
  const struct {
    const char *key;
    const char **text;
    int *number;
    double *real;
  } keys[] = {{"image", &d->image, NULL, NULL},       {"labels", &d->labels, NULL, NULL},
              {"channels", NULL, &d->channels, NULL}, {"classes", NULL, &d->classes, NULL},
              {"seed", NULL, &d->seed, NULL},         {"train", NULL, &d->train, NULL},
              {"count", NULL, &d->count, NULL},       {"jitter", NULL, NULL, &d->jitter},
              {"pytorch", NULL, &d->pytorch, NULL},   {"extras", NULL, &d->extras, NULL}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const char *value = own(argument, keys[i].key);
    if (!value) continue;
    if (keys[i].text) *keys[i].text = value;
    if (keys[i].number) *keys[i].number = atoi(value);
    if (keys[i].real) *keys[i].real = strtod(value, NULL);
    return;
  }
  if (strncmp(argument, "input.", 6) == 0) {
    CHECK(d->inputs < MAX_INPUTS, "more than %d inputs", MAX_INPUTS);
    d->input[d->inputs++] = argument + 6;
    return;
  }
  CHECK(d->overrides < MAX_OVERRIDES, "more than %d overrides", MAX_OVERRIDES);
  d->override[d->overrides++] = argument;
}

/* ---- files ----------------------------------------------------------------------------------- */

static FILE *file_open(const char *path, const char *mode) {
  FILE *file = fopen(path, mode);
  CHECK(file, "%s: cannot open", path);
  return file;
}

static void tensor_read(const char *path, Tensor *tensor) {
  FILE *file = file_open(path, "rb");
  size_t count = (size_t)tensor_count(tensor);
  CHECK(tensor_bytes(tensor) >= 4 * count && fread(tensor->data, 4, count, file) == count,
        "%s: ends before %zu numbers", path, count);
  if (tensor->type == F64) /* in place, from the end: the floats lie in the first half */
    for (size_t i = count; i-- > 0;) {
      float value;
      memcpy(&value, (char *)tensor->data + 4 * i, sizeof value);
      ((double *)tensor->data)[i] = (double)value;
    }
  fclose(file);
}

/* What the model reads beside image and labels. */
static void inputs_read(const Driver *d, const Graph *graph) {
  for (int i = 0; i < d->inputs; i++) {
    char name[64];
    size_t length = strcspn(d->input[i], "=");
    snprintf(name, sizeof name, "%.*s", (int)length, d->input[i]);
    Value *value = graph_input_named(graph, name);
    CHECK(value && d->input[i][length], "input.%s: the model has no such input", d->input[i]);
    tensor_read(d->input[i] + length + 1, &value->tensor);
  }
}

static json_t *shape_json(const Tensor *tensor) {
  json_t *shape = json_array();
  for (int i = 0; i < tensor->rank; i++) json_array_append_new(shape, json_integer(tensor->dim[i]));
  return shape;
}

static void tensor_write(Driver *d, const char *name, const Tensor *tensor) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s.raw", d->outdir, name);
  FILE *file = file_open(path, "wb");
  size_t bytes = tensor_bytes(tensor);
  CHECK(fwrite(tensor->data, 1, bytes, file) == bytes && fclose(file) == 0, "%s: short", path);
  static const char *const types[] = {[F32] = "<f4", [F64] = "<f8", [I32] = "<i4"};
  json_object_set_new(
      d->tensors, name,
      json_pack("{s:s, s:o}", "type", types[tensor->type], "shape", shape_json(tensor)));
}

static void index_write(const Driver *d, json_t *index) {
  char path[4096];
  snprintf(path, sizeof path, "%s/index.json", d->outdir);
  CHECK(json_dump_file(index, path, JSON_INDENT(1)) == 0, "%s: cannot write", path);
  json_decref(index);
}

/* All of them, frozen ones and buffers too. */
static void weights_write(const Driver *d, Error *error) {
  char path[4096];
  int count = d->params->count;
  TensorToStore *list = calloc((size_t)count, sizeof *list);
  CHECK(list, "no memory for %d tensors", count);
  snprintf(path, sizeof path, "%s/weights.safetensors", d->outdir);
  for (int p = 0; p < count; p++) {
    const Param *param = d->params->list[p];
    list[p] = (TensorToStore){param->name, d->params->real, param->shape.rank, param->shape.dim,
                              params_weight(d->params, param)};
  }
  CHECK(safetensors_write(path, NULL, count, list, NULL, error), "%s", error->text);
  free(list);
}

static void params_write(const Driver *d, const char *name, void *block, Error *error) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s.safetensors", d->outdir, name);
  Params view = *d->params;
  view.host[PARAM_TRAINED] = block;
  CHECK(params_save(&view, false, NULL, path, error), "%s", error->text);
}

static void pytorch_write(const Driver *d, Error *error) {
  char path[4096];
  snprintf(path, sizeof path, "%s/pytorch.safetensors", d->outdir);
  CHECK(weights_file_write(d->params, d->config, "pytorch", NULL, path, error), "%s", error->text);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

/* What the losses read, kept and written: masks0.., classes0.., logits0.., labels in matching's
 * answer assignment0... */
static const struct Shown {
  OpId op;
  bool input; /* in[0] or out[0] */
  const char *name;
} shown[] = {{OP_mask_loss, true, "masks"},
             {OP_class_loss, true, "classes"},
             {OP_voxel_loss, true, "logits"},
             {OP_match, false, "assignment"}};

typedef void (*Visit)(Driver *d, const char *name, Value *value);

static void keep(Driver *d, const char *name, Value *value) {
  (void)d;
  (void)name;
  value->keep = true;
}

static void show(Driver *d, const char *name, Value *value) {
  tensor_write(d, name, &value->tensor);
}

static void visit(Driver *d, const Graph *graph, Visit function) {
  for (size_t k = 0; k < sizeof shown / sizeof *shown; k++) {
    int found = 0;
    for (int i = 0; i < graph->node_count; i++) {
      const Node *node = graph->nodes[i];
      if (node->op != shown[k].op || node->call.backward) continue;
      char name[64];
      snprintf(name, sizeof name, "%s%d", shown[k].name, found++);
      function(d, name, shown[k].input ? node->in[0] : node->out[0]);
    }
  }
}

static Graph *build(Driver *d, bool training, Model *model, Error *error) {
  ModelShape shape = {.batch = (int)config_int(d->config, "batch"),
                      .channels = d->channels,
                      .classes = d->classes,
                      .training = training};
  config_triple(d->config, "patch", shape.patch);
  Graph *graph = graph_make(d->params);
  bool good = model_build(".", d->config, &shape, graph, model, error) &&
              (!training || graph_backward(graph, model->loss));
  CHECK(good, "%s", error->text[0] ? error->text : graph->error.text);
  visit(d, graph, keep);
  return graph;
}

static Plan *bound(const Driver *d, Graph *graph, Error *error) {
  Plan *plan = plan_make(graph, d->backend, true, error);
  CHECK(plan && plan_bind(plan, NULL, error), "%s", error->text);
  return plan;
}

/* All numbers are rounded to float: every backend has the same. Buffers get no noise. */
static void add_jitter(const Driver *d) {
  Rng rng = rng_make((uint64_t)d->seed, RNG_TEST, 0);
  for (int p = 0; p < d->params->count; p++) {
    const Param *param = d->params->list[p];
    void *weight = params_weight(d->params, param);
    for (int64_t i = 0; i < tensor_count(&param->shape); i++) {
      bool still = param->as.kind == PARAM_BUFFER;
      float noise = still ? 0 : (float)(d->jitter * rng_normal(&rng));
      if (d->params->real == F64)
        ((double *)weight)[i] = (double)((float)((double *)weight)[i] + noise);
      else
        ((float *)weight)[i] += noise;
    }
  }
}

/* ---- runs ------------------------------------------------------------------------------------ */

static double scalar(const Value *value) {
  return value->tensor.type == F64 ? *(const double *)value->tensor.data
                                   : (double)*(const float *)value->tensor.data;
}

static void infer(Driver *d, Graph *graph, const Model *model, Error *error) {
  Plan *plan = bound(d, graph, error);
  tensor_read(d->image, &model->image->tensor);
  inputs_read(d, graph);
  plan_run(plan, false);
  tensor_write(d, "map", &model->map->tensor);
  for (int i = 0; d->extras && i < model->extras; i++) {
    char name[64];
    snprintf(name, sizeof name, "extra_%s", model->extra[i].name);
    tensor_write(d, name, &model->extra[i].value->tensor);
  }
  plan_free(plan);
}

static void write_first(Driver *d, const Graph *graph, const Model *model, Error *error) {
  static const char *const parts[] = {"class", "bce", "dice"};
  visit(d, graph, show);
  tensor_write(d, "loss", &model->loss->tensor);
  for (int i = 0; i < 3; i++)
    if (model->part[i]) tensor_write(d, parts[i], &model->part[i]->tensor);
  params_write(d, "gradients", d->params->host[BLOCK_GRADIENT], error);
}

static void step(const Driver *d, int64_t index, json_t *steps, double loss) {
  RateSchedule schedule = config_rates(d->config);
  double rate = rate_schedule_at(&schedule, index);
  double norm = optimizer_step(&d->optimizer, d->params, rate);
  json_array_append_new(steps, json_pack("{s:f, s:f}", "loss", loss, "norm", norm));
}

static json_t *train(Driver *d, Graph *graph, const Model *model, Error *error) {
  Plan *plan = bound(d, graph, error);
  json_t *steps = json_array();
  for (int i = 0; i == 0 || i < d->train; i++) {
    /* The plan may reuse an input's memory within a step. */
    tensor_read(d->image, &model->image->tensor);
    tensor_read(d->labels, &model->labels->tensor);
    inputs_read(d, graph);
    plan_run(plan, false);
    if (i == 0) write_first(d, graph, model, error);
    if (d->train) step(d, i, steps, scalar(model->loss));
  }
  if (d->train) params_write(d, "trained", d->params->host[PARAM_TRAINED], error);
  plan_free(plan);
  return steps;
}

/* Frozen parameters and buffers. */
static json_t *fixed_names(const Params *params) {
  json_t *names = json_array();
  for (int p = 0; p < params->count; p++)
    if (params->list[p]->as.kind != PARAM_TRAINED)
      json_array_append_new(names, json_string(params->list[p]->name));
  return names;
}

static void run(Driver *d, Error *error) {
  Model training, inference;
  json_object_set_new(d->config, "home", json_string("."));
  d->params = params_make(d->backend->real);
  d->optimizer = config_optimizer(d->config, d->params);
  Graph *train_graph = build(d, true, &training, error);
  Graph *infer_graph = build(d, false, &inference, error);
  CHECK(params_allocate(d->params, (uint64_t)d->seed, error), "%s", error->text);
  add_jitter(d);
  CHECK(weights_file_load(d->params, d->config, error), "%s", error->text);
  weights_write(d, error);
  if (d->pytorch) pytorch_write(d, error);
  infer(d, infer_graph, &inference, error);
  json_t *steps = train(d, train_graph, &training, error);
  index_write(d, json_pack("{s:O, s:O, s:o, s:o}", "config", d->config, "tensors", d->tensors,
                           "fixed", fixed_names(d->params), "steps", steps));
  graph_free(train_graph);
  graph_free(infer_graph);
  params_free(d->params);
}

static void count(Driver *d, Error *error) {
  Model training, inference;
  d->params = params_make(d->backend->real);
  Graph *graph = build(d, true, &training, error);
  Graph *infer_graph = build(d, false, &inference, error);
  json_t *shapes = json_object();
  for (int i = 0; i < d->params->count; i++)
    json_object_set_new(shapes, d->params->list[i]->name, shape_json(&d->params->list[i]->shape));
  index_write(d,
              json_pack("{s:O, s:o, s:I, s:f}", "config", d->config, "parameters", shapes, "total",
                        (json_int_t)params_total(d->params), "macs", graph_macs(infer_graph)));
  graph_free(graph);
  graph_free(infer_graph);
  params_free(d->params);
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: model_driver EXPERIMENT OUTDIR BACKEND [key=value ...]\n");
    return 2;
  }
  Error error = {0};
  Driver d = {.outdir = argv[2], .backend = backend_find(argv[3]), .channels = 1, .classes = 4};
  for (int i = 4; i < argc; i++) read_argument(&d, argv[i]);
  if (!d.backend || (!d.count && (!d.image || !d.labels))) {
    fprintf(stderr, "model_driver: wants a backend, and image=FILE and labels=FILE or count=1\n");
    return 2;
  }
  if (!experiment_read(".", argv[1], d.overrides, d.override, NULL, &d.plan, &error)) {
    fprintf(stderr, "%s\n", error.text);
    return 1;
  }
  d.config = json_object_get(json_array_get(json_object_get(d.plan, "cells"), 0), "config");
  d.tensors = json_object();
  omp_set_num_threads((int)config_int(d.config, "threads"));
  (d.count ? count : run)(&d, &error);
  json_decref(d.tensors);
  json_decref(d.plan);
  return 0;
}
