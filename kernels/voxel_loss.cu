/* Cross-entropy and soft Dice of a point-wise head. W lanes share a voxel's row; each keeps the
 * sums of its classes over the voxels of a part, parts are added in a fixed order. A row is read
 * three times, twice from L1. Bound by memory: forward reads the logits, backward reads them again
 * and writes the gradient. */
#include "kernels/cuda/partials.h"
#include "kernels/cuda/vector.h"
#include "kernels/cuda/warp.h"

#include <cfloat>
#include <type_traits>

enum { IN_LOGITS, IN_LABELS };
enum { OUT_CE, OUT_DICE, OUT_SUMS };
enum { SUM_P, SUM_PT, SUM_T, SUMS };
enum { RATE_P, RATE_TARGET, RATES };
static constexpr int THREADS = 256;

namespace {
struct Voxels {
  int64_t samples, voxels; /* voxels: of a sample */
  int classes, parts;
  bool batch, binary;
  float smooth;
  const int32_t *labels;
};
} // namespace

/* Of a row that W lanes share. */
template <int W, typename T>
static __device__ __forceinline__ float log_sum_exp(const T *x, int columns) {
  float top = -INFINITY, sum = 0;
  for (int c = threadIdx.x % W; c < columns; c += W) top = fmaxf(top, load(x + c));
  top = warp_max<W>(top);
  for (int c = threadIdx.x % W; c < columns; c += W) sum += __expf(load(x + c) - top);
  return top + __logf(warp_sum<W>(sum));
}

/* No more than one class of a voxel is above it, whatever is rounded; its 1 - p is made of the
 * others: small, the sum of the p that are not above. */
static constexpr float LARGE = .75f;

static __device__ __forceinline__ float others_of(float p, float small) {
  return fmaxf(p > LARGE ? small : 1 - p, FLT_MIN);
}

template <int W, typename T>
static __device__ __forceinline__ float small_sum(const T *x, int columns, float log_sum) {
  float sum = 0;
  for (int c = threadIdx.x % W; c < columns; c += W) {
    float p = __expf(load(x + c) - log_sum);
    sum += p > LARGE ? 0 : p;
  }
  return warp_sum<W>(sum);
}

/* Binary: the sum of -log(1 - p) of all classes but the label's. */
template <int W, typename T>
static __device__ __forceinline__ float others_entropy(const T *x, int columns, float log_sum,
                                                       int label) {
  float small = small_sum<W>(x, columns, log_sum), sum = 0;
  for (int c = threadIdx.x % W; c < columns; c += W) {
    float p = __expf(load(x + c) - log_sum);
    float loss = p > LARGE ? -logf(others_of(p, small)) : -log1pf(-p);
    sum += c == label ? 0 : loss;
  }
  return warp_sum<W>(sum);
}

static __device__ __forceinline__ bool is_known(const Voxels &s, int label) {
  return (unsigned)label < (unsigned)s.classes;
}

/* partial (N, parts, 3 C + 1): p, p t, t of each class, then cross-entropy. blockIdx.z: a tile of
 * W COLUMNS classes; the first sums the cross-entropy. Rows past the last of the part are computed
 * as the last one and not counted: whole warps stay together. */
template <typename T, int W, int COLUMNS>
static __global__ void __launch_bounds__(THREADS)
    voxel_partials(Voxels s, const T *logits, float *partial) {
  constexpr int ROWS = THREADS / W;
  SHARED(float, shared, [SUMS * COLUMNS + 1][THREADS]);
  int64_t part = blockIdx.x, n = blockIdx.y, end = s.voxels * (part + 1) / s.parts;
  int lane = (int)threadIdx.x % W, start = (int)blockIdx.z * W * COLUMNS;
  float sum[SUMS][COLUMNS] = {}, ce = 0;
  for (int64_t first = s.voxels * part / s.parts; first < end; first += ROWS) {
    int64_t own = first + threadIdx.x / W, v = n * s.voxels + min(own, end - 1);
    const T *x = logits + v * s.classes;
    float log_sum = log_sum_exp<W>(x, s.classes);
    int label = s.labels[v];
    float others = 0;
    if (s.binary && blockIdx.z == 0) others = others_entropy<W>(x, s.classes, log_sum, label);
    if (own >= end || !is_known(s, label)) continue;
    if (lane == 0) ce += (log_sum - load(x + label) + others) / (s.binary ? (float)s.classes : 1.f);
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) {
      int c = start + lane + i * W;
      float p = c < s.classes ? __expf(load(x + c) - log_sum) : 0;
      sum[SUM_P][i] += p;
      sum[SUM_PT][i] += label == c ? p : 0;
      sum[SUM_T][i] += label == c ? 1 : 0;
    }
  }
