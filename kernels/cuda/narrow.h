/* All gradients of a product of few channels over very many rows (a layer, dense.h; masks,
 * kernels/matmul.cu), BF16, in one walk over dy: dx = dy w, dw = dy^T x and db = the sums of dy, on
 * tensor cores. Three products of a library read dy three times, and it is the largest by far where
 * a narrow x gets wide; and where dw is small, the library has it summed by as few processors.
 *
 * A block keeps w and two tiles of rows of dy and x in shared memory, one of them on its way. dw
 * and db stay in registers over all of the block's tiles, db as a product with ones; blocks' sums
 * meet in a second kernel in a fixed order: the same bits every time, on every device.
 *
 * Bound by memory: dy, x and dx once. Shared memory is read at about the same rate: 40 fragments of
 * 512 bytes for each warp's 60 products a tile (32 to 192 channels). */
#ifndef KERNELS_CUDA_NARROW_H
#define KERNELS_CUDA_NARROW_H

#include "kernels/cuda/async_copy.h"
#include "kernels/cuda/mma.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/vector.h"

enum {
  NARROW_THREADS = 256, /* 8 warps: in fours along the rows of dx, in twos along its columns */
  NARROW_STEP = 16,     /* of a product on tensor cores */
  NARROW_OUTS = 192,    /* at most */
  NARROW_FEW = 32,      /* and so few are its best case */
  NARROW_INS = 64,
  NARROW_PROCESSORS = 132, /* share the rows: an H100's, on every device, for equal bits */
  NARROW_LEAST = 1 << 15   /* rows: fewer are not worth the blocks' sums */
};

/* `rows` and all operands but the sums: of one sample, blockIdx.y. dx NULL: not wanted; adds: to
 * what is there. weight (samples, parts, outs, ins), bias (samples, parts, outs). */
struct NarrowCall {
  int64_t rows;
  int outs, ins;
  const bf16 *dy, *x, *w;
  bf16 *dx;
  bool adds;
  float *weight, *bias;
};

/* outs <= OUTS, ins <= 16 TILES: 8 columns of x times TILES for each of two warps. SPLIT: how many
 * warps share the rows that dw sums over; else they share its own rows. Rows in shared memory begin
 * 16 bytes apart modulo 128: the eight of a matrix meet in no bank. */
template <int OUT_MOST, int IN_TILES> struct Narrow {
  static constexpr int OUTS = OUT_MOST, TILES = IN_TILES, INS = 16 * TILES;
  static constexpr int ROWS = OUTS > NARROW_FEW ? 64 : 128, SPLIT = OUTS > NARROW_FEW ? 1 : 4;
  static constexpr int STRIPS = OUTS / NARROW_STEP * SPLIT / 4; /* of dw's rows, for a warp */
  static constexpr int OUT_PITCH = OUTS + 8, IN_PITCH = INS + 8;
  static constexpr int DY = ROWS * OUT_PITCH, X = ROWS * IN_PITCH, W = OUTS * IN_PITCH;
  static constexpr size_t BYTES = sizeof(bf16) * (W + 2 * (DY + X));
  static constexpr int BLOCKS = OUTS > NARROW_FEW || TILES > 2 ? 2 : 3; /* on a processor */
  static constexpr int AHEAD = TILES > 2            ? 1
                               : OUTS <= NARROW_FEW ? 2
                                                    : 4; /* steps of a product under way */
  static constexpr int PARTS = NARROW_PROCESSORS * BLOCKS;
  float weight[STRIPS][TILES][4], bias[STRIPS][4]; /* a warp's sums */
};

/* Rows first .. first + ROWS - 1 of `from` (rows, width), zeros past the last. ACROSS threads take
 * a row. */
template <int ROWS, int ACROSS, int PITCH>
static __device__ __forceinline__ void narrow_rows(int64_t first, int64_t rows, int width,
                                                   const bf16 *from, bf16 *to) {
  int column = (int)threadIdx.x % ACROSS * 8;
  for (int row = (int)threadIdx.x / ACROSS; column < width && row < ROWS;
       row += NARROW_THREADS / ACROSS) {
    bool there = first + row < rows;
    copy_async(to + row * PITCH + column, from + (there ? (first + row) * width + column : 0),
               there);
  }
}

