/* Fourier position encoding: a thread a frequency, or, backward, a warp a coordinate. The phase is
 * counted in turns, of which the whole ones are taken out before the sine. */
#include "kernels/cuda/vector.h"
#include "kernels/cuda/warp.h"

enum { IN_G, IN_X };
static constexpr int THREADS = 256;
static constexpr float TWO_PI = 6.2831853f;

namespace {
/* u = (f(size x) + offset) / frame; of cells x is an index. */
struct Frame {
  int axes, waves, floor;
  bool points;
  int64_t rows, grid[FOURIER_AXES]; /* grid: in the order of coordinates */
  float size[FOURIER_AXES], frame[FOURIER_AXES], offset;
};
} // namespace

static Frame frame_of(const Call *call) {
  const FourierPositionOptions *o = static_cast<const FourierPositionOptions *>(call->options);
  const Tensor *g = &call->in[IN_G];
  Frame f = {};
  f.axes = (int)g->dim[0];
  f.waves = (int)g->dim[1];
  f.floor = o->floor;
  f.points = call->n_in > IN_X && !tensor_absent(&call->in[IN_X]);
  f.rows = tensor_rows(&call->out[0]);
  f.offset = (float)o->offset;
  for (int a = 0; a < f.axes; a++) {
    f.grid[a] = f.points ? 1 : o->grid.v[f.axes - 1 - a];
    f.size[a] = o->size.count ? (float)o->size.v[a] : 1;
    f.frame[a] = o->frame.count ? (float)o->frame.v[a] : (float)f.grid[a];
  }
  return f;
}

static __device__ __forceinline__ float share(const Frame &f, const float *points, int64_t row,
                                              int a) {
  float x;
  if (f.points) {
    x = points[row * f.axes + a];
  } else {
    int64_t below = 1;
    for (int b = 0; b < a; b++) below *= f.grid[b];
    x = (float)(row / below % f.grid[a]);
  }
  x *= f.size[a];
  if (f.floor) x = floorf(x + (float)FOURIER_NEAR);
  return (x + f.offset) / f.frame[a];
}

template <typename Y>
static __global__ void __launch_bounds__(THREADS)
    encode(Frame f, const float *g, const float *points, Y *y) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < f.rows * f.waves; i += step) {
    int64_t row = i / f.waves;
    int k = (int)(i % f.waves);
    float turns = 0;
    for (int a = 0; a < f.axes; a++)
      turns += (2 * share(f, points, row, a) - 1) * g[a * f.waves + k];
    float half = 2 * (turns - rintf(turns)); /* in halves of a turn */
    store(y + row * 2 * f.waves + k, sinpif(half));
    store(y + row * 2 * f.waves + f.waves + k, cospif(half));
  }
}

template <typename Y>
static __global__ void __launch_bounds__(THREADS)
    differentiate(Frame f, const float *g, const Y *y, const Y *dy, float *dx) {
  int64_t first = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / WARP;
  int64_t step = (int64_t)gridDim.x * (THREADS / WARP);
  for (int64_t i = first; i < f.rows * f.axes; i += step) {
    int64_t row = i / f.axes * 2 * f.waves;
    int a = (int)(i % f.axes);
    float sum = 0;
    for (int k = threadIdx.x % WARP; !f.floor && k < f.waves; k += WARP)
      sum += g[a * f.waves + k] * (load(y + row + f.waves + k) * load(dy + row + k) -
                                   load(y + row + k) * load(dy + row + f.waves + k));
    sum = warp_sum(sum) * 2 * TWO_PI * f.size[a] / f.frame[a];
    if (threadIdx.x % WARP == 0) dx[i] = sum;
  }
}

static void forward(const Call *call) {
  const Tensor *y = &call->out[0];
  Frame f = frame_of(call);
  const float *points = f.points ? data_of<const float>(&call->in[IN_X]) : NULL;
  with_type(y->type, [&](auto zero) {
    using Y = decltype(zero);
    LAUNCH(encode<Y>, grid_blocks(encode<Y>, THREADS, 0, f.rows * f.waves / THREADS + 1), THREADS,
           0, call->stream, f, data_of<const float>(&call->in[IN_G]), points, data_of<Y>(y));
  });
}

static void backward(const Call *call) {
  const Tensor *dy = &call->dout[0], *dx = &call->din[IN_X];
  if (call->n_in <= IN_X || !dx->data) return;
  if (!dy->data) {
    zero_gradients(call);
    return;
  }
  Frame f = frame_of(call);
  int64_t blocks = f.rows * f.axes / (THREADS / WARP) + 1;
  with_type(dy->type, [&](auto zero) {
    using Y = decltype(zero);
    LAUNCH(differentiate<Y>, grid_blocks(differentiate<Y>, THREADS, 0, blocks), THREADS, 0,
           call->stream, f, data_of<const float>(&call->in[IN_G]), data_of<const Y>(&call->out[0]),
           data_of<const Y>(dy), data_of<float>(dx));
  });
}

CUDA_KERNEL(fourier_position) = {.forward = forward, .backward = backward, .bf16 = SAVES_OUT(0)};
