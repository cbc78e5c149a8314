/* Boxes out of shares: a thread a box and axis. A few KiB: the launch is what it costs. */
#include "kernels/cuda/launch.h"

static constexpr int THREADS = 256;

namespace {
struct Boxes {
  int64_t count, depth, queries; /* boxes times axes */
  float own;                     /* weight of what is asked for */
  const float *shares, *masks;
};
} // namespace

/* Share `row` (0: l, 1: p) along `axis` of box i. */
static __device__ __forceinline__ int64_t share_of(const Boxes &b, int64_t i, int row, int axis) {
  int64_t d = i % b.depth, q = i / b.depth % b.queries, n = i / b.depth / b.queries;
  return ((n * b.depth + d) * 4 + 2 * row + axis) * b.queries + q;
}

static __global__ void __launch_bounds__(THREADS) make_boxes(Boxes b, float *y) {
  int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x, i = at / 2;
  int axis = (int)(at % 2);
  if (at >= b.count) return;
  float l = b.shares[share_of(b, i, 0, axis)], p = b.shares[share_of(b, i, 1, axis)];
  int64_t first = 4 * i + axis, last = first + 2;
  y[first] = b.own * l + (b.masks ? (1 - b.own) * b.masks[first] : 0);
  y[last] = b.own * (l + (1 - l) * p) + (b.masks ? (1 - b.own) * b.masks[last] : 0);
}

static __global__ void __launch_bounds__(THREADS)
    differentiate(Boxes b, const float *dy, float *dshares, float *dmasks) {
  int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x, i = at / 2;
  int axis = (int)(at % 2);
  if (at >= b.count) return;
  float first = dy[4 * i + axis], last = dy[4 * i + axis + 2];
  if (dmasks) {
    dmasks[4 * i + axis] = (1 - b.own) * first;
    dmasks[4 * i + axis + 2] = (1 - b.own) * last;
  }
  if (!dshares) return;
  int64_t left = share_of(b, i, 0, axis), part = share_of(b, i, 1, axis);
  dshares[left] = b.own * (first + last * (1 - b.shares[part]));
  dshares[part] = b.own * last * (1 - b.shares[left]);
}

static Boxes boxes_of(const Call *call) {
  bool masks = call->n_in > 1 && !tensor_absent(&call->in[1]);
  double weight = static_cast<const BoxOptions *>(call->options)->weight;
  Boxes b = {};
  b.count = 2 * tensor_rows(&call->out[0]);
  b.depth = call->in[0].dim[1];
  b.queries = call->in[0].dim[4];
  b.own = masks ? (float)(1 - weight) : 1;
  b.shares = data_of<const float>(&call->in[0]);
  b.masks = masks ? data_of<const float>(&call->in[1]) : nullptr;
  return b;
}

static unsigned blocks_of(const Boxes &b) {
  return (unsigned)((b.count + THREADS - 1) / THREADS);
}

static void forward(const Call *call) {
  Boxes b = boxes_of(call);
  LAUNCH(make_boxes, blocks_of(b), THREADS, 0, call->stream, b, data_of<float>(&call->out[0]));
}

static void backward(const Call *call) {
  Boxes b = boxes_of(call);
  LAUNCH(differentiate, blocks_of(b), THREADS, 0, call->stream, b,
         data_of<const float>(&call->dout[0]), data_of<float>(&call->din[0]),
         data_of<float>(&call->din[1]));
}

CUDA_KERNEL(box) = {.forward = forward, .backward = backward, .float_only = true};
