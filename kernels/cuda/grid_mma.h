/* grid_attention of BF16 operands on tensor cores, head sizes up to 80 that 8 divides: a warp has
 * 16 rows (queries, or keys in the backward pass of keys and values) and walks the other side's
 * slots, 32 at a time, which lie in shared memory as they do outside, the next 32 on their way.
 * Scores stay in registers: the result of one product is an operand of the next, rounded to BF16;
 * sums, softmax, log-sum-exp and positions are float, scores to base 2. */
#ifndef KERNELS_CUDA_GRID_MMA_H
#define KERNELS_CUDA_GRID_MMA_H

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/grid_positions.h"

template <int SIZE> struct GridMma {
  /* Of a slot in shared memory: no two rows of a matrix meet in a bank. */
  static constexpr int PITCH = SIZE + 8;
  static constexpr int TILE = GRID_SLOTS * PITCH;
};

/* Bytes of shared memory of a block. */
template <int SIZE> static inline size_t grid_mma_bytes(const Grid &g, int warps, int tables) {
  size_t positions = (size_t)(warps * GRID_ROWS * (grid_pitch(g, 0) + grid_pitch(g, 1)) * tables);
  return 4 * GridMma<SIZE>::TILE * sizeof(bf16) + positions * sizeof(float);
}

/* ---- operands -------------------------------------------------------------------------------- */

/* The warp's rows as an operand a. */
template <int SIZE>
static __device__ __forceinline__ void grid_fragment(const Grid &g, const bf16 *const *from,
                                                     unsigned (*a)[4]) {
  int t = (int)threadIdx.x % 4;
#pragma unroll
  for (int s = 0; s < SIZE / 16; s++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int c = s * 16 + 2 * t + i / 2 * 8;
      a[s][i] = c < g.s.size ? *reinterpret_cast<const unsigned *>(from[i % 2] + c) : 0;
    }
}

/* Starts copies of the 32 slots from `first`: at(y, x, c, &one, &two) says where 8 channels of both
 * operands lie, for slots of `rows` x `columns`; zero beyond. */
template <int SIZE, typename F>
static __device__ __forceinline__ void slots_load(const Grid &g, int first, int rows, int columns,
                                                  const bf16 *any, bf16 *one, bf16 *two, F at) {
  for (int item = (int)threadIdx.x; item < GRID_SLOTS * (SIZE / 8); item += (int)blockDim.x) {
    int slot = item / (SIZE / 8), c = item % (SIZE / 8) * 8;
    int y = (first + slot) / g.slots_w, x = (first + slot) % g.slots_w;
    bool there = y < rows && x < columns && c < g.s.size;
    const bf16 *from[2] = {any, any};
    if (there) at(y, x, c, &from[0], &from[1]);
    copy_async(one + slot * GridMma<SIZE>::PITCH + c, from[0], there);
    copy_async(two + slot * GridMma<SIZE>::PITCH + c, from[1], there);
  }
  copies_close();
}

/* s (16 rows, 32 slots) = a (16, SIZE) times the slots. */
template <int SIZE>
static __device__ __forceinline__ void rows_by_slots(const unsigned (*a)[4], const bf16 *tile,
                                                     float (*s)[4]) {
  int lane = (int)threadIdx.x % WARP;
  const bf16 *row = tile + (lane / 16 * 8 + lane % 8) * GridMma<SIZE>::PITCH + lane / 8 % 2 * 8;
#pragma unroll
  for (int n = 0; n < GRID_STRIPS; n += 2) {
#pragma unroll
    for (int i = 0; i < 8; i++) s[n + i / 4][i % 4] = 0;
#pragma unroll
    for (int k = 0; k < SIZE / 16; k++) {
      unsigned word[4];
      matrices_load(word, row + n * 8 * GridMma<SIZE>::PITCH + k * 16);
      mma(s[n], a[k], word[0], word[1]);
      mma(s[n + 1], a[k], word[2], word[3]);
    }
  }
}

