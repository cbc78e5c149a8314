/* The positions of a warp's 16 queries in shared memory, for grid_mma.h: a number for each of its
 * window's key rows and key columns, made by products with the tables' rows, and what ds sums to
 * along them. A strip of 8 slots lies in one row of the window, so that a score's position is one
 * number of the row, the same for the strip, and one of two neighbours, which a thread alone reads
 * and alone adds to. */
#ifndef KERNELS_CUDA_GRID_POSITIONS_H
#define KERNELS_CUDA_GRID_POSITIONS_H

#include "kernels/cuda/grid_parts.h"
#include "kernels/cuda/mma.h"

enum { GRID_ROWS = 16, GRID_SLOTS = 32, GRID_STRIPS = GRID_SLOTS / 8 };
static constexpr float GRID_LOG2_E = 1.4426950408889634f;

namespace {
/* Tables in BF16: (2, pitch, SIZE) by row, rounded and what that took; (SIZE, pitch) by channel. */
struct GridTablesHalf {
  const bf16 *by_row[2], *by_channel[2];
  int pitch[2];
};

/* Rows g and g + 8 of a warp, g = lane / 4: places in the window, past the last its last; and where
 * the places of all 16 begin and end. */
struct GridRows {
  GridWindow w;
  int64_t window;
  int place[2][2], low[2], high[2]; /* place[row][axis] */
  bool real[2];
};

/* A warp's positions in shared memory: bias[axis] (16, pitch[axis]), sum likewise. */
struct GridPositions {
  float *bias[2], *sum[2];
  int pitch[2];
};
} // namespace

static __host__ __device__ __forceinline__ int grid_pitch(const Grid &g, int axis) {
  return axis ? (g.slots_w + 31) / 32 * 32 + 8 : g.s.side_h | 1;
}

/* blockIdx.x counts parts of the warps' rows, `parts` a window. */
static __device__ __forceinline__ GridRows grid_rows(const Grid &g, int parts, bool keys) {
  GridRows rows;
  rows.window = blockIdx.x / (unsigned)parts;
  rows.w = grid_window(&g.s, rows.window);
  int columns = keys ? rows.w.key_columns : rows.w.columns;
  int last = columns * (keys ? rows.w.key_rows : rows.w.rows) - 1;
  int first =
      ((int)(blockIdx.x % (unsigned)parts) * (int)(blockDim.x / WARP) + (int)threadIdx.x / WARP) *
      GRID_ROWS;
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int i = first + (int)threadIdx.x % WARP / 4 + 8 * r;
    rows.real[r] = i <= last;
    rows.place[r][0] = min(i, last) / columns;
    rows.place[r][1] = min(i, last) % columns;
  }
  int begin = min(first, last), end = min(first + GRID_ROWS - 1, last);
  rows.low[0] = begin / columns;
  rows.high[0] = end / columns;
  rows.low[1] = rows.low[0] == rows.high[0] ? begin % columns : 0;
  rows.high[1] = rows.low[0] == rows.high[0] ? end % columns : columns - 1;
  return rows;
}

static __device__ __forceinline__ GridPositions grid_positions(const Grid &g, float *shared,
                                                               bool sums) {
  GridPositions p = {};
  int floats = GRID_ROWS * (grid_pitch(g, 0) + grid_pitch(g, 1)) * (sums ? 2 : 1);
  float *at = shared + (int)threadIdx.x / WARP * floats;
  for (int axis = 0; axis < 2; axis++) {
    p.pitch[axis] = grid_pitch(g, axis);
    p.bias[axis] = at;
    at += GRID_ROWS * p.pitch[axis];
    if (sums) p.sum[axis] = at, at += GRID_ROWS * p.pitch[axis];
  }
  return p;
}

/* bias = q times the rows of the tables that the warp's places reach, to base 2; -infinity where
 * there is no key column. */
template <int SIZE>
static __device__ __forceinline__ void positions_make(const Grid &g, const GridTablesHalf &tables,
                                                      const GridRows &rows, const unsigned (*a)[4],
                                                      const GridPositions &p) {
  int lane = (int)threadIdx.x % WARP, q = lane / 4, t = lane % 4;
#pragma unroll
  for (int axis = 0; axis < 2; axis++) {
    int side = grid_side(g, axis), keys = axis ? rows.w.key_columns : rows.w.key_rows;
    for (int n = rows.low[axis] / 8 * 8; n < rows.high[axis] + side; n += 8) {
      float c[4] = {};
#pragma unroll
      for (int k = 0; k < SIZE / 16; k++) {
        const bf16 *at = tables.by_row[axis] + (n + q) * SIZE + k * 16 + 2 * t;
        const bf16 *rest = at + tables.pitch[axis] * SIZE;
        mma(c, a[k], *reinterpret_cast<const unsigned *>(at),
            *reinterpret_cast<const unsigned *>(at + 8));
        mma(c, a[k], *reinterpret_cast<const unsigned *>(rest),
            *reinterpret_cast<const unsigned *>(rest + 8));
      }
#pragma unroll
      for (int i = 0; i < 4; i++) {
        int key = rows.place[i / 2][axis] + side - 1 - (n + 2 * t + i % 2);
        if (key >= 0 && key < keys)
          p.bias[axis][(q + i / 2 * 8) * p.pitch[axis] + key] = c[i] * GRID_LOG2_E;
      }
    }
  }
  for (int i = lane; i < GRID_ROWS * g.slots_w; i += WARP)
    if (i % g.slots_w >= rows.w.key_columns)
      p.bias[1][i / g.slots_w * p.pitch[1] + i % g.slots_w] = -INFINITY;
  __syncwarp();
}

