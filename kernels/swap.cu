/* Two axes change places: bits are moved, whatever they mean. Single elements go through shared
 * memory by tiles of 32 x 32, so that both sides are whole lines; runs that stay together are read
 * and written by 16 bytes where they can be, in the order of the output. */
#include "kernels/cuda/vector.h"

extern "C" {
#include "kernels/swap.h"
}

static constexpr int THREADS = 256, TILE = 32;

/* A block a tile: `across` tiles of second, then `down` of first, then middle and outer. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    swap_tiles(int64_t tiles, int64_t across, int64_t down, SwapSizes s, const T *x, T *y) {
  SHARED(T, tile, [TILE][TILE + 1]);
  int lane = (int)threadIdx.x % TILE, side = (int)threadIdx.x / TILE;
  for (int64_t i = blockIdx.x; i < tiles; i += gridDim.x) {
    int64_t c = i % across * TILE, rest = i / across, b = rest % down * TILE;
    int64_t m = rest / down % s.middle, o = rest / down / s.middle;
    int64_t matrix = o * s.first * s.middle * s.second;
    for (int k = side; k < TILE && b + k < s.first; k += THREADS / TILE)
      if (c + lane < s.second)
        tile[k][lane] = x[matrix + ((b + k) * s.middle + m) * s.second + c + lane];
    __syncthreads();
    for (int k = side; k < TILE && c + k < s.second; k += THREADS / TILE)
      if (b + lane < s.first)
        y[matrix + ((c + k) * s.middle + m) * s.first + b + lane] = tile[lane][k];
    __syncthreads(); /* before the next tile is written */
  }
}

/* inner counts elements of T: vectors where runs are such. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    swap_runs(int64_t items, SwapSizes s, const T *x, T *y) {
  int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = start; i < items; i += step) {
    int64_t run = i / s.inner, at = i - run * s.inner;
    int64_t b = run % s.first, rest = run / s.first, m = rest % s.middle;
    rest /= s.middle;
    int64_t c = rest % s.second, o = rest / s.second;
    y[i] = x[(((o * s.first + b) * s.middle + m) * s.second + c) * s.inner + at];
  }
}

template <typename T>
static void tiles_launch(const Call *call, const SwapSizes &s, const void *x, void *y) {
  int64_t across = (s.second + TILE - 1) / TILE, down = (s.first + TILE - 1) / TILE;
  int64_t tiles = across * down * s.middle * s.outer;
  LAUNCH(swap_tiles<T>, grid_blocks(swap_tiles<T>, THREADS, 0, tiles), THREADS, 0, call->stream,
         tiles, across, down, s, static_cast<const T *>(x), static_cast<T *>(y));
}

/* The runs as elements of T, of which there are `each` in an element of the tensor's, or 1 /
 * `each`. */
template <typename T>
static void runs_launch(const Call *call, SwapSizes s, size_t size, const void *x, void *y) {
  s.inner = s.inner * (int64_t)size / (int64_t)sizeof(T);
  int64_t items = s.outer * s.first * s.middle * s.second * s.inner;
  LAUNCH(swap_runs<T>, grid_blocks(swap_runs<T>, THREADS, 0, items / THREADS + 1), THREADS, 0,
         call->stream, items, s, static_cast<const T *>(x), static_cast<T *>(y));
}

static void swapped(const Call *call, const Tensor *x, const Tensor *y) {
  SwapSizes s = swap_sizes(call, x);
  size_t size = dtype_bytes(x->type);
  if (s.inner == 1 && size == 4)
    tiles_launch<uint32_t>(call, s, x->data, y->data);
  else if (s.inner == 1)
    tiles_launch<uint16_t>(call, s, x->data, y->data);
  else if (vectors_fit(s.inner, size, x->data, y->data))
    runs_launch<uint4>(call, s, size, x->data, y->data);
  else if (size == 4)
    runs_launch<uint32_t>(call, s, size, x->data, y->data);
  else
    runs_launch<uint16_t>(call, s, size, x->data, y->data);
}

static void forward(const Call *call) {
  swapped(call, &call->in[0], &call->out[0]);
}

static void backward(const Call *call) {
  if (!call->din[0].data) return;
  if (call->dout[0].data)
    swapped(call, &call->dout[0], &call->din[0]);
  else
    zero_gradients(call);
}

CUDA_KERNEL(swap) = {.forward = forward,
                     .backward = backward,
                     .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                     .bf16_together = true};