/* y (16 rows, SIZE) += p (16, 32 slots) times the slots. */
template <int SIZE>
static __device__ __forceinline__ void weights_by_slots(const float (*p)[4], const bf16 *tile,
                                                        float (*y)[4]) {
  int lane = (int)threadIdx.x % WARP;
  const bf16 *row = tile + lane % 16 * GridMma<SIZE>::PITCH + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < GRID_SLOTS / 16; k++) {
    const unsigned a[4] = {pack_pair(p[2 * k][0], p[2 * k][1]), pack_pair(p[2 * k][2], p[2 * k][3]),
                           pack_pair(p[2 * k + 1][0], p[2 * k + 1][1]),
                           pack_pair(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
    for (int n = 0; n < SIZE / 16; n++) {
      unsigned word[4];
      matrices_load_turned(word, row + k * 16 * GridMma<SIZE>::PITCH + n * 16);
      mma(y[2 * n], a, word[0], word[1]);
      mma(y[2 * n + 1], a, word[2], word[3]);
    }
  }
}

/* Rows g and g + 8 of y, times scale, to where they belong; NULL: not stored. */
template <int SIZE, typename T>
static __device__ __forceinline__ void rows_store(const Grid &g, T *const *to, const float (*y)[4],
                                                  const float *scale) {
  int t = (int)threadIdx.x % 4;
#pragma unroll
  for (int n = 0; n < SIZE / 8; n++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int c = n * 8 + 2 * t;
      if (to[r] && c < g.s.size)
        store_pair(to[r] + c, y[n][2 * r] * scale[r], y[n][2 * r + 1] * scale[r]);
    }
}

/* ---- kernels --------------------------------------------------------------------------------- */

/* Walks `strips` strips of slots: load(first slot, buffer one, buffer two), then use(first strip,
 * one, two). */
template <int SIZE, typename L, typename U>
static __device__ __forceinline__ void slots_walk(bf16 *tiles, int strips, L load, U use) {
  constexpr int TILE = GridMma<SIZE>::TILE;
  int count = (strips + GRID_STRIPS - 1) / GRID_STRIPS;
  load(0, tiles, tiles + TILE);
  for (int i = 0; i < count; i++) {
    bf16 *now = tiles + i % 2 * 2 * TILE, *next = tiles + (i + 1) % 2 * 2 * TILE;
    if (i + 1 < count) {
      load((i + 1) * GRID_SLOTS, next, next + TILE);
      copies_wait<1>();
    } else {
      copies_wait<0>();
    }
    __syncthreads();
    use(i * GRID_STRIPS, now, now + TILE);
    __syncthreads();
  }
}

/* Keys' k and v. */
template <int SIZE>
static __device__ __forceinline__ void keys_load(const Grid &g, const GridWindow &w,
                                                 const bf16 *qkv, const bf16 *pad, int first,
                                                 bf16 *one, bf16 *two) {
  slots_load<SIZE>(g, first, w.key_rows, w.key_columns, qkv, one, two,
                   [&](int y, int x, int c, const bf16 **k, const bf16 **v) {
                     *k = grid_part(g, w, qkv, pad, y, x, 1) + c;
                     *v = *k + g.s.embed;
                   });
}

template <int SIZE>
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_mma_forward(Grid g, GridTablesHalf tables, int parts, const bf16 *qkv, const bf16 *pad,
                     bf16 *y, float *lse) {
  DYNAMIC_SHARED(bf16, tiles);
  GridRows rows = grid_rows(g, parts, false);
  const GridWindow &w = rows.w;
  GridPositions p =
      grid_positions(g, reinterpret_cast<float *>(tiles + 4 * GridMma<SIZE>::TILE), false);
  unsigned a[SIZE / 16][4];
  float sum[SIZE / 8][4] = {}, top[2] = {-INFINITY, -INFINITY}, total[2] = {}, scale[2];
  const bf16 *q[2] = {grid_part(g, w, qkv, pad, rows.place[0][0], rows.place[0][1], 0),
                      grid_part(g, w, qkv, pad, rows.place[1][0], rows.place[1][1], 0)};
  grid_fragment<SIZE>(g, q, a);
  positions_make<SIZE>(g, tables, rows, a, p);
  slots_walk<SIZE>(
      tiles, w.key_rows * (g.slots_w / 8),
      [&](int first, bf16 *k, bf16 *v) { keys_load<SIZE>(g, w, qkv, pad, first, k, v); },
      [&](int strip, const bf16 *k, const bf16 *v) {
        float s[GRID_STRIPS][4];
        rows_by_slots<SIZE>(a, k, s);
        positions_add(g, rows, strip, p, s);
#pragma unroll
        for (int r = 0; r < 2; r++) {
          float most = top[r];
#pragma unroll
          for (int i = 0; i < 2 * GRID_STRIPS; i++) most = fmaxf(most, s[i / 2][2 * r + i % 2]);
          most = warp_max<4>(most);
          float base = most > -INFINITY ? most : 0, shrink = exp2f(top[r] - base);
          top[r] = most;
          total[r] *= shrink;
#pragma unroll
          for (int i = 0; i < 2 * GRID_STRIPS; i++)
            total[r] += s[i / 2][2 * r + i % 2] = exp2f(s[i / 2][2 * r + i % 2] - base);
#pragma unroll
          for (int i = 0; i < SIZE / 4; i++) sum[i / 2][2 * r + i % 2] *= shrink;
        }
        weights_by_slots<SIZE>(s, v, sum);
      });
  bf16 *to[2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    total[r] = warp_sum<4>(total[r]);
    scale[r] = 1 / total[r];
    int64_t token = grid_token(g, w, rows.place[r][0], rows.place[r][1]);
    to[r] = rows.real[r] ? y + token * g.s.embed + blockIdx.y * (unsigned)g.s.size : nullptr;
    if (rows.real[r] && threadIdx.x % 4 == 0)
      lse[token * g.s.heads + blockIdx.y] = top[r] / GRID_LOG2_E + logf(total[r]);
  }
  rows_store<SIZE>(g, to, sum, scale);
}

/* As grid_rows_query_gradient; bias is to base 2. */
template <int SIZE>
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_mma_query_gradient(Grid g, GridTablesHalf tables, int parts, const bf16 *qkv,
                            const bf16 *pad, const bf16 *dy, QuerySums sums, bf16 *dqkv,
                            float *bias, float *along) {
  DYNAMIC_SHARED(bf16, tiles);
  GridRows rows = grid_rows(g, parts, false);
  const GridWindow &w = rows.w;
  GridPositions p =
      grid_positions(g, reinterpret_cast<float *>(tiles + 4 * GridMma<SIZE>::TILE), true);
  unsigned a[SIZE / 16][4], gradient[SIZE / 16][4];
  float sum[SIZE / 8][4] = {}, lse[2], delta[2], of_row[2] = {};
  const bf16 *from[2], *from_dy[2];
  bf16 *to[2];
  const float one[2] = {1, 1};
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int y = rows.place[r][0], x = rows.place[r][1];
    int64_t token = grid_token(g, w, y, x);
    int64_t at = grid_head(g, rows.window) * g.slots + y * g.slots_w + x;
    from[r] = grid_part(g, w, qkv, pad, y, x, 0);
    from_dy[r] = dy + token * g.s.embed + blockIdx.y * (unsigned)g.s.size;
    to[r] = dqkv && rows.real[r] ? dqkv + 3 * token * g.s.embed + blockIdx.y * (unsigned)g.s.size
                                 : nullptr;
    lse[r] = sums.lse[at] * GRID_LOG2_E;
    delta[r] = sums.delta[at];
  }
  grid_fragment<SIZE>(g, from, a);
  grid_fragment<SIZE>(g, from_dy, gradient);
  positions_make<SIZE>(g, tables, rows, a, p);
  positions_store(g, rows, p.bias, p.pitch, bias);
  for (int i = (int)threadIdx.x % WARP; i < GRID_ROWS * p.pitch[1]; i += WARP) p.sum[1][i] = 0;
  __syncwarp();
  slots_walk<SIZE>(
      tiles, w.key_rows * (g.slots_w / 8),
      [&](int first, bf16 *k, bf16 *v) { keys_load<SIZE>(g, w, qkv, pad, first, k, v); },
      [&](int strip, const bf16 *k, const bf16 *v) {
        float s[GRID_STRIPS][4], ds[GRID_STRIPS][4];
        rows_by_slots<SIZE>(a, k, s);
        rows_by_slots<SIZE>(gradient, v, ds);
        positions_add(g, rows, strip, p, s);
#pragma unroll
        for (int i = 0; i < 4 * GRID_STRIPS; i++)
          ds[i / 4][i % 4] =
              exp2f(s[i / 4][i % 4] - lse[i % 4 / 2]) * (ds[i / 4][i % 4] - delta[i % 4 / 2]);
        positions_sum(g, rows, strip, ds, of_row, p);
        weights_by_slots<SIZE>(ds, k, sum);
      });
  __syncwarp();
#pragma unroll
  for (int i = 0; i < SIZE / 2; i++) sum[i / 4][i % 4] *= g.scale;
  positions_back<SIZE>(g, tables, rows, p, sum);
  rows_store<SIZE>(g, to, sum, one);
  if (along) positions_store(g, rows, p.sum, p.pitch, along);
}

