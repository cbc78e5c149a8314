/* What follows a norm in the same op (NormActivation): its options, and as the reference loops
 * compute it. */
#ifndef KERNELS_NORM_ACTIVATION_H
#define KERNELS_NORM_ACTIVATION_H

#include "kernels/options.h"

#include <math.h>

/* Rows of an Option table; OPTIONS has the fields slope and activation. */
#define NORM_ACTIVATION_OPTIONS(OPTIONS)                                                           \
  {"slope",                                                                                        \
   OPTION_FLOAT,                                                                                   \
   offsetof(OPTIONS, slope),                                                                       \
   1,                                                                                              \
   0,                                                                                              \
   1,                                                                                              \
   NULL,                                                                                           \
   NULL,                                                                                           \
   "slope of the LeakyReLU that follows; 1: none"},                                                \
  {                                                                                                \
    "activation", OPTION_CHOICE, offsetof(OPTIONS, activation), NORM_LEAKY_RELU, 0, 0,             \
        "leaky_relu|silu", NULL,                                                                   \
        "what follows; leaky_relu: LeakyReLU of `slope`; silu: x sigmoid(x)"                       \
  }

static inline double norm_activation(int activation, double slope, double z) {
  if (activation == NORM_SILU) return z / (1 + exp(-z));
  return z < 0 ? slope * z : z;
}

static inline double norm_activation_slope(int activation, double slope, double z) {
  double s = 1 / (1 + exp(-z));
  if (activation == NORM_SILU) return s * (1 + z * (1 - s));
  return z < 0 ? slope : 1;
}

#endif
