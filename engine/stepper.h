/* The training step: inputs, forward, losses, backward, clip, update, and the few numbers that are
 * told about it. On the CPU it is done when stepper_start returns; on a GPU it runs meanwhile, the
 * whole step as one captured CUDA graph (the first one eagerly, which warms the libraries up), with
 * the batch on its way through page-locked double buffers in a stream of its own. */
#ifndef ENGINE_STEPPER_H
#define ENGINE_STEPPER_H

#include "engine/optimizer.h"
#include "engine/plan.h"

enum { STEPPER_INPUTS = 8, STEPPER_RESULTS = 4 };

typedef struct Stepper {
  Plan *plan; /* bound */
  Params *params;
  Optimizer optimizer;
  Value *input[STEPPER_INPUTS]; /* written before every step; NULL after the last */
  Value
      *result[STEPPER_RESULTS]; /* scalars, kept; result[0] is the loss; NULL where there is none */
  bool eager;                   /* no capture: the same launches, one by one */
  bool profile;                 /* time per node; on a GPU by marks in the step as it is captured */
  /* A device's alone, NULL: none. Enters into `queue` what makes the next inputs, in the device's
   * memory; called by stepper_fill, in place of the writing at stepper_input. */
  void (*fill)(void *user, void *const input[STEPPER_INPUTS], void *queue);
  void *fill_user;
  /* After stepper_wait: */
  double value[STEPPER_RESULTS]; /* NaN where there is none */
  double norm;                   /* of the gradient before clipping */
  double graph_s, update_s;      /* of the last step, when profiling */
  int launches;                  /* kernels, copies and fills of the captured step; 0: of none */
  void *state;                   /* the device's */
} Stepper;

/* Fill plan .. profile first. The plan stays bound to this memory until stepper_release. */
void stepper_make(Stepper *stepper);
void stepper_release(Stepper *stepper);
/* Where the host writes an input of the next step; the whole tensor, every step. With
 * stepper_ahead this may happen while the last step runs. */
void *stepper_input(Stepper *stepper, int input);
bool stepper_ahead(const Stepper *stepper);
/* With stepper->fill: the inputs of the next step. */
void stepper_fill(Stepper *stepper);
/* One step. With a loss or norm that is not finite no parameter is changed. */
void stepper_start(Stepper *stepper, double rate);
void stepper_wait(Stepper *stepper);

/* What a device does in place of the host (Device.step). */
typedef struct StepOps {
  void (*make)(Stepper *stepper);
  void (*release)(Stepper *stepper);
  void *(*input)(Stepper *stepper, int input);
  void (*fill)(Stepper *stepper);
  void (*start)(Stepper *stepper, double rate);
  void (*wait)(Stepper *stepper);
} StepOps;

#endif
