#include "src/train/trial.h"
#include "base/clock.h"
#include "engine/probe.h"
#include "kernels/mode.h"
#include "src/machine/ceilings.h"
#include "src/store/event.h"
#include "src/train/cases.h"
#include "src/train/config.h"
#include "src/train/evaluation.h"
#include "src/train/network.h"
#include "src/train/postprocess.h"
#include "src/train/prediction.h"
#include "src/train/training.h"
#include "src/train/weights_file.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- what a trial owns ----------------------------------------------------------------------- */

/* Everything a trial owns, so that one function frees it. */
typedef struct Trial {
  const json_t *config;
  const Backend *backend;
  FILE *events;
  Cases cases;
  char *recipe;                         /* stored with the weights */
  char code[HASH_BYTES];                /* the same */
  char start[FILE_HASH_BYTES];          /* the same */
  Sampler *sampler, *validation, *held; /* held: cases that choose weights; NULL: none */
  Params *params;
  Optimizer optimizer;
  Graph *train_graph, *infer_graph;
  Plan *train_plan, *infer_plan;
  Model train, infer;
  const char *checkpoint; /* NULL: none */
  int64_t steps, first; /* first: the step that a checkpoint goes on from; steps: only scores it */
  char note[TRAINING_NOTE]; /* about it */
  Course course;            /* up to it */
  CollapseWatch watch;
  double train_s, eval_s, waited_s;
} Trial;

static void release(Trial *t) {
  plan_free(t->train_plan);
  plan_free(t->infer_plan);
  graph_free(t->train_graph);
  graph_free(t->infer_graph);
  params_free(t->params);
  sampler_free(t->sampler);
  sampler_free(t->validation);
  sampler_free(t->held);
  cases_free(&t->cases);
  course_free(&t->course);
  free(t->recipe);
}

/* ---- data ------------------------------------------------------------------------------------ */

/* Of `count` of the loaded training cases. */
static bool sampler_of(Sampler **sampler, const Cases *c, int first, int count,
                       const SamplerOptions *options, Error *error) {
  return c->mapped
             ? sampler_make_mapped(sampler, c->mapped + first, count, options, error)
             : sampler_make(sampler, c->training + first, count, c->dataset.labels, options, error);
}

static bool prepare_data(Trial *t, Error *error) {
  if (!cases_load(&t->cases, t->config, error) ||
      !inference_check(t->config, &t->cases.dataset.labelling, error))
    return false;
  t->recipe = recipe_text(&t->cases.recipe, &t->cases.dataset);
  SamplerOptions options = {.batch = (int)config_int(t->config, "batch"),
                            .foreground = config_number(t->config, "foreground"),
                            .seed = (uint64_t)config_int(t->config, "seed"),
                            .labelling = &t->cases.dataset.labelling};
  config_triple(t->config, "patch", options.patch);
  const Cases *c = &t->cases;
  if (!augment_parse(config_text(t->config, "augment"), config_text(t->config, "mirror"),
                     &options.augment, error))
    return false;
  SamplerOptions plain = options;
  plain.augment = (Augment){0};
  if (c->validations && !sampler_make(&t->validation, c->validation, c->validations,
                                      c->dataset.labels, &plain, error))
    return false;
  if (c->held && !sampler_of(&t->held, c, c->trainings, c->held, &plain, error)) return false;
  bool made = sampler_of(&t->sampler, c, 0, c->trainings, &options, error);
  if (!made || sampler_teaches(t->sampler)) return made;
  return fail(error,
              "%s: all voxels of the %d training case(s) are labelled \"ignore\": nothing can be "
              "learned; train another fold, or divide the cases otherwise in splits_final.json",
              c->dataset.dir, c->trainings);
}

/* ---- model ----------------------------------------------------------------------------------- */

static Graph *build(Trial *t, bool training, Model *model, Error *error) {
  const Dataset *dataset = &t->cases.dataset;
  return network_build(t->config, dataset->channels, &dataset->labelling, training, t->params,
                       model, error);
}

/* What is resumed has all that was trained, but nothing frozen. */
static bool start_from_weights(Trial *t, Error *error) {
  return (t->first && params_numbers(t->params, PARAM_FROZEN) == 0) ||
         weights_file_load(t->params, t->config, error);
}

