/* What both forms of grid_attention on the GPU share: sizes, where a key's channels lie, the tables
 * as scores read them, and the sums that all windows have in common.
 *
 * Scratch keeps numbers of queries by slot, a window's rows padded to a multiple of 8: neighbours
 * along x lie side by side, the first of eight at a multiple of eight. `both` = S_h + S_w: a
 * window's key rows, then its key columns. blockIdx.y is the head; x a window and a part of it. */
#ifndef KERNELS_CUDA_GRID_PARTS_H
#define KERNELS_CUDA_GRID_PARTS_H

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/warp.h"
#include "kernels/grid.h"

namespace {
struct Grid {
  GridSizes s;
  float scale;
  int slots_w, slots, both; /* slots of a row, of a window */
  int64_t windows;
  const float *table[2]; /* (2 side - 1, size) */
};

/* What backward has of every query beside q: log-sum-exp and y . dy, (windows, heads, slots). */
struct QuerySums {
  float *lse, *delta;
};
} // namespace

static constexpr int GRID_THREADS = 128, GRID_WARPS = GRID_THREADS / WARP;

static __host__ __device__ __forceinline__ int grid_side(const Grid &g, int axis) {
  return axis ? g.s.side_w : g.s.side_h;
}

/* Row of (windows, heads) for a window and the block's head. */
static __device__ __forceinline__ int64_t grid_head(const Grid &g, int64_t window) {
  return window * g.s.heads + blockIdx.y;
}

static __device__ __forceinline__ int64_t grid_token(const Grid &g, const GridWindow &w, int y,
                                                     int x) {
  return w.first + (int64_t)y * g.s.width + x;
}

/* A head's q, k or v (part 0, 1, 2) of token (y, x) of the window; of padding that of `pad`. */
template <typename T>
static __device__ __forceinline__ const T *
grid_part(const Grid &g, const GridWindow &w, const T *qkv, const T *pad, int y, int x, int part) {
  const T *from = y < w.rows && x < w.columns ? qkv + 3 * grid_token(g, w, y, x) * g.s.embed : pad;
  return from + part * g.s.embed + blockIdx.y * (unsigned)g.s.size;
}

/* Tokens beyond the border, of all slices, and which of them this one is: first those beside the
 * slice, then those below. */
static __host__ __device__ __forceinline__ int64_t grid_pads(const Grid &g) {
  return (int64_t)g.s.down * g.s.side_h * g.s.across * g.s.side_w - (int64_t)g.s.height * g.s.width;
}
static __device__ __forceinline__ int64_t grid_pad_at(const Grid &g, int64_t window, int y, int x) {
  int line = (int)window / g.s.across, slice = line / g.s.down;
  int row = line % g.s.down * g.s.side_h + y;
  int column = (int)window % g.s.across * g.s.side_w + x;
  int64_t wide = (int64_t)g.s.across * g.s.side_w, beside = wide - g.s.width;
  int64_t at = row < g.s.height ? row * beside + column - g.s.width
                                : g.s.height * beside + (row - g.s.height) * wide + column;
  return slice * grid_pads(g) + at;
}

/* ---- before: tables, pad ----------------------------------------------------------------------*/

/* A table's rows as scores read them (rows, size), and if wanted in BF16: by row (pitch, width),
 * and behind it what rounding took from it, by channel (width, pitch), zeros beyond. from NULL:
 * zeros. */
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_table_make(int tables, int length, int rows, int size, int width, int pitch,
                    const float *from, float *made, bf16 *by_row, bf16 *by_channel) {
  int item = (int)(blockIdx.x * GRID_THREADS + threadIdx.x), r = item / width, c = item % width;
  float x = 0;
  if (r >= pitch) return;
  if (from && r < rows && c < size) {
    int64_t at[2];
    double share[2];
    grid_table_row(tables, r, length, rows, at, share);
    x = (float)share[0] * from[at[0] * size + c] + (float)share[1] * from[at[1] * size + c];
  }
  if (r < rows && c < size) made[r * size + c] = x;
  if (!by_row) return;
  store(by_row + r * width + c, x);
  store(by_row + (pitch + r) * width + c, x - load(by_row + r * width + c));
  store(by_channel + c * pitch + r, x);
}

