/* Loads and stores of one element or of 16 bytes, as float in registers whatever the storage: 4
 * floats or 8 BF16 a vector. */
#ifndef KERNELS_CUDA_VECTOR_H
#define KERNELS_CUDA_VECTOR_H

#include "kernels/cuda/launch.h"

#include <type_traits>

template <typename T> static __device__ __forceinline__ float load(const T *at);
template <> __device__ __forceinline__ float load(const float *at) {
  return *at;
}
template <> __device__ __forceinline__ float load(const bf16 *at) {
  return __bfloat162float(*at);
}
static __device__ __forceinline__ void store(float *at, float x) {
  *at = x;
}
static __device__ __forceinline__ void store(bf16 *at, float x) {
  *at = __float2bfloat16(x);
}

/* Elements of T in 16 bytes. */
template <typename T> struct Lanes { static constexpr int COUNT = 16 / (int)sizeof(T); };

template <int N> struct Floats { float v[N]; };

/* A pointer that went through shared memory: says that it leads to global memory, or the compiler
 * makes generic accesses of it, and of atomics a branch. */
template <typename T> static __device__ __forceinline__ T *global_pointer(T *at) {
#ifndef CUDA_EMULATOR
  __builtin_assume(__isGlobal(at));
#endif
  return at;
}

static __device__ __forceinline__ uint4 load_bytes(const void *at) {
#ifdef CUDA_EMULATOR
  if ((uintptr_t)at % 16) emulator::fault(__FILE__, __LINE__, "16-byte load, not aligned");
#endif
  return *static_cast<const uint4 *>(at);
}
static __device__ __forceinline__ void store_bytes(void *at, uint4 bits) {
#ifdef CUDA_EMULATOR
  if ((uintptr_t)at % 16) emulator::fault(__FILE__, __LINE__, "16-byte store, not aligned");
#endif
  *static_cast<uint4 *>(at) = bits;
}

static __device__ __forceinline__ Floats<4> unpack(uint4 bits, const float *) {
  return {{__uint_as_float(bits.x), __uint_as_float(bits.y), __uint_as_float(bits.z),
           __uint_as_float(bits.w)}};
}
/* The lower half of a word comes first in memory. */
static __device__ __forceinline__ Floats<8> unpack(uint4 bits, const bf16 *) {
  const unsigned word[4] = {bits.x, bits.y, bits.z, bits.w};
  Floats<8> x;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    x.v[2 * i] = __uint_as_float(word[i] << 16);
    x.v[2 * i + 1] = __uint_as_float(word[i] & 0xffff0000u);
  }
  return x;
}

static __device__ __forceinline__ unsigned pack_pair(float low, float high) {
  union {
    bf16 half[2];
    unsigned word;
  } pair = {{__float2bfloat16(low), __float2bfloat16(high)}};
  return pair.word;
}
/* Two neighbours, the first at an even place. */
static __device__ __forceinline__ void store_pair(float *at, float low, float high) {
  *reinterpret_cast<float2 *>(at) = make_float2(low, high);
}
static __device__ __forceinline__ void store_pair(bf16 *at, float low, float high) {
  *reinterpret_cast<unsigned *>(at) = pack_pair(low, high);
}
static __device__ __forceinline__ uint4 pack(const Floats<4> &x, const float *) {
  return make_uint4(__float_as_uint(x.v[0]), __float_as_uint(x.v[1]), __float_as_uint(x.v[2]),
                    __float_as_uint(x.v[3]));
}
static __device__ __forceinline__ uint4 pack(const Floats<8> &x, const bf16 *) {
  return make_uint4(pack_pair(x.v[0], x.v[1]), pack_pair(x.v[2], x.v[3]), pack_pair(x.v[4], x.v[5]),
                    pack_pair(x.v[6], x.v[7]));
}

/* `at` is aligned to 16 bytes. */
template <typename T>
static __device__ __forceinline__ Floats<Lanes<T>::COUNT> load_vector(const T *at) {
  return unpack(load_bytes(at), at);
}
template <typename T>
static __device__ __forceinline__ void store_vector(T *at, const Floats<Lanes<T>::COUNT> &x) {
  store_bytes(at, pack(x, at));
}

/* N elements: a vector, or one where N is 1 (rows that no vector fits). */
template <int N, typename T> static __device__ __forceinline__ Floats<N> load_lanes(const T *at) {
  if constexpr (N == 1)
    return {{load(at)}};
  else
    return load_vector(at);
}
template <int N, typename T>
static __device__ __forceinline__ void store_lanes(T *at, const Floats<N> &x) {
  if constexpr (N == 1)
    store(at, x.v[0]);
  else
    store_vector(at, x);
}

/* Whether rows of `width` elements that start at these addresses can be walked by vectors. */
static inline bool vectors_fit(int64_t width, size_t element_bytes, const void *a,
                               const void *b = NULL, const void *c = NULL) {
  uintptr_t bits =
      (uintptr_t)a | (uintptr_t)b | (uintptr_t)c | (uintptr_t)(width * (int64_t)element_bytes);
  return bits % 16 == 0;
}

/* Calls launch(zero of x's storage type, lanes), both as constants: a vector of channels where the
 * rows of x at these addresses can be walked by vectors, else one channel. */
template <typename F>
static inline void with_lanes(const Tensor *x, const void *a, const void *b, const void *c,
                              F launch) {
  bool vectors = vectors_fit(tensor_last(x), dtype_bytes(x->type), a, b, c);
  with_type(x->type, [&](auto zero) {
    if (vectors)
      launch(zero, std::integral_constant<int, Lanes<decltype(zero)>::COUNT>());
    else
      launch(zero, std::integral_constant<int, 1>());
  });
}

#endif
