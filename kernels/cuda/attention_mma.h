/* Attention of BF16 operands on tensor cores, head sizes up to 64 that 8 divides: a warp takes 16
 * rows (queries, or keys in the backward pass of keys and values) and walks tiles of 32 tokens of
 * the other side, which the block keeps in shared memory by token and, where a product sums over
 * tokens, by channel. Scores stay in registers: the result of one product is an operand of the
 * next, rounded to BF16; sums, softmax and log-sum-exp are float.
 *
 * Bytes: q, y and their gradients once; k and v once per tile of 64 queries, so once where queries
 * are few (cross-attention, then bound by them), else from the L2 cache and bound by the
 * products. */
#ifndef KERNELS_CUDA_ATTENTION_MMA_H
#define KERNELS_CUDA_ATTENTION_MMA_H

#include "kernels/cuda/attention_heads.h"
#include "kernels/cuda/mma.h"

enum { MMA_ROWS = 16, MMA_TOKENS = 32, MMA_WARPS = 4, MMA_STRIPS = MMA_TOKENS / 8 };
/* Words a row in shared memory: 4 more than there are, so that no two lanes meet in a bank. */
static constexpr int BY_CHANNEL = MMA_TOKENS / 2 + 4;
template <int SIZE> struct Mma {
  static constexpr int BY_TOKEN = SIZE / 2 + 4, STEPS = SIZE / 16;
  static constexpr int TOKENS = MMA_TOKENS * BY_TOKEN / 4; /* a tile by token, in uint4 */
};
static constexpr float LOG2_E = 1.4426950408889634f; /* the exponential is a power of two in one
                                                        instruction, so scores are to base 2 */

static __device__ __forceinline__ unsigned load_word(const bf16 *at) {
  return *reinterpret_cast<const unsigned *>(at);
}

/* 16 rows from `first` as an operand a; rows past the last repeat it. */
template <int SIZE>
static __device__ __forceinline__ void fragment_load(const Heads &h, const bf16 *from, int first,
                                                     int count, unsigned (*a)[4]) {
  int g = (int)threadIdx.x % WARP / 4, t = (int)threadIdx.x % 4;
#pragma unroll
  for (int s = 0; s < SIZE / 16; s++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int row = min(first + g + i % 2 * 8, count - 1), c = s * 16 + 2 * t + i / 2 * 8;
      a[s][i] = c < h.size ? load_word(from + (int64_t)row * h.width + c) : 0;
    }
}

/* Tokens [first, first + 32), zero past `end`, by token and by channel (NULL: not wanted). */
template <int SIZE>
static __device__ __forceinline__ void tokens_load(const Heads &h, const bf16 *from, int first,
                                                   int end, uint4 *by_token, unsigned *by_channel) {
  for (int item = (int)threadIdx.x; item < MMA_TOKENS / 2 * (SIZE / 8); item += (int)blockDim.x) {
    int pair = item % (MMA_TOKENS / 2), c = item / (MMA_TOKENS / 2) * 8;
    unsigned word[2][4] = {};
#pragma unroll
    for (int i = 0; i < 2; i++) {
      uint4 bits = {};
      if (first + 2 * pair + i < end && c < h.size)
        bits = load_bytes(from + (int64_t)(first + 2 * pair + i) * h.width + c);
      word[i][0] = bits.x, word[i][1] = bits.y, word[i][2] = bits.z, word[i][3] = bits.w;
      if (by_token) by_token[(2 * pair + i) * Mma<SIZE>::BY_TOKEN / 4 + c / 8] = bits;
    }
#pragma unroll
    for (int w = 0; by_channel && w < 4; w++) {
      unsigned *at = by_channel + (c + 2 * w) * BY_CHANNEL + pair;
      at[0] = (word[0][w] & 0xffff) | word[1][w] << 16;
      at[BY_CHANNEL] = word[0][w] >> 16 | (word[1][w] & 0xffff0000u);
    }
  }
}

