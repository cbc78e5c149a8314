/* The CPU's loops over weights, gradients and the optimiser's states: engine/optimizer.h says what
 * they compute. */
#ifndef ENGINE_UPDATE_H
#define ENGINE_UPDATE_H

#include "engine/optimizer.h"
#include "kernels/cpu/form.h"

typedef struct UpdateLoops {
  /* The sum of squares of `count` numbers, in a fixed order. */
  double (*squares_float)(const float *g, size_t count);
  double (*squares_double)(const double *g, size_t count);
  Update *update_float[OPTIMIZERS], *update_double[OPTIMIZERS];
  /* average <- average + pace (weight - average). */
  void (*average_float)(double pace, int64_t count, const float *weight, float *average);
  void (*average_double)(double pace, int64_t count, const double *weight, double *average);
} UpdateLoops;
extern const UpdateLoops update_loops;
FORM_DECLARE(update_loops)
#define update_loops FORM_OF(update_loops)

#endif
