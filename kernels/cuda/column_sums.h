/* Sums over the rows of a token matrix, one per column, for K functions of its elements at once:
 * bias gradients, gradients of a norm's scale and shift; per sample if wanted: the statistics of
 * instance norm. Two stages in a fixed order: the same bits every time. Bound by reading the
 * operands once.
 *
 * `F` is a struct with
 *   template <int N> __device__ void at(int64_t sample, int64_t row, int column,
 *                                       Floats<N> *term) const
 * that gives the K terms of N neighbouring columns; rows count through all samples. What depends on
 * sample and column alone is read once: a thread keeps its columns. `Out` is a struct with
 *   __device__ void done(int64_t at, const float (&value)[K]) const
 * that takes the sums of column `at` of (samples, width). */
#ifndef KERNELS_CUDA_COLUMN_SUMS_H
#define KERNELS_CUDA_COLUMN_SUMS_H

#include "kernels/cuda/vector.h"

static constexpr int COLUMN_THREADS = 256, COLUMN_BLOCKS = 512, COLUMN_GROUPS = 8;

/* What becomes of the sums of a column: (samples, width) each; NULL: not wanted. adds: to what is
 * there. */
template <int K> struct ColumnOut {
  float *sum[K];
  bool adds[K] = {};

  __device__ __forceinline__ void done(int64_t at, const float (&value)[K]) const {
#pragma unroll
    for (int k = 0; k < K; k++)
      if (sum[k]) sum[k][at] = adds[k] ? sum[k][at] + value[k] : value[k];
  }
};

namespace {
/* What a thread takes of sample blockIdx.z: columns that stay the same, rows row, row + step, ...
 * blockIdx.x shares the rows out, .y is a tile of COLUMN_THREADS vectors. */
struct ColumnWalk {
  int tile, side, column; /* vectors of the tile, rows that a block reads at once, first column */
  int64_t row, step;
};
} // namespace

template <int N>
static __device__ __forceinline__ ColumnWalk column_walk(int64_t rows, int64_t width) {
  ColumnWalk walk;
  int start = (int)blockIdx.y * COLUMN_THREADS;
  walk.tile = min(COLUMN_THREADS, (int)(width / N) - start);
  walk.side = COLUMN_THREADS / walk.tile;
  walk.column = (start + (int)threadIdx.x % walk.tile) * N;
  int first = (int)threadIdx.x / walk.tile;
  walk.row = first < walk.side ? (int64_t)blockIdx.x * walk.side + first : rows;
  walk.step = (int64_t)gridDim.x * walk.side;
  return walk;
}

/* Calls visit(element, v) for the thread's rows of K blocks (rows, width) of one sample: `element`
 * is that of its first column from the sample's first, v its N columns in each block. AHEAD rows
 * are under way at once, so that memory stays busy. */
template <int N, int AHEAD, int K, typename T, typename F>
static __device__ __forceinline__ void
rows_walk(const ColumnWalk &walk, int64_t rows, int64_t width, const T *const (&from)[K], F visit) {
  for (int64_t first = walk.row; first < rows; first += AHEAD * walk.step) {
    Floats<N> v[AHEAD][K];
#pragma unroll
    for (int a = 0; a < AHEAD; a++)
#pragma unroll
      for (int k = 0; k < K; k++)
        if (first + a * walk.step < rows)
          v[a][k] = load_lanes<N>(from[k] + (first + a * walk.step) * width + walk.column);
#pragma unroll
    for (int a = 0; a < AHEAD; a++)
      if (first + a * walk.step < rows) visit((first + a * walk.step) * width + walk.column, v[a]);
  }
}

/* The grid of a kernel of COLUMN_THREADS threads that walks so: what the device holds at once. */
template <int N, typename K>
static inline dim3 column_grid(K kernel, int64_t rows, int64_t width, int64_t samples) {
  int64_t count = width / N, tiles = (count + COLUMN_THREADS - 1) / COLUMN_THREADS;
  int64_t side = COLUMN_THREADS / (count < COLUMN_THREADS ? count : COLUMN_THREADS);
  int64_t wanted = (rows + side - 1) / side;
  int64_t most = resident_blocks(kernel, COLUMN_THREADS, 0) / (tiles * samples);
  return dim3((unsigned)(most < 1        ? 1
                         : wanted < most ? wanted
                                         : most),
              (unsigned)tiles, (unsigned)samples);
}

