/* Layer normalisation over the last axis: a warp per row. Rows of up to 128 lanes' vectors stay in
 * registers, wider ones are read again from the caches; statistics in float. Bound by memory:
 * forward reads x and writes y, backward reads x and dy twice (once for the sums over rows) and
 * writes dx. */
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/warp.h"

#include <type_traits>

enum { IN_GAMMA, IN_BETA, IN_X };
enum { OUT_Y, OUT_MEAN, OUT_RSTD };
static constexpr int THREADS = 128, ROWS = THREADS / WARP, HELD = 4;

/* What a lane visits of a row: vectors lane, lane + 32, ...; held in registers if HOLD. */
template <int N, bool HOLD, typename T, typename F>
static __device__ __forceinline__ void sweep(const T *x, int width, const Floats<N> *held,
                                             F visit) {
  int lane = threadIdx.x % WARP;
  if constexpr (HOLD) {
#pragma unroll
    for (int k = 0; k < HELD; k++)
      if ((lane + k * WARP) * N < width) visit((lane + k * WARP) * N, held[k]);
  } else {
    for (int c = lane * N; c < width; c += WARP * N) visit(c, load_lanes<N>(x + c));
  }
}

template <int N, bool HOLD, typename T>
static __device__ __forceinline__ void hold(const T *x, int width, Floats<N> *held) {
  int lane = threadIdx.x % WARP;
#pragma unroll
  for (int k = 0; HOLD && k < HELD; k++)
    if ((lane + k * WARP) * N < width) held[k] = load_lanes<N>(x + (lane + k * WARP) * N);
}

template <typename T, int N, bool HOLD>
static __global__ void __launch_bounds__(THREADS)
    normalise(int64_t rows, int width, float epsilon, const float *gamma, const float *beta,
              const T *in, T *out, float *means, float *rstds) {
  int64_t first = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP, step = (int64_t)gridDim.x * ROWS;
  for (int64_t row = first; row < rows; row += step) {
    const T *x = in + row * width;
    Floats<N> held[HELD];
    hold<N, HOLD>(x, width, held);
    float sum = 0, squares = 0;
    sweep<N, HOLD>(x, width, held, [&](int, const Floats<N> &v) {
      for (int i = 0; i < N; i++) sum += v.v[i];
    });
    float mean = warp_sum(sum) / (float)width;
    sweep<N, HOLD>(x, width, held, [&](int, const Floats<N> &v) {
      for (int i = 0; i < N; i++) squares += (v.v[i] - mean) * (v.v[i] - mean);
    });
    float rstd = rsqrtf(warp_sum(squares) / (float)width + epsilon);
    sweep<N, HOLD>(x, width, held, [&](int c, Floats<N> v) {
      for (int i = 0; i < N; i++) v.v[i] = gamma[c + i] * ((v.v[i] - mean) * rstd) + beta[c + i];
      store_lanes<N>(out + row * width + c, v);
    });
    if (threadIdx.x % WARP) continue;
    means[row] = mean;
    rstds[row] = rstd;
  }
}

/* adds: to what is in din. */
template <typename T, int N, bool HOLD>
static __global__ void __launch_bounds__(THREADS)
    input_gradient(int64_t rows, int width, const float *gamma, const T *in, const T *dout,
                   const float *means, const float *rstds, bool adds, T *din) {
  int64_t first = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP, step = (int64_t)gridDim.x * ROWS;
  for (int64_t row = first; row < rows; row += step) {
    const T *x = in + row * width, *dy = dout + row * width;
    float mean = means[row], rstd = rstds[row], sum_g = 0, sum_gh = 0;
    Floats<N> held[HELD];
    hold<N, HOLD>(x, width, held);
    sweep<N, HOLD>(x, width, held, [&](int c, const Floats<N> &v) {
      Floats<N> d = load_lanes<N>(dy + c);
      for (int i = 0; i < N; i++) {
        float g = d.v[i] * gamma[c + i];
        sum_g += g;
        sum_gh += g * ((v.v[i] - mean) * rstd);
      }
    });
    float mean_g = warp_sum(sum_g) / (float)width, mean_gh = warp_sum(sum_gh) / (float)width;
    sweep<N, HOLD>(x, width, held, [&](int c, const Floats<N> &v) {
      Floats<N> d = load_lanes<N>(dy + c);
      Floats<N> sum = {};
      if (adds) sum = load_lanes<N>(din + row * width + c);
      for (int i = 0; i < N; i++)
        d.v[i] =
            sum.v[i] + rstd * (d.v[i] * gamma[c + i] - mean_g - (v.v[i] - mean) * rstd * mean_gh);
      store_lanes<N>(din + row * width + c, d);
    });
  }
}

