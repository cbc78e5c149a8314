/* The device's form of optimizer_step: what its launches need, all in device memory. */
#ifndef ENGINE_UPDATE_DEVICE_H
#define ENGINE_UPDATE_DEVICE_H

#include "engine/optimizer.h"

enum { UPDATE_PARTIALS = 1024 };

/* Pace as the kernels read it; written before the launches of a step, which are the same in every
 * one. */
typedef struct UpdatePace {
  float rate[UPDATE_CLASSES], decay[UPDATE_CLASSES], root[UPDATE_CLASSES], average;
} UpdatePace;

/* Written by the launches. */
typedef struct UpdateTold {
  double norm; /* of the gradient before clipping */
  float scale;
  int apply; /* 0: loss or norm were not finite, nothing was changed */
} UpdateTold;

typedef struct UpdateState {
  UpdateTold told;
  UpdatePace pace;
} UpdateState;

typedef struct UpdateCall {
  Optimizer optimizer;
  int64_t elements; /* of each block, a multiple of PARAM_UNIT */
  const float *gradient, *loss;
  float *weight, *kept[MAX_STATES]; /* the optimiser's blocks */
  float *average;                   /* of the weights; NULL: none is kept */
  const uint8_t *class_of;          /* (elements / PARAM_UNIT): optimizer_class */
  uint16_t *half;  /* a copy of the weights in BF16, written with them; NULL: none */
  double *partial; /* (UPDATE_PARTIALS) */
  UpdateState *state;
} UpdateCall;

struct Stepper;
/* Of a stepper whose plan is bound: where everything lies. */
UpdateCall update_call(const struct Stepper *stepper);
/* What class_of holds: elements / PARAM_UNIT numbers, on the host. */
void update_classes(const Optimizer *optimizer, const Params *params, uint8_t *class_of);
/* Of the next update. */
void update_pace(const Optimizer *optimizer, const Params *params, double rate, UpdatePace *pace);

#ifdef CUDA_EMULATOR
#define UPDATE_LAUNCH update_emulated
#else
#define UPDATE_LAUNCH update_launch
#endif

#ifdef __cplusplus
extern "C"
#endif
    void
    UPDATE_LAUNCH(const UpdateCall *call, void *stream);

#endif
