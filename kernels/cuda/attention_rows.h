/* Attention in float for any head size up to 512: a row (of queries, or of keys in the backward
 * pass of keys and values) stays in the registers of LANES lanes, CHANNELS channels each, and walks
 * tiles of the other side in shared memory. Scores exist for 8 keys at a time. */
#ifndef KERNELS_CUDA_ATTENTION_ROWS_H
#define KERNELS_CUDA_ATTENTION_ROWS_H

#include "kernels/cuda/attention_heads.h"

static constexpr int ROW_THREADS = 128, ROW_KEYS = 8;

template <int CHANNELS, int LANES> struct RowTile {
  static constexpr int SIZE = CHANNELS * LANES, ROWS = ROW_THREADS / LANES;
  static constexpr int COUNT = SIZE <= 64 ? 32 : SIZE <= 128 ? 16 : 8; /* tokens in shared memory */
};

/* Channels of lane l: groups of four, l, l + LANES, ...: no two lanes in one bank. */
template <int LANES> static __device__ __forceinline__ int row_channel(int i) {
  return (i / 4 * LANES + (int)threadIdx.x % LANES) * 4 + i % 4;
}

template <int CHANNELS, int LANES, typename T>
static __device__ __forceinline__ void row_load(const Heads &h, const T *from, bool real,
                                                float *row) {
#pragma unroll
  for (int i = 0; i < CHANNELS; i++) {
    int c = row_channel<LANES>(i);
    row[i] = real && c < h.size ? load(from + c) : 0;
  }
}

template <int CHANNELS, int LANES, typename T>
static __device__ __forceinline__ void row_store(const Heads &h, T *to, const float *row,
                                                 float scale) {
#pragma unroll
  for (int i = 0; i < CHANNELS; i++) {
    int c = row_channel<LANES>(i);
    if (c < h.size) store(to + c, row[i] * scale);
  }
}

/* Tokens [first, first + COUNT) of a head, zero past `end`. */
template <int COUNT, int SIZE, typename T>
static __device__ __forceinline__ void tile_load(const Heads &h, const T *from, int first, int end,
                                                 float *tile) {
  for (int item = (int)threadIdx.x; item < COUNT * SIZE; item += ROW_THREADS) {
    int t = item / SIZE, c = item % SIZE;
    bool real = first + t < end && c < h.size;
    tile[item] = real ? load(from + (int64_t)(first + t) * h.width + c) : 0;
  }
}

/* This lane's channels of a tile's token. */
template <int CHANNELS, int LANES>
static __device__ __forceinline__ void tile_row(const float *tile, int t, float *row) {
#pragma unroll
  for (int i = 0; i < CHANNELS; i += 4) {
    float4 four =
        *reinterpret_cast<const float4 *>(tile + t * CHANNELS * LANES + row_channel<LANES>(i));
    row[i] = four.x, row[i + 1] = four.y, row[i + 2] = four.z, row[i + 3] = four.w;
  }
}

template <int CHANNELS, int LANES>
static __device__ __forceinline__ float row_dot(const float *a, const float *b) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < CHANNELS; i++) sum += a[i] * b[i];
  return warp_sum<LANES>(sum);
}

/* Adds 8 keys of the tile from `t` on to the context: y = sum of e^(s - top) v. */
template <int CHANNELS, int LANES>
static __device__ __forceinline__ void keys_add(const float *q, const float *k, const float *v,
                                                int t, unsigned open, float *top, float *total,
                                                float *y) {
  float s[ROW_KEYS], row[CHANNELS], most = *top;
#pragma unroll
  for (int i = 0; i < ROW_KEYS; i++) {
    tile_row<CHANNELS, LANES>(k, t + i, row);
    s[i] = row_dot<CHANNELS, LANES>(q, row);
    s[i] = open >> i & 1 ? s[i] : -INFINITY;
    most = fmaxf(most, s[i]);
  }
  float base = most > -INFINITY ? most : 0, shrink = expf(*top - base);
  *top = most;
  *total *= shrink;
#pragma unroll
  for (int i = 0; i < CHANNELS; i++) y[i] *= shrink;
#pragma unroll
  for (int i = 0; i < ROW_KEYS; i++) {
    float p = expf(s[i] - base);
    *total += p;
    tile_row<CHANNELS, LANES>(v, t + i, row);
#pragma unroll
    for (int c = 0; c < CHANNELS; c++) y[c] += p * row[c];
  }
}

