/* Product with a repeated second operand: a grid-stride loop over units of eight numbers, bound by
 * memory. Each operand has its own storage type: a parameter does not keep the map in float. The
 * gradient of a repeated b is a sum over its repeats: by column_sums where there are few such
 * sums, by a warp where the repeats lie side by side, else by one thread. */
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/warp.h"

extern "C" {
#include "kernels/multiply.h"
}

enum { IN_A, IN_B };
static constexpr int THREADS = 256;
static constexpr int64_t FEW = 64, SHORT = 4096; /* blocks outer, numbers inner, of column_sums */

namespace {
/* What b is multiplied by, and how it is repeated, in numbers. rows: b is one number a row. */
struct Factor {
  bool sigmoid, rows;
  float plus;
  int64_t repeats, inner;
};
} // namespace

static Factor factor_of(const Call *call, MultiplySizes *s) {
  const MultiplyOptions *o = static_cast<const MultiplyOptions *>(call->options);
  CHECK(multiply_sizes(&call->in[IN_A], &call->in[IN_B], s), "multiply: shapes");
  return {o->sigmoid != 0, s->inner == 1 && s->repeats > 1, (float)o->plus, s->repeats, s->inner};
}

static __device__ __forceinline__ float factor(const Factor &f, float b) {
  return (f.sigmoid ? 1 / (1 + expf(-b)) : b) + f.plus;
}

static __device__ __forceinline__ float slope(bool sigmoid, float b) {
  if (!sigmoid) return 1;
  float e = expf(-fabsf(b)), r = 1 / (1 + e);
  return e * r * r;
}

/* The number of b that belongs to number i of a. */
static __device__ __forceinline__ int64_t of_b(const Factor &f, int64_t i) {
  if (f.repeats == 1) return i;
  int64_t row = i / f.inner, outer = row / f.repeats;
  return outer * f.inner + (i - row * f.inner);
}

/* y = x f(b), or added to y. In place, y is x. */
template <int N, typename X, typename B, typename Y>
static __global__ void __launch_bounds__(THREADS)
    multiply_by(int64_t units, Factor f, const X *x, const B *b, bool adds, Y *y) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < units; i += step) {
    float v[N], w[N], there[N] = {};
    load_numbers<N>(x + i * N, v);
    if (f.rows)
      w[0] = load(b + of_b(f, i * N));
    else
      load_numbers<N>(b + of_b(f, i * N), w);
    if (adds) load_numbers<N>(y + i * N, there);
#pragma unroll
    for (int k = 0; k < N; k++) v[k] = v[k] * factor(f, w[f.rows ? 0 : k]) + there[k];
    store_numbers<N>(y + i * N, v);
  }
}

template <typename B>
static __device__ __forceinline__ void store_gradient(bool sigmoid, const B *b, float sum,
                                                      bool adds, B *db) {
  float gradient = sigmoid ? sum * slope(true, load(b)) : sum;
  store(db, adds ? load(db) + gradient : gradient);
}

/* A thread N neighbouring numbers of b. */
template <int N, typename Y, typename A, typename B>
static __global__ void __launch_bounds__(THREADS)
    sum_repeats(int64_t units, Factor f, const Y *dy, const A *a, const B *b, bool adds, B *db) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < units; i += step) {
    int64_t outer = i * N / f.inner, start = outer * f.repeats * f.inner + i * N - outer * f.inner;
    float sum[N] = {}, v[N], w[N];
    for (int64_t r = 0; r < f.repeats; r++) {
      load_numbers<N>(dy + start + r * f.inner, v);
      load_numbers<N>(a + start + r * f.inner, w);
#pragma unroll
      for (int k = 0; k < N; k++) sum[k] += v[k] * w[k];
    }
#pragma unroll
    for (int k = 0; k < N; k++)
      store_gradient(f.sigmoid, f.sigmoid ? b + i * N + k : b, sum[k], adds, db + i * N + k);
  }
}

/* A warp a number of b, whose repeats lie side by side. */
template <int N, typename Y, typename A, typename B>
static __global__ void __launch_bounds__(THREADS)
    sum_rows(int64_t rows, Factor f, const Y *dy, const A *a, const B *b, bool adds, B *db) {
  int64_t warp = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / WARP;
  int64_t warps = (int64_t)gridDim.x * THREADS / WARP;
  int lane = (int)threadIdx.x % WARP;
  for (int64_t row = warp; row < rows; row += warps) {
    float sum = 0, v[N], w[N];
    for (int64_t i = lane; i < f.repeats / N; i += WARP) {
      load_numbers<N>(dy + row * f.repeats + i * N, v);
      load_numbers<N>(a + row * f.repeats + i * N, w);
#pragma unroll
      for (int k = 0; k < N; k++) sum += v[k] * w[k];
    }
    sum = warp_sum(sum);
    if (lane == 0) store_gradient(f.sigmoid, f.sigmoid ? b + row : b, sum, adds, db + row);
  }
}

