/* silu, x s(x) with s(x) = 1 / (1 + e^-x), and its slope s + x s (1 - s), neither factor rounded to
 * 1 before the product. */
#ifndef KERNELS_CUDA_SILU_H
#define KERNELS_CUDA_SILU_H

#include "kernels/cuda/launch.h"

static __device__ __forceinline__ float silu(float x) {
  float e = expf(-fabsf(x)), r = 1 / (1 + e);
  return x * (x < 0 ? e * r : r);
}

static __device__ __forceinline__ float silu_slope(float x) {
  float e = expf(-fabsf(x)), r = 1 / (1 + e);
  return x * e * r * r + (x < 0 ? e * r : r);
}

#endif
