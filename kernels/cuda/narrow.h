/* All gradients of a layer of few channels over millions of rows (dense.h), BF16, in one walk over
 * dy: dx = dy w, dw = dy^T x and db = the sums of dy, on tensor cores. Three products of a library
 * read dy three times, and it is the largest by far where a narrow x gets wide.
 *
 * A block keeps w and two tiles of 64 rows of dy and x in shared memory, one of them on its way.
 * dw and db stay in registers over all of the block's tiles, db as a product with ones; blocks'
 * sums meet in a second kernel in a fixed order: the same bits every time, on every device.
 *
 * Bound by memory: dy, x and dx once. Shared memory is read at about the same rate: 40 fragments
 * of 512 bytes for each warp's 60 products a tile (32 to 192 channels). */
#ifndef KERNELS_CUDA_NARROW_H
#define KERNELS_CUDA_NARROW_H

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/mma.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/vector.h"

enum {
  NARROW_THREADS = 256, /* 8 warps: 4 along the rows of dx and of dw, 2 along their columns */
  NARROW_ROWS = 64,     /* a tile */
  NARROW_STEP = 16,     /* of a product on tensor cores */
  NARROW_OUTS = 192,    /* at most */
  NARROW_INS = 64,
  NARROW_PARTS = 264,    /* blocks: two on each processor of an H100 */
  NARROW_LEAST = 1 << 16 /* rows: fewer are not worth the blocks' sums */
};

/* dx NULL: not wanted. adds: to what is in dx. weight (parts, outs, ins), bias (parts, outs). */
struct NarrowCall {
  int64_t rows;
  int outs, ins;
  const bf16 *dy, *x, *w;
  bf16 *dx;
  bool adds;
  float *weight, *bias;
};

/* Rows in shared memory begin 16 bytes apart modulo 128: the eight of a matrix meet in no bank. */
template <int TILES> struct NarrowRoom { /* TILES: of 8 columns, of x, for each warp */
  static constexpr int OUT_PITCH = NARROW_OUTS + 8, IN_PITCH = 2 * TILES * 8 + 8;
  static constexpr int DY = NARROW_ROWS * OUT_PITCH, X = NARROW_ROWS * IN_PITCH,
                       W = NARROW_OUTS * IN_PITCH;
  static constexpr size_t BYTES = sizeof(bf16) * (W + 2 * (DY + X));
};

/* Rows of a tile of dy and x, zeros past the last: a warp takes a row of dy at a time, eight
 * threads one of x. */
template <int TILES>
static __device__ __forceinline__ void narrow_load(const NarrowCall &c, int64_t tile, bf16 *dy,
                                                   bf16 *x) {
  using Room = NarrowRoom<TILES>;
  int64_t first = tile * NARROW_ROWS;
  int column = (int)threadIdx.x % WARP * 8;
  for (int row = (int)threadIdx.x / WARP; column < c.outs && row < NARROW_ROWS;
       row += NARROW_THREADS / WARP) {
    bool there = first + row < c.rows;
    copy_async(dy + row * Room::OUT_PITCH + column,
               c.dy + (there ? (first + row) * c.outs + column : 0), there);
  }
  column = (int)threadIdx.x % 8 * 8;
  for (int row = (int)threadIdx.x / 8; column < c.ins && row < NARROW_ROWS;
       row += NARROW_THREADS / 8) {
    bool there = first + row < c.rows;
    copy_async(x + row * Room::IN_PITCH + column,
               c.x + (there ? (first + row) * c.ins + column : 0), there);
  }
}

/* Columns of w past `ins` stay as they are: they make columns of dx that nobody stores. */
template <int TILES>
static __device__ __forceinline__ void narrow_load_weights(const NarrowCall &c, bf16 *w) {
  int column = (int)threadIdx.x % 8 * 8;
  for (int row = (int)threadIdx.x / 8; column < c.ins && row < c.outs; row += NARROW_THREADS / 8)
    copy_async(w + row * NarrowRoom<TILES>::IN_PITCH + column, c.w + row * c.ins + column, true);
}