/* The parameters as a training begins. */
static bool fill_params(Trial *t, Error *error) {
  return params_allocate(t->params, (uint64_t)config_int(t->config, "seed"), error) &&
         weights_start(t->config, t->start, error) && start_from_weights(t, error);
}

/* As its checkpoint left them; what was told until then is told again, so that the attempt that
 * ends has the whole curve. */
static bool resume(Trial *t, Error *error) {
  if (!t->first) return true;
  char *course = checkpoint_text(t->checkpoint, "course");
  bool good = params_load(t->params, true, t->checkpoint, error) &&
              (!course || course_read(&t->course, &t->watch, course, t->checkpoint, error));
  free(course);
  if (good) course_repeat(&t->course, t->events);
  return good;
}

/* What a model reads beside the image comes from whoever calls it, as SAM's prompts do. */
static bool fed_by_cases(const Graph *graph, const Model *model, Error *error) {
  for (int i = 0; i < graph->value_count; i++) {
    const Value *value = graph->values[i];
    if (value->kind == VALUE_INPUT && value != model->image)
      return fail(error,
                  "the model reads an input '%s' beside the image, which no data set has: it does "
                  "not train",
                  value->name);
  }
  return true;
}

/* Before a byte of it is taken: what the kernel kills cannot say what was wanting. Of a device its
 * own allocations tell. */
static bool fits(const Trial *t, Error *error) {
  size_t available = t->backend->available();
  size_t needed = plan_memory(t->train_plan) + params_bytes(t->params);
  if (t->backend->device || t->first == t->steps || needed <= available) return true;
  return fail(error,
              "out of memory: a training step takes %.2f GiB with the weights, %.2f GiB are "
              "available on %s; fewer trials at a time (--jobs), or a patch or batch of %.0f %% of "
              "this size",
              (double)needed / 0x1p30, (double)available / 0x1p30, t->backend->name,
              100.0 * (double)available / (double)needed);
}

/* The step that its checkpoint was written after, and what is to be said of that. */
static int64_t find_first(Trial *t) {
  int64_t first = training_kept(t->checkpoint, t->code, t->steps, t->note);
  bool stopped = json_is_true(json_object_get(t->config, "goes_on"));
  if (stopped && !first && !t->note[0] && access(t->checkpoint, F_OK))
    snprintf(t->note, sizeof t->note, "begins anew: it was stopped, and %.450s is not there",
             t->checkpoint);
  return first;
}

static bool prepare_model(Trial *t, Error *error) {
  t->params = params_make(t->backend->real);
  t->optimizer = config_optimizer(t->config, t->params);
  t->train_graph = build(t, true, &t->train, error);
  t->infer_graph = t->train_graph ? build(t, false, &t->infer, error) : NULL;
  if (!t->infer_graph || !fed_by_cases(t->infer_graph, &t->infer, error)) return false;
  network_tell_code(&t->train, t->events);
  network_tell_code(&t->infer, t->events);
  network_code(&t->train, t->code);
  t->train_plan = plan_make(t->train_graph, t->backend, true, error);
  if (!t->train_plan) return false;
  Event event = {EVENT_plan, .plan = {.parameters = (int64_t)params_total(t->params),
                                      .trained = params_trained(t->params),
                                      .peak_bytes = (int64_t)(plan_memory(t->train_plan) +
                                                              params_bytes(t->params)),
                                      .flops = (int64_t)graph_cost(t->train_graph).flops}};
  event_send(t->events, &event);
  t->first = find_first(t);
  if (!fits(t, error) || !fill_params(t, error)) return false;
  event_send(t->events, &(Event){EVENT_start, .start = {.first_step = t->first, .note = t->note}});
  if (t->note[0]) fprintf(stderr, "%s\n", t->note);
  return t->first == t->steps || plan_bind(t->train_plan, NULL, error);
}

/* ---- the trial ------------------------------------------------------------------------------- */

