/* Adaptive average pooling, bound by memory: the whole map by column_sums, a large cell by a block,
 * a small one by a thread for a vector of channels. The gradient is gathered: a thread a voxel of
 * the input visits the cells that have it, so that the bits repeat. */
#include "kernels/cells.h"
#include "kernels/cuda/column_sums.h"

static constexpr int THREADS = 256;
static constexpr int64_t LARGE = 64; /* voxels of a cell that a block sums */

namespace {
struct Grids {
  int64_t in[3], out[3]; /* D, H, W */
  int64_t samples;
  int channels;
};

/* Voxels [first, first + size) along each axis. */
struct Cell {
  int64_t sample, first[3];
  unsigned size[3];
  __device__ __forceinline__ unsigned voxels() const {
    return size[0] * size[1] * size[2];
  }
};

/* A sum over the whole map becomes its mean. */
template <typename T> struct MeanOut {
  T *y;
  float share;
  __device__ __forceinline__ void done(int64_t at, const float (&value)[1]) const {
    store(y + at, value[0] * share);
  }
};
} // namespace

static Grids grids_of(const Call *call) {
  Grids g = {};
  g.samples = call->in[0].dim[0];
  g.channels = (int)tensor_last(&call->in[0]);
  for (int a = 0; a < 3; a++) {
    g.in[a] = call->in[0].dim[1 + a];
    g.out[a] = call->out[0].dim[1 + a];
  }
  return g;
}

static bool is_whole(const Grids &g) {
  return g.out[0] * g.out[1] * g.out[2] == 1;
}

static __device__ __forceinline__ Cell cell_of(const Grids &g, int64_t row) {
  int64_t at[3] = {row / (g.out[1] * g.out[2]) % g.out[0], row / g.out[2] % g.out[1],
                   row % g.out[2]};
  Cell cell = {row / (g.out[0] * g.out[1] * g.out[2]), {}, {}};
#pragma unroll
  for (int a = 0; a < 3; a++) {
    cell.first[a] = cell_first(at[a], g.in[a], g.out[a]);
    cell.size[a] = (unsigned)(cell_end(at[a], g.in[a], g.out[a]) - cell.first[a]);
  }
  return cell;
}

/* The input row of voxel `tap` of the cell. */
static __device__ __forceinline__ int64_t cell_row(const Grids &g, const Cell &cell, unsigned tap) {
  unsigned x = tap % cell.size[2], rest = tap / cell.size[2];
  int64_t z = cell.first[0] + rest / cell.size[1], y = cell.first[1] + rest % cell.size[1];
  return ((cell.sample * g.in[0] + z) * g.in[1] + y) * g.in[2] + cell.first[2] + x;
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    small_cells(int64_t items, Grids g, const T *x, T *y) {
  int lanes = g.channels / N;
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < items; i += step) {
    int64_t row = i / lanes;
    int c = (int)(i - row * lanes) * N;
    Cell cell = cell_of(g, row);
    Floats<N> sum = {};
    for (unsigned tap = 0; tap < cell.voxels(); tap++) {
      Floats<N> v = load_lanes<N>(x + cell_row(g, cell, tap) * g.channels + c);
#pragma unroll
      for (int k = 0; k < N; k++) sum.v[k] += v.v[k];
    }
#pragma unroll
    for (int k = 0; k < N; k++) sum.v[k] /= (float)cell.voxels();
    store_lanes<N>(y + row * g.channels + c, sum);
  }
}

/* A block a cell and at most THREADS vectors of its channels; what threads are left share the
 * voxels out. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    large_cells(int64_t rows, Grids g, const T *x, T *y) {
  SHARED(float, shared, [N][THREADS]);
  int thread = (int)threadIdx.x, start = (int)blockIdx.y * THREADS;
  int tile = min(THREADS, g.channels / N - start), sides = THREADS / tile;
  int c = (start + thread % tile) * N, side = thread / tile;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    Cell cell = cell_of(g, row);
    Floats<N> sum = {};
    for (unsigned tap = (unsigned)side; side < sides && tap < cell.voxels();
         tap += (unsigned)sides) {
      Floats<N> v = load_lanes<N>(x + cell_row(g, cell, tap) * g.channels + c);
#pragma unroll
      for (int k = 0; k < N; k++) sum.v[k] += v.v[k];
    }
    __syncthreads(); /* whoever still reads the last cell's */
#pragma unroll
    for (int k = 0; k < N; k++) shared[k][thread] = sum.v[k];
    __syncthreads();
    if (side > 0) continue;
    for (int s = 1; s < sides; s++)
