/* The CPU's loops over weights, gradients and the optimiser's states: engine/optimizer.h says what
 * they compute. */
#ifndef ENGINE_UPDATE_H
#define ENGINE_UPDATE_H

#include "engine/optimizer.h"

/* The sum of squares of `count` numbers, in a fixed order. */
double squares_float(const float *g, size_t count);
double squares_double(const double *g, size_t count);

#define OPTIMIZER(name) Update update_float_##name, update_double_##name;
#include "engine/optimizers.def"
#undef OPTIMIZER

#endif
