#include "engine/stepper.h"
#include "base/clock.h"

#include <math.h>

/* NULL: the host makes the step. */
static const StepOps *device_of(const Stepper *stepper) {
  const Device *device = stepper->plan->backend->device;
  return device ? device->step : NULL;
}

static double scalar(const Value *value) {
  if (!value) return NAN;
  return value->tensor.type == F64 ? *(const double *)value->tensor.data
                                   : (double)*(const float *)value->tensor.data;
}

void stepper_make(Stepper *stepper) {
  if (device_of(stepper)) device_of(stepper)->make(stepper);
}

void stepper_release(Stepper *stepper) {
  if (device_of(stepper)) device_of(stepper)->release(stepper);
}

bool stepper_ahead(const Stepper *stepper) {
  return device_of(stepper) != NULL;
}

void *stepper_input(Stepper *stepper, int input) {
  if (device_of(stepper)) return device_of(stepper)->input(stepper, input);
  return stepper->input[input]->tensor.data;
}

void stepper_fill(Stepper *stepper) {
  device_of(stepper)->fill(stepper);
}

static void run_here(Stepper *stepper, double rate) {
  double start = seconds_now();
  plan_run(stepper->plan, stepper->profile);
  double ran = seconds_now();
  for (int i = 0; i < STEPPER_RESULTS; i++) stepper->value[i] = scalar(stepper->result[i]);
  stepper->norm = isfinite(stepper->value[0])
                      ? optimizer_step(&stepper->optimizer, stepper->params, rate)
                      : NAN;
  stepper->graph_s = ran - start;
  stepper->update_s = seconds_now() - ran;
}

void stepper_start(Stepper *stepper, double rate) {
  if (device_of(stepper))
    device_of(stepper)->start(stepper, rate);
  else
    run_here(stepper, rate);
}

void stepper_wait(Stepper *stepper) {
  if (device_of(stepper)) device_of(stepper)->wait(stepper);
}