/* s (16 rows, 32 tokens) = a (16, SIZE) times the tokens. */
template <int SIZE>
static __device__ __forceinline__ void rows_times_tokens(const unsigned (*a)[4],
                                                         const uint4 *by_token, float (*s)[4]) {
  int g = (int)threadIdx.x % WARP / 4, t = (int)threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < MMA_STRIPS; n++) {
    const unsigned *at = &by_token[0].x + (n * 8 + g) * Mma<SIZE>::BY_TOKEN + t;
    s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0;
#pragma unroll
    for (int k = 0; k < SIZE / 16; k++) mma(s[n], a[k], at[8 * k], at[8 * k + 4]);
  }
}

/* y (16 rows, SIZE) += p (16, 32 tokens) times the tokens. */
template <int SIZE>
static __device__ __forceinline__ void
scores_times_tokens(const float (*p)[4], const unsigned *by_channel, float (*y)[4]) {
  int g = (int)threadIdx.x % WARP / 4, t = (int)threadIdx.x % 4;
#pragma unroll
  for (int k = 0; k < MMA_TOKENS / 16; k++) {
    const unsigned a[4] = {pack_pair(p[2 * k][0], p[2 * k][1]), pack_pair(p[2 * k][2], p[2 * k][3]),
                           pack_pair(p[2 * k + 1][0], p[2 * k + 1][1]),
                           pack_pair(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
    for (int n = 0; n < SIZE / 8; n++) {
      const unsigned *at = by_channel + (n * 8 + g) * BY_CHANNEL + 8 * k + t;
      mma(y[n], a, at[0], at[4]);
    }
  }
}

/* The warp's rows, from `first`, each times scale[g], scale[g + 8]. */
template <int SIZE, typename T>
static __device__ __forceinline__ void fragment_store(const Heads &h, T *to, int64_t stride,
                                                      int first, int count, const float (*y)[4],
                                                      const float *scale) {
  int g = (int)threadIdx.x % WARP / 4, t = (int)threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < SIZE / 8; n++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int row = first + g + 8 * r, c = n * 8 + 2 * t;
      if (row < count && c < h.size)
        store_pair(to + row * stride + c, y[n][2 * r] * scale[r], y[n][2 * r + 1] * scale[r]);
    }
}

/* Bits of the tile's 32 keys for the warp's rows g and g + 8. */
static __device__ __forceinline__ void tokens_open(const Heads &h, int query, int first,
                                                   unsigned *open) {
  int left = h.keys - first, g = (int)threadIdx.x % WARP / 4;
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int row = min(query + g + 8 * r, h.queries - 1);
    open[r] = h.open ? h.open[query_row(h, row) * h.words + first / 32] : ~0u;
    if (left < 32) open[r] &= (1u << left) - 1;
  }
}

/* Scores to e^(s - top) and totals up to date, top (to base 2) too, what y was shrunk to it. */
template <int SIZE>
static __device__ __forceinline__ void tile_soften(const Heads &h, const unsigned *open,
                                                   float (*s)[4], float *top, float *total,
                                                   float (*y)[4]) {
  int t = (int)threadIdx.x % 4;
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float most = top[r];
#pragma unroll
    for (int i = 0; i < 2 * MMA_STRIPS; i++) {
      float *at = &s[i / 2][2 * r + i % 2];
      *at = open[r] >> (i / 2 * 8 + 2 * t + i % 2) & 1 ? *at * (h.scale * LOG2_E) : -INFINITY;
      most = fmaxf(most, *at);
    }
    most = warp_max<4>(most);
    float base = most > -INFINITY ? most : 0, shrink = exp2f(top[r] - base);
    top[r] = most;
    total[r] *= shrink;
#pragma unroll
    for (int i = 0; i < 2 * MMA_STRIPS; i++) {
      float *at = &s[i / 2][2 * r + i % 2];
      *at = exp2f(*at - base);
      total[r] += *at;
    }
#pragma unroll
    for (int i = 0; i < SIZE / 4; i++) y[i / 2][2 * r + i % 2] *= shrink;
  }
}