namespace {
/* dy a, by columns. */
template <typename Y, typename A> struct Products {
  const Y *dy;
  const A *a;
  int64_t width;
  template <int N>
  __device__ __forceinline__ void at(int64_t, int64_t row, int column, Floats<N> *term) const {
    float w[N];
    load_numbers<N>(dy + row * width + column, term[0].v);
    load_numbers<N>(a + row * width + column, w);
#pragma unroll
    for (int k = 0; k < N; k++) term[0].v[k] *= w[k];
  }
};

template <typename B> struct GradientOut {
  bool sigmoid, adds;
  const B *b; /* read only if sigmoid */
  B *db;
  __device__ __forceinline__ void done(int64_t at, const float (&value)[1]) const {
    store_gradient(sigmoid, sigmoid ? b + at : b, value[0], adds, db + at);
  }
};
} // namespace

static bool by_columns(const MultiplySizes *s) {
  return s->outer <= FEW && s->inner <= SHORT && s->repeats > 32;
}

/* ---- launches -------------------------------------------------------------------------------- */

template <typename F> static void with_types(DType a, DType b, DType c, F launch) {
  with_type(a, [&](auto a_zero) {
    with_type(b, [&](auto b_zero) {
      with_type(c, [&](auto c_zero) { launch(a_zero, b_zero, c_zero); });
    });
  });
}

static void times_factor(const Call *call, const Tensor *x, bool adds, const Tensor *y) {
  const Tensor *b = &call->in[IN_B];
  MultiplySizes s;
  Factor f = factor_of(call, &s);
  bool units = (f.rows ? s.repeats : s.inner) % ROWS_UNIT == 0 &&
               vectors_fit(0, 0, x->data, y->data, f.rows ? NULL : b->data);
  int64_t count = tensor_count(x);
  with_types(x->type, b->type, y->type, [&](auto x_zero, auto b_zero, auto y_zero) {
    using X = decltype(x_zero);
    using B = decltype(b_zero);
    using Y = decltype(y_zero);
    auto launch = [&](auto kernel, int64_t items) {
      LAUNCH(kernel, grid_blocks(kernel, THREADS, 0, items / THREADS + 1), THREADS, 0, call->stream,
             items, f, data_of<const X>(x), data_of<const B>(b), adds, data_of<Y>(y));
    };
    if (units)
      launch(multiply_by<ROWS_UNIT, X, B, Y>, count / ROWS_UNIT);
    else
      launch(multiply_by<1, X, B, Y>, count);
  });
}

static void forward(const Call *call) {
  times_factor(call, &call->in[IN_A], false, &call->out[0]);
}

template <typename Y, typename A, typename B>
static void gradient_of_b(const Call *call, const MultiplySizes *s, const Factor &f) {
  const Y *dy = data_of<const Y>(&call->dout[0]);
  const A *a = data_of<const A>(&call->in[IN_A]);
  const B *b = data_of<const B>(&call->in[IN_B]);
  B *db = data_of<B>(&call->din[IN_B]);
  bool adds = adds_to(call, IN_B), aligned = vectors_fit(0, 0, dy, a);
  auto launch = [&](auto kernel, int64_t items, int threads_each) {
    int64_t blocks = items * threads_each / THREADS + 1;
    LAUNCH(kernel, grid_blocks(kernel, THREADS, 0, blocks), THREADS, 0, call->stream, items, f, dy,
           a, b, adds, db);
  };
  int64_t table = s->outer * s->inner;
  if (by_columns(s))
    column_sums<1, ROWS_UNIT>(call->stream, s->repeats, s->inner,
                              s->inner % ROWS_UNIT == 0 && aligned, Products<Y, A>{dy, a, s->inner},
                              call->scratch, GradientOut<B>{f.sigmoid, adds, b, db}, s->outer);
  else if (f.rows && s->repeats % ROWS_UNIT == 0 && aligned)
    launch(sum_rows<ROWS_UNIT, Y, A, B>, table, WARP);
  else if (f.rows)
    launch(sum_rows<1, Y, A, B>, table, WARP);
  else if (s->inner % ROWS_UNIT == 0 && aligned)
    launch(sum_repeats<ROWS_UNIT, Y, A, B>, table / ROWS_UNIT, 1);
  else
    launch(sum_repeats<1, Y, A, B>, table, 1);
}

/* db first: in place da is dy. */
static void backward(const Call *call) {
  const Tensor *dy = &call->dout[0], *da = &call->din[IN_A], *db = &call->din[IN_B];
  MultiplySizes s;
  Factor f = factor_of(call, &s);
  if (!dy->data) {
    zero_gradients(call);
    return;
  }
  if (db->data)
    with_types(dy->type, call->in[IN_A].type, db->type, [&](auto y_zero, auto a_zero, auto b_zero) {
      gradient_of_b<decltype(y_zero), decltype(a_zero), decltype(b_zero)>(call, &s, f);
    });
  if (da->data) times_factor(call, dy, adds_to(call, IN_A), da);
}

static bool prepare(Call *call, Error *) {
  MultiplySizes s;
  factor_of(call, &s);
  if (call->backward && wants_of(call, IN_B) && by_columns(&s))
    call->scratch_bytes = column_sums_scratch(s.inner, 1, s.outer);
  return true;
}

CUDA_KERNEL(multiply) = {.forward = forward,
                         .backward = backward,
                         .prepare = prepare,
                         .bf16 = SAVES_IN(IN_A) | SAVES_IN(IN_B) | SAVES_OUT(0),
                         .adds = SAVES_IN(IN_A) | SAVES_IN(IN_B)};
