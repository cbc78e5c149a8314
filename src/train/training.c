#include "src/train/training.h"
#include "base/clock.h"
#include "engine/trace.h"
#include "src/data/batches/device_batches.h"
#include "src/train/course.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { REPORTS = 100, LOOK_EVERY = 5, VALIDATION_BATCHES = 4 };

/* Whatever save_every says, so much of a training is lost at most where its process is killed. */
static const double SAVE_S = 600;

static volatile sig_atomic_t interrupted, asked;

void training_interrupt(int signal) {
  (void)signal;
  interrupted = 1;
}

bool training_interrupted(void) {
  return interrupted;
}

void training_checkpoint(int signal) {
  (void)signal;
  asked = 1;
}

static void window_add(Window *w, const Stepper *s, double clip) {
  for (int i = 0; i < STEPPER_RESULTS; i++) w->value[i] += s->value[i];
  w->norm += s->norm;
  w->clipped += clip > 0 && s->norm > clip;
  w->steps++;
}

/* Of a loss, NaN where the model has no such part. */
static double mean_part(const Training *t, const Window *w, int part) {
  return part == 0 || t->model->part[part - 1] ? w->value[part] / w->steps : NAN;
}

/* dice: of the validation patches after this step; NaN where it was not measured. */
static void report(const Training *t, int64_t step, double rate, double dice) {
  Window *w = &t->course->window;
  Event event = {EVENT_step, .step = {.step = step + 1,
                                      .steps = t->steps,
                                      .loss = mean_part(t, w, 0),
                                      .class_loss = mean_part(t, w, 1),
                                      .bce_loss = mean_part(t, w, 2),
                                      .dice_loss = mean_part(t, w, 3),
                                      .lr = rate,
                                      .grad_norm = w->norm / w->steps,
                                      .clipped = w->clipped,
                                      .val_dice = dice}};
  course_tell(t->course, t->events, &event);
  *w = (Window){0};
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static bool save(const Training *t, int64_t step, Error *error) {
  if (!t->checkpoint) return true;
  char text[32], *course = course_text(t->course, t->watch);
  snprintf(text, sizeof text, "%lld", (long long)step);
  const char *metadata[11] = {"step", text, "code", t->code};
  int used = 4;
  if (t->recipe) metadata[used++] = "recipe", metadata[used++] = t->recipe;
  if (t->start && t->start[0]) metadata[used++] = "start", metadata[used++] = t->start;
  metadata[used++] = "course", metadata[used++] = course;
  CHECK(used < 11, "too much metadata");
  bool good = params_save(t->params, true, metadata, t->checkpoint, error);
  free(course);
  if (good && step == t->steps) checkpoint_drop_previous(t->checkpoint);
  return good;
}

static double save_seconds(void) {
  const char *given = getenv("HARNESS_SAVE_S");
  return given && atof(given) > 0 ? atof(given) : SAVE_S;
}

/* last: when the last one was written, or its training began. */
static bool is_due(const Training *t, int64_t step, double last) {
  return interrupted || asked || step + 1 == t->steps || (step + 1) % t->save_every == 0 ||
         seconds_now() - last >= save_seconds();
}

/* A disk that is full for a while ends no training of days: it goes on, and the last checkpoint
 * stays. Where it would end without one it is interrupted instead, so that the same command goes on
 * from there. */
static void keep(const Training *t, int64_t step, double *last, TrainingEnd *end, Error *error) {
  Error reason = {""};
  asked = 0; /* a signal that comes from here on is answered by the next one */
  if (interrupted) *end = TRAINING_INTERRUPTED;
  bool last_one = step + 1 == t->steps;
  bool good =
      (!last_one || best_weights_take(t->best, t->params, &reason)) && save(t, step + 1, &reason);
  if (good && last_one) best_weights_end(t->best);
  *last = seconds_now();
  if (good) return;
  fprintf(stderr, "no checkpoint at step %lld: %s\n", (long long)step + 1, reason.text);
  if (*end != TRAINING_INTERRUPTED && step + 1 < t->steps) return;
  *end = TRAINING_INTERRUPTED;
  fail(error, "no checkpoint at step %lld: %s", (long long)step + 1, reason.text);
}

int64_t training_kept(const char *checkpoint, const char *code, int64_t steps,
                      char note[TRAINING_NOTE]) {
  char step[32], wrote[64];
  note[0] = 0;
  if (!checkpoint || !checkpoint_settle(checkpoint, note, TRAINING_NOTE) ||
      !checkpoint_metadata(checkpoint, "step", step, sizeof step))
    return 0;
  long long kept = strtoll(step, NULL, 10);
  bool known = checkpoint_metadata(checkpoint, "code", wrote, sizeof wrote);
  const char *say = known ? ""
                          : "goes on from a checkpoint that does not say which text of its "
                            "model wrote it";
  bool other = known && strcmp(wrote, code);
  if (other)
    say = "begins anew: the text of its model has changed since its checkpoint was written";
  if (say[0]) snprintf(note, TRAINING_NOTE, "%s", say);
  /* cut off behind its last checkpoint: nobody else comes to it */
  if (!other && kept == steps) checkpoint_drop_previous(checkpoint);
  return other || kept < 0 || kept > steps ? 0 : kept;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* The next batch. Returns the seconds that it took. */
static double load(const Training *t, Loader *loader, Stepper *stepper) {
  double start = seconds_now();
  if (stepper->fill)
    stepper_fill(stepper);
  else
    *t->waited_s += loader_next(loader, stepper_input(stepper, 0), stepper_input(stepper, 1));
  return seconds_now() - start;
}

/* With a device the batch of the step after this one is loaded meanwhile. */
static void run_step(const Training *t, Loader *loader, Stepper *stepper, int64_t step, bool first,
                     double rate) {
  bool ahead = stepper_ahead(stepper);
  double batch_s = 0;
  if (first || !ahead) batch_s += load(t, loader, stepper);
  stepper_start(stepper, rate);
  if (ahead && step + 1 < t->steps) batch_s += load(t, loader, stepper);
  stepper_wait(stepper);
  if (!stepper->profile) return;
  t->profile->steps++;
  t->profile->batch_s += batch_s;
  t->profile->update_s += stepper->update_s;
}

/* Looks when it is time, judges when it is due. */
static bool watch(const Training *t, int64_t step, TrainingEnd *end, Error *error) {
  if (!collapse_measures(&t->rule, step, t->steps)) return true;
  if (!collapse_measure(t->watch, step, error)) return false;
  if (step + 1 < collapse_step(&t->rule, t->steps) || !t->watch->measured) return true;
  bool good = t->watch->mean >= t->rule.dice;
  fprintf(stderr,
          "Dice of the training patches at step %lld of %lld: %.3f, %s the collapse limit of %g\n",
          (long long)step + 1, (long long)t->steps, t->watch->mean, good ? "above" : "below",
          t->rule.dice);
  if (good) return true;
  *end = TRAINING_COLLAPSED;
  fail(error,
       "the Dice of the training patches is %.3f at step %lld of %lld, below collapse_dice = %g",
       t->watch->mean, (long long)step + 1, (long long)t->steps, t->rule.dice);
  return true;
}

/* As nnU-Net's "pseudo Dice": the same few validation patches every time, seen with what will be
 * evaluated. */
static bool validate(const Training *t, double *dice, Error *error) {
  return patch_dice(t->watch->patches, t->validation, 0, VALIDATION_BATCHES, true, dice, error);
}

/* The step's batch once more, with the weights as they are. "": all is finite. */
static void trace(const Training *t, int64_t step, char *text, size_t bytes) {
  Value *input[] = {t->model->image, t->model->labels};
  float *scratch = malloc(sampler_size(t->sampler).scratch * sizeof *scratch + 1);
  CHECK(scratch, "no memory for a batch");
  sampler_batch(t->sampler, (uint64_t)step, scratch, input[0]->host, input[1]->host);
  free(scratch);
  Trace found = trace_run(t->plan, input, 2);
  trace_text(&found, text, bytes);
}

/* What is not finite, though neither loss nor gradient need show it. Once is enough. */
static bool check(const Training *t, int64_t step) {
  char text[900];
  trace(t, step, text, sizeof text);
  if (text[0]) fprintf(stderr, "check: step %lld: %s\n", (long long)step + 1, text);
  return text[0] == 0;
}

/* Such a step has changed no weight, so that it can be seen again. */
static bool not_finite(const Training *t, const Stepper *s, int64_t step, double rate,
                       Error *error) {
  char text[900];
  if (isfinite(s->value[0]) && isfinite(s->norm)) return false;
  trace(t, step, text, sizeof text);
  fail(error, "%s is not finite at step %lld (learning rate %g): %.800s",
       isfinite(s->value[0]) ? "the gradient" : "the loss", (long long)step + 1, rate,
       text[0] ? text : "no op writes such a number: a sum over all of them is too large");
  return true;
}

/* What clipping did, of all steps. */
typedef struct Clipping {
  int64_t steps, clipped, at; /* at: of the largest */
  double largest;
} Clipping;

static void clipping_add(Clipping *c, double norm, double clip, int64_t step) {
  c->steps++;
  c->clipped += norm > clip;
  if (norm > c->largest) c->largest = norm, c->at = step + 1;
}

static void clipping_tell(const Clipping *c, double clip) {
  if (!c->steps || clip <= 0) return;
  fprintf(stderr,
          "clipped %lld of %lld steps: their gradient's norm was above %g; the largest was %.4g, "
          "at step %lld\n",
          (long long)c->clipped, (long long)c->steps, clip, c->largest, (long long)c->at);
}

/* Reports come a hundred times a training, each fifth with the Dice of validation patches and a
 * look at those that choose, and at its first step. */
static bool tell(const Training *t, int64_t step, double rate, Error *error) {
  int64_t every = t->steps / REPORTS > 0 ? t->steps / REPORTS : 1;
  bool last = step + 1 == t->steps;
  if (step > 0 && !last && (step + 1) % every) return true;
  double dice = NAN;
  bool looks = last || (step + 1) % (every * LOOK_EVERY) == 0;
  if (looks && t->validation && !validate(t, &dice, error)) return false;
  if (looks && !best_weights_look(t->best, t->watch->patches, step, error)) return false;
  report(t, step, rate, dice);
  return true;
}

static bool run_steps(const Training *t, Loader *loader, Stepper *stepper, int64_t first,
                      Clipping *clipping, TrainingEnd *end, Error *error) {
  double saved = seconds_now();
  bool checks = t->check;
  for (int64_t step = first; step < t->steps; step++) {
    double rate = rate_schedule_at(&t->rates, step);
    stepper->profile = t->profile && step > first;
    if (checks) checks = check(t, step);
    run_step(t, loader, stepper, step, step == first, rate);
    window_add(&t->course->window, stepper, t->optimizer.clip);
    clipping_add(clipping, stepper->norm, t->optimizer.clip, step);
    if (not_finite(t, stepper, step, rate, error)) {
      report(t, step, rate, NAN);
      *end = TRAINING_COLLAPSED;
      return true;
    }
    if (!tell(t, step, rate, error) || !watch(t, step, end, error)) return false;
    if (*end == TRAINING_COLLAPSED) return true;
    if (is_due(t, step, saved)) keep(t, step, &saved, end, error);
    if (*end == TRAINING_INTERRUPTED) return true;
  }
  return true;
}

/* A stepper's fill. */
static void fill(void *user, void *const input[STEPPER_INPUTS], void *queue) {
  device_batches_next(user, input[0], input[1], queue);
}

bool training_run(const Training *t, int64_t first, TrainingEnd *end, Error *error) {
  Loader *loader;
  *end = TRAINING_DONE;
  DeviceBatches *batches = device_batches_make(t->sampler, t->plan->backend, (uint64_t)first);
  int workers = batches ? 0 : t->workers;
  if (!loader_make(&loader, t->sampler, workers, (uint64_t)first, (uint64_t)t->steps, error)) {
    device_batches_free(batches);
    return false;
  }
  const Model *m = t->model;
  Stepper stepper = {.plan = t->plan,
                     .params = t->params,
                     .optimizer = t->optimizer,
                     .input = {m->image, m->labels},
                     .result = {m->loss, m->part[0], m->part[1], m->part[2]},
                     .eager = t->eager,
                     .fill = batches ? fill : NULL,
                     .fill_user = batches};
  stepper_make(&stepper);
  best_weights_begin(t->best, first);
  Clipping clipping = {0};
  bool good = run_steps(t, loader, &stepper, first, &clipping, end, error);
  clipping_tell(&clipping, t->optimizer.clip);
  stepper_release(&stepper);
  device_batches_free(batches);
  loader_free(loader);
  return good;
}