/* Bits of keys first .. first + COUNT - 1, COUNT <= 32 a divisor of 32, first a multiple of it. */
template <int COUNT>
static __device__ __forceinline__ unsigned keys_open(const Heads &h, int query, int first) {
  unsigned bits = ~0u;
  if (h.open) bits = h.open[query_row(h, query) * h.words + first / 32] >> first % 32;
  int left = h.keys - first;
  return left >= 32 ? bits : bits & ((1u << left) - 1);
}

/* blockIdx.x: a tile of queries, .y: a part of the keys. One part: y, lse; else part, tops,
 * totals (context_combine). */
template <typename T, int CHANNELS, int LANES>
static __global__ void __launch_bounds__(ROW_THREADS)
    rows_forward(Heads h, const T *q, const T *k, const T *v, T *y, float *lse, float *part,
                 float *tops, float *totals) {
  using Tile = RowTile<CHANNELS, LANES>;
  SHARED(float4, keys, [Tile::COUNT * Tile::SIZE / 4]);
  SHARED(float4, values, [Tile::COUNT * Tile::SIZE / 4]);
  float *key = &keys[0].x, *value = &values[0].x;
  int own = (int)blockIdx.x * Tile::ROWS + (int)threadIdx.x / LANES;
  int query = min(own, h.queries - 1), first = (int)blockIdx.y * h.span;
  int end = min(first + h.span, h.keys);
  int64_t from = head_element(h, h.keys, 0);
  float row[CHANNELS], sum[CHANNELS] = {}, top = -INFINITY, total = 0;
  row_load<CHANNELS, LANES>(h, q + head_element(h, h.queries, query), true, row);
#pragma unroll
  for (int i = 0; i < CHANNELS; i++) row[i] *= h.scale;
  for (; first < end; first += Tile::COUNT) {
    __syncthreads();
    tile_load<Tile::COUNT, Tile::SIZE>(h, k + from, first, end, key);
    tile_load<Tile::COUNT, Tile::SIZE>(h, v + from, first, end, value);
    __syncthreads();
    unsigned open = keys_open<Tile::COUNT>(h, query, first);
    for (int t = 0; t < Tile::COUNT; t += ROW_KEYS)
      keys_add<CHANNELS, LANES>(row, key, value, t, open >> t, &top, &total, sum);
  }
  if (own >= h.queries) return;
  int64_t at = head_row(h, query), rows = (int64_t)gridDim.z * h.queries;
  if (h.splits == 1)
    row_store<CHANNELS, LANES>(h, y + head_element(h, h.queries, query), sum, 1 / total);
  else
    row_store<CHANNELS, LANES>(h, part + (blockIdx.y * rows + at) * h.size, sum, 1);
  if (threadIdx.x % LANES) return;
  if (h.splits == 1) {
    lse[at] = top + logf(total);
  } else {
    tops[blockIdx.y * rows + at] = top;
    totals[blockIdx.y * rows + at] = total;
  }
}