#pragma unroll
  for (int i = 0; i < SUMS * COLUMNS; i++) shared[i][threadIdx.x] = sum[i % SUMS][i / SUMS];
  shared[SUMS * COLUMNS][threadIdx.x] = ce;
  __syncthreads();
  float *out = partial + (n * s.parts + part) * (SUMS * s.classes + 1);
  for (int item = (int)threadIdx.x; item < SUMS * COLUMNS * W; item += THREADS) {
    int c = start + item % W + item / W / SUMS * W, kind = item / W % SUMS;
    if (c < s.classes) out[c * SUMS + kind] = strided_sum(&shared[item / W][item % W], ROWS, W);
  }
  if (threadIdx.x == 0 && blockIdx.z == 0)
    out[SUMS * s.classes] = strided_sum(&shared[SUMS * COLUMNS][0], ROWS, W);
}

/* Sum `kind` of class c: of sample n, or of the batch. sums: rows of `stride` a sample. */
static __device__ float dice_sum(const Voxels &s, const float *sums, int stride, int64_t n, int c,
                                 int kind) {
  if (!s.batch) return sums[n * stride + c * SUMS + kind];
  float sum = 0;
  for (int64_t i = 0; i < s.samples; i++) sum += sums[i * stride + c * SUMS + kind];
  return sum;
}

/* One block; totals: (N, 3 C + 1). */
static __global__ void __launch_bounds__(THREADS)
    voxel_losses(Voxels s, const float *totals, float *ce, float *dice, float *sums) {
  SHARED(float, shared, [WARP]);
  int width = SUMS * s.classes, stride = width + 1;
  int64_t groups = s.batch ? 1 : s.samples, wanted = groups * (s.classes - 1);
  float of_ce = 0, of_dice = 0, known = 0; /* every known voxel is a target of one class */
  for (int64_t i = threadIdx.x; i < s.samples * width; i += THREADS) {
    sums[i] = totals[i / width * stride + i % width];
    known += i % SUMS == SUM_T ? sums[i] : 0;
  }
  for (int64_t n = threadIdx.x; n < s.samples; n += THREADS) of_ce += totals[n * stride + width];
  for (int64_t i = threadIdx.x; i < wanted; i += THREADS) {
    int64_t n = i / (s.classes - 1);
    int c = (int)(i % (s.classes - 1)) + 1;
    float above = 2 * dice_sum(s, totals, stride, n, c, SUM_PT) + s.smooth;
    of_dice += above / (dice_sum(s, totals, stride, n, c, SUM_P) +
                        dice_sum(s, totals, stride, n, c, SUM_T) + s.smooth);
  }
  of_ce = block_sum(of_ce, shared);
  of_dice = block_sum(of_dice, shared);
  known = block_sum(known, shared);
  if (threadIdx.x > 0) return;
  *ce = of_ce / fmaxf(known, 1);
  *dice = 1 - of_dice / (float)wanted;
}

/* rates (N, C, 2): the derivative of the loss with respect to p is P - TARGET t; then the number of
 * known voxels, at least 1. */
