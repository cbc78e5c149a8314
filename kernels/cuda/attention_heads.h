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

/* ---- the mask, once for all heads ------------------------------------------------------------ */

static constexpr int MASK_THREADS = 128;

/* Words of keys that a block takes: few queries leave threads for several. */
static __host__ __device__ __forceinline__ int mask_words(int queries) {
  return queries < MASK_THREADS ? MASK_THREADS / queries : 1;
}

/* blockIdx.x: mask_words words of 32 keys, .y: MASK_THREADS queries; a thread takes a word of a
 * query: neighbours read neighbours. */
template <typename T>
static __global__ void __launch_bounds__(MASK_THREADS)
    mask_bits(Heads h, const T *mask, unsigned *open) {
  int tile = min(MASK_THREADS, h.queries), side = mask_words(h.queries), n = (int)blockIdx.z;
  int at_word = (int)blockIdx.x * side + (int)threadIdx.x / tile, first = at_word * 32;
  int query = (int)blockIdx.y * MASK_THREADS + (int)threadIdx.x % tile;
  unsigned word = 0;
  if (query >= h.queries || at_word >= h.words || (int)threadIdx.x / tile >= side) return;
  const T *at = mask + ((int64_t)n * h.keys + first) * h.queries + query;
#pragma unroll 8
  for (int i = 0; i < min(32, h.keys - first); i++)
    word |= (load(at + (int64_t)i * h.queries) >= 0 ? 1u : 0u) << i;
  open[((int64_t)n * h.queries + query) * h.words + at_word] = word;
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

/* ---- adding up the parts of the keys --------------------------------------------------------- */

static constexpr int COMBINE_THREADS = 128;

/* out (size) = scale * sum over the parts s of weight(s) part[s] (splits, rows, size) at `row`: the
 * block's threads share channels and parts, whose sums are added in a fixed order. */
template <typename T, typename F>
static __device__ __forceinline__ void parts_add(const Heads &h, const float *part, int64_t row,
                                                 int64_t rows, float scale, T *out, F weight) {
  SHARED(float, shared, [COMBINE_THREADS]);
  int tile = min(COMBINE_THREADS, h.size), side = COMBINE_THREADS / tile;
  int group = (int)threadIdx.x / tile;
  for (int start = 0; start < h.size; start += tile) {
    int c = start + (int)threadIdx.x % tile;
    float sum = 0;
    if (c < h.size && group < side)
#pragma unroll 4
      for (int s = group; s < h.splits; s += side)
        sum += part[(s * rows + row) * h.size + c] * weight(s);
    __syncthreads();
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (group > 0 || c >= h.size) continue;
    for (int g = 1; g < side; g++) sum += shared[g * tile + (int)threadIdx.x];
    store(out + c, sum * scale);
  }
}

/* part (splits, rows, size): sums of e^(s - top) v; tops, totals (splits, rows). out: y, lse. */
template <typename T>
static __global__ void __launch_bounds__(COMBINE_THREADS)
    context_combine(Heads h, const float *part, const float *tops, const float *totals, T *y,
                    float *lse) {
  SHARED(float, warps, [WARP]);
  int query = (int)blockIdx.x;
  int64_t row = head_row(h, query), rows = (int64_t)gridDim.z * h.queries;
  float top = -INFINITY, total = 0;
  for (int s = (int)threadIdx.x; s < h.splits; s += COMBINE_THREADS)
    top = fmaxf(top, tops[s * rows + row]);
  top = block_max(top, warps);
  for (int s = (int)threadIdx.x; s < h.splits; s += COMBINE_THREADS)
    total += totals[s * rows + row] * expf(tops[s * rows + row] - top);
  total = block_sum(total, warps);
  parts_add(h, part, row, rows, 1 / total, y + head_element(h, h.queries, query),
            [&](int s) { return expf(tops[s * rows + row] - top); });
  if (threadIdx.x == 0) lse[row] = top + logf(total);
}

/* out (N, Tq, E) = sum of part (splits, N heads Tq, size). */
template <typename T>
static __global__ void __launch_bounds__(COMBINE_THREADS)
    rows_combine(Heads h, const float *part, T *out) {
  parts_add(h, part, head_row(h, (int)blockIdx.x), (int64_t)gridDim.z * h.queries, 1.f,
            out + head_element(h, h.queries, (int)blockIdx.x), [](int) { return 1.f; });
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