/* Of what the steps ran on, for the type that they multiplied in. */
static Machine measure_ceilings(const Trial *t) {
  const Device *device = t->backend->device;
  int threads = (int)config_int(t->config, "threads");
  bool bf16 = t->train_graph->storage == BF16, tf32 = device && kernel_mode.tf32 != TF32_OFF;
  Flush flush = device ? (Flush){0} : flush_make();
  Machine machine = device ? machine_begin_on(device, threads) : machine_begin(threads, .1, &flush);
  if (!device) flush_free(&flush);
  return machine_for(&machine, bf16 ? "bf16" : tf32 ? "tf32" : "float32");
}

/* The ceilings are measured after the training: the trial has the machine to itself by then. */
static void print_profile(const Trial *t, const StepProfile *profile) {
  if (!profile->steps) return;
  Machine machine = measure_ceilings(t);
  Ceiling ceiling = {machine.fma_gflops, machine.copy_gbps};
  fprintf(stderr,
          "profile of %d training steps, %d threads; outside the graph: batch %.3f ms, "
          "clip and update %.3f ms\n",
          profile->steps, machine.threads, 1e3 * profile->batch_s / profile->steps,
          1e3 * profile->update_s / profile->steps);
  plan_profile_print(t->train_plan, profile->steps, &ceiling, stderr);
}

static CollapseRule collapse_rule(const json_t *c) {
  return (CollapseRule){config_number(c, "collapse_dice"), config_number(c, "collapse_at")};
}

/* Whether a step on the first batch repeats: on a GPU, where order may be left to chance, and on
 * the CPU with another number of threads. */
static bool probe(Trial *t, Error *error) {
  Value *input[] = {t->train.image, t->train.labels};
  float *scratch = malloc(sampler_size(t->sampler).scratch * sizeof *scratch + 1);
  if (!scratch) return fail(error, "no memory for a batch");
  sampler_batch(t->sampler, 0, scratch, input[0]->host, input[1]->host);
  free(scratch);
  const char *found = probe_run(t->train_plan, input, 2);
  fprintf(stderr, "a step that is repeated%s: %s\n", t->backend->device ? "" : " on one thread",
          found);
  event_send(t->events, &(Event){EVENT_probe, .probe = {.determinism = found}});
  return true;
}

static bool train(Trial *t, TrainingEnd *end, Error *error) {
  const json_t *c = t->config;
  RunFlags flags = config_flags(c);
  StepProfile profile = {0};
  Training training = {
      .params = t->params,
      .plan = t->train_plan,
      .model = &t->train,
      .sampler = t->sampler,
      .workers = flags.workers,
      .waited_s = &t->waited_s,
      .optimizer = t->optimizer,
      .rates = config_rates(c),
      .steps = t->steps,
      .save_every = config_int(c, "save_every"),
      .rule = collapse_rule(c),
      .checkpoint = t->checkpoint,
      .recipe = t->recipe,
      .code = t->code,
      .start = t->start,
      .events = t->events,
      .course = &t->course,
      .profile = flags.profile ? &profile : NULL,
      .eager = flags.no_capture,
      .check = flags.check,
  };
  PatchDice patches = {.train = t->train_plan,
                       .graph = t->infer_graph,
                       .model = &t->infer,
                       .regions = t->cases.dataset.labelling.regions > 0,
                       .above = inference_options(t->config, NULL).logits ? 0 : .5f};
  t->watch.patches = &patches;
  t->watch.sampler = t->sampler;
  training.watch = &t->watch;
  training.validation = t->validation;
  int batch = (int)config_int(c, "batch");
  BestWeights best = {.sampler = t->held,
                      .batches = (t->cases.held + batch - 1) / batch + 1,
                      .checkpoint = t->checkpoint};
  training.best = &best;
  double start = seconds_now(), computed = processor_seconds();
  bool good = training_run(&training, t->first, end, error);
  t->train_s = seconds_now() - start;
  computed = processor_seconds() - computed;
  event_send(t->events,
             &(Event){EVENT_train, .train = {.processor_s = t->backend->device ? NAN : computed}});
  fprintf(stderr, "trained %.1f s, waited %.1f %% of them for data (%d worker%s)\n", t->train_s,
          100 * t->waited_s / t->train_s, training.workers, training.workers == 1 ? "" : "s");
  t->infer_plan = patches.infer;
  if (training.profile) print_profile(t, &profile);
  return good;
}

