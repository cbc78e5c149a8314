/* BCE and Dice of a point-wise head over regions that overlap. Forward reads the logits once: a
 * thread keeps the sums of its column over the voxels of a part, neighbours read neighbours, parts
 * are added in a fixed order. Backward reads them once more and writes the gradient. Bound by
 * memory. */
#include "kernels/cuda/mask_terms.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/warp.h"

enum { IN_LOGITS, IN_LABELS };
enum { OUT_BCE, OUT_DICE, OUT_SUMS };
enum { SUM_P, SUM_PT, SUM_T, SUM_KNOWN, SUMS };
enum { TERM_BCE, TERM_P, TERM_PT, TERM_T, TERM_KNOWN, TERMS };
enum { RATE_DICE, RATE_TARGET, RATES };
static constexpr int THREADS = 256;

namespace {
/* A block's threads cover all columns of `side` voxels at once. */
struct Regions {
  int64_t samples, voxels; /* voxels: of a sample */
  int regions, side, parts;
  bool batch;
  float smooth;
  const int32_t *labels;
};
} // namespace

/* partial: (N, parts, TERMS, C). */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    region_partials(Regions s, const T *logits, float *partial) {
  SHARED(float, shared, [TERMS][THREADS]);
  int64_t n = blockIdx.y, part = blockIdx.x, end = s.voxels * (part + 1) / s.parts;
  int column = (int)threadIdx.x % s.regions, row = (int)threadIdx.x / s.regions, turn = 0;
  const T *x = logits + n * s.voxels * s.regions + column;
  const int32_t *label = s.labels + n * s.voxels;
  MaskSum sum = mask_sum_start();
  float pt = 0, xt = 0, t = 0, known = 0;
  if (row >= s.side) end = 0;
  for (int64_t v = s.voxels * part / s.parts + row; v < end; v += s.side) {
    int here = label[v];
    if (here < 0) continue;
    float value = load(x + v * s.regions), p = mask_sum_add(&sum, value);
    bool hit = here >> column & 1;
    pt += hit ? p : 0;
    xt += hit ? value : 0;
    t += hit ? 1 : 0;
    known += 1;
    if (++turn % MASK_FACTORS == 0) mask_sum_flush(&sum);
  }
  mask_sum_flush(&sum);
  float term[TERMS] = {mask_softplus(sum) - xt, sum.p, pt, t, known};
#pragma unroll
  for (int i = 0; i < TERMS; i++) shared[i][threadIdx.x] = term[i];
  __syncthreads();
  float *out = partial + (n * s.parts + part) * TERMS * s.regions;
  for (int item = (int)threadIdx.x; item < TERMS * s.regions; item += THREADS)
    out[item] = strided_sum(&shared[item / s.regions][item % s.regions], s.side, s.regions);
}

/* Sum `kind` of region c: of sample n, or of the batch. sums (N, C, SUMS). */
static __device__ float dice_sum(const Regions &s, const float *sums, int64_t n, int c, int kind) {
  if (!s.batch) return sums[(n * s.regions + c) * SUMS + kind];
  float sum = 0;
  for (int64_t i = 0; i < s.samples; i++) sum += sums[(i * s.regions + c) * SUMS + kind];
  return sum;
}

/* One block; terms: (N, TERMS, C). */
static __global__ void __launch_bounds__(THREADS)
    region_losses(Regions s, const float *terms, float *bce, float *dice, float *sums) {
  SHARED(float, shared, [WARP]);
  int64_t all = s.samples * s.regions, wanted = (s.batch ? 1 : s.samples) * s.regions;
  float of_bce = 0, of_dice = 0, known = 0;
  for (int64_t i = threadIdx.x; i < all; i += THREADS) {
    const float *at = terms + i / s.regions * TERMS * s.regions + i % s.regions;
    sums[i * SUMS + SUM_P] = at[TERM_P * s.regions];
    sums[i * SUMS + SUM_PT] = at[TERM_PT * s.regions];
    sums[i * SUMS + SUM_T] = at[TERM_T * s.regions];
    sums[i * SUMS + SUM_KNOWN] = at[TERM_KNOWN * s.regions];
    known += at[TERM_KNOWN * s.regions];
    of_bce += at[TERM_BCE * s.regions];
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < wanted; i += THREADS) {
    int64_t n = i / s.regions;
    int c = (int)(i % s.regions);
    float above = 2 * dice_sum(s, sums, n, c, SUM_PT) + s.smooth;
    of_dice += above / (dice_sum(s, sums, n, c, SUM_P) + dice_sum(s, sums, n, c, SUM_T) + s.smooth);
  }
  of_bce = block_sum(of_bce, shared);
  of_dice = block_sum(of_dice, shared);
  known = block_sum(known, shared);
  if (threadIdx.x > 0) return;
  *bce = of_bce / fmaxf(known, 1);
  *dice = 1 - of_dice / (float)wanted;
}

/* rates (N, RATES, C), then the derivative of the loss with respect to p from the BCE alone: the
 * gradient of a logit is BCE (p - t) + (DICE - TARGET t) p (1 - p). One block. */
