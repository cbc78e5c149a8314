/* CUDA C++ on the CPU, for tests: with -DCUDA_EMULATOR a .cu file is compiled as C++ and its
 * kernels run here, the threads of a block as fibers that switch where threads wait for each other.
 *
 * It is stricter than a GPU. It aborts, with kernel, block, thread and line, when
 *  - threads of a block wait at different __syncthreads, or one has ended before the others get
 *    there;
 *  - a lane of a warp collective's mask does not arrive, or arrives with another mask or at another
 *    line, or a shuffle reads from a lane outside the mask;
 *  - a shared array is written out of its bounds, or a launch is one that no GPU takes;
 *  - a 16-byte access is not aligned (load_bytes and store_bytes of vector.h);
 *  - a thread ends while copies into shared memory are under way.
 * Shared memory starts as NaN in every block. emulator_order sets in which order the threads of a
 * block and the blocks of a grid run: a race shows as another result in another order.
 * What it cannot show: memory ordering, divergence that only costs time, register pressure. */
#ifndef KERNELS_CUDA_EMULATOR_H
#define KERNELS_CUDA_EMULATOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tuple>
#include <type_traits>

#include "kernels/cuda/emulator_traffic.h"

/* Writes PROGRAM.launched: a line for each kernel that ran so far, the distance of its code from
 * that of emulator_report (tests/emulator.bats). */
extern "C" void emulator_report(const char *program);
/* 0: ascending, 1: descending, else: random, by this seed. */
extern "C" void emulator_order(unsigned seed);

#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

/* ---- types ----------------------------------------------------------------------------------- */

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned nx = 1, unsigned ny = 1, unsigned nz = 1) : x(nx), y(ny), z(nz) {
  }
};
#define EMULATOR_VECTORS(T, name)                                                                  \
  struct alignas(2 * sizeof(T)) name##2 {                                                          \
    T x, y;                                                                                        \
  };                                                                                               \
  struct alignas(4 * sizeof(T)) name##4 {                                                          \
    T x, y, z, w;                                                                                  \
  };                                                                                               \
  static inline name##2 make_##name##2(T x, T y) {                                                 \
    return name##2 {x, y};                                                                         \
  }                                                                                                \
  static inline name##4 make_##name##4(T x, T y, T z, T w) {                                       \
    return name##4 {x, y, z, w};                                                                   \
  }
EMULATOR_VECTORS(float, float)
EMULATOR_VECTORS(int, int)
EMULATOR_VECTORS(unsigned, uint)

