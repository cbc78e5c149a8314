/* SGD with Nesterov momentum as nnU-Net uses it (MaskMed appendix C): clip on the joint norm,
 * weight decay on every parameter, one learning-rate factor per group. */
#ifndef ENGINE_OPTIMIZER_H
#define ENGINE_OPTIMIZER_H

#include "engine/params.h"

typedef struct Sgd {
  double momentum, weight_decay;
  double clip; /* joint gradient norm; 0: none */
} Sgd;

/* What it keeps beside the weights, before params_allocate. */
void sgd_states(Params *params);

/* init_lr * (1 - step / steps)^.9 (eq. 7 without the group's factor). */
double poly_rate(double initial, int64_t step, int64_t steps);
/* One step; returns the norm before clipping. With a norm that is not finite nothing is changed. */
double sgd_step(Params *params, const Sgd *sgd, double rate);

#endif
