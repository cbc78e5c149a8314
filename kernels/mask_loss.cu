/* BCE and Dice of the matched masks. Forward reads the logits once and writes none: a thread keeps
 * the sums of its columns over the voxels of a part, parts are added in a fixed order. Backward
 * reads them once more and writes the gradient. Four rows are under way at once, or the sums'
 * registers would leave memory idle. Bound by memory for F32, nearly so for BF16, where two special
 * functions an element cost as much. */
#include "kernels/cuda/mask_terms.h"
#include "kernels/cuda/partials.h"
#include "kernels/cuda/warp.h"

#include <type_traits>

enum { IN_LOGITS, IN_LABELS, IN_ASSIGNMENT };
enum { OUT_BCE, OUT_DICE, OUT_SUMS };
enum { SUM_P, SUM_PT, SUM_T, SUM_KNOWN, SUMS };
enum { TERM_BCE, TERM_P, TERM_PT, TERM_T, TERM_KNOWN, TERMS };
enum { RATE_BCE, RATE_DICE, RATE_TARGET, RATES };
static constexpr int THREADS = 256, AHEAD = 4;

namespace {
/* A block's threads cover `tile` vectors of columns times `side` voxels at once. */
struct Masks {
  int64_t samples, voxels;
  int queries, tile, side, parts;
  bool regions; /* labels are sets of classes */
  const int32_t *labels, *assignment;
};

struct Columns {
  int first, row; /* this thread's first column, its first voxel of a part */
  int64_t end;    /* of the part; 0: no columns */
};
} // namespace

/* Whether a voxel of a known label belongs to the mask of this class; -1: no mask. */
static __device__ __forceinline__ bool is_target(const Masks &m, int label, int target) {
  return m.regions ? (unsigned)target < 31 && label >> target & 1 : label == target;
}

template <int N> static __device__ __forceinline__ Columns columns_own(const Masks &m) {
  int64_t part = blockIdx.x;
  int vector = (int)blockIdx.z * m.tile + (int)threadIdx.x % m.tile;
  bool own = vector * N < m.queries && (int)threadIdx.x / m.tile < m.side;
  return Columns{vector * N, (int)threadIdx.x / m.tile, own ? m.voxels * (part + 1) / m.parts : 0};
}

/* Rows v, v + side, ... before `end` of a thread's columns, and their labels. */
template <int N, typename T>
static __device__ __forceinline__ void rows_load(const Masks &m, const T *x, const int32_t *label,
                                                 int64_t v, int64_t end, Floats<N> *row,
                                                 int *here) {
#pragma unroll
  for (int a = 0; a < AHEAD; a++) {
    if (v + a * m.side >= end) continue;
    row[a] = load_lanes<N>(x + (v + a * m.side) * m.queries);
    here[a] = label[v + a * m.side];
  }
}

/* partial: (N, parts, TERMS, K). */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    mask_partials(Masks m, const T *logits, float *partial) {
  SHARED(float, shared, [N][THREADS]);
  Columns own = columns_own<N>(m);
  int64_t n = blockIdx.y, part = blockIdx.x;
  const T *x = logits + n * m.voxels * m.queries + own.first;
  const int32_t *label = m.labels + n * m.voxels;
  MaskSum sum[N];
  float pt[N] = {}, xt[N] = {}, t[N] = {};
  int target[N], turn = 0, known = 0;
#pragma unroll
  for (int i = 0; i < N; i++) {
    sum[i] = mask_sum_start();
    target[i] = own.end ? m.assignment[n * m.queries + own.first + i] : -1;
  }
  for (int64_t v = m.voxels * part / m.parts + own.row; v < own.end; v += AHEAD * m.side) {
    Floats<N> row[AHEAD];
    int here[AHEAD];
    rows_load<N>(m, x, label, v, own.end, row, here);
#pragma unroll
    for (int a = 0; a < AHEAD && v + a * m.side < own.end; a++) {
      if (here[a] < 0) continue;
      known++;
#pragma unroll
      for (int i = 0; i < N; i++) {
        float p = mask_sum_add(&sum[i], row[a].v[i]);
        bool hit = is_target(m, here[a], target[i]);
        pt[i] += hit ? p : 0;
        xt[i] += hit ? row[a].v[i] : 0;
        t[i] += hit ? 1 : 0;
      }
    }
    if (++turn % (MASK_FACTORS / AHEAD) == 0)
#pragma unroll
      for (int i = 0; i < N; i++) mask_sum_flush(&sum[i]);
  }
  float *out = partial + (n * m.parts + part) * TERMS * m.queries;
#pragma unroll
  for (int term = 0; term < TERMS; term++) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (term == TERM_BCE) mask_sum_flush(&sum[i]);
      shared[i][threadIdx.x] = term == TERM_BCE  ? mask_softplus(sum[i]) - xt[i]
                               : term == TERM_P  ? sum[i].p
                               : term == TERM_PT ? pt[i]
                               : term == TERM_T  ? t[i]
                                                 : (float)known;
    }
    __syncthreads();
    if (!own.end || own.row > 0) continue;
