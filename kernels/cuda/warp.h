/* Sums and maxima over a warp and over a block, in a fixed order: the same bits every time. Every
 * thread of the warp (block) takes part and gets the result; blocks are whole warps. */
#ifndef KERNELS_CUDA_WARP_H
#define KERNELS_CUDA_WARP_H

#include "kernels/cuda/launch.h"

static constexpr int WARP = 32;
static constexpr unsigned WARP_ALL = 0xffffffffu;

/* Or over each run of W lanes, a power of two: every lane of the warp takes part all the same. */
template <int W = WARP, typename T> static __device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int step = W / 2; step > 0; step /= 2) x += __shfl_xor_sync(WARP_ALL, x, step);
  return x;
}

template <int W = WARP, typename T> static __device__ __forceinline__ T warp_max(T x) {
#pragma unroll
  for (int step = W / 2; step > 0; step /= 2) {
    T other = __shfl_xor_sync(WARP_ALL, x, step);
    x = other > x ? other : x;
  }
  return x;
}

/* blockDim is one-dimensional, at most 1024. `shared`: shared memory for 32 values; it may be used
 * again after the call. */
template <typename T> static __device__ __forceinline__ T block_sum(T x, T *shared) {
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  x = warp_sum(x);
  __syncthreads(); /* whoever still reads `shared` from the last call */
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  return warp_sum(lane < warps ? shared[lane] : T(0));
}

template <typename T> static __device__ __forceinline__ T block_max(T x, T *shared) {
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  x = warp_max(x);
  __syncthreads();
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  return warp_max(shared[lane < warps ? lane : 0]);
}

#endif