/* partial: (samples, gridDim.x, K, width); NULL: one block has all of a sample. */
template <int K, int N, typename F, typename Out>
static __global__ void __launch_bounds__(COLUMN_THREADS)
    column_partials(int64_t rows, int width, F f, float *partial, Out out) {
  SHARED(float, shared, [K * N][COLUMN_THREADS]);
  ColumnWalk walk = column_walk<N>(rows, width);
  int thread = (int)threadIdx.x, start = (int)blockIdx.y * COLUMN_THREADS;
  int tile = walk.tile, side = walk.side;
  Floats<N> sum[K] = {};
#pragma unroll 4
  for (int64_t row = walk.row; row < rows; row += walk.step) {
    Floats<N> term[K];
    f.template at<N>(blockIdx.z, blockIdx.z * rows + row, walk.column, term);
#pragma unroll
    for (int i = 0; i < K * N; i++) sum[i / N].v[i % N] += term[i / N].v[i % N];
  }
#pragma unroll
  for (int i = 0; i < K * N; i++) shared[i][thread] = sum[i / N].v[i % N];
  __syncthreads();
  int64_t block = (int64_t)blockIdx.z * gridDim.x + blockIdx.x;
  for (int item = thread; item < tile * N; item += COLUMN_THREADS) {
    int at = item % tile, i = item / tile, column = (start + at) * N + i;
    float total[K] = {};
#pragma unroll
    for (int k = 0; k < K; k++) {
      for (int s = 0; s < side; s++) total[k] += shared[k * N + i][s * tile + at];
      if (partial) partial[(block * K + k) * width + column] = total[k];
    }
    if (!partial) out.done(block * width + column, total);
  }
}

template <int K, typename Out>
static __global__ void __launch_bounds__(32 * COLUMN_GROUPS)
    column_finish(int blocks, int width, const float *partial, Out out) {
  SHARED(float, shared, [COLUMN_GROUPS][K][32]);
  int lane = (int)threadIdx.x % 32, group = (int)threadIdx.x / 32;
  int column = (int)blockIdx.x * 32 + lane;
  int64_t first = (int64_t)blockIdx.y * blocks;
  float sum[K] = {};
  if (column < width)
    for (int b = group; b < blocks; b += COLUMN_GROUPS)
#pragma unroll
      for (int k = 0; k < K; k++) sum[k] += partial[((first + b) * K + k) * width + column];
#pragma unroll
  for (int k = 0; k < K; k++) shared[group][k][lane] = sum[k];
  __syncthreads();
  if (group > 0 || column >= width) return;
  for (int g = 1; g < COLUMN_GROUPS; g++)
#pragma unroll
    for (int k = 0; k < K; k++) sum[k] += shared[g][k][lane];
  out.done((int64_t)blockIdx.y * width + column, sum);
}

/* What prepare asks for. */
static inline size_t column_sums_scratch(int64_t width, int functions, int64_t samples = 1) {
  return (size_t)samples * COLUMN_BLOCKS * (size_t)functions * (size_t)width * sizeof(float);
}

/* `rows`: of one sample. `vectors`: whether F may be asked for COUNT neighbouring columns at once
 * (vectors_fit). */
template <int K, int COUNT, typename F, typename Out>
static inline void column_sums(void *stream, int64_t rows, int64_t width, bool vectors, const F &f,
                               void *scratch, const Out &out, int64_t samples = 1) {
  int64_t blocks = (rows + 31) / 32, count = vectors ? width / COUNT : width;
  unsigned grid = (unsigned)(blocks < COLUMN_BLOCKS ? blocks : COLUMN_BLOCKS);
  float *partial = grid == 1 ? NULL : static_cast<float *>(scratch);
  unsigned tiles = (unsigned)((count + COLUMN_THREADS - 1) / COLUMN_THREADS);
  if (vectors)
    LAUNCH((column_partials<K, COUNT, F, Out>), dim3(grid, tiles, (unsigned)samples),
           COLUMN_THREADS, 0, stream, rows, (int)width, f, partial, out);
  else
    LAUNCH((column_partials<K, 1, F, Out>), dim3(grid, tiles, (unsigned)samples), COLUMN_THREADS, 0,
           stream, rows, (int)width, f, partial, out);
  if (partial)
    LAUNCH((column_finish<K, Out>), dim3((unsigned)(width + 31) / 32, (unsigned)samples),
           32 * COLUMN_GROUPS, 0, stream, (int)grid, (int)width, partial, out);
}

/* The elements themselves. */
template <typename T> struct ColumnElements {
  const T *x;
  int width;
  template <int N>
  __device__ __forceinline__ void at(int64_t, int64_t row, int column, Floats<N> *term) const {
    term[0] = load_lanes<N>(x + row * width + column);
  }
};

/* A bias's gradient: the sums of dy (rows, width), with `adds` added to db; db NULL: not wanted. */
static inline void bias_gradient(void *stream, DType type, int64_t rows, int64_t width,
                                 const void *dy, void *scratch, float *db, bool adds = false) {
  if (!db) return;
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    ColumnElements<T> terms = {static_cast<const T *>(dy), (int)width};
    bool vectors = vectors_fit(width, sizeof(T), dy);
    column_sums<1, Lanes<T>::COUNT>(stream, rows, width, vectors, terms, scratch,
                                    ColumnOut<1>{{db}, {adds}});
  });
}

#endif