static __global__ void __launch_bounds__(THREADS)
    voxel_rates(Voxels s, const float *ddice, const float *sums, float *rates) {
  int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (i >= s.samples * s.classes) return;
  float known = 0;
  for (int64_t k = 0; i == 0 && k < s.samples * s.classes; k++) known += sums[k * SUMS + SUM_T];
  if (i == 0) rates[s.samples * s.classes * RATES] = fmaxf(known, 1);
  int64_t n = i / s.classes, groups = s.batch ? 1 : s.samples;
  int c = (int)(i % s.classes), stride = SUMS * s.classes;
  float scale = (c > 0 && ddice ? *ddice : 0) / (float)(groups * (s.classes - 1));
  float above = 2 * dice_sum(s, sums, stride, n, c, SUM_PT) + s.smooth;
  float below =
      dice_sum(s, sums, stride, n, c, SUM_P) + dice_sum(s, sums, stride, n, c, SUM_T) + s.smooth;
  rates[i * RATES + RATE_P] = scale * above / (below * below);
  rates[i * RATES + RATE_TARGET] = scale * 2 / below;
}

/* Of a voxel, binary: with g, -1 of the label and p / (1 - p) of others, the sums of g of a large
 * class, which may be huge, and of the rest. */
namespace {
struct Binary {
  float small, large, rest;
};
} // namespace

static __device__ __forceinline__ float binary_rate(float p, float t, float small) {
  return t > 0 ? -1 : p / others_of(p, small);
}

template <int W, typename T>
static __device__ __forceinline__ Binary binary_of(const T *x, int columns, float log_sum,
                                                   int label) {
  Binary b = {small_sum<W>(x, columns, log_sum), 0, 0};
  for (int c = threadIdx.x % W; c < columns; c += W) {
    float p = __expf(load(x + c) - log_sum), g = binary_rate(p, label == c ? 1 : 0, b.small);
    b.large += p > LARGE ? g : 0;
    b.rest += p > LARGE ? 0 : g;
  }
  b.large = warp_sum<W>(b.large);
  b.rest = warp_sum<W>(b.rest);
  return b;
}

/* g - p (sum of g), the class's own g taken out of the sum first. */
static __device__ __forceinline__ float binary_slope(const Binary &b, float p, float t) {
  float others = p > LARGE ? b.rest : b.large + (b.rest - binary_rate(p, t, b.small));
  return (t > 0 ? -others_of(p, b.small) : p) - p * others;
}

template <typename T, int W>
static __global__ void __launch_bounds__(THREADS)
    voxel_gradient(Voxels s, const T *logits, const float *dce, const float *rates, T *dlogits) {
  constexpr int ROWS = THREADS / W;
  int64_t part = blockIdx.x, n = blockIdx.y, end = s.voxels * (part + 1) / s.parts;
  const float *rate = rates + n * s.classes * RATES;
  float from_ce = (dce ? *dce : 0) / rates[s.samples * s.classes * RATES];
  for (int64_t first = s.voxels * part / s.parts; first < end; first += ROWS) {
    int64_t own = first + threadIdx.x / W, v = n * s.voxels + min(own, end - 1);
    const T *x = logits + v * s.classes;
    float log_sum = log_sum_exp<W>(x, s.classes), mean = 0;
    int label = s.labels[v];
    for (int c = threadIdx.x % W; c < s.classes; c += W)
      mean += __expf(load(x + c) - log_sum) *
              (rate[c * RATES + RATE_P] - (label == c ? rate[c * RATES + RATE_TARGET] : 0));
    mean = warp_sum<W>(mean);
    Binary binary = {};
    if (s.binary) binary = binary_of<W>(x, s.classes, log_sum, label);
    if (own >= end) continue;
    for (int c = threadIdx.x % W; c < s.classes; c += W) {
      float p = __expf(load(x + c) - log_sum), t = label == c ? 1 : 0;
      float slope = rate[c * RATES + RATE_P] - t * rate[c * RATES + RATE_TARGET];
      float of_ce = s.binary ? binary_slope(binary, p, t) / (float)s.classes : p - t;
      float gradient = from_ce * of_ce + p * (slope - mean);
      store(dlogits + v * s.classes + c, is_known(s, label) ? gradient : 0);
    }
  }
}

/* ---- on the host ----------------------------------------------------------------------------- */

static constexpr int FEW = 4, FEW_CLASSES = 32, MANY = 32; /* lanes a row; up to so many classes */

