/* grid_attention in float, SIZE (a multiple of 32) channels a head at most: a warp has one query
 * (or one key, in the backward pass of keys and values), its lanes share the columns of the other
 * side and keep sums of their own. */
#ifndef KERNELS_CUDA_GRID_ROWS_H
#define KERNELS_CUDA_GRID_ROWS_H

#include "kernels/cuda/grid_parts.h"

namespace {
/* The query or key of a warp, (y, x) of window `at`. Past the last: the first, not to be stored. */
struct GridRow {
  GridWindow w;
  int64_t at;
  int y, x;
  bool real;
};
} // namespace

/* Floats of shared memory that a warp has: two rows of channels, both tables of positions, and in
 * backward the sums along key rows and columns. */
static inline int grid_row_floats(const Grid &g, int size, bool backward) {
  return 2 * size + (backward ? 2 : 1) * g.both;
}

/* blockIdx.x counts parts of GRID_WARPS queries or keys, `parts` a window. */
static __device__ __forceinline__ GridRow grid_row(const Grid &g, int parts, bool keys) {
  GridRow row;
  int i = (int)(blockIdx.x % (unsigned)parts) * GRID_WARPS + (int)threadIdx.x / WARP;
  row.at = blockIdx.x / (unsigned)parts;
  row.w = grid_window(&g.s, row.at);
  int columns = keys ? row.w.key_columns : row.w.columns;
  row.real = i < columns * (keys ? row.w.key_rows : row.w.rows);
  if (!row.real) i = 0;
  row.y = i / columns;
  row.x = i % columns;
  return row;
}

template <int SIZE, typename T>
static __device__ __forceinline__ void grid_row_load(const Grid &g, const T *from, float *row) {
  for (int c = (int)threadIdx.x % WARP; c < SIZE; c += WARP)
    row[c] = c < g.s.size ? load(from + c) : 0;
}

template <int SIZE, typename T>
static __device__ __forceinline__ float grid_dot(const Grid &g, const float *row, const T *other) {
  float sum = 0;
#pragma unroll 8
  for (int c = 0; c < SIZE; c++)
    if (c < g.s.size) sum += row[c] * load(other + c);
  return sum;
}

/* bias (both): the query's products with the rows of the tables. */
template <int SIZE>
static __device__ __forceinline__ void grid_row_bias(const Grid &g, const GridRow &row,
                                                     const float *q, float *bias) {
  for (int i = (int)threadIdx.x % WARP; i < g.both; i += WARP) {
    int axis = i >= g.s.side_h, key = i - (axis ? g.s.side_h : 0);
    int r = (axis ? row.x : row.y) - key + grid_side(g, axis) - 1;
    const float *table = axis ? g.table[1] : g.table[0]; /* an index would move g to memory */
    bias[i] = grid_dot<SIZE>(g, q, table + r * g.s.size);
  }
}

/* Numbers of this lane for those of the lane across: the emulator trades all at once. */
template <int COUNT> static __device__ __forceinline__ void lanes_trade(float *number, int across) {
#ifdef CUDA_EMULATOR
  emulator::trade(__FILE__, __LINE__, number, COUNT, across);
#else
#pragma unroll
  for (int i = 0; i < COUNT; i++) number[i] = __shfl_xor_sync(WARP_ALL, number[i], across);
#endif
}

/* Half of 2 HALF numbers go to the lane across, which has the other half; and so on. */
template <int HALF> static __device__ __forceinline__ void lanes_fold(float *part) {
  bool upper = threadIdx.x & HALF;
  float gone[HALF];
#pragma unroll
  for (int i = 0; i < HALF; i++) gone[i] = upper ? part[i] : part[i + HALF];
  lanes_trade<HALF>(gone, HALF);
#pragma unroll
  for (int i = 0; i < HALF; i++) part[i] = (upper ? part[i + HALF] : part[i]) + gone[i];
  if constexpr (HALF > 1) lanes_fold<HALF / 2>(part);
}

/* Sums over the lanes, of which lane l gets those of channels l, l + 32, ... */
template <int SIZE>
static __device__ __forceinline__ void lanes_sum(const float *sum, float *mine) {
#pragma unroll
  for (int first = 0; first < SIZE; first += WARP) {
    float part[WARP];
#pragma unroll
    for (int i = 0; i < WARP; i++) part[i] = sum[first + i];
    lanes_fold<WARP / 2>(part);
    mine[first / WARP] = part[0];
  }
}

