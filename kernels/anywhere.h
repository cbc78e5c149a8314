/* Small functions that the host and kernels share. */
#ifndef KERNELS_ANYWHERE_H
#define KERNELS_ANYWHERE_H

#ifdef __CUDACC__
#define ANYWHERE static __host__ __device__ __forceinline__
#else
#define ANYWHERE static inline __attribute__((always_inline, unused))
#endif

#endif