#pragma unroll
    for (int i = 0; i < N; i++)
      out[term * m.queries + own.first + i] = strided_sum(&shared[i][threadIdx.x], m.side, m.tile);
  }
}

/* All masks of the batch, by one block; those without target keep sums of zero. A mask's sums are
 * terms (N, TERMS, K). */
static __global__ void __launch_bounds__(THREADS)
    mask_losses(Masks m, const float *terms, float *bce, float *dice, float *sums) {
  SHARED(float, shared, [WARP]);
  float of_bce = 0, of_dice = 0, matched = 0;
  for (int64_t i = threadIdx.x; i < m.samples * m.queries; i += THREADS) {
    const float *at = terms + i / m.queries * TERMS * m.queries + i % m.queries;
    bool counts = m.assignment[i] >= 0;
    float p = at[TERM_P * m.queries], pt = at[TERM_PT * m.queries], t = at[TERM_T * m.queries];
    float known = at[TERM_KNOWN * m.queries];
    sums[i * SUMS + SUM_P] = counts ? p : 0;
    sums[i * SUMS + SUM_PT] = counts ? pt : 0;
    sums[i * SUMS + SUM_T] = counts ? t : 0;
    sums[i * SUMS + SUM_KNOWN] = counts ? known : 0;
    if (!counts) continue;
    matched += 1;
    of_bce += at[TERM_BCE * m.queries] / fmaxf(known, 1);
    of_dice += 1 - (2 * pt + 1) / (p + t + 1);
  }
  matched = fmaxf(block_sum(matched, shared), 1);
  of_bce = block_sum(of_bce, shared);
  of_dice = block_sum(of_dice, shared);
  if (threadIdx.x > 0) return;
  *bce = of_bce / matched;
  *dice = of_dice / matched;
}

/* Of a mask, 0 if it is not matched: the gradient of a logit is
 * BCE (p - t) + (DICE - TARGET t) p (1 - p). matched: how many masks are. */
static __device__ __forceinline__ void mask_rates(bool counts, const float *sums, float dbce,
                                                  float ddice, float matched, float *rate) {
  float below = sums[SUM_P] + sums[SUM_T] + 1, above = 2 * sums[SUM_PT] + 1;
  float from_bce = dbce / matched, from_dice = ddice / matched;
  rate[RATE_BCE] = counts ? from_bce / fmaxf(sums[SUM_KNOWN], 1) : 0;
  rate[RATE_DICE] = counts ? from_dice * above / (below * below) : 0;
  rate[RATE_TARGET] = counts ? from_dice * 2 / below : 0;
}

/* Every block counts the matched masks again: there are few. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    mask_gradient(Masks m, const T *logits, const float *dbce, const float *ddice,
                  const float *sums, T *dlogits) {
  SHARED(float, shared, [WARP]);
  Columns own = columns_own<N>(m);
  int64_t n = blockIdx.y, first = n * m.voxels * m.queries + own.first;
  const int32_t *label = m.labels + n * m.voxels;
  float rate[N][RATES], matched = 0;
  int target[N];
  for (int64_t i = threadIdx.x; i < m.samples * m.queries; i += THREADS)
    matched += m.assignment[i] >= 0 ? 1 : 0;
  matched = fmaxf(block_sum(matched, shared), 1);
  if (!own.end) return;
#pragma unroll
  for (int i = 0; i < N; i++) {
    int64_t mask = n * m.queries + own.first + i;
    target[i] = m.assignment[mask];
    mask_rates(target[i] >= 0, sums + mask * SUMS, dbce ? *dbce : 0, ddice ? *ddice : 0, matched,
               rate[i]);
  }
  for (int64_t v = m.voxels * blockIdx.x / m.parts + own.row; v < own.end; v += AHEAD * m.side) {
    Floats<N> row[AHEAD];
    int here[AHEAD];
    rows_load<N>(m, logits + first, label, v, own.end, row, here);
#pragma unroll
    for (int a = 0; a < AHEAD && v + a * m.side < own.end; a++) {
#pragma unroll
      for (int i = 0; i < N; i++) {
        float e, p = sigmoid_of(row[a].v[i], &e), r = __fdividef(1, 1 + e);
        bool hit = is_target(m, here[a], target[i]), known = here[a] >= 0;
        float dice = rate[i][RATE_DICE] - (hit ? rate[i][RATE_TARGET] : 0);
        /* e r^2 = p (1 - p) */
        float gradient = rate[i][RATE_BCE] * (p - (hit ? 1 : 0)) + dice * (e * r * r);
        row[a].v[i] = known ? gradient : 0;
      }
      store_lanes<N>(dlogits + first + (v + a * m.side) * m.queries, row[a]);
    }
  }
}