/* dq of a tile of queries, or of a part of the keys in `part`. */
template <typename T, int CHANNELS, int LANES>
static __global__ void __launch_bounds__(ROW_THREADS)
    rows_query_gradient(Heads h, const T *q, const T *k, const T *v, const T *dy, const float *lse,
                        const float *delta, T *dq, float *part) {
  using Tile = RowTile<CHANNELS, LANES>;
  SHARED(float4, keys, [Tile::COUNT * Tile::SIZE / 4]);
  SHARED(float4, values, [Tile::COUNT * Tile::SIZE / 4]);
  float *key = &keys[0].x, *value = &values[0].x;
  int own = (int)blockIdx.x * Tile::ROWS + (int)threadIdx.x / LANES;
  int query = min(own, h.queries - 1), first = (int)blockIdx.y * h.span;
  int end = min(first + h.span, h.keys);
  int64_t from = head_element(h, h.keys, 0), at = head_row(h, query);
  float row[CHANNELS], gradient[CHANNELS], sum[CHANNELS] = {}, other[CHANNELS];
  row_load<CHANNELS, LANES>(h, q + head_element(h, h.queries, query), true, row);
  row_load<CHANNELS, LANES>(h, dy + head_element(h, h.queries, query), true, gradient);
  for (; first < end; first += Tile::COUNT) {
    __syncthreads();
    tile_load<Tile::COUNT, Tile::SIZE>(h, k + from, first, end, key);
    tile_load<Tile::COUNT, Tile::SIZE>(h, v + from, first, end, value);
    __syncthreads();
    unsigned open = keys_open<Tile::COUNT>(h, query, first);
#pragma unroll 4
    for (int t = 0; t < Tile::COUNT; t++) {
      tile_row<CHANNELS, LANES>(value, t, other);
      float ds = row_dot<CHANNELS, LANES>(gradient, other) - delta[at];
      tile_row<CHANNELS, LANES>(key, t, other);
      float s = row_dot<CHANNELS, LANES>(row, other) * h.scale;
      ds *= open >> t & 1 ? expf(s - lse[at]) * h.scale : 0;
#pragma unroll
      for (int c = 0; c < CHANNELS; c++) sum[c] += ds * other[c];
    }
  }
  if (own >= h.queries) return;
  if (h.splits == 1)
    row_store<CHANNELS, LANES>(h, dq + head_element(h, h.queries, query), sum, 1);
  else
    row_store<CHANNELS, LANES>(
        h, part + (blockIdx.y * ((int64_t)gridDim.z * h.queries) + at) * h.size, sum, 1);
}

/* dk and dv (NULL: not wanted) of a tile of keys, over all queries. */
template <typename T, int CHANNELS, int LANES>
static __global__ void __launch_bounds__(ROW_THREADS)
    rows_key_gradient(Heads h, const T *q, const T *k, const T *v, const T *dy, const float *lse,
                      const float *delta, T *dk, T *dv) {
  using Tile = RowTile<CHANNELS, LANES>;
  SHARED(float4, queries, [Tile::COUNT * Tile::SIZE / 4]);
  SHARED(float4, gradients, [Tile::COUNT * Tile::SIZE / 4]);
  float *query = &queries[0].x, *gradient = &gradients[0].x;
  int own = (int)blockIdx.x * Tile::ROWS + (int)threadIdx.x / LANES, key = min(own, h.keys - 1);
  int64_t from = head_element(h, h.queries, 0), at = head_element(h, h.keys, key);
  float row[CHANNELS], value[CHANNELS], sum_k[CHANNELS] = {}, sum_v[CHANNELS] = {};
  float other[CHANNELS];
  row_load<CHANNELS, LANES>(h, k + at, true, row);
  row_load<CHANNELS, LANES>(h, v + at, true, value);
  for (int first = 0; first < h.queries; first += Tile::COUNT) {
    int count = min(Tile::COUNT, h.queries - first);
    __syncthreads();
    tile_load<Tile::COUNT, Tile::SIZE>(h, q + from, first, h.queries, query);
    tile_load<Tile::COUNT, Tile::SIZE>(h, dy + from, first, h.queries, gradient);
    __syncthreads();
    for (int t = 0; t < count; t++) {
      int64_t index = head_row(h, first + t);
      float of_query[CHANNELS];
      tile_row<CHANNELS, LANES>(query, t, of_query);
      tile_row<CHANNELS, LANES>(gradient, t, other);
      float s = row_dot<CHANNELS, LANES>(row, of_query) * h.scale;
      float dp = row_dot<CHANNELS, LANES>(value, other);
      float p = key_open(h, first + t, key) ? expf(s - lse[index]) : 0;
      float ds = p * (dp - delta[index]) * h.scale;
#pragma unroll
      for (int c = 0; c < CHANNELS; c++) {
        sum_v[c] += p * other[c];
        sum_k[c] += ds * of_query[c];
      }
    }
  }
  if (own >= h.keys) return;
  if (dk) row_store<CHANNELS, LANES>(h, dk + at, sum_k, 1);
  if (dv) row_store<CHANNELS, LANES>(h, dv + at, sum_v, 1);
}

#endif