template <typename N>
static __device__ __forceinline__ void narrow_load(const NarrowCall &c, int64_t tile, bf16 *dy) {
  constexpr int ACROSS = N::OUTS > NARROW_FEW ? WARP : N::OUTS / 8;
  narrow_rows<N::ROWS, ACROSS, N::OUT_PITCH>(tile * N::ROWS, c.rows, c.outs, c.dy, dy);
  narrow_rows<N::ROWS, N::INS / 8, N::IN_PITCH>(tile * N::ROWS, c.rows, c.ins, c.x, dy + N::DY);
}

/* What a lane points at for the 16 x 16 elements from `at`: an operand a of rows as they lie, or,
 * turned, two operands b of 8 columns. */
static __device__ __forceinline__ const bf16 *narrow_square(const bf16 *at, int pitch) {
  int lane = (int)threadIdx.x % WARP;
  return at + lane % 16 * pitch + lane / 16 * 8;
}
/* The same for an operand a that is turned. */
static __device__ __forceinline__ const bf16 *narrow_turned(const bf16 *at, int pitch) {
  int lane = (int)threadIdx.x % WARP;
  return at + (lane % 8 + lane / 16 * 8) * pitch + lane / 8 % 2 * 8;
}

/* Where a lane's numbers of dx lie: visit(n, r, at) for two neighbours of row lane / 4 + 8 r and
 * tile n of its columns. */
template <typename N, typename F>
static __device__ __forceinline__ void narrow_places(const NarrowCall &c, int64_t first, F visit) {
  int lane = (int)threadIdx.x % WARP, column = (int)threadIdx.x / WARP % 2 * N::TILES * 8;
#pragma unroll
  for (int n = 0; n < N::TILES; n++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int64_t row = first + lane / 4 + 8 * r;
      int at = column + n * 8 + lane % 4 * 2;
      if (row < c.rows && at < c.ins) visit(n, r, row * c.ins + at);
    }
}

/* What dx is added to, asked for long before it is needed: two numbers a word. */
template <typename N> struct NarrowOld { unsigned pair[N::TILES][2]; };

template <typename N>
static __device__ __forceinline__ void narrow_old(const NarrowCall &c, int64_t first,
                                                  NarrowOld<N> &old) {
#pragma unroll
  for (int n = 0; n < N::TILES; n++) old.pair[n][0] = old.pair[n][1] = 0;
  if (!c.adds) return;
  narrow_places<N>(c, first, [&](int n, int r, int64_t at) {
    old.pair[n][r] = *reinterpret_cast<const unsigned *>(c.dx + at);
  });
}

/* 16 rows of dx, the first of them `first`, row `row` of the tile, and half of its columns, by a
 * warp. Columns of w past `ins`, whatever they are, make columns that nobody stores. */
template <typename N>
static __device__ __forceinline__ void narrow_dx(const NarrowCall &c, int64_t first, int row,
                                                 const bf16 *dy, const bf16 *w,
                                                 const NarrowOld<N> &old) {
  int column = (int)threadIdx.x / WARP % 2 * N::TILES * 8;
  float sum[N::TILES][4] = {};
#pragma unroll N::AHEAD
  for (int k = 0; k < c.outs; k += NARROW_STEP) {
    unsigned a[4], b[4];
    matrices_load(a, narrow_square(dy + row * N::OUT_PITCH + k, N::OUT_PITCH));
#pragma unroll
    for (int n = 0; n < N::TILES; n += 2) {
      const bf16 *at = w + k * N::IN_PITCH + column + n * 8;
      matrices_load_turned(b, narrow_square(at, N::IN_PITCH));
      mma(sum[n], a, b[0], b[1]);
      mma(sum[n + 1], a, b[2], b[3]);
    }
  }
  narrow_places<N>(c, first, [&](int n, int r, int64_t at) {
    store_pair(c.dx + at, sum[n][2 * r] + __uint_as_float(old.pair[n][r] << 16),
               sum[n][2 * r + 1] + __uint_as_float(old.pair[n][r] & 0xffff0000u));
  });
}

