/* Depthwise convolutions, channels last, a register of channels at a time. Voxel u of the small map
 * and voxel u s + t - p of the big one are joined by tap t, with p = (k-1)/2 along each axis;
 * a convolution reads the big map and writes the small one, its transposed form the other way, and
 * each is the other's gradient. Results do not depend on the number of threads. */
#ifndef KERNELS_CPU_DEPTHWISE_H
#define KERNELS_CPU_DEPTHWISE_H

#include "kernels/op.h"

typedef struct Depthwise {
  DType type; /* of both maps: F32 or BF16 */
  int64_t samples, channels, small[3], big[3];
  int64_t kernel[3], stride[3];
} Depthwise;

/* At most 7 taps along W, and 64 in the plane of D and H; stride 1 or 2 along W. */
bool depthwise_fits(const Depthwise *shape);
/* Bytes of scratch, 64-byte aligned, that each of the three finds enough. */
size_t depthwise_scratch(const Depthwise *shape);
/* w (channels, taps); b (channels) or NULL. */
void depthwise_gather(const Depthwise *shape, const void *big, const float *w, const float *b,
                      void *small, void *scratch);
void depthwise_spread(const Depthwise *shape, const void *small, const float *w, const float *b,
                      void *big, void *scratch);
void depthwise_weights(const Depthwise *shape, const void *small, const void *big, float *dw,
                       void *scratch);

#endif