/* The terms of dgamma and dbeta. */
namespace {
template <typename T> struct AffineTerms {
  const T *x, *dy;
  const float *means, *rstds;
  int width;
  template <int N>
  __device__ __forceinline__ void at(int64_t, int64_t row, int column, Floats<N> *term) const {
    Floats<N> v = load_lanes<N>(x + row * width + column);
    float mean = means[row], rstd = rstds[row];
    term[1] = load_lanes<N>(dy + row * width + column);
#pragma unroll
    for (int i = 0; i < N; i++) term[0].v[i] = term[1].v[i] * ((v.v[i] - mean) * rstd);
  }
};
} // namespace

/* Calls launch(zero of the storage type, lanes, whether a row stays in registers), as constants. */
template <typename F> static void with_rows(DType type, int64_t width, bool vectors, F launch) {
  with_type(type, [&](auto zero) {
    constexpr int N = Lanes<decltype(zero)>::COUNT;
    bool held = width <= (int64_t)WARP * HELD * (vectors ? N : 1);
    if (vectors && held)
      launch(zero, std::integral_constant<int, N>(), std::true_type());
    else if (vectors)
      launch(zero, std::integral_constant<int, N>(), std::false_type());
    else if (held)
      launch(zero, std::integral_constant<int, 1>(), std::true_type());
    else
      launch(zero, std::integral_constant<int, 1>(), std::false_type());
  });
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[IN_X], *y = &call->out[OUT_Y];
  int64_t rows = tensor_rows(x), width = tensor_last(x);
  float epsilon = (float)static_cast<const LayerNormOptions *>(call->options)->epsilon;
  bool vectors = vectors_fit(width, dtype_bytes(x->type), x->data, y->data);
  with_rows(x->type, width, vectors, [&](auto zero, auto lanes, auto hold) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    constexpr bool HOLD = decltype(hold)::value;
    unsigned grid = grid_blocks(normalise<T, N, HOLD>, THREADS, 0, (rows + ROWS - 1) / ROWS);
    LAUNCH((normalise<T, N, HOLD>), grid, THREADS, 0, call->stream, rows, (int)width, epsilon,
           data_of<const float>(&call->in[IN_GAMMA]), data_of<const float>(&call->in[IN_BETA]),
           data_of<const T>(x), data_of<T>(y), data_of<float>(&call->out[OUT_MEAN]),
           data_of<float>(&call->out[OUT_RSTD]));
  });
}

static void affine_gradients(const Call *call, bool vectors) {
  const Tensor *x = &call->in[IN_X], *dy = &call->dout[OUT_Y];
  int64_t rows = tensor_rows(x), width = tensor_last(x);
  ColumnOut<2> out = {{data_of<float>(&call->din[IN_GAMMA]), data_of<float>(&call->din[IN_BETA])}};
  if (!out.sum[0] && !out.sum[1]) return;
  with_type(x->type, [&](auto zero) {
    using T = decltype(zero);
    AffineTerms<T> terms = {data_of<const T>(x), data_of<const T>(dy),
                            data_of<const float>(&call->out[OUT_MEAN]),
                            data_of<const float>(&call->out[OUT_RSTD]), (int)width};
    column_sums<2, Lanes<T>::COUNT>(call->stream, rows, width, vectors, terms, call->scratch, out);
  });
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[IN_X], *dy = &call->dout[OUT_Y], *dx = &call->din[IN_X];
  int64_t rows = tensor_rows(x), width = tensor_last(x);
  bool vectors = vectors_fit(width, dtype_bytes(x->type), x->data, dy->data, dx->data);
  if (!dy->data) {
    zero_gradients(call);
    return;
  }
  affine_gradients(call, vectors);
  if (!dx->data) return;
  with_rows(x->type, width, vectors, [&](auto zero, auto lanes, auto hold) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    constexpr bool HOLD = decltype(hold)::value;
    unsigned grid = grid_blocks(input_gradient<T, N, HOLD>, THREADS, 0, (rows + ROWS - 1) / ROWS);
    LAUNCH((input_gradient<T, N, HOLD>), grid, THREADS, 0, call->stream, rows, (int)width,
           data_of<const float>(&call->in[IN_GAMMA]), data_of<const T>(x), data_of<const T>(dy),
           data_of<const float>(&call->out[OUT_MEAN]), data_of<const float>(&call->out[OUT_RSTD]),
           adds_to(call, IN_X), data_of<T>(dx));
  });
}

static bool prepare(Call *call, Error *) {
  if (call->backward) call->scratch_bytes = column_sums_scratch(tensor_last(&call->in[IN_X]), 2);
  return true;
}

CUDA_KERNEL(layer_norm) = {.forward = forward,
                           .backward = backward,
                           .prepare = prepare,
                           .bf16 = SAVES_IN(IN_X) | SAVES_OUT(OUT_Y),
                           .bf16_together = true,
                           .adds = SAVES_IN(IN_X)};
