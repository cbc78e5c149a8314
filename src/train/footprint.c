#include "src/train/footprint.h"
#include "base/clock.h"
#include "base/rng.h"
#include "engine/step_memory.h"
#include "engine/stepper.h"
#include "kernels/cuda/absent_gpu.h"
#include "kernels/cuda/half_weights.h"
#include "src/data/metrics/metric.h"
#include "src/store/event.h"
#include "src/train/config.h"
#include "src/train/macs.h"
#include "src/train/network.h"

#include <malloc.h>
#include <math.h>
#include <omp.h>
#include <string.h>
#include <unistd.h>

enum { STEPS_MAX = 32 };
/* A trial's measurement: some seconds on two cores. */
static const double TRIAL_FLOPS = 2e11, TRIAL_SECONDS = 2;

/* ---- plan ------------------------------------------------------------------------------------ */

static bool plan_inference(Footprint *f, const json_t *config, int channels, Error *error) {
  Model model;
  Graph *graph = network_build(config, channels, &f->labelling, false, f->params, &model, error);
  Plan *plan = graph ? plan_make(graph, f->backend, true, error) : NULL;
  if (plan) f->infer_bytes = plan->bytes;
  if (plan) f->macs = graph_macs(graph);
  plan_free(plan);
  if (graph) graph_free(graph);
  return plan != NULL;
}

bool footprint_make(Footprint *f, const json_t *config, const Backend *backend, int channels,
                    const Labelling *labelling, Error *error) {
  if (!backend) backend = config_backend(config, error);
  if (!backend) return false;
  config_mode(config);
  *f = (Footprint){.backend = backend, .labelling = *labelling};
  f->params = params_make(backend->real);
  f->optimizer = config_optimizer(config, f->params);
  f->graph = network_build(config, channels, labelling, true, f->params, &f->model, error);
  if (f->graph) f->plan = plan_make(f->graph, f->backend, true, error);
  if (!f->plan || !plan_inference(f, config, channels, error)) {
    footprint_free(f);
    return false;
  }
  f->parameters = params_total(f->params);
  f->trained = params_trained(f->params);
  Cost cost = graph_cost(f->graph);
  f->flops = cost.flops;
  f->least_bytes = cost.bytes;
  f->train_bytes = plan_memory(f->plan);
  f->weight_bytes = params_bytes(f->params);
  return true;
}

void footprint_free(Footprint *f) {
  plan_free(f->plan);
  if (f->graph) graph_free(f->graph);
  if (f->params) params_free(f->params);
  f->plan = NULL;
  f->graph = NULL;
  f->params = NULL;
}

double footprint_peak(const Footprint *f) {
  return (double)f->train_bytes + (double)f->weight_bytes;
}

/* Weights in BF16 are read from the copy that a training there keeps. */
bool footprint_launches(Footprint *f, int64_t *launches, Error *error) {
  const Params *params = f->params;
  if (!plan_bind(f->plan, NULL, error)) return false;
  const float *weights = params->device[PARAM_TRAINED];
  bool half = f->graph->storage == BF16;
  if (half) {
    half_weights_add(weights, (int64_t)params->elements[PARAM_TRAINED],
                     step_at(f->plan, step_memory(f->plan).half));
    half_weights_fresh(weights);
  }
  int64_t before = gpu_launches;
  plan_run(f->plan, false);
  *launches = gpu_launches - before;
  if (half) half_weights_drop(weights);
  return true;
}

bool footprint_fits(const Footprint *f, double flops) {
  return f->flops <= flops && footprint_peak(f) <= 0.5 * (double)f->backend->available();
}

/* ---- measurement ----------------------------------------------------------------------------- */

/* Labels in blocks of 8 voxels, as organs are connected. */
static void fill_labels(const Tensor *labels, int classes, int32_t *data) {
  const int64_t *dim = labels->dim;
  for (int64_t i = 0; i < tensor_count(labels); i++) {
    int64_t x = i % dim[3] / 8, y = i / dim[3] % dim[2] / 8, z = i / dim[3] / dim[2] % dim[1] / 8;
    data[i] = (int32_t)((x + 3 * y + 5 * z) % classes);
  }
}

static bool is_read(const Graph *graph, const Value *value) {
  bool found = false;
  for (int i = 0; i < graph->node_count; i++)
    for (int k = 0; k < MAX_IN; k++) found = found || graph->nodes[i]->in[k] == value;
  return found;
}

