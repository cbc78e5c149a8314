/* What every kernels/NAME.cu starts with: CUDA, or with -DCUDA_EMULATOR its stand-in on the CPU;
 * the launch; the size of a grid; the choice of an instance by the type of a tensor.
 *
 *   static __global__ void scale(int64_t count, const float *x, float *y) { ... }
 *   static void forward(const Call *call) {
 *     unsigned grid = grid_blocks(scale, 256, 0, count / 256 + 1);
 *     LAUNCH(scale, grid, 256, 0, call->stream, count, x, y);
 *   }
 *   CUDA_KERNEL(scale) = {.forward = forward,
 *                         .backward = backward,
 *                         .prepare = prepare,
 *                         .bf16 = SAVES_IN(0) | SAVES_OUT(0)};
 *
 * Kernels are static, structs stand in a nameless namespace: several files may use one name.
 * A kernel name with commas is put in parentheses: LAUNCH((copy<T, 4>), ...). forward and backward
 * launch on call->stream, allocate nothing and never wait, so that a step can be captured. */
#ifndef KERNELS_CUDA_LAUNCH_H
#define KERNELS_CUDA_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern "C" {
#include "kernels/cuda/absent_gpu.h"
#include "kernels/options.h"
}

#ifdef CUDA_EMULATOR
#include "kernels/cuda/emulator.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#endif

typedef __nv_bfloat16 bf16;

/* ---- checked calls: a failed one ends this process, which is one trial ----------------------- */

#define CUDA_TRY(call) cuda_try(call, #call, __FILE__, __LINE__)
static inline void cuda_try(cudaError_t status, const char *what, const char *file, int line) {
  if (status == cudaSuccess) return;
  fprintf(stderr, "%s:%d: CUDA: %s: %s\n", file, line, what, cudaGetErrorString(status));
  abort();
}

/* ---- shared memory ------------------------------------------------------------------------------
 * SHARED(float, tile, [32][33]) declares an array, SHARED(int, last) a scalar;
 * DYNAMIC_SHARED(float, rows) is the launch's shared_bytes, aligned to 16, once per kernel. */
#ifdef CUDA_EMULATOR
#define SHARED(type, name, ...)                                                                    \
  static char name##_site;                                                                         \
  auto &name =                                                                                     \
      *static_cast<type(*) __VA_ARGS__>(emulator::shared(&name##_site, sizeof(type __VA_ARGS__)))
#define DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(emulator::dynamic_shared())
#else
#define SHARED(type, name, ...) __shared__ type name __VA_ARGS__
#define DYNAMIC_SHARED(type, name)                                                                 \
  extern __shared__ __align__(16) unsigned char launch_shared[];                                   \
  type *name = reinterpret_cast<type *>(launch_shared)
#endif

/* ---- launching ------------------------------------------------------------------------------- */

#ifdef CUDA_EMULATOR
#define CUDA_TABLE(type, name)                                                                     \
  extern "C" const type name##_emulated;                                                           \
  const type name##_emulated
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
  ((void)(stream), gpu_launches++,                                                                 \
   emulator::launch(#kernel, dim3(grid), dim3(block), shared_bytes, kernel, __VA_ARGS__))
#else
#define CUDA_TABLE(type, name)                                                                     \
  extern "C" const type name##_cuda;                                                               \
  const type name##_cuda
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
  do {                                                                                             \
    gpu_launches++;                                                                                \
    if (absent_gpu.processors) break;                                                              \
    kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__);         \
    cuda_try(cudaGetLastError(), "launch of " #kernel, __FILE__, __LINE__);                        \
  } while (0)
#endif

#define CUDA_KERNEL(name) CUDA_TABLE(Kernel, name)

/* Lets `kernel` take this much dynamic shared memory: call it in prepare where more than 48 KiB are
 * wanted. */
template <typename K> static inline void allow_shared(K kernel, size_t bytes) {
#ifdef CUDA_EMULATOR
  (void)kernel;
  CHECK(bytes <= 99 << 10, "%zu bytes of shared memory: sm_80 and sm_89 share 99 KiB", bytes);
#else
  if (absent_gpu.processors) return;
  CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                static_cast<int>(bytes)));
#endif
}

/* The blocks of `threads` that the device holds at once. The emulator holds six, so that a loop
 * over the grid is taken more than once even in small tests; a planned GPU as many as have room
 * without regard to registers. */
template <typename K>
static inline int resident_blocks(K kernel, int threads, size_t shared_bytes) {
#ifdef CUDA_EMULATOR
  (void)kernel, (void)threads, (void)shared_bytes;
  return 6;
#else
  int device = 0, processors = 0, each = 0;
  if (absent_gpu.processors) return absent_gpu.processors * (absent_gpu.threads / threads);
  CUDA_TRY(cudaGetDevice(&device));
  CUDA_TRY(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  CUDA_TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, threads, shared_bytes));
  return processors * (each > 0 ? each : 1);
#endif
}

/* A grid for a kernel that loops over its work: as many blocks as are wanted, at most what the
 * device holds at once, at least one. */
template <typename K>
static inline unsigned grid_blocks(K kernel, int threads, size_t shared_bytes, int64_t wanted) {
  int64_t most = resident_blocks(kernel, threads, shared_bytes);
  return static_cast<unsigned>(wanted < 1 ? 1 : wanted < most ? wanted : most);
}

/* Of a kernel that loops over `items`, a thread each. */
#define LAUNCH_EACH(kernel, threads, items, stream, ...)                                           \
  LAUNCH(kernel, grid_blocks(kernel, threads, 0, (items) / (threads) + 1), threads, 0, stream,     \
         __VA_ARGS__)

/* ---- one instance per storage type --------------------------------------------------------------
 * with_type(x->type, [&](auto zero) {
 *   using T = decltype(zero);
 *   LAUNCH(copy<T>, ...);
 * }); */
template <typename F> static inline void with_type(DType type, F launch) {
  CHECK(type == F32 || type == BF16, "a CUDA kernel takes F32 and BF16, found type %d", type);
  if (type == F32)
    launch(float());
  else
    launch(bf16());
}

/* In the order of the call's stream, within the device's memory. */
static inline void zero_bytes(const Call *call, void *to, size_t bytes) {
  gpu_launches++;
  if (absent_gpu.processors) return;
  CUDA_TRY(cudaMemsetAsync(to, 0, bytes, static_cast<cudaStream_t>(call->stream)));
}

/* Whether backward is asked for din[i]: known to prepare, too. */
static inline bool wants_of(const Call *call, int i) {
  return call->wants >> i & 1;
}

/* Whether backward adds to din[i]. */
static inline bool adds_to(const Call *call, int i) {
  return call->adds >> i & 1;
}

/* No gradient arrives: all that is wanted of the inputs' gradients is zero, or stays as it is. */
static inline void zero_gradients(const Call *call) {
  for (int i = 0; i < call->n_in; i++)
    if (call->din[i].data && !adds_to(call, i))
      zero_bytes(call, call->din[i].data, tensor_bytes(&call->din[i]));
}

static inline void copy_bytes(const Call *call, void *to, const void *from, size_t bytes) {
  gpu_launches++;
  if (absent_gpu.processors) return;
  CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice,
                           static_cast<cudaStream_t>(call->stream)));
}

/* The data of a tensor as T. */
template <typename T> static inline T *data_of(const Tensor *tensor) {
  return static_cast<T *>(tensor->data);
}

#endif