static inline unsigned __float_as_uint(float x) {
  unsigned bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
static inline float __uint_as_float(unsigned bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
static inline int __float_as_int(float x) {
  return (int)__float_as_uint(x);
}
static inline float __int_as_float(int bits) {
  return __uint_as_float((unsigned)bits);
}

/* Storage only; arithmetic is done in float. Rounds to nearest even. */
struct __nv_bfloat16 {
  uint16_t bits;
};
static inline float __bfloat162float(__nv_bfloat16 x) {
  return __uint_as_float((unsigned)x.bits << 16);
}
static inline __nv_bfloat16 __float2bfloat16(float x) {
  unsigned bits = __float_as_uint(x);
  if (isnan(x)) return __nv_bfloat16{0x7fff};
  return __nv_bfloat16{(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

/* ---- where a thread is, and whom it waits for ------------------------------------------------ */

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };

namespace emulator {

void sync_block(const char *file, int line);
/* Every lane of the mask gives a value and gets that of lane `source`; `ballot` gets one bit of
 * each lane's value. */
uint64_t exchange(const char *file, int line, unsigned mask, uint64_t value, int source,
                  unsigned *ballot);
int lane();
/* mma and ldmatrix of kernels/cuda/mma.h, for which a warp's lanes wait for each other once. What
 * the instructions read of shared memory is not told to emulator_traffic. */
void product(const char *file, int line, float *c, const unsigned *a, unsigned b0, unsigned b1);
/* At most 16 numbers for those of lane ^ across. */
void trade(const char *file, int line, float *number, int count, int across);
void matrices(const char *file, int line, unsigned *word, const void *row, bool turned);
void *shared(const void *site, size_t bytes);
void *dynamic_shared();
/* kernels/cuda/async_copy.h: 16 bytes, from NULL: zeros. They arrive when the thread waits, no
 * sooner, so that a wait that is missing shows. */
void copy_async(const char *file, int line, void *to, const void *from);
void copies_close();
void copies_wait(int left);
[[noreturn]] void fault(const char *file, int line, const char *what);

template <typename T> T shuffle(const char *file, int line, unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves at most 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = exchange(file, line, mask, bits, source, nullptr);
  memcpy(&value, &bits, sizeof value);
  return value;
}
template <typename T>
T shuffle_at(const char *file, int line, unsigned mask, T value, int from, int width = 32) {
  return shuffle(file, line, mask, value, (lane() & ~(width - 1)) | (from & (width - 1)));
}
template <typename T>
T shuffle_xor(const char *file, int line, unsigned mask, T value, int bits, int width = 32) {
  int from = lane() ^ bits, last = lane() | (width - 1);
  return shuffle(file, line, mask, value, from > last ? lane() : from);
}
template <typename T>
T shuffle_down(const char *file, int line, unsigned mask, T value, int delta, int width = 32) {
  int from = lane() + delta, last = lane() | (width - 1);
  return shuffle(file, line, mask, value, from > last ? lane() : from);
}
template <typename T>
T shuffle_up(const char *file, int line, unsigned mask, T value, int delta, int width = 32) {
  int from = lane() - delta, first = lane() & ~(width - 1);
  return shuffle(file, line, mask, value, from < first ? lane() : from);
}
static inline unsigned ballot(const char *file, int line, unsigned mask, bool bit) {
  unsigned bits = 0;
  exchange(file, line, mask, bit, lane(), &bits);
  return bits;
}
/* ---- launching ------------------------------------------------------------------------------- */

void run(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
         void (*body)(void *), void *argument);

/* Arguments are evaluated once and copied, as a launch does. */
template <typename... P, typename... A>
void launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(P...),
            A... argument) {
  struct Closure {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
  } closure = {kernel, std::tuple<P...>(argument...)};
  run(
      name, reinterpret_cast<const void *>(kernel), grid, block, shared_bytes,
      [](void *at) {
        Closure *c = static_cast<Closure *>(at);
        std::apply(c->kernel, c->arguments);
      },
      &closure);
}

} // namespace emulator

#define __syncthreads()        emulator::sync_block(__FILE__, __LINE__)
#define __shfl_sync(...)       emulator::shuffle_at(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...)   emulator::shuffle_xor(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(...)  emulator::shuffle_down(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(...)    emulator::shuffle_up(__FILE__, __LINE__, __VA_ARGS__)
#define __ballot_sync(mask, p) emulator::ballot(__FILE__, __LINE__, mask, p)
#define __any_sync(mask, p)    (emulator::ballot(__FILE__, __LINE__, mask, p) != 0)
#define __all_sync(mask, p)    (emulator::ballot(__FILE__, __LINE__, mask, p) == (mask))
#define EMULATOR_FIRST(a, ...) a
#define __syncwarp(...)                                                                            \
  (void)emulator::ballot(__FILE__, __LINE__, EMULATOR_FIRST(__VA_ARGS__ __VA_OPT__(, ) ~0u), true)

/* ---- arithmetic, atomics, memory ------------------------------------------------------------- */

#define rsqrtf(x)        (1 / sqrtf(x)) /* macros: the C library has some of these names */
#define normcdff(x)      (.5f * erfcf(-(x) * (float)M_SQRT1_2))
#define sinpif(x)        ((float)sin(M_PI * (double)(x)))
#define cospif(x)        ((float)cos(M_PI * (double)(x)))
#define __expf(x)        expf(x)
#define __logf(x)        logf(x)
#define __fdividef(x, y) ((x) / (y))
static inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
static inline int __ffs(int x) {
  return __builtin_ffs(x);
}
static inline int __clz(int x) {
  return x ? __builtin_clz((unsigned)x) : 32;
}
template <typename T> static inline T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T> static inline T max(T a, T b) {
  return a < b ? b : a;
}

template <typename T> static inline T atomicAdd(T *at, T value) {
  if (std::is_floating_point<T>::value) emulator_traffic_atomic(at);
  T old = *at;
  *at = old + value;
  return old;
}
template <typename T> static inline T atomicMax(T *at, T value) {
  T old = *at;
  if (old < value) *at = value;
  return old;
}
template <typename T> static inline T atomicMin(T *at, T value) {
  T old = *at;
  if (value < old) *at = value;
  return old;
}
template <typename T> static inline T atomicExch(T *at, T value) {
  T old = *at;
  *at = value;
  return old;
}
template <typename T> static inline T atomicCAS(T *at, T expected, T value) {
  T old = *at;
  if (old == expected) *at = value;
  return old;
}
static inline void __threadfence() {
}
template <typename T> static inline T __ldg(const T *at) {
  return *at;
}

/* ---- the runtime API that kernels' host code uses -------------------------------------------- */

typedef void *cudaStream_t;
typedef int cudaError_t;
enum { cudaSuccess = 0, cudaMemcpyDeviceToDevice = 3 };
static inline const char *cudaGetErrorString(cudaError_t) {
  return "no error";
}
static inline cudaError_t cudaMemsetAsync(void *at, int byte, size_t bytes, cudaStream_t) {
  memset(at, byte, bytes);
  emulator_traffic_write(at, bytes);
  emulator_traffic_launched();
  return cudaSuccess;
}
static inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, int,
                                          cudaStream_t) {
  memmove(to, from, bytes);
  emulator_traffic_read(from, bytes);
  emulator_traffic_write(to, bytes);
  emulator_traffic_launched();
  return cudaSuccess;
}

#endif
