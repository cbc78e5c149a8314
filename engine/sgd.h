/* The device's form of sgd_step: what its launches need, all in device memory. */
#ifndef ENGINE_SGD_H
#define ENGINE_SGD_H

#include <stdint.h>

enum { SGD_PARTIALS = 1024, SGD_GROUPS = 64, SGD_UNIT = 16 };

/* rate is written before the launches, the rest by them. */
typedef struct SgdState {
  double norm; /* of the gradient before clipping */
  float rate[SGD_GROUPS];
  float scale;
  int apply; /* 0: loss or norm were not finite, nothing was changed */
} SgdState;

typedef struct SgdCall {
  int64_t elements; /* of each block, a multiple of SGD_UNIT */
  const float *gradient, *loss;
  float *weight, *velocity;
  const uint8_t *group; /* (elements / SGD_UNIT): which rate */
  uint16_t *half;       /* a copy of the weights in BF16, written with them; NULL: none */
  double *partial;      /* (SGD_PARTIALS) */
  SgdState *state;
  double clip, momentum, weight_decay; /* clip 0: none */
} SgdCall;

#ifdef CUDA_EMULATOR
#define SGD_LAUNCH sgd_emulated
#else
#define SGD_LAUNCH sgd_launch
#endif

#ifdef __cplusplus
extern "C"
#endif
    void
    SGD_LAUNCH(const SgdCall *call, void *stream);

#endif
