/* What all forms of attention on the GPU share: sizes, the mask as bits, the sum of the parts into
 * which the keys are split. blockIdx.z is always n * heads + head. */
#ifndef KERNELS_CUDA_ATTENTION_HEADS_H
#define KERNELS_CUDA_ATTENTION_HEADS_H

#include "kernels/cuda/vector.h"
#include "kernels/cuda/warp.h"

namespace {
struct Heads {
  int64_t samples;
  int heads, size, width; /* size: channels a head */
  int queries, keys;
  int splits, span; /* parts of the keys, keys a part */
  float scale;
  const unsigned *open; /* (N, Tq, words): bit t % 32 of word t / 32: key t is open; NULL: all */
  int words;
};
} // namespace

static __device__ __forceinline__ int64_t query_row(const Heads &h, int query) {
  return (int64_t)(blockIdx.z / (unsigned)h.heads) * h.queries + query;
}

/* First element of a head's row of (N, count, E). */
static __device__ __forceinline__ int64_t head_element(const Heads &h, int count, int row) {
  return ((int64_t)(blockIdx.z / (unsigned)h.heads) * count + row) * h.width +
         (int64_t)(blockIdx.z % (unsigned)h.heads) * h.size;
}

/* Row of (N, heads, Tq). */
static __device__ __forceinline__ int64_t head_row(const Heads &h, int query) {
  return (int64_t)blockIdx.z * h.queries + query;
}

static __device__ __forceinline__ bool key_open(const Heads &h, int query, int key) {
  return !h.open || (h.open[query_row(h, query) * h.words + key / 32] >> key % 32 & 1);
}

/* ---- the mask, once for all heads --------------------------------------------------------------
 */

static constexpr int MASK_THREADS = 128;

/* blockIdx.x: 32 keys; a thread takes a query: neighbours read neighbours. */
template <typename T>
static __global__ void __launch_bounds__(MASK_THREADS)
    mask_bits(Heads h, const T *mask, unsigned *open) {
  int first = (int)blockIdx.x * 32, n = (int)blockIdx.z;
  int query = (int)blockIdx.y * MASK_THREADS + (int)threadIdx.x;
  unsigned word = 0;
  if (query >= h.queries) return;
  const T *at = mask + ((int64_t)n * h.keys + first) * h.queries + query;
#pragma unroll 8
  for (int i = 0; i < min(32, h.keys - first); i++)
    word |= (load(at + (int64_t)i * h.queries) >= 0 ? 1u : 0u) << i;
  open[((int64_t)n * h.queries + query) * h.words + blockIdx.x] = word;
}

/* A warp a query: one without an open key sees all. */
static __global__ void __launch_bounds__(MASK_THREADS)
    mask_empty(int64_t rows, int words, unsigned *open) {
  int64_t row = ((int64_t)blockIdx.x * MASK_THREADS + threadIdx.x) / WARP;
  bool any = false;
  if (row >= rows) return;
  unsigned *at = open + row * words;
  for (int i = (int)threadIdx.x % WARP; i < words; i += WARP) any = any || at[i];
  if (__any_sync(WARP_ALL, any)) return;
  for (int i = (int)threadIdx.x % WARP; i < words; i += WARP) at[i] = ~0u;
}

/* ---- adding up the parts of the keys ------------------------------------------------------------
 */

/* part (splits, rows, size): sums of e^(s - top) v; tops, totals (splits, rows). out: y, lse. */
template <typename T>
static __global__ void __launch_bounds__(128)
    context_combine(Heads h, const float *part, const float *tops, const float *totals, T *y,
                    float *lse) {
  int query = (int)blockIdx.x, c = (int)threadIdx.x;
  int64_t row = head_row(h, query), rows = (int64_t)gridDim.z * h.queries;
  float top = -INFINITY, total = 0;
  for (int s = 0; s < h.splits; s++) top = fmaxf(top, tops[s * rows + row]);
  for (int s = 0; s < h.splits; s++)
    total += totals[s * rows + row] * expf(tops[s * rows + row] - top);
  for (; c < h.size; c += (int)blockDim.x) {
    float sum = 0;
    for (int s = 0; s < h.splits; s++)
      sum += part[(s * rows + row) * h.size + c] * expf(tops[s * rows + row] - top);
    store(y + head_element(h, h.queries, query) + c, sum / total);
  }
  if (threadIdx.x == 0) lse[row] = top + logf(total);
}

/* out (N, Tq, E) = sum of part (splits, N heads Tq, size). */
template <typename T>
static __global__ void __launch_bounds__(128) rows_combine(Heads h, const float *part, T *out) {
  int64_t row = head_row(h, (int)blockIdx.x), rows = (int64_t)gridDim.z * h.queries;
  for (int c = (int)threadIdx.x; c < h.size; c += (int)blockDim.x) {
    float sum = 0;
    for (int s = 0; s < h.splits; s++) sum += part[(s * rows + row) * h.size + c];
    store(out + head_element(h, h.queries, (int)blockIdx.x) + c, sum);
  }
}

/* delta (N, heads, Tq) = y . dy of each head; a warp a row. */
template <typename T>
static __global__ void __launch_bounds__(128)
    row_products(Heads h, const T *y, const T *dy, float *delta) {
  int query = (int)(blockIdx.x * 128 + threadIdx.x) / WARP;
  float sum = 0;
  if (query >= h.queries) return;
  int64_t at = head_element(h, h.queries, query);
  for (int c = (int)threadIdx.x % WARP; c < h.size; c += WARP)
    sum += load(y + at + c) * load(dy + at + c);
  sum = warp_sum(sum);
  if (threadIdx.x % WARP == 0) delta[head_row(h, query)] = sum;
}

#endif
