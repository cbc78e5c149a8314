/* Distance and overlap of the matched boxes. A block a sample finds the bounds of its classes and
 * the targets of its queries; one block sums over all. A few KiB: the launches are what it
 * costs. */
#include "kernels/cuda/warp.h"
#include "kernels/plane_box.h"

enum { IN_BOXES, IN_LABELS, IN_ASSIGNMENT };
enum { OUT_L1, OUT_GIOU, OUT_TARGETS };
static constexpr int THREADS = 256;

namespace {
struct Boxes {
  int64_t count, voxels; /* N K; of a sample */
  int queries, width, height;
  bool regions; /* labels are sets of classes */
  const float *boxes;
  const int32_t *labels, *assignment;
};
} // namespace

/* Minima of whole numbers do not hang on an order. */
static __global__ void __launch_bounds__(THREADS) find_targets(Boxes b, float *targets) {
  DYNAMIC_SHARED(int32_t, bounds); /* (K, 4): of the classes below K */
  const int32_t *label = b.labels + blockIdx.x * b.voxels;
  for (int c = (int)threadIdx.x; c < b.queries; c += THREADS)
    bounds_start(bounds + BOUNDS * c, b.width, b.height);
  __syncthreads();
  for (int64_t v = threadIdx.x; v < b.voxels; v += THREADS) {
    int begin = b.regions ? 0 : label[v], past = b.regions ? min(b.queries, 31) : label[v] + 1;
    int x = (int)(v % b.width), y = (int)(v / b.width % b.height);
    for (int c = begin; label[v] >= 0 && c < past && c < b.queries; c++) {
      if (b.regions && !(label[v] >> c & 1)) continue;
      atomicMin(bounds + BOUNDS * c + BOUND_X1, x);
      atomicMin(bounds + BOUNDS * c + BOUND_Y1, y);
      atomicMax(bounds + BOUNDS * c + BOUND_X2, x);
      atomicMax(bounds + BOUNDS * c + BOUND_Y2, y);
    }
  }
  __syncthreads();
  for (int q = (int)threadIdx.x; q < b.queries; q += THREADS) {
    int64_t i = (int64_t)blockIdx.x * b.queries + q;
    double target[BOUNDS] = {};
    if (b.assignment[i] >= 0)
      bounds_box(bounds + BOUNDS * b.assignment[i], b.width, b.height, target);
    for (int k = 0; k < BOUNDS; k++) targets[i * BOUNDS + k] = (float)target[k];
  }
}

static __device__ __forceinline__ void read_box(const float *from, double *box) {
  for (int k = 0; k < BOUNDS; k++) box[k] = from[k];
}

/* How many are matched; 1 where none is. */
static __device__ float matched_count(const Boxes &b, float *shared) {
  float count = 0;
  for (int64_t i = threadIdx.x; i < b.count; i += THREADS) count += b.assignment[i] >= 0;
  count = block_sum(count, shared);
  return count > 0 ? count : 1;
}

static __global__ void __launch_bounds__(THREADS)
    sum_losses(Boxes b, const float *targets, float *l1, float *giou) {
  SHARED(float, shared, [WARP]);
  float matched = matched_count(b, shared), distance = 0, apart = 0;
  for (int64_t i = threadIdx.x; i < b.count; i += THREADS) {
    double box[BOUNDS], target[BOUNDS];
    if (b.assignment[i] < 0) continue;
    read_box(b.boxes + i * BOUNDS, box);
    read_box(targets + i * BOUNDS, target);
    distance += (float)box_distance(box, target);
    apart += (float)(1 - box_giou(box, target, nullptr));
  }
  distance = block_sum(distance, shared);
  apart = block_sum(apart, shared);
  if (threadIdx.x > 0) return;
  *l1 = distance / matched;
  *giou = apart / matched;
}

static __global__ void __launch_bounds__(THREADS)
    differentiate(Boxes b, const float *targets, const float *dl1, const float *dgiou, float *dx) {
  SHARED(float, shared, [WARP]);
  double matched = matched_count(b, shared);
  double from_l1 = dl1 ? *dl1 / matched : 0, from_giou = dgiou ? *dgiou / matched : 0;
  for (int64_t i = threadIdx.x; i < b.count; i += THREADS) {
    double box[BOUNDS], target[BOUNDS], slope[BOUNDS];
    read_box(b.boxes + i * BOUNDS, box);
    read_box(targets + i * BOUNDS, target);
    box_giou(box, target, slope);
    for (int k = 0; k < BOUNDS; k++) {
      double side = (box[k] > target[k]) - (box[k] < target[k]);
      dx[i * BOUNDS + k] = b.assignment[i] < 0 ? 0 : (float)(from_l1 * side - from_giou * slope[k]);
    }
  }
}

static Boxes boxes_of(const Call *call) {
  const int64_t *dim = call->in[IN_LABELS].dim;
  Boxes b = {};
  b.count = tensor_rows(&call->in[IN_BOXES]);
  b.voxels = dim[1] * dim[2] * dim[3];
  b.queries = (int)call->in[IN_BOXES].dim[1];
  b.height = (int)dim[2];
  b.width = (int)dim[3];
  b.regions = static_cast<const BoxLossOptions *>(call->options)->regions != 0;
  b.boxes = data_of<const float>(&call->in[IN_BOXES]);
  b.labels = data_of<const int32_t>(&call->in[IN_LABELS]);
  b.assignment = data_of<const int32_t>(&call->in[IN_ASSIGNMENT]);
  return b;
}

static size_t bounds_bytes(const Call *call) {
  return (size_t)call->in[IN_BOXES].dim[1] * BOUNDS * sizeof(int32_t);
}

static bool prepare(Call *call, Error *error) {
  if (bounds_bytes(call) <= 47 << 10) return true;
  return fail(error, "box_loss: on a GPU at most 3000 queries, found %lld",
              (long long)call->in[IN_BOXES].dim[1]);
}

static void forward(const Call *call) {
  Boxes b = boxes_of(call);
  float *targets = data_of<float>(&call->out[OUT_TARGETS]);
  LAUNCH(find_targets, (unsigned)call->in[IN_BOXES].dim[0], THREADS, bounds_bytes(call),
         call->stream, b, targets);
  LAUNCH(sum_losses, 1, THREADS, 0, call->stream, b, targets, data_of<float>(&call->out[OUT_L1]),
         data_of<float>(&call->out[OUT_GIOU]));
}

static void backward(const Call *call) {
  if (!call->din[IN_BOXES].data) return;
  LAUNCH(differentiate, 1, THREADS, 0, call->stream, boxes_of(call),
         data_of<const float>(&call->out[OUT_TARGETS]), data_of<const float>(&call->dout[OUT_L1]),
         data_of<const float>(&call->dout[OUT_GIOU]), data_of<float>(&call->din[IN_BOXES]));
}

CUDA_KERNEL(box_loss) = {
    .forward = forward, .backward = backward, .prepare = prepare, .float_only = true};
