/* Numbers of no pattern for what is only timed: equal or few different bits multiply faster on a
 * chip that saves power. */
#ifndef KERNELS_CUDA_NOISE_H
#define KERNELS_CUDA_NOISE_H

#include "kernels/cuda/launch.h"

static constexpr int NOISE_THREADS = 256;

/* Both halves of a word are BF16 numbers of either sign from 1/128 to 2, the whole a float of that
 * size. */
static __device__ __forceinline__ unsigned noise_word(uint64_t i) {
  uint64_t x = (i + 1) * 0x9e3779b97f4a7c15ull; /* SplitMix64 */
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  unsigned bits = (unsigned)(x ^ x >> 31);
  return (bits & 0x83ff83ffu) | 0x3c003c00u;
}

static __global__ void __launch_bounds__(NOISE_THREADS) fill_noise(int64_t words, unsigned *at) {
  int64_t step = (int64_t)gridDim.x * NOISE_THREADS;
  for (int64_t i = (int64_t)blockIdx.x * NOISE_THREADS + threadIdx.x; i < words; i += step)
    at[i] = noise_word((uint64_t)i);
}

/* All whole words of it. */
static inline void noise_fill(void *stream, size_t bytes, void *at) {
  int64_t words = (int64_t)(bytes / sizeof(unsigned));
  unsigned grid = grid_blocks(fill_noise, NOISE_THREADS, 0, words / NOISE_THREADS + 1);
  LAUNCH(fill_noise, grid, NOISE_THREADS, 0, stream, words, static_cast<unsigned *>(at));
}

#endif
