/* Cells of voxels as channels, or back: bits are moved by 16 bytes where runs are such, in the
 * order of the map. */
#include "kernels/cuda/vector.h"

extern "C" {
#include "kernels/patches.h"
}

static constexpr int THREADS = 256;

/* run counts elements of T. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    move(int64_t items, PatchSizes s, const T *from, T *to, bool inverse) {
  int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = start; i < items; i += step) {
    int64_t run = i / s.run, at = i - run * s.run, line = run / s.cells[2];
    int64_t there = patch_run(s, line, run - line * s.cells[2]) * s.run + at;
    to[inverse ? i : there] = from[inverse ? there : i];
  }
}

template <typename T>
static void launch(const Call *call, PatchSizes s, size_t size, const Tensor *from,
                   const Tensor *to, bool inverse) {
  s.run = s.run * (int64_t)size / (int64_t)sizeof(T);
  int64_t items = s.lines * s.cells[2] * s.run;
  LAUNCH(move<T>, grid_blocks(move<T>, THREADS, 0, items / THREADS + 1), THREADS, 0, call->stream,
         items, s, data_of<const T>(from), data_of<T>(to), inverse);
}

static void moved(const Call *call, const Tensor *from, const Tensor *to, bool inverse) {
  PatchSizes s = patch_sizes(call, inverse ? to : from);
  size_t size = dtype_bytes(from->type);
  if (vectors_fit(s.run, size, from->data, to->data))
    launch<uint4>(call, s, size, from, to, inverse);
  else if (size == 4)
    launch<uint32_t>(call, s, size, from, to, inverse);
  else
    launch<uint16_t>(call, s, size, from, to, inverse);
}

static bool is_inverse(const Call *call) {
  return static_cast<const PatchesOptions *>(call->options)->inverse != 0;
}

static void forward(const Call *call) {
  moved(call, &call->in[0], &call->out[0], is_inverse(call));
}

static void backward(const Call *call) {
  if (!call->din[0].data) return;
  if (call->dout[0].data)
    moved(call, &call->dout[0], &call->din[0], !is_inverse(call));
  else
    zero_gradients(call);
}

CUDA_KERNEL(patches) = {.forward = forward,
                        .backward = backward,
                        .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                        .bf16_together = true};
