/* Random changes of a training patch: nnU-Net v2's table (batchgeneratorsv2), in its order. */
#ifndef DATA_AUGMENT_H
#define DATA_AUGMENT_H

#include "kernels/error.h"
#include "kernels/rng.h"

typedef struct Augment {
  bool intensity; /* noise, brightness, contrast, gamma, each with nnU-Net's probability */
  bool mirror[3]; /* D, H, W: flip with probability 1/2. Left and right organs forbid W */
} Augment;

/* "none" or "intensity". */
bool augment_parse(const char *name, Augment *augment, Error *error);
/* Changes the patch in place; draws from `rng` only. image (D,H,W,C), label (D,H,W). */
void augment_patch(const Augment *augment, const int patch[3], int channels, Rng *rng, float *image,
                   int32_t *label);

#endif
