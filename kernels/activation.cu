/* Activation: a grid-stride loop over 16-byte vectors; bound by memory (forward 2 operands,
 * backward 3). Arithmetic in float, storage F32 or BF16. */
#include "kernels/cuda/silu.h"
#include "kernels/cuda/vector.h"

#include <type_traits>

static constexpr int THREADS = 256;

/* tilt: leaky_relu's slope. */
static __device__ __forceinline__ float value(int kind, float tilt, float x) {
  if (kind == ACT_RELU) return x > 0 ? x : 0;
  if (kind == ACT_GELU) return x * normcdff(x);
  if (kind == ACT_SIGMOID) return 1 / (1 + expf(-x));
  if (kind == ACT_LEAKY_RELU) return x > 0 ? x : tilt * x;
  if (kind == ACT_SILU) return silu(x);
  if (kind == ACT_STEP) return x > 0 ? 1 : 0;
  return x;
}

static __device__ __forceinline__ float slope(int kind, float tilt, float x) {
  if (kind == ACT_RELU) return x > 0 ? 1 : 0;
  if (kind == ACT_GELU) return normcdff(x) + x * .39894228f * expf(-.5f * x * x);
  if (kind == ACT_SIGMOID) {
    float e = expf(-fabsf(x)), r = 1 / (1 + e);
    return e * r * r;
  }
  if (kind == ACT_LEAKY_RELU) return x > 0 ? 1 : tilt;
  if (kind == ACT_SILU) return silu_slope(x);
  return 1;
}

/* In place, y is x: a thread reads what it writes, and nothing else. */
template <typename T, int KIND>
static __global__ void __launch_bounds__(THREADS)
    activate(int64_t count, bool vectors, float tilt, const T *x, T *y) {
  constexpr int N = Lanes<T>::COUNT;
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  int64_t whole = vectors ? count / N : 0;
  for (int64_t i = first; i < whole; i += step) {
    Floats<N> v = load_vector(x + i * N);
#pragma unroll
    for (int k = 0; k < N; k++) v.v[k] = value(KIND, tilt, v.v[k]);
    store_vector(y + i * N, v);
  }
  for (int64_t i = whole * N + first; i < count; i += step)
    store(y + i, value(KIND, tilt, load(x + i)));
}

/* In place, dx is dy. */
template <typename T, int KIND>
static __global__ void __launch_bounds__(THREADS)
    differentiate(int64_t count, bool vectors, float tilt, const T *x, const T *dy, T *dx) {
  constexpr int N = Lanes<T>::COUNT;
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  int64_t whole = vectors ? count / N : 0;
  for (int64_t i = first; i < whole; i += step) {
    Floats<N> v = load_vector(x + i * N), d = load_vector(dy + i * N);
#pragma unroll
    for (int k = 0; k < N; k++) d.v[k] *= slope(KIND, tilt, v.v[k]);
    store_vector(dx + i * N, d);
  }
  for (int64_t i = whole * N + first; i < count; i += step)
    store(dx + i, load(dy + i) * slope(KIND, tilt, load(x + i)));
}

static float tilt_of(const Call *call) {
  return static_cast<float>(static_cast<const ActivationOptions *>(call->options)->slope);
}

/* The kind as a constant: the loop has no branch. */
template <typename F> static void with_kind(const Call *call, F launch) {
  int kind = static_cast<const ActivationOptions *>(call->options)->kind;
  if (kind == ACT_RELU) launch(std::integral_constant<int, ACT_RELU>());
  if (kind == ACT_GELU) launch(std::integral_constant<int, ACT_GELU>());
  if (kind == ACT_SIGMOID) launch(std::integral_constant<int, ACT_SIGMOID>());
  if (kind == ACT_LEAKY_RELU) launch(std::integral_constant<int, ACT_LEAKY_RELU>());
  if (kind == ACT_SILU) launch(std::integral_constant<int, ACT_SILU>());
  if (kind == ACT_STEP) launch(std::integral_constant<int, ACT_STEP>());
  if (kind == ACT_NONE) launch(std::integral_constant<int, ACT_NONE>());
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  int64_t count = tensor_count(x);
  bool vectors = vectors_fit(0, 0, x->data, y->data);
  with_type(x->type, [&](auto zero) {
    with_kind(call, [&](auto kind) {
      using T = decltype(zero);
      constexpr int KIND = decltype(kind)::value;
      unsigned grid =
          grid_blocks(activate<T, KIND>, THREADS, 0, count / THREADS / Lanes<T>::COUNT + 1);
      LAUNCH((activate<T, KIND>), grid, THREADS, 0, call->stream, count, vectors, tilt_of(call),
             data_of<const T>(x), data_of<T>(y));
    });
  });
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[0], *dy = &call->dout[0], *dx = &call->din[0];
  int64_t count = tensor_count(x);
  if (!dx->data) return;
  bool vectors = vectors_fit(0, 0, x->data, dy->data, dx->data);
  with_type(x->type, [&](auto zero) {
    with_kind(call, [&](auto kind) {
      using T = decltype(zero);
      constexpr int KIND = decltype(kind)::value;
      if constexpr (KIND != ACT_STEP) { /* whose input never wants a gradient */
        unsigned grid =
            grid_blocks(differentiate<T, KIND>, THREADS, 0, count / THREADS / Lanes<T>::COUNT + 1);
        LAUNCH((differentiate<T, KIND>), grid, THREADS, 0, call->stream, count, vectors,
               tilt_of(call), data_of<const T>(x), data_of<const T>(dy), data_of<T>(dx));
      }
    });
  });
}

CUDA_KERNEL(activation) = {.forward = forward,
                           .backward = backward,
                           .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                           .bf16_together = true};