#pragma unroll
      for (int k = 0; k < N; k++) sum.v[k] += shared[k][s * tile + thread];
#pragma unroll
    for (int k = 0; k < N; k++) sum.v[k] /= (float)cell.voxels();
    store_lanes<N>(y + row * g.channels + c, sum);
  }
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    gather(int64_t items, Grids g, const T *dy, bool adds, T *dx) {
  int lanes = g.channels / N;
  int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = start; i < items; i += step) {
    int64_t row = i / lanes, n = row / (g.in[0] * g.in[1] * g.in[2]);
    int64_t at[3] = {row / (g.in[1] * g.in[2]) % g.in[0], row / g.in[2] % g.in[1], row % g.in[2]};
    int64_t first[3], end[3];
    int c = (int)(i - row * lanes) * N;
    Floats<N> sum = {};
    if (adds) sum = load_lanes<N>(dx + row * g.channels + c);
#pragma unroll
    for (int a = 0; a < 3; a++) {
      first[a] = cells_first(at[a], g.in[a], g.out[a]);
      end[a] = cells_end(at[a], g.in[a], g.out[a]);
    }
    for (int64_t z = first[0]; z < end[0]; z++)
      for (int64_t v = first[1]; v < end[1]; v++)
        for (int64_t u = first[2]; u < end[2]; u++) {
          int64_t from = ((n * g.out[0] + z) * g.out[1] + v) * g.out[2] + u;
          float share = 1 / (float)cell_of(g, from).voxels();
          Floats<N> d = load_lanes<N>(dy + from * g.channels + c);
#pragma unroll
          for (int k = 0; k < N; k++) sum.v[k] += share * d.v[k];
        }
    store_lanes<N>(dx + row * g.channels + c, sum);
  }
}

/* ---- launches -------------------------------------------------------------------------------- */

template <typename T> static void whole_map(const Call *call, const Grids &g) {
  const T *x = data_of<const T>(&call->in[0]);
  int64_t voxels = g.in[0] * g.in[1] * g.in[2];
  column_sums<1, Lanes<T>::COUNT>(
      call->stream, voxels, g.channels, vectors_fit(g.channels, sizeof(T), x),
      ColumnElements<T>{x, g.channels}, call->scratch,
      MeanOut<T>{data_of<T>(&call->out[0]), 1 / (float)voxels}, g.samples);
}

template <typename T, int N> static void cells(const Call *call, const Grids &g) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  int64_t rows = tensor_rows(y), items = tensor_count(y) / N, most = 1;
  for (int a = 0; a < 3; a++) most *= g.in[a] / g.out[a] + 1;
  if (most < LARGE) {
    LAUNCH((small_cells<T, N>), grid_blocks(small_cells<T, N>, THREADS, 0, items / THREADS + 1),
           THREADS, 0, call->stream, items, g, data_of<const T>(x), data_of<T>(y));
    return;
  }
  unsigned tiles = (unsigned)((g.channels / N + THREADS - 1) / THREADS);
  unsigned blocks = grid_blocks(large_cells<T, N>, THREADS, 0, rows);
  LAUNCH((large_cells<T, N>), dim3(blocks, tiles), THREADS, 0, call->stream, rows, g,
         data_of<const T>(x), data_of<T>(y));
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  Grids g = grids_of(call);
  with_lanes(x, x->data, y->data, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    if (is_whole(g))
      whole_map<T>(call, g);
    else
      cells<T, decltype(lanes)::value>(call, g);
  });
}

static void backward(const Call *call) {
  const Tensor *dy = &call->dout[0], *dx = &call->din[0];
  if (!dx->data || !dy->data) {
    zero_gradients(call);
    return;
  }
  with_lanes(dy, dy->data, dx->data, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    int64_t items = tensor_count(dx) / N;
    LAUNCH((gather<T, N>), grid_blocks(gather<T, N>, THREADS, 0, items / THREADS + 1), THREADS, 0,
           call->stream, items, grids_of(call), data_of<const T>(dy), adds_to(call, 0),
           data_of<T>(dx));
  });
}

static bool prepare(Call *call, Error *) {
  Grids g = grids_of(call);
  if (!call->backward && is_whole(g))
    call->scratch_bytes = column_sums_scratch(g.channels, 1, g.samples);
  return true;
}

CUDA_KERNEL(adaptive_avg_pool) = {.forward = forward,
                                  .backward = backward,
                                  .prepare = prepare,
                                  .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                                  .bf16_together = true,
                                  .adds = SAVES_IN(0)};
