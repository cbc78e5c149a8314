#include "src/train/training.h"
#include "src/train/events.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

void training_interrupt(int signal) {
  (void)signal;
  interrupted = 1;
}

static json_t *number(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

static void report(const Training *t, const Stepper *s, int64_t step, double rate) {
  const char *const names[] = {"class", "bce", "dice"};
  json_t *event = json_pack("{s:s, s:I, s:I, s:o, s:f, s:o, s:b}", "event", "step", "step",
                            (json_int_t)step + 1, "steps", (json_int_t)t->steps, "loss",
                            number(s->value[0]), "lr", rate, "grad_norm", number(s->norm),
                            "clipped", t->sgd.clip > 0 && s->norm > t->sgd.clip);
  for (int i = 0; i < 3; i++)
    if (t->model->part[i]) json_object_set_new(event, names[i], number(s->value[1 + i]));
  event_send(t->events, event);
}

static bool save(const Training *t, int64_t step, Error *error) {
  if (!t->checkpoint) return true;
  char text[32];
  snprintf(text, sizeof text, "%lld", (long long)step);
  const char *metadata[] = {"step", text, t->recipe ? "recipe" : NULL, t->recipe, NULL};
  return params_save(t->params, true, metadata, t->checkpoint, error);
}

int64_t training_resume(Params *params, const char *checkpoint, Error *error) {
  char step[32];
  if (!checkpoint || access(checkpoint, R_OK) != 0) return 0;
  if (!checkpoint_metadata(checkpoint, "step", step, sizeof step) ||
      !params_load(params, true, checkpoint, error))
    return 0;
  return strtoll(step, NULL, 10);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The next batch. Returns the seconds that it took. */
static double load(const Training *t, Loader *loader, Stepper *stepper) {
  double start = now();
  *t->waited_s += loader_next(loader, stepper_input(stepper, 0), stepper_input(stepper, 1));
  return now() - start;
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
  if (!collapse_looks(&t->rule, step, t->steps)) return true;
  if (!collapse_look(t->watch, step, error)) return false;
  if (step + 1 < collapse_step(&t->rule, t->steps) || !t->watch->looks) return true;
  fprintf(stderr, "Dice of the training patches at step %lld of %lld: %.3f (collapsed below %g)\n",
          (long long)step + 1, (long long)t->steps, t->watch->mean, t->rule.dice);
  if (t->watch->mean >= t->rule.dice) return true;
  *end = TRAINING_COLLAPSED;
  fail(error,
       "the Dice of the training patches is %.3f at step %lld of %lld, below collapse_dice = %g",
       t->watch->mean, (long long)step + 1, (long long)t->steps, t->rule.dice);
  return true;
}

static bool run_steps(const Training *t, Loader *loader, Stepper *stepper, int64_t first,
                      TrainingEnd *end, Error *error) {
  int64_t every = t->steps / 100 > 0 ? t->steps / 100 : 1;
  for (int64_t step = first; step < t->steps; step++) {
    double rate = poly_rate(t->rate, step, t->steps);
    stepper->profile = t->profile && step > first;
    run_step(t, loader, stepper, step, step == first, rate);
    double loss = stepper->value[0];
    bool last = step + 1 == t->steps, finite = isfinite(loss) && isfinite(stepper->norm);
    if (step == first || (step + 1) % every == 0 || last || !finite) report(t, stepper, step, rate);
    if (!finite) {
      *end = TRAINING_COLLAPSED;
      fail(error, "%s is not finite at step %lld (learning rate %g)",
           isfinite(loss) ? "the gradient" : "the loss", (long long)step + 1, rate);
      return true;
    }
    if (interrupted) *end = TRAINING_INTERRUPTED;
    if ((interrupted || last || (step + 1) % t->save_every == 0) && !save(t, step + 1, error))
      return false;
    if (interrupted) return true;
    if (!watch(t, step, end, error)) return false;
    if (*end == TRAINING_COLLAPSED) return true;
  }
  return true;
}

bool training_run(const Training *t, int64_t first, TrainingEnd *end, Error *error) {
  Loader *loader;
  *end = TRAINING_DONE;
  if (!loader_make(&loader, t->sampler, t->workers, (uint64_t)first, (uint64_t)t->steps, error))
    return false;
  const Model *m = t->model;
  Stepper stepper = {.plan = t->plan,
                     .params = t->params,
                     .sgd = t->sgd,
                     .input = {m->image, m->labels},
                     .result = {m->loss, m->part[0], m->part[1], m->part[2]},
                     .eager = t->eager};
  stepper_make(&stepper);
  bool good = run_steps(t, loader, &stepper, first, end, error);
  stepper_release(&stepper);
  loader_free(loader);
  return good;
}