/* What a lane points at for the 16 x 16 elements from `at`: an operand a of rows as they lie, or,
 * transposed, two operands b of 8 columns. */
static __device__ __forceinline__ const bf16 *narrow_square(const bf16 *at, int pitch) {
  int lane = (int)threadIdx.x % WARP;
  return at + lane % 16 * pitch + lane / 16 * 8;
}
/* The same, transposed an operand a. */
static __device__ __forceinline__ const bf16 *narrow_turned(const bf16 *at, int pitch) {
  int lane = (int)threadIdx.x % WARP;
  return at + (lane % 8 + lane / 16 * 8) * pitch + lane / 8 % 2 * 8;
}

static __device__ __forceinline__ void narrow_store(bf16 *at, bool adds, const float *v) {
  float old[2] = {};
  if (adds) old[0] = load(at), old[1] = load(at + 1);
  store_pair(at, old[0] + v[0], old[1] + v[1]);
}

/* The warp's 16 rows and half of the columns of a tile of dx. */
template <int TILES>
static __device__ __forceinline__ void narrow_dx(const NarrowCall &c, int64_t tile, const bf16 *dy,
                                                 const bf16 *w) {
  using Room = NarrowRoom<TILES>;
  int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
  int first = warp / 2 * NARROW_STEP, column = warp % 2 * TILES * 8;
  float sum[TILES][4] = {};
#pragma unroll 4
  for (int k = 0; k < c.outs; k += NARROW_STEP) {
    unsigned a[4], b[4];
    matrices_load(a, narrow_square(dy + first * Room::OUT_PITCH + k, Room::OUT_PITCH));
#pragma unroll
    for (int n = 0; n < TILES; n += 2) {
      const bf16 *at = w + k * Room::IN_PITCH + column + n * 8;
      matrices_load_turned(b, narrow_square(at, Room::IN_PITCH));
      mma(sum[n], a, b[0], b[1]);
      mma(sum[n + 1], a, b[2], b[3]);
    }
  }
#pragma unroll
  for (int n = 0; n < TILES; n++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int64_t row = tile * NARROW_ROWS + first + lane / 4 + 8 * r;
      int at = column + n * 8 + lane % 4 * 2;
      if (row < c.rows && at < c.ins) narrow_store(c.dx + row * c.ins + at, c.adds, sum[n] + 2 * r);
    }
}

/* The warp's rows of dw, every fourth 16 of them, and half of its columns; half of the warps have
 * the sums of dy too. */
template <int TILES> struct NarrowSums {
  static constexpr int STRIPS = NARROW_OUTS / (4 * NARROW_STEP);
  float weight[STRIPS][TILES][4], bias[STRIPS][4];
};

