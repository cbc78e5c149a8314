/* Attention as a framework without a fused kernel computes it, to measure what that costs: whole
 * score matrices (N, heads, Tq, Tk), the probabilities kept, their gradient as large again. */
#ifndef KERNELS_CUDA_ATTENTION_NAIVE_H
#define KERNELS_CUDA_ATTENTION_NAIVE_H

#include "kernels/cuda/attention_heads.h"

static constexpr int PRODUCT = 16, SCORE_THREADS = 128;

namespace {
/* A matrix of each (n, head): element (i, j) at n * sample + head * of_head + i * row + j *
 * column. */
template <typename T> struct Operand {
  T *data;
  int64_t sample, of_head, row, column;
};
} // namespace

template <typename T>
static __device__ __forceinline__ T *operand_at(const Heads &h, const Operand<T> &m) {
  return m.data + (int64_t)(blockIdx.z / (unsigned)h.heads) * m.sample +
         (int64_t)(blockIdx.z % (unsigned)h.heads) * m.of_head;
}

/* c (rows, columns) = scale a (rows, inner) b (inner, columns). */
template <typename A, typename B, typename C>
static __global__ void __launch_bounds__(PRODUCT *PRODUCT)
    product(Heads h, int rows, int columns, int inner, float scale, Operand<const A> a,
            Operand<const B> b, Operand<C> c) {
  SHARED(float, left, [PRODUCT][PRODUCT + 1]);
  SHARED(float, right, [PRODUCT][PRODUCT + 1]);
  int x = (int)threadIdx.x % PRODUCT, y = (int)threadIdx.x / PRODUCT;
  int64_t i = (int64_t)blockIdx.y * PRODUCT, j = (int64_t)blockIdx.x * PRODUCT;
  const A *from_a = operand_at(h, a);
  const B *from_b = operand_at(h, b);
  float sum = 0;
  for (int64_t k = 0; k < inner; k += PRODUCT) {
    __syncthreads();
    left[y][x] =
        i + y < rows && k + x < inner ? load(from_a + (i + y) * a.row + (k + x) * a.column) : 0;
    right[y][x] =
        k + y < inner && j + x < columns ? load(from_b + (k + y) * b.row + (j + x) * b.column) : 0;
    __syncthreads();
#pragma unroll
    for (int s = 0; s < PRODUCT; s++) sum += left[y][s] * right[s][x];
  }
  if (i + y < rows && j + x < columns)
    store(operand_at(h, c) + (i + y) * c.row + (j + x) * c.column, scale * sum);
}

/* blockIdx.x: a query. Scores to probabilities, in place. */
static __global__ void __launch_bounds__(SCORE_THREADS) scores_soften(Heads h, float *scores) {
  SHARED(float, shared, [WARP]);
  int query = (int)blockIdx.x;
  float *s = scores + head_row(h, query) * h.keys, top = -INFINITY, total = 0;
  for (int t = (int)threadIdx.x; t < h.keys; t += SCORE_THREADS)
    if (key_open(h, query, t)) top = fmaxf(top, s[t]);
  top = block_max(top, shared);
  for (int t = (int)threadIdx.x; t < h.keys; t += SCORE_THREADS) {
    s[t] = key_open(h, query, t) ? expf(s[t] - top) : 0;
    total += s[t];
  }
  total = block_sum(total, shared);
  for (int t = (int)threadIdx.x; t < h.keys; t += SCORE_THREADS) s[t] /= total;
}

/* ds = p (dp - delta), in place of dp. */
static __global__ void __launch_bounds__(SCORE_THREADS)
    scores_gradient(Heads h, const float *p, const float *delta, float *ds) {
  int64_t row = head_row(h, (int)blockIdx.x);
  for (int t = (int)threadIdx.x; t < h.keys; t += SCORE_THREADS)
    ds[row * h.keys + t] = p[row * h.keys + t] * (ds[row * h.keys + t] - delta[row]);
}

/* ---- on the host ----------------------------------------------------------------------------- */

template <typename T>
static inline Operand<T> tokens_operand(const Heads &h, T *data, int count, bool transposed) {
  return {data, (int64_t)count * h.width, h.size, transposed ? 1 : h.width,
          transposed ? h.width : 1};
}

template <typename T>
static inline Operand<T> scores_operand(const Heads &h, T *data, bool transposed) {
  int64_t size = (int64_t)h.queries * h.keys;
  return {data, h.heads * size, size, transposed ? 1 : h.keys, transposed ? h.keys : 1};
}

template <typename A, typename B, typename C>
static inline void product_launch(const Heads &h, void *stream, int rows, int columns, int inner,
                                  float scale, const Operand<A> &a, const Operand<B> &b,
                                  const Operand<C> &c) {
  dim3 grid((unsigned)(columns + PRODUCT - 1) / PRODUCT, (unsigned)(rows + PRODUCT - 1) / PRODUCT,
            (unsigned)h.samples * (unsigned)h.heads);
  LAUNCH((product<std::remove_const_t<A>, std::remove_const_t<B>, C>), grid, PRODUCT * PRODUCT, 0,
         stream, h, rows, columns, inner, scale, a, b, c);
}

template <typename T>
static inline void naive_forward(const Heads &h, void *stream, const T *q, const T *k, const T *v,
                                 T *y, float *p) {
  product_launch(h, stream, h.queries, h.keys, h.size, h.scale,
                 tokens_operand(h, q, h.queries, false), tokens_operand(h, k, h.keys, true),
                 scores_operand(h, p, false));
  dim3 grid((unsigned)h.queries, 1, (unsigned)h.samples * (unsigned)h.heads);
  LAUNCH(scores_soften, grid, SCORE_THREADS, 0, stream, h, p);
  product_launch(h, stream, h.queries, h.size, h.keys, 1.f,
                 scores_operand<const float>(h, p, false), tokens_operand(h, v, h.keys, false),
                 tokens_operand(h, y, h.queries, false));
}

/* ds: scratch like p. */
template <typename T>
static inline void naive_backward(const Heads &h, void *stream, const T *q, const T *k, const T *v,
                                  const T *dy, const float *p, const float *delta, float *ds, T *dq,
                                  T *dk, T *dv) {
  product_launch(h, stream, h.queries, h.keys, h.size, 1.f, tokens_operand(h, dy, h.queries, false),
                 tokens_operand(h, v, h.keys, true), scores_operand(h, ds, false));
  dim3 grid((unsigned)h.queries, 1, (unsigned)h.samples * (unsigned)h.heads);
  LAUNCH(scores_gradient, grid, SCORE_THREADS, 0, stream, h, p, delta, ds);
  if (dq)
    product_launch(h, stream, h.queries, h.size, h.keys, h.scale,
                   scores_operand<const float>(h, ds, false), tokens_operand(h, k, h.keys, false),
                   tokens_operand(h, dq, h.queries, false));
  if (dk)
    product_launch(h, stream, h.keys, h.size, h.queries, h.scale,
                   scores_operand<const float>(h, ds, true), tokens_operand(h, q, h.queries, false),
                   tokens_operand(h, dk, h.keys, false));
  if (dv)
    product_launch(h, stream, h.keys, h.size, h.queries, 1.f, scores_operand(h, p, true),
                   tokens_operand(h, dy, h.queries, false), tokens_operand(h, dv, h.keys, false));
}

#endif
