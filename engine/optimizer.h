/* What a gradient does to the weights. An optimiser is a row of a table: its options, what it keeps
 * beside the weights (state blocks, engine/params.h), and the loop that updates them, on the CPU
 * (engine/update.c) and on a device (engine/optimizer.cu). With d the gradient, clipped on the
 * joint norm, lr the rate of the schedule times the group's factor, wd the weight decay:
 *
 *   sgd (MaskMed appendix C, as nnU-Net; torch.optim.SGD with nesterov):
 *     d += wd w,  m <- momentum m + d,  w <- w - lr (d + momentum m)
 *   adamw (Loshchilov and Hutter, 2019; torch.optim.AdamW), t the number of this update, from 1:
 *     w <- w (1 - lr wd),  m <- beta1 m + (1 - beta1) d,  v <- beta2 v + (1 - beta2) d^2,
 *     w <- w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 *
 * With an average, of decay d, each update ends with
 *     a <- a + (1 - d) / (1 - d^t) (w - a),
 * so that a is the mean of w after the updates i = 1 .. t, each with weight d^(t - i): Kingma and
 * Ba, 2015, 7.2, with their correction of the start. What w began as never has a share in it, and d
 * means the same in a short training as in a long one; a ramp of d as min(d, (1 + t) / (10 + t))
 * would not reach .97 in 250 updates. The training goes on from w; a is what is evaluated and kept.
 *
 * Late parameters stand still in the first updates, as where PyTorch is told that their gradients
 * are not wanted: those are no part of the norm, states stay 0, no weight decays, and t counts from
 * the first update that moves them.
 *
 * A step whose loss or norm is not finite changes nothing and is no update. */
#ifndef ENGINE_OPTIMIZER_H
#define ENGINE_OPTIMIZER_H

#include "engine/params.h"

typedef enum OptimizerId {
#define OPTIMIZER(name) OPTIMIZER_##name,
#include "engine/optimizers.def"
#undef OPTIMIZER
  OPTIMIZERS
} OptimizerId;

/* An optimiser with its options. */
typedef struct Optimizer {
  OptimizerId id;
  double momentum;          /* sgd */
  double beta1, beta2, eps; /* adamw */
  double weight_decay;      /* of every group that decays */
  bool spares[PARAM_ROLES]; /* roles without decay */
  double clip;              /* joint gradient norm; 0: none */
  double average;           /* decay of the average of the weights; 0: there is none */
  int64_t late;             /* updates at first in which ParamAs.late ones stand still */
} Optimizer;

/* Parameters that a step treats alike: of a group those that decay, and those that do not; of
 * either those that are late. */
enum { UPDATE_CLASSES = 4 * MAX_GROUPS };
int optimizer_class(const Optimizer *optimizer, const Params *params, const Param *param);

/* What one step multiplies by, by class; the same for every form of the update. */
typedef struct Pace {
  double rate[UPDATE_CLASSES];  /* sgd: lr; adamw: lr / (1 - beta1^t) */
  double decay[UPDATE_CLASSES]; /* sgd: wd, 0 where none decays; adamw: 1 - lr wd, or 1 */
  double root[UPDATE_CLASSES];  /* adamw: sqrt(1 - beta2^t); sgd: 1; 0: the class stands still */
  double average;               /* (1 - d) / (1 - d^t); 0 where there is none */
} Pace;

/* A parameter's share of a step. */
typedef struct UpdateOf {
  const Optimizer *optimizer;
  double rate, decay, root; /* Pace's, of its class */
  double scale;             /* of the gradient, by clipping */
} UpdateOf;

/* weight, gradient and states: `count` numbers each, of the loop's type. */
typedef void Update(const UpdateOf *of, int64_t count, void *weight, const void *gradient,
                    void *const state[MAX_STATES]);

typedef struct OptimizerRow {
  const char *name, *doc;
  const Option *options; /* its own, fields of Optimizer */
  int states;
  const char *state[MAX_STATES]; /* names in checkpoints */
  /* Of update number `update`, from 1, into a class: lr, and wd or 0. */
  void (*pace)(const Optimizer *optimizer, int64_t update, double lr, double wd, double *rate,
               double *decay, double *root);
} OptimizerRow;

extern const OptimizerRow optimizer_table[OPTIMIZERS];
const OptimizerRow *optimizer_find(const char *name); /* NULL when there is none */

/* Tells params which blocks the optimiser keeps; before params_allocate. */
void optimizer_states(const Optimizer *optimizer, Params *params);
/* Of the next update. rate: the schedule's. */
void optimizer_pace(const Optimizer *optimizer, const Params *params, double rate, Pace *pace);
/* One step; returns the norm before clipping. With a norm that is not finite nothing is changed. */
double optimizer_step(const Optimizer *optimizer, Params *params, double rate);

#endif
