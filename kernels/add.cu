/* Addition with a repeated second operand: a grid-stride loop over units of eight numbers, bound by
 * memory. Each operand has its own storage type, so that what is added to a feature map in BF16 (a
 * parameter, a position) does not keep the map in float. The gradient of a short operand (a bias)
 * is a sum over columns, that of a long one (a position encoding) is summed by one thread a unit,
 * which writes the other gradient on its way. */
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/rows.h"

enum { IN_A, IN_B };
static constexpr int THREADS = 256;
static constexpr int64_t SHORT = 4096; /* elements of an operand summed by column_sums */

/* Addition of scale b. Unit i of b belongs to unit i mod period of a. In place, y is a. */
template <int N, typename A, typename B, typename Y>
static __global__ void __launch_bounds__(THREADS)
    add_repeated(int64_t count, int64_t period, const A *a, float scale, const B *b, Y *y) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < count; i += step) {
    int64_t k = i < period ? i : i % period;
    float v[N], w[N];
    load_numbers<N>(a + i * N, v);
    load_numbers<N>(b + k * N, w);
#pragma unroll
    for (int j = 0; j < N; j++) v[j] += scale * w[j];
    store_numbers<N>(y + i * N, v);
  }
}

/* db is the sum of the repeats times `scale`, da dy itself; NULL: not wanted, or there already.
 * Each may be added to what is there. */
template <int N, typename Y, typename A, typename B>
static __global__ void __launch_bounds__(THREADS)
    share_gradient(int64_t count, int64_t period, const Y *dy, bool adds_a, A *da, float scale,
                   bool adds_b, B *db) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t j = first; j < period; j += step) {
    float sum[N] = {}, v[N], there[N];
    if (adds_b) load_numbers<N>(db + j * N, sum);
    for (int64_t i = j; i < count; i += period) {
      load_numbers<N>(dy + i * N, v);
#pragma unroll
      for (int k = 0; k < N; k++) sum[k] += scale * v[k];
      if (!da) continue;
      if (adds_a) {
        load_numbers<N>(da + i * N, there);
#pragma unroll
        for (int k = 0; k < N; k++) v[k] += there[k];
      }
      store_numbers<N>(da + i * N, v);
    }
    store_numbers<N>(db + j * N, sum);
  }
}

template <int N, typename A, typename B, typename Y>
static void add_launch(const Call *call, int64_t count, int64_t period) {
  LAUNCH((add_repeated<N, A, B, Y>),
         grid_blocks(add_repeated<N, A, B, Y>, THREADS, 0, count / N / THREADS + 1), THREADS, 0,
         call->stream, count / N, period / N, data_of<const A>(&call->in[IN_A]),
         (float)add_scale(call), data_of<const B>(&call->in[IN_B]), data_of<Y>(&call->out[0]));
}

static void forward(const Call *call) {
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B], *y = &call->out[0];
  int64_t count = tensor_count(a), period = tensor_count(b);
  bool units = period % ROWS_UNIT == 0 && vectors_fit(0, 0, a->data, b->data, y->data);
  with_type(a->type, [&](auto a_zero) {
    with_type(b->type, [&](auto b_zero) {
      with_type(y->type, [&](auto y_zero) {
        using A = decltype(a_zero);
        using B = decltype(b_zero);
        using Y = decltype(y_zero);
        if (units)
          add_launch<ROWS_UNIT, A, B, Y>(call, count, period);
        else
          add_launch<1, A, B, Y>(call, count, period);
      });
    });
  });
}

/* column_sums writes float: BF16 operands, which are no parameters, go the plain way, and what is
 * scaled, which is no bias. */
static bool by_columns(const Call *call) {
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B];
  int64_t period = tensor_count(b);
  return b->type == F32 && period <= SHORT && tensor_count(a) / period > 32 && add_scale(call) == 1;
}

template <int N, typename Y, typename A, typename B>
static void share_launch(const Call *call, bool wants_a) {
  const Tensor *dy = &call->dout[0], *db = &call->din[IN_B];
  int64_t count = tensor_count(dy) / N, period = tensor_count(db) / N;
  LAUNCH((share_gradient<N, Y, A, B>),
         grid_blocks(share_gradient<N, Y, A, B>, THREADS, 0, period / THREADS + 1), THREADS, 0,
         call->stream, count, period, data_of<const Y>(dy), adds_to(call, IN_A),
         wants_a ? data_of<A>(&call->din[IN_A]) : NULL, (float)add_scale(call), adds_to(call, IN_B),
         data_of<B>(db));
}

/* Both gradients in one walk over dy. */
static void both_gradients(const Call *call, bool wants_a) {
  const Tensor *dy = &call->dout[0], *da = &call->din[IN_A], *db = &call->din[IN_B];
  bool units = tensor_count(db) % ROWS_UNIT == 0 && vectors_fit(0, 0, dy->data, da->data, db->data);
  with_type(dy->type, [&](auto y_zero) {
    with_type(call->in[IN_A].type, [&](auto a_zero) {
      with_type(db->type, [&](auto b_zero) {
        using Y = decltype(y_zero);
        using A = decltype(a_zero);
        using B = decltype(b_zero);
        if (units)
          share_launch<ROWS_UNIT, Y, A, B>(call, wants_a);
        else
          share_launch<1, Y, A, B>(call, wants_a);
      });
    });
  });
}

static void backward(const Call *call) {
  const Tensor *dy = &call->dout[0], *da = &call->din[IN_A], *db = &call->din[IN_B];
  int64_t count = tensor_count(dy), period = tensor_count(&call->in[IN_B]);
  bool wants_a = da->data && da->data != dy->data;
  if (!dy->data) {
    zero_gradients(call);
    return;
  }
  if (db->data && !by_columns(call)) {
    both_gradients(call, wants_a);
    return;
  }
  if (db->data)
    bias_gradient(call->stream, dy->type, count / period, period, dy->data, call->scratch,
                  data_of<float>(db), adds_to(call, IN_B));
  if (!wants_a) return;
  if (da->type == dy->type && !adds_to(call, IN_A))
    copy_bytes(call, da->data, dy->data, tensor_bytes(dy));
  else
    cast(call->stream, count, dy->type, dy->data, da->type, da->data, adds_to(call, IN_A));
}

static bool prepare(Call *call, Error *) {
  if (call->backward && by_columns(call))
    call->scratch_bytes = column_sums_scratch(tensor_count(&call->in[IN_B]), 1);
  return true;
}

CUDA_KERNEL(add) = {.forward = forward,
                    .backward = backward,
                    .prepare = prepare,
                    .bf16 = SAVES_IN(IN_A) | SAVES_IN(IN_B) | SAVES_OUT(0),
                    .adds = SAVES_IN(IN_A) | SAVES_IN(IN_B)};