/* Rows of dw that strip s of this warp is. */
template <typename N> static __device__ __forceinline__ int narrow_strip(int s) {
  int warp = (int)threadIdx.x / WARP / 2;
  return (N::SPLIT > 1 ? s : warp + 4 * s) * NARROW_STEP;
}

/* Half of the columns of the warp's strips; half of the warps have the sums of dy too. */
template <typename N>
static __device__ __forceinline__ void narrow_dw(const NarrowCall &c, const bf16 *dy, N &sums) {
  constexpr unsigned ONES = 0x3f803f80u;
  constexpr int SHARE = N::ROWS / N::SPLIT;
  const bf16 *x = dy + N::DY;
  int half = (int)threadIdx.x / WARP % 2;
  int first = N::SPLIT > 1 ? (int)threadIdx.x / WARP / 2 * SHARE : 0;
#pragma unroll N::AHEAD
  for (int k = first; k < first + SHARE; k += NARROW_STEP) {
    unsigned a[4], b[N::TILES / 2][4];
#pragma unroll
    for (int n = 0; n < N::TILES / 2; n++) {
      const bf16 *at = x + k * N::IN_PITCH + half * N::TILES * 8 + n * 16;
      matrices_load_turned(b[n], narrow_square(at, N::IN_PITCH));
    }
#pragma unroll
    for (int s = 0; s < N::STRIPS; s++) {
      int out = min(narrow_strip<N>(s), c.outs - NARROW_STEP); /* past them: not stored */
      matrices_load_turned(a, narrow_turned(dy + k * N::OUT_PITCH + out, N::OUT_PITCH));
#pragma unroll
      for (int n = 0; n < N::TILES; n++)
        mma(sums.weight[s][n], a, b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
      if (half == 0) mma(sums.bias[s], a, ONES, ONES);
    }
  }
}

template <typename N>
static __device__ __forceinline__ void narrow_parts(const NarrowCall &c, const N &sums) {
  int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, half = warp % 2;
  int64_t part = ((int64_t)blockIdx.y * gridDim.x + blockIdx.x) * N::SPLIT + warp / 2 % N::SPLIT;
#pragma unroll
  for (int s = 0; s < N::STRIPS; s++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int out = narrow_strip<N>(s) + lane / 4 + 8 * r;
      int64_t row = part * c.outs + out;
      if (out >= c.outs) continue;
#pragma unroll
      for (int n = 0; n < N::TILES; n++) {
        int column = (half * N::TILES + n) * 8 + lane % 4 * 2;
        const float *v = sums.weight[s][n] + 2 * r;
        if (column < c.ins) store_pair(c.weight + row * c.ins + column, v[0], v[1]);
      }
      if (half == 0 && lane % 4 == 0) c.bias[row] = sums.bias[s][2 * r];
    }
}

template <typename N>
static __global__ void __launch_bounds__(NARROW_THREADS, N::BLOCKS) narrow_gradients(NarrowCall c) {
  DYNAMIC_SHARED(bf16, w);
  bf16 *stages = w + N::W;
  int64_t tiles = (c.rows + N::ROWS - 1) / N::ROWS, sample = blockIdx.y;
  c.dy += sample * c.rows * c.outs;
  c.x += sample * c.rows * c.ins;
  c.dx = c.dx ? c.dx + sample * c.rows * c.ins : c.dx;
  N sums = {};
  narrow_rows<N::OUTS, N::INS / 8, N::IN_PITCH>(0, c.outs, c.ins, c.w + sample * c.outs * c.ins, w);
  narrow_load<N>(c, blockIdx.x, stages);
  copies_close();
  int now = 0, row = (int)threadIdx.x / WARP / 2 * NARROW_STEP;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x, now = 1 - now) {
    const bf16 *dy = stages + now * (N::DY + N::X);
    if (tile + gridDim.x < tiles)
      narrow_load<N>(c, tile + gridDim.x, stages + (1 - now) * (N::DY + N::X));
    copies_close();
    copies_wait<1>();
    __syncthreads();
    NarrowOld<N> old[N::ROWS / 64];
    narrow_old<N>(c, tile * N::ROWS + row, old[0]);
    narrow_dw<N>(c, dy, sums);
#pragma unroll
    for (int s = 0; s < N::ROWS / 64; s++) {
      if (s > 0) narrow_old<N>(c, tile * N::ROWS + row + 64 * s, old[s]);
      if (c.dx) narrow_dx<N>(c, tile * N::ROWS + row + 64 * s, row + 64 * s, dy, w, old[s]);
    }
    __syncthreads(); /* before the next tile but one takes its place */
  }
  copies_wait<0>();
  narrow_parts<N>(c, sums);
}