/* As grid_rows_key_gradient: a warp's rows are keys, slots are queries. */
template <int SIZE>
static __global__ void __launch_bounds__(GRID_THREADS)
    grid_mma_key_gradient(Grid g, int parts, const bf16 *qkv, const bf16 *pad, const bf16 *dy,
                          QuerySums sums, const float *bias, bf16 *dqkv, float *pads) {
  DYNAMIC_SHARED(bf16, tiles);
  GridRows rows = grid_rows(g, parts, true);
  const GridWindow &w = rows.w;
  int t = (int)threadIdx.x % 4;
  unsigned a[SIZE / 16][4], value[SIZE / 16][4];
  float sum_k[SIZE / 8][4] = {}, sum_v[SIZE / 8][4] = {};
  int64_t head = grid_head(g, rows.window);
  const bf16 *k[2], *v[2];
  const float *of_row[2], *of_column[2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    k[r] = grid_part(g, w, qkv, pad, rows.place[r][0], rows.place[r][1], 1);
    v[r] = k[r] + g.s.embed;
    of_row[r] = bias + (head * g.both + rows.place[r][0]) * g.slots;
    of_column[r] = bias + (head * g.both + g.s.side_h + rows.place[r][1]) * g.slots;
  }
  grid_fragment<SIZE>(g, k, a);
  grid_fragment<SIZE>(g, v, value);
  slots_walk<SIZE>(
      tiles, w.rows * (g.slots_w / 8),
      [&](int first, bf16 *one, bf16 *two) {
        slots_load<SIZE>(g, first, w.rows, w.columns, qkv, one, two,
                         [&](int y, int x, int c, const bf16 **q, const bf16 **gradient) {
                           int64_t token = grid_token(g, w, y, x);
                           int64_t channel = blockIdx.y * (unsigned)g.s.size + c;
                           *q = qkv + 3 * token * g.s.embed + channel;
                           *gradient = dy + token * g.s.embed + channel;
                         });
      },
      [&](int strip, const bf16 *queries, const bf16 *gradients) {
        float p[GRID_STRIPS][4], ds[GRID_STRIPS][4];
        rows_by_slots<SIZE>(a, queries, p);
        rows_by_slots<SIZE>(value, gradients, ds);
#pragma unroll
        for (int n = 0; n < GRID_STRIPS; n++) {
          bool real = strip_row(g, strip + n) < w.rows;
          int column = strip_column(g, strip + n) + 2 * t,
              slot = (real ? strip + n : 0) * 8 + 2 * t;
          const float2 lse = *reinterpret_cast<const float2 *>(sums.lse + head * g.slots + slot);
          const float2 delta =
              *reinterpret_cast<const float2 *>(sums.delta + head * g.slots + slot);
#pragma unroll
          for (int r = 0; r < 2; r++) {
            float2 h = *reinterpret_cast<const float2 *>(of_row[r] + slot);
            float2 c = *reinterpret_cast<const float2 *>(of_column[r] + slot);
            float *at = &p[n][2 * r], *d = &ds[n][2 * r], scale = g.scale * GRID_LOG2_E;
            bool there[2] = {real && column < w.columns, real && column + 1 < w.columns};
            at[0] = there[0] ? exp2f(at[0] * scale + (h.x + c.x) - lse.x * GRID_LOG2_E) : 0;
            at[1] = there[1] ? exp2f(at[1] * scale + (h.y + c.y) - lse.y * GRID_LOG2_E) : 0;
            d[0] = at[0] * (d[0] - delta.x);
            d[1] = at[1] * (d[1] - delta.y);
          }
        }
        weights_by_slots<SIZE>(p, gradients, sum_v);
        weights_by_slots<SIZE>(ds, queries, sum_k);
      });
  const float one[2] = {1, 1}, scale[2] = {g.scale, g.scale};
  bf16 *dk[2] = {}, *dv[2] = {};
  float *pad_k[2] = {}, *pad_v[2] = {};
#pragma unroll
  for (int r = 0; r < 2; r++) {
    int y = rows.place[r][0], x = rows.place[r][1], channel = (int)blockIdx.y * g.s.size;
    bool padding = y >= w.rows || x >= w.columns;
    if (!rows.real[r]) continue;
    if (!padding && dqkv) dk[r] = dqkv + (3 * grid_token(g, w, y, x) + 1) * g.s.embed + channel;
    if (dk[r]) dv[r] = dk[r] + g.s.embed;
    if (padding && pads)
      pad_k[r] = pads + grid_pad_at(g, rows.window, y, x) * 2 * g.s.embed + channel;
    if (pad_k[r]) pad_v[r] = pad_k[r] + g.s.embed;
  }
  rows_store<SIZE>(g, dk, sum_k, scale);
  rows_store<SIZE>(g, dv, sum_v, one);
  rows_store<SIZE>(g, pad_k, sum_k, scale);
  rows_store<SIZE>(g, pad_v, sum_v, one);
}

#endif
