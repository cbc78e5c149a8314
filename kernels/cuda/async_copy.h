/* Copies of 16 bytes from global into shared memory that run while the thread goes on (cp.async,
 * sm_80): a thread closes the copies it asked for into a group, and waits until at most so many of
 * its last groups are under way. Other threads see them after a __syncthreads behind that wait. */
#ifndef KERNELS_CUDA_ASYNC_COPY_H
#define KERNELS_CUDA_ASYNC_COPY_H

#include "kernels/cuda/launch.h"

/* Both aligned to 16 bytes. `there` false: zeros; `from` is then not read, but an address. */
static __device__ __forceinline__ void copy_async(void *to, const void *from, bool there) {
#ifdef CUDA_EMULATOR
  emulator::copy_async(__FILE__, __LINE__, to, there ? from : nullptr);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(there ? 16 : 0)
               : "memory");
#endif
}

static __device__ __forceinline__ void copies_close(void) {
#ifdef CUDA_EMULATOR
  emulator::copies_close();
#else
  asm volatile("cp.async.commit_group;" : : : "memory");
#endif
}

template <int LEFT> static __device__ __forceinline__ void copies_wait(void) {
#ifdef CUDA_EMULATOR
  emulator::copies_wait(LEFT);
#else
  asm volatile("cp.async.wait_group %0;" : : "n"(LEFT) : "memory");
#endif
}

#endif