/* As rows_forward: blockIdx.x a tile of queries, .y a part of the keys. */
template <int SIZE>
static __global__ void __launch_bounds__(MMA_WARPS *WARP)
    mma_forward(Heads h, const bf16 *q, const bf16 *k, const bf16 *v, bf16 *y, float *lse,
                float *part, float *tops, float *totals) {
  SHARED(uint4, keys, [Mma<SIZE>::TOKENS]);
  SHARED(unsigned, values, [SIZE * BY_CHANNEL]);
  int query = (int)(blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP) * MMA_ROWS;
  int first = (int)blockIdx.y * h.span, end = min(first + h.span, h.keys);
  int64_t from = head_element(h, h.keys, 0), rows = (int64_t)gridDim.z * h.queries;
  int64_t at = head_element(h, h.queries, 0), g = (int)threadIdx.x % WARP / 4;
  unsigned a[Mma<SIZE>::STEPS][4], open[2];
  float s[MMA_STRIPS][4], sum[SIZE / 8][4] = {}, scale[2];
  float top[2] = {-INFINITY, -INFINITY}, total[2] = {};
  fragment_load<SIZE>(h, q + at, query, h.queries, a);
  for (; first < end; first += MMA_TOKENS) {
    __syncthreads();
    tokens_load<SIZE>(h, k + from, first, end, keys, nullptr);
    tokens_load<SIZE>(h, v + from, first, end, nullptr, values);
    __syncthreads();
    tokens_open(h, query, first, open);
    rows_times_tokens<SIZE>(a, keys, s);
    tile_soften<SIZE>(h, open, s, top, total, sum);
    scores_times_tokens<SIZE>(s, values, sum);
  }
#pragma unroll
  for (int r = 0; r < 2; r++) {
    total[r] = warp_sum<4>(total[r]);
    scale[r] = h.splits == 1 ? 1 / total[r] : 1;
    int64_t row = query + g + 8 * r, index = blockIdx.y * rows + head_row(h, 0) + row;
    if (row >= h.queries || threadIdx.x % 4) continue;
    if (h.splits == 1)
      lse[index] = top[r] / LOG2_E + logf(total[r]);
    else
      tops[index] = top[r] / LOG2_E, totals[index] = total[r];
  }
  if (h.splits == 1)
    fragment_store<SIZE>(h, y + at, h.width, query, h.queries, sum, scale);
  else
    fragment_store<SIZE>(h, part + (blockIdx.y * rows + head_row(h, 0)) * h.size, h.size, query,
                         h.queries, sum, scale);
}

/* As rows_query_gradient. */
template <int SIZE>
static __global__ void __launch_bounds__(MMA_WARPS *WARP)
    mma_query_gradient(Heads h, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy,
                       const float *lse, const float *delta, bf16 *dq, float *part) {
  SHARED(uint4, keys, [Mma<SIZE>::TOKENS]);
  SHARED(uint4, values, [Mma<SIZE>::TOKENS]);
  SHARED(unsigned, keys_by_channel, [SIZE * BY_CHANNEL]);
  int query = (int)(blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP) * MMA_ROWS;
  int first = (int)blockIdx.y * h.span, end = min(first + h.span, h.keys);
  int64_t from = head_element(h, h.keys, 0), at = head_element(h, h.queries, 0);
  int g = (int)threadIdx.x % WARP / 4, t = (int)threadIdx.x % 4;
  unsigned a[Mma<SIZE>::STEPS][4], gradient[Mma<SIZE>::STEPS][4], open[2];
  float s[MMA_STRIPS][4], dp[MMA_STRIPS][4], sum[SIZE / 8][4] = {};
  float shift[2], mean[2];
  const float one[2] = {1, 1};
  fragment_load<SIZE>(h, q + at, query, h.queries, a);
  fragment_load<SIZE>(h, dy + at, query, h.queries, gradient);
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int64_t row = head_row(h, min(query + g + 8 * r, h.queries - 1));
    shift[r] = lse[row] * LOG2_E;
    mean[r] = delta[row];
  }
  for (; first < end; first += MMA_TOKENS) {
    __syncthreads();
    tokens_load<SIZE>(h, k + from, first, end, keys, keys_by_channel);
    tokens_load<SIZE>(h, v + from, first, end, values, nullptr);
    __syncthreads();
    tokens_open(h, query, first, open);
    rows_times_tokens<SIZE>(a, keys, s);
    rows_times_tokens<SIZE>(gradient, values, dp);
#pragma unroll
    for (int i = 0; i < 4 * MMA_STRIPS; i++) {
      int r = i % 4 / 2, key = i / 4 * 8 + 2 * t + i % 2;
      float p = open[r] >> key & 1 ? exp2f(s[i / 4][i % 4] * (h.scale * LOG2_E) - shift[r]) : 0;
      s[i / 4][i % 4] = p * (dp[i / 4][i % 4] - mean[r]) * h.scale;
    }
    scores_times_tokens<SIZE>(s, keys_by_channel, sum);
  }
  if (h.splits == 1)
    fragment_store<SIZE>(h, dq + at, h.width, query, h.queries, sum, one);
  else
    fragment_store<SIZE>(
        h, part + (blockIdx.y * ((int64_t)gridDim.z * h.queries) + head_row(h, 0)) * h.size, h.size,
        query, h.queries, sum, one);
}