template <typename T, int SIZE>
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_rows_forward(Grid g, int parts, const T *qkv, const T *pad, T *y, float *lse) {
  DYNAMIC_SHARED(float, shared);
  GridRow row = grid_row(g, parts, false);
  const GridWindow &w = row.w;
  int lane = (int)threadIdx.x % WARP;
  float *q = shared + threadIdx.x / WARP * (2 * SIZE + g.both), *bias = q + 2 * SIZE;
  float sum[SIZE] = {}, mine[SIZE / WARP] = {}, top = -INFINITY, total = 0;
  grid_row_load<SIZE>(g, grid_part(g, w, qkv, pad, row.y, row.x, 0), q);
  __syncwarp();
  grid_row_bias<SIZE>(g, row, q, bias);
  __syncwarp();
  for (int i = 0; i < w.key_rows; i++)
    for (int j = lane; j < w.key_columns; j += WARP) {
      const T *k = grid_part(g, w, qkv, pad, i, j, 1);
      float s = grid_dot<SIZE>(g, q, k) * g.scale + bias[i] + bias[g.s.side_h + j];
      float most = fmaxf(top, s), shrink = expf(top - most), p = expf(s - most);
      top = most;
      total = total * shrink + p;
#pragma unroll
      for (int c = 0; c < SIZE; c++)
        if (c < g.s.size) sum[c] = sum[c] * shrink + p * load(k + g.s.embed + c);
    }
  float most = warp_max(top), shrink = expf(top - most);
  total = warp_sum(total * shrink);
#pragma unroll
  for (int c = 0; c < SIZE; c++) sum[c] *= shrink;
  lanes_sum<SIZE>(sum, mine);
  if (!row.real) return;
  int64_t token = grid_token(g, w, row.y, row.x);
#pragma unroll
  for (int i = 0; i < SIZE / WARP; i++)
    if (i * WARP + lane < g.s.size)
      store(y + token * g.s.embed + blockIdx.y * (unsigned)g.s.size + i * WARP + lane,
            mine[i] / total);
  if (lane == 0) lse[token * g.s.heads + blockIdx.y] = most + logf(total);
}

/* dq (NULL: not wanted), and for the kernels that follow bias and along (NULL: not wanted), each
 * (windows, heads, both, slots). */
template <typename T, int SIZE>
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_rows_query_gradient(Grid g, int parts, const T *qkv, const T *pad, const T *dy,
                             QuerySums sums, T *dqkv, float *bias, float *along) {
  DYNAMIC_SHARED(float, shared);
  GridRow row = grid_row(g, parts, false);
  const GridWindow &w = row.w;
  int lane = (int)threadIdx.x % WARP, slot = row.y * g.slots_w + row.x;
  int64_t head = grid_head(g, row.at), token = grid_token(g, w, row.y, row.x);
  float *q = shared + threadIdx.x / WARP * (2 * SIZE + 2 * g.both), *gradient = q + SIZE;
  float *own = gradient + SIZE, *sum_of = own + g.both;
  float sum[SIZE] = {}, mine[SIZE / WARP] = {};
  float lse = sums.lse[head * g.slots + slot], delta = sums.delta[head * g.slots + slot];
  grid_row_load<SIZE>(g, grid_part(g, w, qkv, pad, row.y, row.x, 0), q);
  grid_row_load<SIZE>(g, dy + token * g.s.embed + blockIdx.y * (unsigned)g.s.size, gradient);
  for (int i = lane; i < g.both; i += WARP) sum_of[i] = 0;
  __syncwarp();
  grid_row_bias<SIZE>(g, row, q, own);
  __syncwarp();
  for (int i = 0; i < w.key_rows; i++) {
    float of_row = 0;
    for (int j = lane; j < w.key_columns; j += WARP) {
      const T *k = grid_part(g, w, qkv, pad, i, j, 1);
      float s = grid_dot<SIZE>(g, q, k) * g.scale + own[i] + own[g.s.side_h + j];
      float ds = expf(s - lse) * (grid_dot<SIZE>(g, gradient, k + g.s.embed) - delta);
      of_row += ds;
      sum_of[g.s.side_h + j] += ds;
#pragma unroll
      for (int c = 0; c < SIZE; c++)
        if (c < g.s.size) sum[c] += ds * load(k + c);
    }
    of_row = warp_sum(of_row);
    if (lane == 0) sum_of[i] = of_row;
  }
  lanes_sum<SIZE>(sum, mine);
  __syncwarp();
  if (!row.real) return;
  for (int i = lane; i < g.both; i += WARP) {
    bias[(head * g.both + i) * g.slots + slot] = own[i];
    if (along) along[(head * g.both + i) * g.slots + slot] = sum_of[i];
  }
#pragma unroll
  for (int i = 0; i < SIZE / WARP; i++) {
    int c = i * WARP + lane;
    if (!dqkv || c >= g.s.size) continue;
    float total = mine[i] * g.scale;
    for (int key = 0; key < w.key_rows; key++)
      total += sum_of[key] * g.table[0][(row.y - key + g.s.side_h - 1) * g.s.size + c];
    for (int key = 0; key < w.key_columns; key++)
      total += sum_of[g.s.side_h + key] * g.table[1][(row.x - key + g.s.side_w - 1) * g.s.size + c];
    store(dqkv + 3 * token * g.s.embed + blockIdx.y * (unsigned)g.s.size + c, total);
  }
}

