/* Sine position encoding: computed once a graph, in double. */
#include "kernels/cuda/vector.h"

static constexpr int THREADS = 256;
static constexpr double TWO_PI = 6.283185307179586;

namespace {
struct Waves {
  int64_t count;
  int size[3], width, frequencies;
  double temperature;
};
} // namespace

template <typename T> static __global__ void __launch_bounds__(THREADS) encode(Waves waves, T *y) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < waves.count; i += step) {
    int64_t t = i / waves.width, area = (int64_t)waves.size[1] * waves.size[2];
    int channel = (int)(i % waves.width), pair = channel / 2;
    if (pair >= 3 * waves.frequencies) {
      store(y + i, 0);
      continue;
    }
    int axis = pair / waves.frequencies, f = pair % waves.frequencies;
    int64_t at = axis == 0   ? t / area
                 : axis == 1 ? t / waves.size[2] % waves.size[1]
                             : t % waves.size[2];
    double u = ((double)at + .5) / waves.size[axis] * TWO_PI;
    double phase = u / pow(waves.temperature, (double)f / waves.frequencies);
    store(y + i, (float)(channel % 2 ? cos(phase) : sin(phase)));
  }
}

static void forward(const Call *call) {
  const SinePositionOptions *o = static_cast<const SinePositionOptions *>(call->options);
  const Tensor *y = &call->out[0];
  Waves waves = {tensor_count(y),
                 {o->grid.v[0], o->grid.v[1], o->grid.v[2]},
                 o->width,
                 o->width / 6,
                 o->temperature};
  with_type(y->type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(encode<T>, grid_blocks(encode<T>, THREADS, 0, waves.count / THREADS + 1), THREADS, 0,
           call->stream, waves, data_of<T>(y));
  });
}

CUDA_KERNEL(sine_position) = {.forward = forward, .bf16 = SAVES_OUT(0)};