static Voxels voxels_make(const Call *call, int lanes) {
  const VoxelLossOptions *o = static_cast<const VoxelLossOptions *>(call->options);
  const Tensor *x = &call->in[IN_LOGITS];
  Voxels s = {};
  s.samples = x->dim[0];
  s.voxels = tensor_rows(x) / s.samples;
  s.classes = (int)tensor_last(x);
  s.parts = parts_count(s.samples, s.voxels, THREADS / lanes);
  s.batch = o->batch;
  s.binary = o->binary;
  s.smooth = (float)o->smooth;
  s.labels = data_of<const int32_t>(&call->in[IN_LABELS]);
  return s;
}

/* Calls launch(zero of the storage type, lanes a row, classes a lane). */
template <typename F> static void with_rows(const Call *call, F launch) {
  const Tensor *x = &call->in[IN_LOGITS];
  int64_t classes = tensor_last(x);
  std::integral_constant<int, FEW> few;
  with_type(x->type, [&](auto zero) {
    if (classes <= 2 * FEW)
      launch(zero, few, std::integral_constant<int, 2>());
    else if (classes <= 4 * FEW)
      launch(zero, few, std::integral_constant<int, 4>());
    else if (classes <= 5 * FEW)
      launch(zero, few, std::integral_constant<int, 5>());
    else if (classes <= FEW_CLASSES)
      launch(zero, few, std::integral_constant<int, FEW_CLASSES / FEW>());
    else
      launch(zero, std::integral_constant<int, MANY>(), std::integral_constant<int, 4>());
  });
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS];
  with_rows(call, [&](auto zero, auto lanes, auto columns) {
    using T = decltype(zero);
    constexpr int W = decltype(lanes)::value, COLUMNS = decltype(columns)::value;
    Voxels s = voxels_make(call, W);
    int width = SUMS * s.classes + 1, tiles = (s.classes + W * COLUMNS - 1) / (W * COLUMNS);
    float *totals = static_cast<float *>(call->scratch), *partial = totals + s.samples * width;
    dim3 grid((unsigned)s.parts, (unsigned)s.samples, (unsigned)tiles);
    LAUNCH((voxel_partials<T, W, COLUMNS>), grid, THREADS, 0, call->stream, s, data_of<const T>(x),
           partial);
    partials_sum(call->stream, s.samples, s.parts, width, partial, totals);
    LAUNCH(voxel_losses, 1, THREADS, 0, call->stream, s, totals, data_of<float>(&call->out[OUT_CE]),
           data_of<float>(&call->out[OUT_DICE]), data_of<float>(&call->out[OUT_SUMS]));
  });
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS], *dx = &call->din[IN_LOGITS];
  float *rates = static_cast<float *>(call->scratch);
  if (!dx->data) return;
  with_rows(call, [&](auto zero, auto lanes, auto) {
    using T = decltype(zero);
    constexpr int W = decltype(lanes)::value;
    Voxels s = voxels_make(call, W);
    dim3 grid((unsigned)s.parts, (unsigned)s.samples);
    LAUNCH(voxel_rates, (unsigned)((s.samples * s.classes + THREADS - 1) / THREADS), THREADS, 0,
           call->stream, s, data_of<const float>(&call->dout[OUT_DICE]),
           data_of<const float>(&call->out[OUT_SUMS]), rates);
    LAUNCH((voxel_gradient<T, W>), grid, THREADS, 0, call->stream, s, data_of<const T>(x),
           data_of<const float>(&call->dout[OUT_CE]), rates, data_of<T>(dx));
  });
}

static bool prepare(Call *call, Error *) {
  const Tensor *x = &call->in[IN_LOGITS];
  size_t samples = (size_t)x->dim[0], classes = (size_t)tensor_last(x);
  size_t floats = call->backward ? samples * RATES * classes + 1
                                 : samples * (SUMS * classes + 1) * (PARTS_MOST + 1);
  call->scratch_bytes = floats * sizeof(float);
  return true;
}

CUDA_KERNEL(voxel_loss) = {
    .forward = forward, .backward = backward, .prepare = prepare, .bf16 = SAVES_IN(IN_LOGITS)};
