/* Addition with a repeated second operand: a grid-stride loop over 16-byte vectors, bound by
 * memory. The gradient of a short operand (a bias) is a sum over columns, that of a long one (a
 * position encoding) is summed by one thread an element. */
#include "kernels/cuda/column_sums.h"

enum { IN_A, IN_B };
static constexpr int THREADS = 256;
static constexpr int64_t SHORT = 4096; /* elements of an operand summed by column_sums */

/* Vector i of b belongs to vector i mod period of a. In place, y is a. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    add_repeated(int64_t count, int64_t period, const T *a, const T *b, T *y) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < count; i += step) {
    Floats<N> v = load_lanes<N>(a + i * N);
    Floats<N> w = load_lanes<N>(b + (i < period ? i : i % period) * N);
#pragma unroll
    for (int k = 0; k < N; k++) v.v[k] += w.v[k];
    store_lanes<N>(y + i * N, v);
  }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    sum_repeats(int64_t count, int64_t period, const T *dy, T *db) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t j = first; j < period; j += step) {
    float sum = 0;
    for (int64_t i = j; i < count; i += period) sum += load(dy + i);
    store(db + j, sum);
  }
}

namespace {
template <typename T> struct Gradient {
  const T *dy;
  int64_t width;
  template <int N>
  __device__ __forceinline__ void at(int64_t, int64_t row, int column, Floats<N> *term) const {
    term[0] = load_lanes<N>(dy + row * width + column);
  }
};
} // namespace

static void forward(const Call *call) {
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B], *y = &call->out[0];
  int64_t count = tensor_count(a), period = tensor_count(b);
  bool vectors = vectors_fit(period, dtype_bytes(a->type), a->data, b->data, y->data);
  with_type(a->type, [&](auto zero) {
    using T = decltype(zero);
    constexpr int N = Lanes<T>::COUNT;
    if (vectors)
      LAUNCH((add_repeated<T, N>),
             grid_blocks(add_repeated<T, N>, THREADS, 0, count / N / THREADS + 1), THREADS, 0,
             call->stream, count / N, period / N, data_of<const T>(a), data_of<const T>(b),
             data_of<T>(y));
    else
      LAUNCH((add_repeated<T, 1>), grid_blocks(add_repeated<T, 1>, THREADS, 0, count / THREADS + 1),
             THREADS, 0, call->stream, count, period, data_of<const T>(a), data_of<const T>(b),
             data_of<T>(y));
  });
}

/* column_sums writes float: BF16 operands, which are no parameters, go the plain way. */
static bool by_columns(const Call *call) {
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B];
  int64_t period = tensor_count(b);
  return b->type == F32 && period <= SHORT && tensor_count(a) / period > 32;
}

static void repeated_gradient(const Call *call) {
  const Tensor *dy = &call->dout[0], *db = &call->din[IN_B];
  int64_t count = tensor_count(dy), period = tensor_count(db);
  if (by_columns(call)) {
    Gradient<float> gradient = {data_of<const float>(dy), period};
    ColumnOut<1> out = {{data_of<float>(db)}};
    column_sums<1, 4>(call->stream, count / period, period,
                      vectors_fit(period, sizeof(float), dy->data), gradient, call->scratch, out);
    return;
  }
  with_type(dy->type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(sum_repeats<T>, grid_blocks(sum_repeats<T>, THREADS, 0, period / THREADS + 1), THREADS,
           0, call->stream, count, period, data_of<const T>(dy), data_of<T>(db));
  });
}

static void backward(const Call *call) {
  const Tensor *dy = &call->dout[0], *da = &call->din[IN_A];
  if (!dy->data) {
    zero_gradients(call);
    return;
  }
  if (call->din[IN_B].data) repeated_gradient(call);
  if (da->data && da->data != dy->data) copy_bytes(call, da->data, dy->data, tensor_bytes(dy));
}

static bool prepare(Call *call, Error *) {
  if (call->backward && by_columns(call))
    call->scratch_bytes = column_sums_scratch(tensor_count(&call->in[IN_B]), 1);
  return true;
}

CUDA_KERNEL(add) = {
    forward, backward, prepare, NULL, SAVES_IN(IN_A) | SAVES_IN(IN_B) | SAVES_OUT(0), true};