template <int TILES>
static __device__ __forceinline__ void narrow_dw(const NarrowCall &c, const bf16 *dy, const bf16 *x,
                                                 NarrowSums<TILES> &sums) {
  using Room = NarrowRoom<TILES>;
  constexpr unsigned ONES = 0x3f803f80u;
  int warp = (int)threadIdx.x / WARP, half = warp % 2;
#pragma unroll
  for (int k = 0; k < NARROW_ROWS; k += NARROW_STEP) {
    unsigned a[4], b[TILES / 2][4];
#pragma unroll
    for (int n = 0; n < TILES / 2; n++) {
      const bf16 *at = x + k * Room::IN_PITCH + half * TILES * 8 + n * 16;
      matrices_load_turned(b[n], narrow_square(at, Room::IN_PITCH));
    }
#pragma unroll
    for (int s = 0; s < NarrowSums<TILES>::STRIPS; s++) {
      int out = (warp / 2 + 4 * s) * NARROW_STEP;
      if (out >= c.outs) break;
      matrices_load_turned(a, narrow_turned(dy + k * Room::OUT_PITCH + out, Room::OUT_PITCH));
#pragma unroll
      for (int n = 0; n < TILES; n++)
        mma(sums.weight[s][n], a, b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
      if (half == 0) mma(sums.bias[s], a, ONES, ONES);
    }
  }
}

template <int TILES>
static __device__ __forceinline__ void narrow_parts(const NarrowCall &c,
                                                    const NarrowSums<TILES> &sums) {
  int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
#pragma unroll
  for (int s = 0; s < NarrowSums<TILES>::STRIPS; s++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int out = (warp / 2 + 4 * s) * NARROW_STEP + lane / 4 + 8 * r;
      int64_t row = (int64_t)blockIdx.x * c.outs + out;
      if (out >= c.outs) continue;
#pragma unroll
      for (int n = 0; n < TILES; n++) {
        int column = (warp % 2 * TILES + n) * 8 + lane % 4 * 2;
        const float *v = sums.weight[s][n] + 2 * r;
        if (column < c.ins) store_pair(c.weight + row * c.ins + column, v[0], v[1]);
      }
      if (warp % 2 == 0 && lane % 4 == 0) c.bias[row] = sums.bias[s][2 * r];
    }
}

template <int TILES>
static __global__ void __launch_bounds__(NARROW_THREADS, 2) narrow_gradients(NarrowCall c) {
  using Room = NarrowRoom<TILES>;
  DYNAMIC_SHARED(bf16, w);
  constexpr int STAGE = Room::DY + Room::X;
  bf16 *stages = w + Room::W;
  int64_t tiles = (c.rows + NARROW_ROWS - 1) / NARROW_ROWS;
  NarrowSums<TILES> sums = {};
  narrow_load_weights<TILES>(c, w);
  narrow_load<TILES>(c, blockIdx.x, stages, stages + Room::DY);
  copies_close();
  int now = 0;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x, now = 1 - now) {
    int64_t next = tile + gridDim.x;
    bf16 *dy = stages + now * STAGE, *later = stages + (1 - now) * STAGE;
    if (next < tiles) narrow_load<TILES>(c, next, later, later + Room::DY);
    copies_close();
    copies_wait<1>();
    __syncthreads();
    if (c.dx) narrow_dx<TILES>(c, tile, dy, w);
    narrow_dw<TILES>(c, dy, dy + Room::DY, sums);
    __syncthreads(); /* before the next tile but one takes its place */
  }
  copies_wait<0>();
  narrow_parts<TILES>(c, sums);
}

/* ---- the host's side ----------------------------------------------------------------------------
 */

/* Whether a layer is one. */
static inline bool narrow_fits(int64_t rows, int64_t ins, int64_t outs) {
  return rows >= NARROW_LEAST && ins % 8 == 0 && ins <= NARROW_INS && outs % 16 == 0 &&
         outs <= NARROW_OUTS;
}

/* What prepare calls; the bytes of scratch. */
static inline size_t narrow_prepare(int64_t ins, int64_t outs) {
  allow_shared(narrow_gradients<2>, NarrowRoom<2>::BYTES);
  allow_shared(narrow_gradients<4>, NarrowRoom<4>::BYTES);
  return NARROW_PARTS * (size_t)(outs * (ins + 1)) * sizeof(float);
}

/* c: but for weight and bias, which lie in scratch. dw (outs, ins), db (outs); NULL: not wanted.
 * most: blocks, NARROW_PARTS at most. */
static inline void narrow_run(void *stream, NarrowCall c, void *scratch, float *dw, float *db,
                              int most = NARROW_PARTS) {
  int64_t tiles = (c.rows + NARROW_ROWS - 1) / NARROW_ROWS;
  int parts = tiles < most ? (int)tiles : most;
  c.weight = static_cast<float *>(scratch);
  c.bias = c.weight + (int64_t)NARROW_PARTS * c.outs * c.ins;
  if (c.ins > 32)
    LAUNCH(narrow_gradients<4>, (unsigned)parts, NARROW_THREADS, NarrowRoom<4>::BYTES, stream, c);
  else
    LAUNCH(narrow_gradients<2>, (unsigned)parts, NARROW_THREADS, NarrowRoom<2>::BYTES, stream, c);
  if (dw) partials_sum(stream, 1, parts, c.outs * c.ins, c.weight, dw);
  if (db) partials_sum(stream, 1, parts, c.outs, c.bias, db);
}

#endif