/* ---- the host's side ------------------------------------------------------------------------- */

/* Whether a product of so many rows a sample is one. */
static inline bool narrow_fits(int64_t rows, int64_t ins, int64_t outs) {
  return rows >= NARROW_LEAST && ins % 8 == 0 && ins <= NARROW_INS && outs % 16 == 0 &&
         outs <= NARROW_OUTS;
}

/* Calls use(N()) with the instance for a product. */
template <typename F> static inline void narrow_choose(int64_t ins, int64_t outs, F use) {
  if (outs > NARROW_FEW && ins > 32)
    use(Narrow<NARROW_OUTS, 4>());
  else if (outs > NARROW_FEW)
    use(Narrow<NARROW_OUTS, 2>());
  else if (ins > 32)
    use(Narrow<NARROW_FEW, 4>());
  else
    use(Narrow<NARROW_FEW, 2>());
}

/* Blocks of a sample that has so many rows. */
template <typename N> static inline int narrow_blocks(int samples, int64_t rows) {
  int64_t tiles = (rows + N::ROWS - 1) / N::ROWS,
          share = samples < N::PARTS ? N::PARTS / samples : 1;
  return (int)(tiles < share ? tiles : share);
}

/* Bytes of scratch; to be called in prepare. */
static inline size_t narrow_prepare(int samples, int64_t rows, int64_t ins, int64_t outs) {
  size_t parts = 0;
  narrow_choose(ins, outs, [&](auto n) {
    using N = decltype(n);
    allow_shared(narrow_gradients<N>, N::BYTES);
    parts = (size_t)narrow_blocks<N>(samples, rows) * N::SPLIT;
  });
  return (size_t)samples * parts * (size_t)(outs * (ins + 1)) * sizeof(float);
}

/* Where the gradients of w (samples, outs, ins) and of the bias (samples, outs) go; NULL: not
 * wanted. adds: to what is there. */
struct NarrowResult {
  float *dw, *db;
  bool adds_w, adds_b;
};

/* c: all but weight and bias, placed in scratch. most: blocks a sample; tests want few. */
static inline void narrow_run(void *stream, int samples, NarrowCall c, void *scratch,
                              const NarrowResult &result, int most = INT32_MAX) {
  narrow_choose(c.ins, c.outs, [&](auto n) {
    using N = decltype(n);
    int blocks = min(narrow_blocks<N>(samples, c.rows), most);
    int parts = blocks * N::SPLIT, width = c.outs * c.ins;
    c.weight = static_cast<float *>(scratch);
    c.bias = c.weight + (int64_t)samples * parts * width;
    LAUNCH(narrow_gradients<N>, dim3((unsigned)blocks, (unsigned)samples), NARROW_THREADS, N::BYTES,
           stream, c);
    if (result.dw) partials_sum(stream, samples, parts, width, c.weight, result.dw, result.adds_w);
    if (result.db) partials_sum(stream, samples, parts, c.outs, c.bias, result.db, result.adds_b);
  });
}

#endif