/* The inputs that the graph reads: a model's image and labels, or a bridge's maps. */
static void collect_inputs(const Graph *graph, Stepper *stepper) {
  int count = 0;
  for (int i = 0; i < graph->value_count; i++) {
    Value *value = graph->values[i];
    if (value->kind != VALUE_INPUT || value->keep || !is_read(graph, value)) continue;
    CHECK(count < STEPPER_INPUTS, "more than %d inputs", STEPPER_INPUTS);
    stepper->input[count++] = value;
  }
}

static void fill(const Footprint *f, Stepper *stepper) {
  Rng rng = rng_make(1, RNG_TEST, 0);
  for (int i = 0; i < STEPPER_INPUTS && stepper->input[i]; i++) {
    const Tensor *tensor = &stepper->input[i]->tensor;
    float *data = stepper_input(stepper, i);
    if (tensor->type == I32) {
      fill_labels(tensor, labelling_classes(&f->labelling), stepper_input(stepper, i));
      continue;
    }
    for (int64_t k = 0; k < tensor_count(tensor); k++)
      data[k] = k < 4096 ? (float)rng_normal(&rng)
                         : data[k - 4096]; /* repeated, as drawing millions is slow */
  }
}

static double resident(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
  if (file) fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double allocated(void) {
  struct mallinfo2 info = mallinfo2();
  return (double)info.uordblks + (double)info.hblkhd;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The rate is small: steps on noise must not blow up. The first step touches memory and counts only
 * when there is no time for more. */
static double median_step(Footprint *f, double seconds) {
  Stepper stepper = {
      .plan = f->plan, .params = f->params, .optimizer = f->optimizer, .result = {f->model.loss}};
  double time[STEPS_MAX], start = seconds_now();
  int count = 0;
  collect_inputs(f->graph, &stepper);
  stepper_make(&stepper);
  while (count < 2 || (count < STEPS_MAX && seconds_now() - start < seconds)) {
    fill(f, &stepper); /* a step may write over its inputs */
    double begin = seconds_now();
    stepper_start(&stepper, 1e-6);
    stepper_wait(&stepper);
    time[count++] = seconds_now() - begin;
  }
  stepper_release(&stepper);
  qsort(time + 1, (size_t)count - 1, sizeof *time, ascending);
  return time[1 + (count - 2) / 2];
}

/* What holds the step's memory: the heap, or the device. */
static double taken(const Backend *backend) {
  return backend->device ? -(double)backend->available() : allocated();
}

bool footprint_run(Footprint *f, const json_t *config, double seconds, Error *error) {
  double pages = resident(), bytes = taken(f->backend);
  if (!params_allocate(f->params, (uint64_t)config_int(config, "seed"), error) ||
      !plan_bind(f->plan, NULL, error))
    return false;
  double bound = taken(f->backend) - bytes;
  f->step_s = median_step(f, seconds);
  /* On the heap nothing was freed: these are the peaks. The buffers of a device's step are
   * freed. */
  f->allocated_bytes = f->backend->device ? bound : taken(f->backend) - bytes;
  f->resident_bytes = resident() - pages;
  return true;
}

/* ---- a trial --------------------------------------------------------------------------------- */

static void send(FILE *events, const char *metric, double value) {
  event_send(events,
             &(Event){EVENT_metric, .metric = {.split = "plan",
                                               .case_name = "step",
                                               .name = "step",
                                               .metric = metric,
                                               .value = value,
                                               .situation = situation_name(SITUATION_BOTH)}});
}

/* What the libraries allocate once, on first use (some hundred KiB), would weigh on a small graph:
 * a run before takes it. */
static bool measured(Footprint *f, const json_t *config, int channels, Error *error) {
  Labelling labelling = f->labelling;
  bool small = footprint_peak(f) < 0x1p26;
  if (small && !footprint_run(f, config, 0, error)) return false;
  if (small) footprint_free(f);
  if (small && !footprint_make(f, config, NULL, channels, &labelling, error)) return false;
  return footprint_run(f, config, TRIAL_SECONDS, error);
}

static void send_measured(FILE *events, const Footprint *f) {
  send(events, "step_s", f->step_s);
  send(events, "allocated_bytes", f->allocated_bytes);
  send(events, "resident_bytes", f->resident_bytes);
}

int footprint_trial(const json_t *config, FILE *events) {
  Footprint f;
  Error error = {0};
  int channels = (int)config_int(config, "channels");
  Labelling plain = labelling_plain((int)config_int(config, "classes"));
  omp_set_num_threads((int)config_int(config, "threads"));
  bool good = footprint_make(&f, config, NULL, channels, &plain, &error);
  if (good) {
    network_tell_code(&f.model, events);
    event_send(events, &(Event){EVENT_plan, .plan = {.parameters = (int64_t)f.parameters,
                                                     .trained = f.trained,
                                                     .peak_bytes = (int64_t)footprint_peak(&f),
                                                     .flops = (int64_t)f.flops}});
    send(events, "planned_bytes", footprint_peak(&f));
  }
  if (good && footprint_fits(&f, TRIAL_FLOPS)) {
    good = measured(&f, config, channels, &error);
    if (good) send_measured(events, &f);
  }
  if (good) footprint_free(&f);
  event_send(events, &(Event){EVENT_end, .end = {.status = good ? "done" : "failed",
                                                 .message = error.text,
                                                 .train_s = NAN,
                                                 .wait_s = NAN,
                                                 .eval_s = NAN}});
  if (!good) fprintf(stderr, "failed: %s\n", error.text);
  return good ? 0 : 1;
}

/* ---- a memory budget for the planner of src/data --------------------------------------------- */

struct PlanBudget {
  json_t *config; /* every option at the scale "paper"; the U-Net alone */
  double bytes;
  int channels;
  Labelling labelling;
};

static json_t *options_config(const json_t *options, const char *home) {
  json_t *config = json_object(), *row;
  size_t i;
  json_array_foreach((json_t *)options, i, row) {
    json_t *value = json_object_get(row, "paper");
    if (!value) value = json_object_get(row, "default");
    json_object_set(config, json_string_value(json_object_get(row, "name")), value);
  }
  json_object_set_new(config, "scale", json_string("paper"));
  json_object_set_new(config, "home", json_string_nocheck(home));
  json_object_set_new(config, "model", json_string("maskmed"));
  json_object_set_new(config, "head", json_string("point_wise"));
  json_object_set_new(config, "bridge", json_string("none"));
  return config;
}

bool plan_budget_make(PlanBudget **out, const char *home, double bytes, int channels,
                      const Labelling *labelling, Error *error) {
  json_t *options = experiment_options(home, "maskmed", error);
  if (!options) return false;
  PlanBudget *budget = calloc(1, sizeof *budget);
  CHECK(budget, "out of memory");
  *budget = (PlanBudget){options_config(options, home), bytes, channels, *labelling};
  json_decref(options);
  *out = budget;
  return true;
}

void plan_budget_free(PlanBudget *budget) {
  if (!budget) return;
  json_decref(budget->config);
  free(budget);
}

static json_t *stages(const int (*value)[3], int count) {
  json_t *list = json_array();
  for (int i = 0; i < count; i++)
    json_array_append_new(list, json_pack("[i,i,i]", value[i][0], value[i][1], value[i][2]));
  return list;
}

bool plan_budget_cost(void *user, const Topology *t, int batch, double *share, Error *error) {
  PlanBudget *budget = user;
  json_t *widths = json_array();
  for (int i = 0; i < t->stages; i++) json_array_append_new(widths, json_integer(t->width[i]));
  json_object_set_new(budget->config, "patch",
                      json_pack("[i,i,i]", t->patch[0], t->patch[1], t->patch[2]));
  json_object_set_new(budget->config, "batch", json_integer(batch));
  json_object_set_new(budget->config, "widths", widths);
  json_object_set_new(budget->config, "strides", stages(t->stride, t->stages));
  json_object_set_new(budget->config, "kernels", stages(t->kernel, t->stages));
  Footprint footprint;
  if (!footprint_make(&footprint, budget->config, NULL, budget->channels, &budget->labelling,
                      error))
    return false;
  *share = footprint_peak(&footprint) / budget->bytes;
  footprint_free(&footprint);
  return true;
}

bool plan_trains(const char *home, const json_t *plan, int channels, const Labelling *labelling,
                 const char *where, Error *error) {
  static const char *const names[] = {"patch",   "batch",    "widths",  "strides",
                                      "kernels", "key_grid", "encoder", "encoder_blocks"};
  if (!experiment_takes(home, plan, where, error)) return false;
  json_t *options = experiment_options(home, "maskmed", error);
  if (!options) return false;
  json_t *config = options_config(options, home);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    json_object_set(config, names[i], json_object_get(plan, names[i]));
  Footprint footprint;
  Error inner = {""};
  bool good = footprint_make(&footprint, config, NULL, channels, labelling, &inner);
  if (good) footprint_free(&footprint);
  json_decref(config);
  json_decref(options);
  return good || fail(error, "%s: no network can be built by this plan: %s", where, inner.text);
}