static bool keep_postprocess(const Trial *t, const Evaluated *e, Error *error) {
  char chosen[256];
  postprocess_text(&e->postprocess, chosen, sizeof chosen);
  bool any = e->postprocessed > e->mean;
  fprintf(stderr, "validation Dice %.4f; keeping only the largest component%s%s would ", e->mean,
          any ? " of " : "", any ? chosen : "");
  if (any)
    fprintf(stderr, "make it %.4f\n", e->postprocessed);
  else
    fputs("not raise it\n", stderr);
  return !t->checkpoint ||
         postprocess_write(&e->postprocess, e->mean, e->postprocessed, t->checkpoint, error);
}

/* The status of a trial that came to its end: its figures are stored whatever the status is. */
static const char *judge_end(const Trial *t, double dice, Error *error) {
  CollapseRule rule = collapse_rule(t->config);
  if (!collapse_ended(&rule, config_int(t->config, "steps"), dice)) return "done";
  fail(error, "the mean Dice of the validation cases is %.3f, below collapse_dice = %g", dice,
       rule.dice);
  return "collapsed";
}

static const char *evaluate(Trial *t, Error *error) {
  double start = seconds_now();
  InferenceOptions options = inference_options(t->config, &t->cases.dataset.labelling);
  Evaluated evaluated;
  EvaluationOf of = {.model = &t->infer, .cases = &t->cases, .stop = training_interrupted};
  plan_free(t->train_plan); /* makes room: its arena is the larger one */
  t->train_plan = NULL;
  params_read_average(t->params, true);
  if (!t->infer_plan) t->infer_plan = plan_make(t->infer_graph, t->backend, true, error);
  bool good = t->infer_plan && plan_bind(t->infer_plan, NULL, error) &&
              evaluation_run(t->infer_plan, &of, &options, t->events, &evaluated, error) &&
              keep_postprocess(t, &evaluated, error);
  t->eval_s = seconds_now() - start;
  if (good) return judge_end(t, evaluated.mean, error);
  return training_interrupted() ? "interrupted" : "failed";
}

static const char *run(Trial *t, Error *error) {
  TrainingEnd end = TRAINING_DONE;
  if (!prepare_data(t, error)) return "failed";
  if (!prepare_model(t, error)) return error_of_memory(error) ? "oom" : "failed";
  bool trains = t->first < t->steps;
  if (trains && !probe(t, error)) return "failed";
  if (!resume(t, error) || (trains && !train(t, &end, error))) return "failed";
  if (end == TRAINING_COLLAPSED) return "collapsed";
  if (end == TRAINING_INTERRUPTED) return "interrupted";
  return evaluate(t, error);
}

/* Full, read-only or broken: another time it may not be. */
static bool is_of_disk(const Error *error) {
  static const int reasons[] = {ENOSPC, EDQUOT, EROFS, EIO};
  bool found = false;
  for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
    found = found || strstr(error->text, strerror(reasons[i]));
  return found;
}

int trial_main(const json_t *config, FILE *events) {
  omp_set_num_threads((int)config_int(config, "threads"));
  signal(SIGTERM, training_interrupt);
  signal(SIGINT, training_interrupt);
  signal(SIGUSR1, training_checkpoint);
  Trial trial = {.config = config,
                 .events = events,
                 .steps = config_int(config, "steps"),
                 .checkpoint = json_string_value(json_object_get(config, "checkpoint"))};
  Error error = {0};
  trial.backend = config_backend(config, &error);
  const char *status = trial.backend ? run(&trial, &error) : "failed";
  /* Once the disk is mended the same command goes on. */
  if (!strcmp(status, "failed") && is_of_disk(&error)) status = "interrupted";
  event_send(events, &(Event){EVENT_end, .end = {.status = status,
                                                 .message = error.text,
                                                 .train_s = trial.train_s,
                                                 .wait_s = trial.waited_s,
                                                 .eval_s = trial.eval_s}});
  if (error.text[0]) fprintf(stderr, "%s: %s\n", status, error.text);
  release(&trial);
  return strcmp(status, "done") == 0 ? 0 : strcmp(status, "interrupted") == 0 ? 75 : 1;
}
