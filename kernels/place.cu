/* A map in a larger one of zeros: bits are moved by 16 bytes where a voxel's channels are such, a
 * thread an element of what is written. */
#include "kernels/cuda/vector.h"

extern "C" {
#include "kernels/place.h"
}

static constexpr int THREADS = 256;

namespace {
struct Places {
  int64_t in[3], out[3], before[3], stride[3], voxel; /* D, H, W; elements of a voxel */
};
} // namespace

/* The input voxel that lies on output voxel `row`, or -1. */
static __device__ __forceinline__ int64_t source_of(const Places &p, int64_t row) {
  int64_t at[3] = {row / (p.out[1] * p.out[2]) % p.out[0], row / p.out[2] % p.out[1],
                   row % p.out[2]};
  int64_t from = row / (p.out[0] * p.out[1] * p.out[2]);
#pragma unroll
  for (int a = 0; a < 3; a++) {
    int64_t i = placed_at(at[a], p.in[a], p.before[a], p.stride[a]);
    if (i < 0) return -1;
    from = from * p.in[a] + i;
  }
  return from;
}

static __device__ __forceinline__ int64_t target_of(const Places &p, int64_t row) {
  int64_t at[3] = {row / (p.in[1] * p.in[2]) % p.in[0], row / p.in[2] % p.in[1], row % p.in[2]};
  int64_t to = row / (p.in[0] * p.in[1] * p.in[2]);
#pragma unroll
  for (int a = 0; a < 3; a++) to = to * p.out[a] + p.before[a] + p.stride[a] * at[a];
  return to;
}

template <typename T>
static __global__ void __launch_bounds__(THREADS) place(int64_t items, Places p, const T *x, T *y) {
  int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = start; i < items; i += step) {
    int64_t row = i / p.voxel, from = source_of(p, row);
    y[i] = from < 0 ? T{} : x[from * p.voxel + (i - row * p.voxel)];
  }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    take(int64_t items, Places p, const T *dy, T *dx) {
  int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = start; i < items; i += step) {
    int64_t row = i / p.voxel;
    dx[i] = dy[target_of(p, row) * p.voxel + (i - row * p.voxel)];
  }
}

static Places places_of(const Call *call) {
  const PlaceOptions *o = static_cast<const PlaceOptions *>(call->options);
  Places p = {};
  p.voxel = tensor_last(&call->in[0]);
  for (int a = 0; a < 3; a++) {
    p.in[a] = call->in[0].dim[1 + a];
    p.out[a] = call->out[0].dim[1 + a];
    p.before[a] = o->before.v[a];
    p.stride[a] = o->stride.v[a];
  }
  return p;
}

template <typename T>
static void launch(const Call *call, bool back, const Tensor *from, const Tensor *to) {
  Places p = places_of(call);
  int64_t each = (int64_t)sizeof(T) / (int64_t)dtype_bytes(from->type);
  int64_t items = tensor_count(to) / each;
  p.voxel /= each;
  auto kernel = back ? take<T> : place<T>;
  LAUNCH(kernel, grid_blocks(kernel, THREADS, 0, items / THREADS + 1), THREADS, 0, call->stream,
         items, p, data_of<const T>(from), data_of<T>(to));
}

static void moved(const Call *call, bool back, const Tensor *from, const Tensor *to) {
  size_t size = dtype_bytes(from->type);
  if (vectors_fit(tensor_last(from), size, from->data, to->data))
    launch<uint4>(call, back, from, to);
  else if (size == 4)
    launch<uint32_t>(call, back, from, to);
  else
    launch<uint16_t>(call, back, from, to);
}

static void forward(const Call *call) {
  moved(call, false, &call->in[0], &call->out[0]);
}

static void backward(const Call *call) {
  if (!call->din[0].data) return;
  if (call->dout[0].data)
    moved(call, true, &call->dout[0], &call->din[0]);
  else
    zero_gradients(call);
}

CUDA_KERNEL(place) = {.forward = forward,
                      .backward = backward,
                      .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                      .bf16_together = true};