/* As rows_key_gradient: a warp's rows are keys. */
template <int SIZE>
static __global__ void __launch_bounds__(MMA_WARPS *WARP)
    mma_key_gradient(Heads h, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy,
                     const float *lse, const float *delta, bf16 *dk, bf16 *dv) {
  SHARED(uint4, queries, [Mma<SIZE>::TOKENS]);
  SHARED(unsigned, queries_by_channel, [SIZE * BY_CHANNEL]);
  SHARED(uint4, gradients, [Mma<SIZE>::TOKENS]);
  SHARED(unsigned, gradients_by_channel, [SIZE * BY_CHANNEL]);
  int key = (int)(blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP) * MMA_ROWS;
  int64_t from = head_element(h, h.queries, 0), at = head_element(h, h.keys, 0);
  int g = (int)threadIdx.x % WARP / 4, t = (int)threadIdx.x % 4;
  unsigned a[Mma<SIZE>::STEPS][4], value[Mma<SIZE>::STEPS][4];
  float p[MMA_STRIPS][4], ds[MMA_STRIPS][4], sum_k[SIZE / 8][4] = {}, sum_v[SIZE / 8][4] = {};
  const float one[2] = {1, 1};
  fragment_load<SIZE>(h, k + at, key, h.keys, a);
  fragment_load<SIZE>(h, v + at, key, h.keys, value);
  for (int first = 0; first < h.queries; first += MMA_TOKENS) {
    __syncthreads();
    tokens_load<SIZE>(h, q + from, first, h.queries, queries, queries_by_channel);
    tokens_load<SIZE>(h, dy + from, first, h.queries, gradients, gradients_by_channel);
    __syncthreads();
    rows_times_tokens<SIZE>(a, queries, p);
    rows_times_tokens<SIZE>(value, gradients, ds);
#pragma unroll
    for (int i = 0; i < 4 * MMA_STRIPS; i++) {
      int query = first + i / 4 * 8 + 2 * t + i % 2, own = min(key + g + i % 4 / 2 * 8, h.keys - 1);
      bool open = query < h.queries && key_open(h, query, own);
      int64_t row = head_row(h, min(query, h.queries - 1));
      p[i / 4][i % 4] = open ? exp2f((p[i / 4][i % 4] * h.scale - lse[row]) * LOG2_E) : 0;
      ds[i / 4][i % 4] = p[i / 4][i % 4] * (ds[i / 4][i % 4] - delta[row]) * h.scale;
    }
    scores_times_tokens<SIZE>(p, gradients_by_channel, sum_v);
    scores_times_tokens<SIZE>(ds, queries_by_channel, sum_k);
  }
  if (dk) fragment_store<SIZE>(h, dk + at, h.width, key, h.keys, sum_k, one);
  if (dv) fragment_store<SIZE>(h, dv + at, h.width, key, h.keys, sum_v, one);
}

#endif