/* ---- on the host ----------------------------------------------------------------------------- */

static Masks masks_make(const Call *call, bool vectors) {
  const Tensor *x = &call->in[IN_LOGITS];
  Masks m = {};
  m.samples = x->dim[0];
  m.voxels = tensor_rows(x) / m.samples;
  m.queries = (int)tensor_last(x);
  int count = vectors ? m.queries * (int)dtype_bytes(x->type) / 16 : m.queries;
  m.tile = count < THREADS ? count : THREADS;
  m.side = THREADS / m.tile;
  m.parts = parts_count(m.samples, m.voxels, m.side);
  m.labels = data_of<const int32_t>(&call->in[IN_LABELS]);
  m.regions = static_cast<const MaskLossOptions *>(call->options)->regions != 0;
  m.assignment = data_of<const int32_t>(&call->in[IN_ASSIGNMENT]);
  return m;
}

static dim3 masks_grid(const Masks *m, int columns) {
  int tiles = (m->queries / columns + m->tile - 1) / m->tile;
  return dim3((unsigned)m->parts, (unsigned)m->samples, (unsigned)tiles);
}

/* Calls launch(zero of the storage type, columns a thread, sizes). */
template <typename F> static void with_columns(const Call *call, const void *other, F launch) {
  const Tensor *x = &call->in[IN_LOGITS];
  bool vectors = vectors_fit(tensor_last(x), dtype_bytes(x->type), x->data, other);
  with_type(x->type, [&](auto zero) {
    if (vectors)
      launch(zero, std::integral_constant<int, Lanes<decltype(zero)>::COUNT>(),
             masks_make(call, true));
    else
      launch(zero, std::integral_constant<int, 1>(), masks_make(call, false));
  });
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS];
  int64_t masks = x->dim[0] * tensor_last(x);
  float *terms = static_cast<float *>(call->scratch), *partial = terms + TERMS * masks;
  with_columns(call, NULL, [&](auto zero, auto columns, Masks m) {
    using T = decltype(zero);
    constexpr int N = decltype(columns)::value;
    LAUNCH((mask_partials<T, N>), masks_grid(&m, N), THREADS, 0, call->stream, m,
           data_of<const T>(x), partial);
    partials_sum(call->stream, m.samples, m.parts, TERMS * m.queries, partial, terms);
    LAUNCH(mask_losses, 1, THREADS, 0, call->stream, m, terms, data_of<float>(&call->out[OUT_BCE]),
           data_of<float>(&call->out[OUT_DICE]), data_of<float>(&call->out[OUT_SUMS]));
  });
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[IN_LOGITS], *dx = &call->din[IN_LOGITS];
  if (!dx->data) return;
  with_columns(call, dx->data, [&](auto zero, auto columns, Masks m) {
    using T = decltype(zero);
    constexpr int N = decltype(columns)::value;
    LAUNCH((mask_gradient<T, N>), masks_grid(&m, N), THREADS, 0, call->stream, m,
           data_of<const T>(x), data_of<const float>(&call->dout[OUT_BCE]),
           data_of<const float>(&call->dout[OUT_DICE]), data_of<const float>(&call->out[OUT_SUMS]),
           data_of<T>(dx));
  });
}

static bool prepare(Call *call, Error *) {
  const Tensor *x = &call->in[IN_LOGITS];
  size_t masks = (size_t)(x->dim[0] * tensor_last(x));
  if (!call->backward) call->scratch_bytes = masks * sizeof(float) * TERMS * (PARTS_MOST + 1);
  return true;
}

CUDA_KERNEL(mask_loss) = {
    .forward = forward, .backward = backward, .prepare = prepare, .bf16 = SAVES_IN(IN_LOGITS)};