/* Strip `strip` of the keys: its row and first column. */
static __device__ __forceinline__ int strip_row(const Grid &g, int strip) {
  return strip / (g.slots_w / 8);
}
static __device__ __forceinline__ int strip_column(const Grid &g, int strip) {
  return strip % (g.slots_w / 8) * 8;
}

/* Scores of 4 strips to base 2, with their positions; -infinity where there is no key. */
static __device__ __forceinline__ void positions_add(const Grid &g, const GridRows &rows, int strip,
                                                     const GridPositions &p, float (*s)[4]) {
  int q = (int)threadIdx.x % WARP / 4, t = (int)threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < GRID_STRIPS; n++) {
    int row = strip_row(g, strip + n), column = strip_column(g, strip + n) + 2 * t;
    bool real = row < rows.w.key_rows;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float of_row = p.bias[0][(q + 8 * r) * p.pitch[0] + (real ? row : 0)];
      float2 of_column =
          *reinterpret_cast<const float2 *>(p.bias[1] + (q + 8 * r) * p.pitch[1] + column);
      float scale = g.scale * GRID_LOG2_E, *at = &s[n][2 * r];
      at[0] = real ? at[0] * scale + (of_row + of_column.x) : -INFINITY;
      at[1] = real ? at[1] * scale + (of_row + of_column.y) : -INFINITY;
    }
  }
}

/* The sums of ds along key columns (`along`, of the row so far; it ends with a strip's row) and
 * along key rows. */
static __device__ __forceinline__ void positions_sum(const Grid &g, const GridRows &rows, int strip,
                                                     const float (*ds)[4], float *along,
                                                     const GridPositions &p) {
  int q = (int)threadIdx.x % WARP / 4, t = (int)threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < GRID_STRIPS; n++) {
    int row = strip_row(g, strip + n), column = strip_column(g, strip + n) + 2 * t;
    if (row >= rows.w.key_rows) break;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float2 *to = reinterpret_cast<float2 *>(p.sum[1] + (q + 8 * r) * p.pitch[1] + column);
      float2 old = *to;
      *to = make_float2(old.x + ds[n][2 * r], old.y + ds[n][2 * r + 1]);
      along[r] += ds[n][2 * r] + ds[n][2 * r + 1];
    }
    if (strip_row(g, strip + n + 1) == row) continue;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float sum = warp_sum<4>(along[r]);
      if (t == 0) p.sum[0][(q + 8 * r) * p.pitch[0] + row] = sum;
      along[r] = 0;
    }
  }
}

/* dq (16, SIZE) += the sums times the rows of the tables. */
template <int SIZE>
static __device__ __forceinline__ void positions_back(const Grid &g, const GridTablesHalf &tables,
                                                      const GridRows &rows, const GridPositions &p,
                                                      float (*dq)[4]) {
  int q = (int)threadIdx.x % WARP / 4, t = (int)threadIdx.x % 4;
#pragma unroll
  for (int axis = 0; axis < 2; axis++) {
    int side = grid_side(g, axis), keys = axis ? rows.w.key_columns : rows.w.key_rows;
    for (int first = rows.low[axis] / 16 * 16; first < rows.high[axis] + side; first += 16) {
      unsigned a[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float of[2];
#pragma unroll
        for (int j = 0; j < 2; j++) {
          int key = rows.place[i % 2][axis] + side - 1 - (first + i / 2 * 8 + 2 * t + j);
          of[j] = key >= 0 && key < keys ? p.sum[axis][(q + i % 2 * 8) * p.pitch[axis] + key] : 0;
        }
        a[i] = pack_pair(of[0], of[1]);
      }
#pragma unroll
      for (int n = 0; n < SIZE / 8; n++) {
        const bf16 *at = tables.by_channel[axis] + (n * 8 + q) * tables.pitch[axis] + first + 2 * t;
        mma(dq[n], a, *reinterpret_cast<const unsigned *>(at),
            *reinterpret_cast<const unsigned *>(at + 8));
      }
    }
  }
}

/* A warp's positions (16, both) to (windows, heads, both, slots). */
static __device__ __forceinline__ void positions_store(const Grid &g, const GridRows &rows,
                                                       float *const *from, const int *pitch,
                                                       float *to) {
  int lane = (int)threadIdx.x % WARP, row = lane % GRID_ROWS;
  int y = __shfl_sync(WARP_ALL, rows.place[0][0], row % 8 * 4);
  int x = __shfl_sync(WARP_ALL, rows.place[0][1], row % 8 * 4);
  int y8 = __shfl_sync(WARP_ALL, rows.place[1][0], row % 8 * 4);
  int x8 = __shfl_sync(WARP_ALL, rows.place[1][1], row % 8 * 4);
  int real = __shfl_sync(WARP_ALL, (int)rows.real[0], row % 8 * 4);
  int real8 = __shfl_sync(WARP_ALL, (int)rows.real[1], row % 8 * 4);
  int slot = row < 8 ? y * g.slots_w + x : y8 * g.slots_w + x8;
  if (!(row < 8 ? real : real8)) return;
  to += grid_head(g, rows.window) * g.both * g.slots + slot;
#pragma unroll
  for (int axis = 0; axis < 2; axis++) {
    const float *own = from[axis] + row * pitch[axis];
    int first = axis ? g.s.side_h : 0, keys = axis ? rows.w.key_columns : rows.w.key_rows;
    for (int key = lane / GRID_ROWS; key < keys; key += WARP / GRID_ROWS)
      to[(int64_t)(first + key) * g.slots] = own[key];
  }
}

#endif
