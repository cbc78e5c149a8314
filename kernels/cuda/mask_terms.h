/* What match and mask_loss share on the GPU: the sums over voxels of p = sigmoid(x) and softplus(x)
 * of the mask logits, two special functions an element: log(1 + e^x) = max(x, 0) + log(1 + e^-|x|),
 * and the factors 1 + e^-|x| <= 2 of up to 64 voxels are multiplied before a logarithm is taken. */
#ifndef KERNELS_CUDA_MASK_TERMS_H
#define KERNELS_CUDA_MASK_TERMS_H

#include "kernels/cuda/vector.h"

enum { MASK_FACTORS = 64 };

namespace {
struct MaskSum {
  float p, positive, factor, logs; /* sums of p, max(x, 0); product; sum of logarithms taken */
};
} // namespace

/* e = e^-|x|; returns the sigmoid of x. */
static __device__ __forceinline__ float sigmoid_of(float x, float *e) {
  *e = __expf(-fabsf(x));
  float r = __fdividef(1, 1 + *e);
  return x < 0 ? *e * r : r;
}

static __device__ __forceinline__ MaskSum mask_sum_start() {
  return MaskSum{0, 0, 1, 0};
}

/* Returns p. */
static __device__ __forceinline__ float mask_sum_add(MaskSum *sum, float x) {
  float e, p = sigmoid_of(x, &e);
  sum->p += p;
  sum->positive += fmaxf(x, 0);
  sum->factor *= 1 + e;
  return p;
}

/* After at most MASK_FACTORS additions, and at the end. */
static __device__ __forceinline__ void mask_sum_flush(MaskSum *sum) {
  sum->logs += __logf(sum->factor);
  sum->factor = 1;
}

static __device__ __forceinline__ float mask_softplus(const MaskSum &sum) {
  return sum.positive + sum.logs;
}

#endif