/* ---- backward: what queries have, what all windows have --------------------------------------*/

/* A warp a token. */
template <typename T>
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_query_sums(Grid g, const T *y, const T *dy, const float *lse, QuerySums sums) {
  int64_t slot = (int64_t)blockIdx.x * GRID_WARPS + threadIdx.x / WARP;
  for (; slot < g.windows * g.slots; slot += (int64_t)gridDim.x * GRID_WARPS) {
    int window = (int)(slot / g.slots), in = (int)(slot - (int64_t)window * g.slots);
    int row = in / g.slots_w, column = in % g.slots_w;
    GridWindow w = grid_window(&g.s, window);
    bool real = row < w.rows && column < w.columns;
    int64_t token = grid_token(g, w, real ? row : 0, real ? column : 0);
    int64_t at = token * g.s.embed + blockIdx.y * (unsigned)g.s.size;
    float sum = 0;
    for (int c = (int)threadIdx.x % WARP; real && c < g.s.size; c += WARP)
      sum += load(y + at + c) * load(dy + at + c);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP) continue;
    int64_t to = grid_head(g, window) * g.slots + in;
    sums.lse[to] = real ? lse[token * g.s.heads + blockIdx.y] : 0;
    sums.delta[to] = sum;
  }
}

/* Gradients of the rows of both tables: blockIdx.x a row of the two, .y a part of the windows and
 * heads. along (windows, heads, both, slots): sums of ds along key columns and key rows. partial:
 * (parts, rows of both, size). */
template <typename T>
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_table_sums(Grid g, const T *qkv, const float *along, int parts, float *partial) {
  SHARED(float, shared, [GRID_WARPS][WARP]);
  int axis = (int)blockIdx.x >= grid_table_rows(g.s.side_h), side = grid_side(g, axis);
  int r = (int)blockIdx.x - (axis ? grid_table_rows(g.s.side_h) : 0);
  int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
  for (int first = 0; first < g.s.size; first += WARP) {
    float sum = 0;
    for (int64_t head = blockIdx.y; head < g.windows * g.s.heads; head += parts) {
      GridWindow w = grid_window(&g.s, head / g.s.heads);
      for (int slot = warp; slot < g.slots; slot += GRID_WARPS) {
        int y = slot / g.slots_w, x = slot % g.slots_w, key = (axis ? x : y) + side - 1 - r;
        if (y >= w.rows || x >= w.columns || key < 0 || key >= (axis ? w.key_columns : w.key_rows))
          continue;
        const T *q = qkv + 3 * grid_token(g, w, y, x) * g.s.embed + head % g.s.heads * g.s.size;
        float ds = along[(head * g.both + (axis ? g.s.side_h : 0) + key) * g.slots + slot];
        if (first + lane < g.s.size) sum += ds * load(q + first + lane);
      }
    }
    __syncthreads();
    shared[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || first + lane >= g.s.size) continue;
    for (int i = 1; i < GRID_WARPS; i++) sum += shared[i][lane];
    partial[((int64_t)blockIdx.y * gridDim.x + blockIdx.x) * g.s.size + first + lane] = sum;
  }
}

/* A table's gradient (length, size) from that of its rows as they are read. */
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_table_gradient(int tables, int length, int rows, int size, const float *made, float *to) {
  int item = (int)(blockIdx.x * GRID_THREADS + threadIdx.x), l = item / size, c = item % size;
  float sum = 0;
  if (l >= length) return;
  for (int r = 0; r < rows; r++) {
    int64_t at[2];
    double share[2];
    grid_table_row(tables, r, length, rows, at, share);
    for (int i = 0; i < 2; i++)
      if (at[i] == l) sum += (float)share[i] * made[r * size + c];
  }
  to[item] = sum;
}

#endif
