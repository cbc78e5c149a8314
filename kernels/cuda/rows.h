/* Moves a token matrix (rows, width) between F32 and BF16, between pitches, with zeros up to a
 * padded width: casting, padding channels, joining and splitting them are this. Bound by memory. */
#ifndef KERNELS_CUDA_ROWS_H
#define KERNELS_CUDA_ROWS_H

#include "kernels/cuda/vector.h"

extern "C" {
#include "kernels/cuda/half_weights.h"
}

/* pitch: elements from row to row; data: the first element of the first row. */
struct Rows {
  DType type;
  int64_t pitch;
  void *data;
};

static constexpr int ROWS_THREADS = 256, ROWS_UNIT = 8;

/* Eight numbers at an address that is a multiple of eight elements. */
static __device__ __forceinline__ void load_unit(const float *at, float *v) {
  Floats<4> low = load_vector(at), high = load_vector(at + 4);
#pragma unroll
  for (int i = 0; i < 4; i++) v[i] = low.v[i], v[4 + i] = high.v[i];
}
static __device__ __forceinline__ void load_unit(const bf16 *at, float *v) {
  Floats<8> all = load_vector(at);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = all.v[i];
}
static __device__ __forceinline__ void store_unit(float *at, const float *v) {
  store_vector(at, Floats<4>{{v[0], v[1], v[2], v[3]}});
  store_vector(at + 4, Floats<4>{{v[4], v[5], v[6], v[7]}});
}
static __device__ __forceinline__ void store_unit(bf16 *at, const float *v) {
  store_vector(at, Floats<8>{{v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]}});
}

/* N numbers: a unit, or one where N is 1. */
template <int N, typename T>
static __device__ __forceinline__ void load_numbers(const T *at, float *v) {
  if constexpr (N == 1)
    v[0] = load(at);
  else
    load_unit(at, v);
}
template <int N, typename T>
static __device__ __forceinline__ void store_numbers(T *at, const float *v) {
  if constexpr (N == 1)
    store(at, v[0]);
  else
    store_unit(at, v);
}

/* N numbers a thread: a unit, or one where rows are no whole units. width and padded in numbers.
 * ADD: to what is in `to`. */
template <int N, bool ADD, typename From, typename To>
static __global__ void __launch_bounds__(ROWS_THREADS)
    rows_move(int64_t rows, int width, int padded, const From *from, int64_t from_pitch, To *to,
              int64_t to_pitch) {
  int across = padded / N;
  int64_t items = rows * across, step = (int64_t)gridDim.x * ROWS_THREADS;
  for (int64_t i = (int64_t)blockIdx.x * ROWS_THREADS + threadIdx.x; i < items; i += step) {
    int64_t row = i / across;
    int column = (int)(i - row * across) * N;
    float v[N] = {};
    To *there = to + row * to_pitch + column;
    if constexpr (N == 1) {
      if (column < width) v[0] = load(from + row * from_pitch + column);
      store(there, ADD ? load(there) + v[0] : v[0]);
    } else {
      if (column < width) load_unit(from + row * from_pitch + column, v);
      if constexpr (ADD) {
        float sum[N];
        load_unit(there, sum);
#pragma unroll
        for (int k = 0; k < N; k++) v[k] += sum[k];
      }
      store_unit(there, v);
    }
  }
}

template <int N, bool ADD, typename From, typename To>
static inline void rows_launch(void *stream, int64_t rows, int64_t width, int64_t padded,
                               const Rows *from, const Rows *to) {
  int64_t blocks = (rows * padded / N + ROWS_THREADS - 1) / ROWS_THREADS;
  LAUNCH((rows_move<N, ADD, From, To>),
         grid_blocks(rows_move<N, ADD, From, To>, ROWS_THREADS, 0, blocks), ROWS_THREADS, 0, stream,
         rows, (int)width, (int)padded, static_cast<const From *>(from->data), from->pitch,
         static_cast<To *>(to->data), to->pitch);
}

template <bool ADD, typename From, typename To>
static inline void rows_choose(void *stream, int64_t rows, int64_t width, int64_t padded,
                               const Rows *from, const Rows *to) {
  int64_t all = width | padded | from->pitch | to->pitch;
  if (all % ROWS_UNIT == 0 && vectors_fit(0, 0, from->data, to->data))
    rows_launch<ROWS_UNIT, ADD, From, To>(stream, rows, width, padded, from, to);
  else
    rows_launch<1, ADD, From, To>(stream, rows, width, padded, from, to);
}

template <bool ADD>
static inline void rows_typed(void *stream, int64_t rows, int64_t width, int64_t padded,
                              const Rows *from, const Rows *to) {
  CHECK(padded <= INT32_MAX, "rows of %lld numbers", (long long)padded);
  with_type(from->type, [&](auto from_zero) {
    with_type(to->type, [&](auto to_zero) {
      rows_choose<ADD, decltype(from_zero), decltype(to_zero)>(stream, rows, width, padded, from,
                                                               to);
    });
  });
}

/* padded >= width: columns width .. padded - 1 of `to` become zero. */
static inline void rows_copy(void *stream, int64_t rows, int64_t width, int64_t padded, Rows from,
                             Rows to) {
  rows_typed<false>(stream, rows, width, padded, &from, &to);
}

/* to += from; with `adds` false a copy. */
static inline void rows_add(void *stream, int64_t rows, int64_t width, Rows from, Rows to,
                            bool adds) {
  if (adds)
    rows_typed<true>(stream, rows, width, width, &from, &to);
  else
    rows_copy(stream, rows, width, width, from, to);
}

/* A block of `count` numbers into another type, or added to one of it. */
static inline void cast(void *stream, int64_t count, DType from_type, const void *from,
                        DType to_type, void *to, bool adds = false) {
  int64_t unit = count % ROWS_UNIT ? 1 : ROWS_UNIT;
  rows_add(stream, count / unit, unit, Rows{from_type, unit, const_cast<void *>(from)},
           Rows{to_type, unit, to}, adds);
}

/* An operand in the type that a library call wants: itself, the copy that is kept of a parameter,
 * or its cast at this offset of the call's scratch. */
static inline const void *operand_as(const Call *call, const Tensor *tensor, DType type,
                                     size_t offset) {
  char *at = static_cast<char *>(call->scratch) + offset;
  if (tensor->type == type) return tensor->data;
  const void *kept = type == BF16 ? half_weights_at(tensor->data) : NULL;
  if (kept) return kept;
  cast(call->stream, tensor_count(tensor), tensor->type, tensor->data, type, at);
  return at;
}

/* The same of an input that may be left out: then NULL. */
static inline const void *optional_as(const Call *call, int i, DType type, size_t offset) {
  return tensor_absent(&call->in[i]) ? NULL : operand_as(call, &call->in[i], type, offset);
}

#endif