static __global__ void __launch_bounds__(THREADS)
    region_rates(Regions s, const float *dbce, const float *ddice, const float *sums,
                 float *rates) {
  SHARED(float, shared, [WARP]);
  int64_t all = s.samples * s.regions, groups = s.batch ? 1 : s.samples;
  float known = 0, scale = (ddice ? *ddice : 0) / (float)(groups * s.regions);
  for (int64_t i = threadIdx.x; i < all; i += THREADS) {
    int64_t n = i / s.regions;
    int c = (int)(i % s.regions);
    float *at = rates + n * RATES * s.regions + c;
    float above = 2 * dice_sum(s, sums, n, c, SUM_PT) + s.smooth;
    float below = dice_sum(s, sums, n, c, SUM_P) + dice_sum(s, sums, n, c, SUM_T) + s.smooth;
    at[RATE_DICE * s.regions] = scale * above / (below * below);
    at[RATE_TARGET * s.regions] = scale * 2 / below;
    known += sums[i * SUMS + SUM_KNOWN];
  }
  known = block_sum(known, shared);
  if (threadIdx.x == 0) rates[all * RATES] = (dbce ? *dbce : 0) / fmaxf(known, 1);
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    region_gradient(Regions s, const T *logits, const float *rates, T *dlogits) {
  int64_t step = (int64_t)gridDim.x * THREADS, count = s.samples * s.voxels * s.regions;
  float from_bce = rates[s.samples * s.regions * RATES];
  for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count; i += step) {
    int64_t v = i / s.regions;
    int c = (int)(i - v * s.regions), label = s.labels[v];
    const float *rate = rates + v / s.voxels * RATES * s.regions + c;
    float e, p = sigmoid_of(load(logits + i), &e), r = __fdividef(1, 1 + e);
    bool hit = label >> c & 1;
    float dice = rate[RATE_DICE * s.regions] - (hit ? rate[RATE_TARGET * s.regions] : 0);
    /* e r^2 = p (1 - p) */
    float gradient = from_bce * (p - (hit ? 1 : 0)) + dice * (e * r * r);
    store(dlogits + i, label < 0 ? 0 : gradient);
  }
}

/* ---- on the host ----------------------------------------------------------------------------- */

static Regions regions_make(const Call *call) {
  const RegionLossOptions *o = static_cast<const RegionLossOptions *>(call->options);
  const Tensor *x = &call->in[IN_LOGITS];
  Regions s = {};
  s.samples = x->dim[0];
  s.voxels = tensor_rows(x) / s.samples;
  s.regions = (int)tensor_last(x);
  s.side = THREADS / s.regions;
  s.parts = parts_count(s.samples, s.voxels, s.side);
  s.batch = o->batch;
  s.smooth = (float)o->smooth;
  s.labels = data_of<const int32_t>(&call->in[IN_LABELS]);
  return s;
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS];
  Regions s = regions_make(call);
  int width = TERMS * s.regions;
  float *terms = static_cast<float *>(call->scratch), *partial = terms + s.samples * width;
  with_type(x->type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(region_partials<T>, dim3((unsigned)s.parts, (unsigned)s.samples), THREADS, 0,
           call->stream, s, data_of<const T>(x), partial);
  });
  partials_sum(call->stream, s.samples, s.parts, width, partial, terms);
  LAUNCH(region_losses, 1, THREADS, 0, call->stream, s, terms, data_of<float>(&call->out[OUT_BCE]),
         data_of<float>(&call->out[OUT_DICE]), data_of<float>(&call->out[OUT_SUMS]));
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS], *dx = &call->din[IN_LOGITS];
  float *rates = static_cast<float *>(call->scratch);
  if (!dx->data) return;
  Regions s = regions_make(call);
  LAUNCH(region_rates, 1, THREADS, 0, call->stream, s, data_of<const float>(&call->dout[OUT_BCE]),
         data_of<const float>(&call->dout[OUT_DICE]), data_of<const float>(&call->out[OUT_SUMS]),
         rates);
  with_type(x->type, [&](auto zero) {
    using T = decltype(zero);
    unsigned grid = grid_blocks(region_gradient<T>, THREADS, 0, tensor_count(x) / THREADS + 1);
    LAUNCH(region_gradient<T>, grid, THREADS, 0, call->stream, s, data_of<const T>(x), rates,
           data_of<T>(dx));
  });
}

static bool prepare(Call *call, Error *) {
  const Tensor *x = &call->in[IN_LOGITS];
  size_t sums = (size_t)(x->dim[0] * tensor_last(x));
  size_t floats = call->backward ? RATES * sums + 1 : TERMS * sums * (PARTS_MOST + 1);
  call->scratch_bytes = floats * sizeof(float);
  return true;
}

CUDA_KERNEL(region_loss) = {
    .forward = forward, .backward = backward, .prepare = prepare, .bf16 = SAVES_IN(IN_LOGITS)};
