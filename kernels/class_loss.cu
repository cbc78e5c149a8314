/* Weighted mean cross-entropy of the queries' classes: one block, a warp per query. The N K rows of
 * a few columns are a few KiB: the launch is what it costs. */
#include "kernels/cuda/warp.h"

enum { IN_LOGITS, IN_ASSIGNMENT };
static constexpr int THREADS = 512;

namespace {
struct Rows {
  int64_t count;
  int columns;
  float none_weight;
  const float *x;
  const int32_t *assignment;
};
} // namespace

static __device__ __forceinline__ float row_weight(const Rows &rows, int64_t i) {
  return rows.assignment[i] < 0 ? rows.none_weight : 1;
}

static __device__ __forceinline__ int row_target(const Rows &rows, int64_t i) {
  int assigned = rows.assignment[i];
  return assigned < 0 ? rows.columns - 1 : assigned;
}

/* Of all rows; 1 where it is 0. */
static __device__ float weight_sum(const Rows &rows, float *shared) {
  float sum = 0;
  for (int64_t i = threadIdx.x; i < rows.count; i += THREADS) sum += row_weight(rows, i);
  sum = block_sum(sum, shared);
  return sum > 0 ? sum : 1;
}

static __device__ float log_sum_exp(const float *x, int columns) {
  int lane = threadIdx.x % WARP;
  float top = -INFINITY, sum = 0;
  for (int c = lane; c < columns; c += WARP) top = fmaxf(top, x[c]);
  top = warp_max(top);
  for (int c = lane; c < columns; c += WARP) sum += expf(x[c] - top);
  return top + logf(warp_sum(sum));
}

static __global__ void __launch_bounds__(THREADS) cross_entropy(Rows rows, float *loss) {
  SHARED(float, shared, [WARP]);
  float total = weight_sum(rows, shared), sum = 0;
  for (int64_t i = threadIdx.x / WARP; i < rows.count; i += THREADS / WARP) {
    const float *x = rows.x + i * rows.columns;
    float log_sum = log_sum_exp(x, rows.columns);
    if (threadIdx.x % WARP == 0) sum += row_weight(rows, i) * (log_sum - x[row_target(rows, i)]);
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) *loss = sum / total;
}

static __global__ void __launch_bounds__(THREADS)
    differentiate(Rows rows, const float *dloss, float *dx) {
  SHARED(float, shared, [WARP]);
  float scale = *dloss / weight_sum(rows, shared);
  for (int64_t i = threadIdx.x / WARP; i < rows.count; i += THREADS / WARP) {
    const float *x = rows.x + i * rows.columns;
    float log_sum = log_sum_exp(x, rows.columns), own = scale * row_weight(rows, i);
    int target = row_target(rows, i);
    for (int c = threadIdx.x % WARP; c < rows.columns; c += WARP)
      dx[i * rows.columns + c] = own * (expf(x[c] - log_sum) - (c == target ? 1 : 0));
  }
}

static Rows rows_make(const Call *call) {
  const ClassLossOptions *o = static_cast<const ClassLossOptions *>(call->options);
  const Tensor *x = &call->in[IN_LOGITS];
  return Rows{tensor_rows(x), (int)tensor_last(x), (float)o->none_weight, data_of<const float>(x),
              data_of<const int32_t>(&call->in[IN_ASSIGNMENT])};
}

static void forward(const Call *call) {
  LAUNCH(cross_entropy, 1, THREADS, 0, call->stream, rows_make(call),
         data_of<float>(&call->out[0]));
}

static void backward(const Call *call) {
  float *dx = data_of<float>(&call->din[IN_LOGITS]);
  if (!dx) return;
  LAUNCH(differentiate, 1, THREADS, 0, call->stream, rows_make(call),
         data_of<const float>(&call->dout[0]), dx);
}

CUDA_KERNEL(class_loss) = {.forward = forward, .backward = backward, .float_only = true};