/* dk and dv of a key, into dqkv or, of padding, pads (slices, pads, 2E); NULL: not wanted. */
template <typename T, int SIZE>
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_rows_key_gradient(Grid g, int parts, const T *qkv, const T *pad, const T *dy,
                           QuerySums sums, const float *bias, T *dqkv, float *pads) {
  DYNAMIC_SHARED(float, shared);
  GridRow row = grid_row(g, parts, true);
  const GridWindow &w = row.w;
  int lane = (int)threadIdx.x % WARP;
  int64_t head = grid_head(g, row.at);
  float *k = shared + threadIdx.x / WARP * (2 * SIZE), *v = k + SIZE;
  float sum_k[SIZE] = {}, sum_v[SIZE] = {};
  float dk[SIZE / WARP] = {}, dv[SIZE / WARP] = {};
  grid_row_load<SIZE>(g, grid_part(g, w, qkv, pad, row.y, row.x, 1), k);
  grid_row_load<SIZE>(g, grid_part(g, w, qkv, pad, row.y, row.x, 2), v);
  __syncwarp();
  for (int i = 0; i < w.rows; i++)
    for (int j = lane; j < w.columns; j += WARP) {
      int64_t at = head * g.slots + i * g.slots_w + j;
      const float *of = bias + head * g.both * g.slots + i * g.slots_w + j;
      const T *q = grid_part(g, w, qkv, pad, i, j, 0);
      const T *gradient = dy + grid_token(g, w, i, j) * g.s.embed + blockIdx.y * (unsigned)g.s.size;
      float s = grid_dot<SIZE>(g, k, q) * g.scale + of[(int64_t)row.y * g.slots] +
                of[(int64_t)(g.s.side_h + row.x) * g.slots];
      float p = expf(s - sums.lse[at]);
      float ds = p * (grid_dot<SIZE>(g, v, gradient) - sums.delta[at]);
#pragma unroll
      for (int c = 0; c < SIZE; c++)
        if (c < g.s.size) sum_k[c] += ds * load(q + c), sum_v[c] += p * load(gradient + c);
    }
  lanes_sum<SIZE>(sum_k, dk);
  lanes_sum<SIZE>(sum_v, dv);
  if (!row.real) return;
  bool padding = row.y >= w.rows || row.x >= w.columns;
#pragma unroll
  for (int i = 0; i < SIZE / WARP; i++) {
    int c = i * WARP + lane;
    int64_t channel = blockIdx.y * (unsigned)g.s.size + c;
    if (c >= g.s.size) continue;
    if (padding && pads) {
      float *to = pads + grid_pad_at(g, row.at, row.y, row.x) * 2 * g.s.embed + channel;
      to[0] = dk[i] * g.scale;
      to[g.s.embed] = dv[i];
    }
    if (padding || !dqkv) continue;
    T *to = dqkv + (3 * grid_token(g, w, row.y, row.x) + 1) * g.s.embed + channel;
    store(to, dk[i] * g.scale);
    store(to + g.s.embed, dv[i]);
  }
}

#endif
